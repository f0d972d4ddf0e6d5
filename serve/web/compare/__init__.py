"""Two answers beside each other: with and without the text in the figure, and about two figures."""
