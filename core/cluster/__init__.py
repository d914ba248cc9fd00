"""A Ray cluster as a place to run: how to reach it, what it offers, and how files travel."""
