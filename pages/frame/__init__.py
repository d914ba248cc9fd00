"""What stands around every page: shell, login, addresses, states, text."""
