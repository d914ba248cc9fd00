"""A run's work on the nodes of a Ray cluster."""
