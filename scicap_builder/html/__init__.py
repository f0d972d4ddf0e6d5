"""A paper as LaTeXML's HTML (arxiv.org/html, ar5iv) -> figures with numbers, captions, panels and citing paragraphs."""

from scicap_builder.html.read import read_html

__all__ = ["read_html"]
