"""Teaching a small model to behave like a large one."""
