"""A run elsewhere: as a notebook, and in an experiment tracker."""
