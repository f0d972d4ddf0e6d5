"""A paper's pages as pictures, to look through and choose figures from. Drawn in the process that reads the paper."""

from contextlib import suppress
from pathlib import Path

from scicap_builder.progress import tell

WIDTH_PX = 1000
"""Of a page: readable on a laptop, 40 to 120 kB."""
MAX_HEIGHT_PX = 3000
"""Pages are about 1.4 times as high as wide; a roll of wallpaper is no page."""
MAX_PAGES = 120
"""A book's further pages are left out."""


def draw_pages(pdf: Path, folder: Path) -> list[tuple[int, int]]:
    """Draw the pages of a PDF into `folder`; (width, height) in px of each, (0, 0) for one that cannot be drawn."""
    import pypdfium2

    sizes: list[tuple[int, int]] = []
    document = pypdfium2.PdfDocument(pdf)
    try:
        count = min(len(document), MAX_PAGES)
        for number in range(1, count + 1):
            tell("drawing page", number, count)
            size = (0, 0)
            with suppress(pypdfium2.PdfiumError, ValueError, OSError):
                page = document[number - 1]
                width, height = page.get_size()
                scale = min(WIDTH_PX / max(1.0, width), MAX_HEIGHT_PX / max(1.0, height))
                image = page.render(scale=scale).to_pil().convert("RGB")
                image.save(folder / page_picture(number), "WEBP", quality=62, method=2)
                size = image.size
                page.close()
            sizes.append(size)
    finally:
        document.close()
    return sizes


def page_picture(number: int) -> str:
    """The name of the file of a page (from 1)."""
    return f"page-{number}.webp"
