"""Reports: what an engineer hands to those who pay."""
