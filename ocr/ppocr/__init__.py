"""PP-OCR's networks (detection and recognition) as figures need them: an RGB image in, lines with corners out."""

from ocr.ppocr.lines import Line
from ocr.ppocr.reader import Reader

__all__ = ["Line", "Reader"]
