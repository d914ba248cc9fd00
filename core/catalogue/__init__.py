"""Where models and texts come from: samples, references, and what a model is made of."""
