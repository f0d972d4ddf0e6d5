"""A small paper for those who open papers: two figures, both cited, one of them twice; as a PDF, and as arXiv has it."""

from functools import cache

from tests.arxiv_server import Submission
from tests.pdf_pages import PdfPage, pdf_bytes

TITLE = "Growth of Colonies in Three Gardens"
CAPTIONS = ("Growth of the colony over time in three gardens.", "Share of ants that came back to the nest.")
FIRST = "Figure 1 shows how the colony grows in the three gardens: fast at first, and then slower and slower."
SECOND = "As Figure 2 tells, most of the ants came back. This fits the growth in Figure 1 that was seen before."


@cache
def two_figures(title: str = TITLE) -> bytes:
    """The PDF: two pages."""
    first, second = PdfPage(), PdfPage()
    first.text(120, 60, title, 17, "bold")
    y = first.paragraph(70, 110, 450, FIRST, indent=15) + 8
    first.plot(150, y + 20, 420, y + 180)
    first.text(150, y + 200, f"Figure 1: {CAPTIONS[0]}", 9)
    first.body(70, y + 240, 450, 14)
    y = second.paragraph(70, 90, 450, SECOND, indent=15) + 8
    second.plot(150, y + 20, 420, y + 180)
    second.text(150, y + 200, f"Figure 2: {CAPTIONS[1]}", 9)
    second.body(70, y + 240, 450, 14)
    return pdf_bytes([first, second])


def on_arxiv(base: str = "2101.00001", latest: int = 2) -> Submission:
    """The paper at arXiv, which has no source of it."""
    return Submission(base=base, latest=latest, title=TITLE, pdfs={n: two_figures() for n in range(1, latest + 1)})
