"""Pages that are pictures of pages: they hold no text, so no figure can be found on them. Pure functions."""

from collections.abc import Collection, Iterable, Sequence

from llava_graph.record import Dropped
from scicap_builder.pdf.boxes import area, meet
from scicap_builder.pdf.page import Page

SCAN_LETTERS = 20
"""A page with more letters than a page number and a running title was not merely scanned."""
SCAN_SHARE = 0.5
"""Share of the page that a scan's image covers; scans without margins cover all of it."""


def scanned_pages(pages: Iterable[Page], delivered: Collection[int]) -> tuple[Dropped, ...]:
    """Scanned pages in runs ("pages 1-12"); `delivered`: pages whose picture was taken for a figure's."""
    numbers = [page.number for page in pages if page.number not in delivered and _is_scan(page)]
    return tuple(
        Dropped(
            item=f"page {run[0]}" if len(run) == 1 else f"pages {run[0]}-{run[-1]}",
            reason="no-text",
            detail="an image without text, perhaps a scan; run OCR over the PDF first",
        )
        for run in _runs(numbers)
    )


def _is_scan(page: Page) -> bool:
    if sum(len(word.text) for word in page.words) > SCAN_LETTERS:
        return False
    frame = (0.0, 0.0, page.width, page.height)
    images = [meet(graphic.box, frame) for graphic in page.graphics if graphic.kind in ("image", "form")]
    return sum(map(area, images)) > SCAN_SHARE * page.width * page.height


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Rising numbers -> runs of neighbours."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
