"""What the live host computes: quick answers about a model that is in memory already."""
