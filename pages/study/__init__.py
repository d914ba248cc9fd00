"""A study to look at: trade-offs, cards, curves, slides."""
