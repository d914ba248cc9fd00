"""What measurements mean: intervals, paired comparisons, Pareto fronts. Light: numpy and pandas only."""
