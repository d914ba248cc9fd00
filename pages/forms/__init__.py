"""What a person fills in before a run."""
