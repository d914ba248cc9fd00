"""What can be known before a run starts: refused on pages, at submission and in the worker alike."""
