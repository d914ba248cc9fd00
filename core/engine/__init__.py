"""The heavy core: everything that imports torch. Only the worker, the live host and the CLI come in here."""
