"""Finding, loading and saving models, and what their architectures look like."""
