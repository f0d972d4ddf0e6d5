"""What one route reads out of one paper, before it becomes records: plain frozen values, no I/O."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llava_graph.record import Box, Dropped, OcrLine, Panel


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFigure:
    """One numbered figure of a paper."""

    number: str
    """As printed: "3", "S1", "A.2", "IV"."""
    label: str
    """ "Figure 3", as printed."""
    caption: str
    """Clean Unicode text without the label, hyphenation and ligatures mended."""
    image: bytes | None = None
    """PNG or JPEG; None when no picture could be had (then the figure is dropped with a reason)."""
    page: int | None = None
    """Counted from 1."""
    box: Box | None = None
    """0..1 of the page as shown (after /Rotate), origin top left; the picture only, without the caption."""
    mentions: tuple[str, ...] = ()
    """Every paragraph that cites the figure, in reading order, as a reader sees it."""
    panels: tuple[Panel, ...] = ()
    """The parts of a compound figure, in reading order; boxes are 0..1 of `image`. Empty for a single picture."""
    text: tuple[OcrLine, ...] = ()
    """The text in the picture where the file itself knows it (a PDF's text layer), boxes 0..1 of `image`."""
    rasters: tuple[Box, ...] = ()
    """Where pixel images stand in the picture, 0..1 of `image`: only an OCR engine can read the text in them."""
    route: str
    """ "pdf", "latex", "html" or some of them joined: "latex+pdf"."""
    confidence: float = 1.0
    """0..1: how sure the route is of page and box."""
    disagreements: tuple[str, ...] = ()
    """Where joined routes did not say the same: "number: 4 in latex, 5 in pdf"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperReading:
    """All that a route found in one paper."""

    title: str = ""
    abstract: str = ""
    figures: tuple[FoundFigure, ...] = ()
    """In order of appearance."""
    dropped: tuple[Dropped, ...] = ()
    """Figures seen and not delivered; `item` is the bare label ("Figure 3"), the pipeline adds the paper's id."""
    pages: int = 0


def with_ids(paper_id: str, figures: tuple[FoundFigure, ...]) -> Iterator[tuple[str, FoundFigure]]:
    """(unique id, figure): "…#fig3", and "…#fig3-2" where a number appears twice."""
    taken: set[str] = set()
    for position, figure in enumerate(figures, 1):
        number = re.sub(r"[^\w.]+", "-", figure.number).strip("-.") or f"n{position}"
        name, copy = number, 1
        while name in taken:
            copy += 1
            name = f"{number}-{copy}"
        taken.add(name)
        yield f"{paper_id}#fig{name}", figure
