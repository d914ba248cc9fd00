"""Models as files and as modules: convert, load, save, walk."""
