"""Choosing what to remove from a model, and removing it."""
