"""What the page shows of one paper, as frozen values: its pages with boxes, its figures, its drops."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from llava_graph.errors import PaperError
from llava_graph.licences import licence_name
from llava_graph.record import Dropped, Figure
from llava_graph.standalone import FIGURE_SIDES, Budget, Mark, Picture, arxiv_page, mark, picture_of
from scicap_builder.mentions import citations, parse_label
from scicap_builder.pdf import open_pdf
from scicap_builder.report.totals import flags

MAX_PAGES = 40
"""Pages drawn of one paper; those with figures come first. Theses have hundreds."""
PAGE_SIDES = (720, 480, 320)
OTHER_PAGE_SIDES = (400, 260)
"""Pages without a figure are there to see that nothing was missed."""
DRAWN_DPI = 72
"""Pages are scaled down to at most 720 px; a letter page has 792 at this."""
MAX_OCR_LINES = 200


@dataclass(frozen=True, kw_only=True)
class PageView:
    """One page with the figures on it."""

    number: int
    picture: Picture
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """One figure; `anchor` is its name within the page."""

    anchor: str
    figure: Figure
    picture: Picture | None
    picture_missing: str
    """Why there is no picture; empty if there is one."""
    flags: tuple[str, ...]
    licence: str
    mentions: tuple[Markup, ...]
    """The paragraphs, escaped, with this figure's citations marked."""
    panel_marks: tuple[Mark, ...]
    ocr_marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class PaperView:
    """One paper."""

    anchor: str
    id: str
    title: str
    link: str
    """arXiv's page of the paper; empty for others."""
    licence: str
    figures: tuple[FigureView, ...] = ()
    pages: tuple[PageView, ...] = ()
    page_count: int = 0
    pages_missing: str = ""
    """Why its pages are not drawn; empty if they are."""
    drops: tuple[Dropped, ...] = ()


def paper_view(
    anchor: str,
    paper_id: str,
    figures: Sequence[Figure],
    *,
    drops: Iterable[Dropped],
    pdf: Path | None,
    budget: Budget,
) -> PaperView:
    """One paper as the page shows it; `anchor` is its name within the page. Figures get their pictures before pages do."""
    shown = tuple(_figure_view(f"{anchor}f{place}", figure, budget) for place, figure in enumerate(figures, 1))
    pages, page_count, missing = _pages(shown, pdf, budget)
    paper = figures[0].paper if figures else None
    return PaperView(
        anchor=anchor,
        id=paper_id,
        title=paper.title if paper else "",
        link=arxiv_page(paper_id),
        licence=licence_name(paper.licence) if paper else "",
        figures=shown,
        pages=pages,
        page_count=page_count,
        pages_missing=missing,
        drops=tuple(drops),
    )


def _figure_view(anchor: str, figure: Figure, budget: Budget) -> FigureView:
    (picture,), missing = picture_of(figure, budget, FIGURE_SIDES)
    return FigureView(
        anchor=anchor,
        figure=figure,
        picture=picture,
        picture_missing=missing,
        flags=flags(figure),
        licence=licence_name(figure.licence or figure.paper.licence),
        mentions=tuple(marked(paragraph, figure.label) for paragraph in figure.mentions),
        panel_marks=tuple(mark(panel.box, panel.letter or "panel") for panel in figure.panels if panel.box),
        ocr_marks=tuple(mark(line.box, line.text) for line in figure.ocr[:MAX_OCR_LINES]),
    )


def marked(paragraph: str, label: str) -> Markup:
    """The paragraph, escaped, with <mark> around each citation of the figure's number."""
    own = parse_label(label)
    parts, position = [], 0
    for citation in citations(paragraph):
        if own is None or citation.number != own.number or citation.start < position:
            continue
        parts += [escape(paragraph[position : citation.start])]
        parts += [Markup("<mark>{}</mark>").format(paragraph[citation.start : citation.end])]
        position = citation.end
    return Markup("").join([*parts, escape(paragraph[position:])])


def _pages(figures: Sequence[FigureView], pdf: Path | None, budget: Budget) -> tuple[tuple[PageView, ...], int, str]:
    """(drawn pages in order, number of pages, why there are none)."""
    if pdf is None:
        return (), 0, "its PDF was not found"
    try:
        with open_pdf(pdf) as document:
            with_figures = {view.figure.paper.page for view in figures if view.figure.paper.page}
            order = sorted(range(1, len(document) + 1), key=lambda number: (number not in with_figures, number))
            drawn = []
            for number in order[:MAX_PAGES]:
                page = document.page(number)
                image = document.render(page, (0, 0, page.width, page.height), DRAWN_DPI)
                # Boxes are of the page as shown; what is drawn here was turned to be read.
                image = image.rotate(page.turn, expand=True) if page.turn else image
                picture = budget.encode(image, PAGE_SIDES if number in with_figures else OTHER_PAGE_SIDES)
                if picture is not None:
                    drawn.append(PageView(number=number, picture=picture, marks=_marks(figures, number)))
            drawn.sort(key=lambda view: view.number)
            return tuple(drawn), len(document), "" if drawn else "left out, the page is full"
    except PaperError as error:
        return (), 0, f"its PDF cannot be drawn ({error.what})"


def _marks(figures: Sequence[FigureView], page: int) -> tuple[Mark, ...]:
    return tuple(
        mark(view.figure.paper.box, view.figure.label or view.figure.id, view.anchor)
        for view in figures
        if view.figure.paper.page == page and view.figure.paper.box is not None
    )
