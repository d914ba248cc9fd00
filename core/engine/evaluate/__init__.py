"""What a model can still do: perplexity, divergence from the baseline, multiple choice, classification."""
