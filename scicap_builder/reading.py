"""What one route reads out of one paper, before it becomes records: plain frozen values, no I/O."""

from dataclasses import dataclass

from llava_graph.record import Box, Dropped


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
    route: str
    """ "pdf", "latex" or "latex+pdf"."""
    confidence: float = 1.0
    """0..1: how sure the route is of page and box."""


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
