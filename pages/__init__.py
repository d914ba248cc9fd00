"""One file a page, thin: read the store, draw, submit."""
