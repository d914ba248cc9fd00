"""What measurements mean: intervals, paired comparisons, Pareto fronts."""
