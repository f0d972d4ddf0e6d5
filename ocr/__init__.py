"""Reading the text inside figures: an image in, lines with boxes, confidence and role out."""

from ocr.draw import draw_overlay
from ocr.engines import engines
from ocr.merge import read_figure_text
from ocr.read import read_text, read_texts

__all__ = ["draw_overlay", "engines", "read_figure_text", "read_text", "read_texts"]
