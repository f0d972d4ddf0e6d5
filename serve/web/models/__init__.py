"""Which models there are, what the chosen one is, and how it answers."""
