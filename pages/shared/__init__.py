"""What several pages need: the guard, the home, states, words and the run panel."""
