"""A folder of LaTeX sources -> what stands in the paper: figures with numbers, captions, pictures and citing paragraphs."""

from scicap_builder.latex.read import read_latex

__all__ = ["read_latex"]
