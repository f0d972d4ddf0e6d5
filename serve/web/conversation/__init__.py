"""The conversation about the figure."""
