"""One run and the list of runs."""
