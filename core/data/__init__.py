"""Data people bring: files with rows, what their columns mean, and a look at them."""
