"""What the preview server computes: quick answers about a model that is in memory already."""
