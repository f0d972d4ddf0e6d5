"""The figure on the page: taking one in, its text as boxes and lines, and what the visitor corrects of them."""
