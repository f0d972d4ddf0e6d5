"""Explained figures as one HTML file: pictures inside, nothing loaded from elsewhere, every text escaped."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files

from llava_graph.explained import wording
from llava_graph.explained.answers import Part, has_evidence, parts_of
from llava_graph.explained.records import (
    Answer,
    Explained,
    ExplainedFigure,
    ExplainedPaper,
    as_paper,
    versions,
    with_evidence,
)
from llava_graph.record import Box, Paper
from llava_graph.standalone import FIGURE_SIDES, Budget, Mark, Picture, arxiv_page, mark, picture_of, standalone_page

PICTURE_BYTES = 24_000_000
"""Of all pictures together: browsers open 30 MB of HTML in a second or two, and mail programs still take it."""
THUMBNAIL_SIDES = (240,)
"""px; shown at 120."""
GENERATOR = "LLaVA-Graph"
MAX_OCR_LINES = 200


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """One explained figure as the page shows it."""

    anchor: str
    explained: ExplainedFigure
    answers: tuple[tuple[Answer, tuple[Part, ...]], ...]
    picture: Picture | None
    thumbnail: Picture | None
    picture_missing: str
    """Why there is no picture; empty if there is one."""
    text_marks: tuple[Mark, ...]
    region_marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class PaperView:
    """The figures of one paper."""

    paper: Paper
    link: str
    figures: tuple[FigureView, ...]


def to_html(explained: Explained, *, picture_bytes: int = PICTURE_BYTES) -> str:
    """The whole as one page. Pictures that find no room in `picture_bytes` are smaller, then left out with a word."""
    document = as_paper(explained)
    papers = _views(document, picture_bytes)
    views = [view for paper in papers for view in paper.figures]
    writer = versions(["llava-graph"])
    parts = standalone_page(
        _file("page.html.jinja"),
        style=_file("page.css"),
        script="",
        generator=GENERATOR,
        writer=" ".join([GENERATOR, *(name.split()[1] for name in writer)]),
        document=document,
        papers=papers,
        views=views,
        words=wording,
        judged=has_evidence([answer for view in views for answer in view.explained.answers]),
        created=max((explained.created for explained in document.figures), default=""),
        versions=sorted({version for explained in document.figures for version in explained.versions} - {*writer}),
        link=arxiv_page(document.paper.id),
        max_ocr_lines=MAX_OCR_LINES,
    )
    return "".join(parts)


def _views(document: ExplainedPaper, picture_bytes: int) -> list[PaperView]:
    budget = Budget()
    share = picture_bytes // max(1, len(document.figures))
    views: dict[str, list[FigureView]] = {}
    for place, explained in enumerate(document.figures, 1):
        budget.add(share)
        views.setdefault(explained.figure.paper.id, []).append(_view(f"f{place}", explained, budget))
    return [
        PaperView(paper=paper, link=arxiv_page(paper.id), figures=tuple(views[paper.id])) for paper in document.papers
    ]


def _view(anchor: str, explained: ExplainedFigure, budget: Budget) -> FigureView:
    explained = with_evidence(explained)
    figure = explained.figure
    (thumbnail, picture), missing = picture_of(figure, budget, THUMBNAIL_SIDES, FIGURE_SIDES)
    return FigureView(
        anchor=anchor,
        explained=explained,
        answers=tuple((answer, parts_of(answer)) for answer in explained.answers),
        picture=picture,
        thumbnail=thumbnail,
        picture_missing=missing,
        text_marks=_marks((line.box, line.text) for line in figure.ocr[:MAX_OCR_LINES]),
        region_marks=_marks(_regions(explained)),
    )


def _regions(explained: ExplainedFigure) -> Iterator[tuple[Box, str]]:
    """Each region once, with its name."""
    if explained.region:
        yield explained.region, "asked about"
    yield from dict.fromkeys((one.box, f"region {one.name}") for answer in explained.answers for one in answer.regions)


def _marks(boxes: Iterable[tuple[Box, str]]) -> tuple[Mark, ...]:
    return tuple(mark(box, text) for box, text in boxes)


def _file(name: str) -> str:
    return (files("llava_graph.explained") / name).read_text(encoding="utf-8")
