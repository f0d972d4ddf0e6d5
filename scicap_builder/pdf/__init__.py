"""The PDF route: figures, captions, pictures and mentions out of a PDF file.

`read_pdf` is the whole route; `open_pdf` gives single pages (words and drawings) and crops of them.
"""

from scicap_builder.pdf.page import Graphic, Page, Rect, Word, shown_box
from scicap_builder.pdf.pdfium import OpenPdf, open_pdf
from scicap_builder.pdf.read import read_pdf

__all__ = ["Graphic", "OpenPdf", "Page", "Rect", "Word", "open_pdf", "read_pdf", "shown_box"]
