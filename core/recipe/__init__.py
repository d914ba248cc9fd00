"""What a run does and what comes out of it: recipes, their parts, keys, labels, results."""
