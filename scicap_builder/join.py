"""Readings of one paper by source, PDF and HTML page -> one: words from the source, place and picture from the PDF."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llava_graph.record import Dropped
from scicap_builder.agreement import (
    ROUTES,
    SAME_TEXT,
    Sides,
    caption,
    disagreements,
    key,
    mentions,
    panels,
    similarity,
)
from scicap_builder.mentions import parse_label
from scicap_builder.reading import FoundFigure, PaperReading

SURE = 0.6
"""Similarity from which two captions with the same number are the same figure's."""
PASSES = ((True, SAME_TEXT), (False, SAME_TEXT), (True, SURE), (False, SURE), (True, 0.0))
"""How figures are paired, surest first: (whether the numbers must agree, how alike the captions must be). Without the number and
below SAME_TEXT they must stand between the same neighbours."""
ONE_SIDED = 0.5
"""Factor on the confidence of a figure that only one side has, and of a pair that agrees in its number alone."""
POOR_PICTURE = 0.3
"""A PDF region surer than this is taken as the picture; below it the source's own picture is, where there is one."""


@dataclass(frozen=True, slots=True)
class _Group:
    """One figure as the routes have it."""

    sides: Sides
    sure: float = ONE_SIDED
    """0..1: how sure it is that the sides are one figure."""
    place: int | None = None
    """Its index among the PDF's figures."""


def join(source: PaperReading | None, pdf: PaperReading | None, html: PaperReading | None = None) -> PaperReading:
    """Join what the LaTeX route, the PDF route and the HTML route found; None for one that was not read.

    Figures are paired by number and caption, by caption alone, by what is left of both, at last by number alone (`PASSES`);
    `confidence` falls with the likeness. A figure of one side alone is kept with half its confidence;
    with a PDF beside it and without any picture it is dropped as `not-in-pdf`.
    """
    readings = {route: reading for route, reading in zip(ROUTES, (source, pdf, html), strict=True) if reading}
    if len(readings) < 2:
        return next(iter(readings.values()), PaperReading())
    groups, twice = _groups(source.figures if source else (), html.figures if html else (), pdf.figures if pdf else ())
    figures = [_decide(group, frozenset(readings)) for group in groups]
    dropped = [Dropped(item=figure.label, reason="number-twice", detail=figure.caption[:80]) for figure in twice]
    if pdf:
        dropped = [*_still_dropped(pdf.dropped, figures), *_without_picture(figures, pdf.dropped), *dropped]
        figures = [figure for figure in figures if not _is_lost(figure)]
    words = source or html
    return PaperReading(
        title=next((reading.title for reading in _in_order(readings) if reading.title), ""),
        abstract=next((reading.abstract for reading in _in_order(readings) if reading.abstract), ""),
        figures=tuple(figures),
        dropped=(*(words.dropped if words else ()), *dropped),
        pages=pdf.pages if pdf else 0,
    )


def _in_order(readings: dict[str, PaperReading]) -> list[PaperReading]:
    """Whose words go first."""
    return [readings[route] for route in ("latex", "html", "pdf") if route in readings]


def _groups(
    latex: Sequence[FoundFigure], html: Sequence[FoundFigure], pdf: Sequence[FoundFigure]
) -> tuple[list[_Group], list[FoundFigure]]:
    """(every figure once, in order of appearance; what is left out because its number is there already)."""
    pages = match_figures(latex, html)
    words: list[dict[str, FoundFigure]] = [
        {"latex": figure, "html": html[pages[i][0]]} if i in pages else {"latex": figure}
        for i, figure in enumerate(latex)
    ]
    taken = {index for index, _ in pages.values()}
    rest = [figure for index, figure in enumerate(html) if index not in taken]
    known = {key(figure) for figure in latex}
    words += [{"html": figure} for figure in rest if key(figure) not in known]
    twice = [figure for figure in rest if key(figure) in known]
    pairs = match_figures([next(iter(sides.values())) for sides in words], pdf)
    groups = [
        _Group({**sides, "pdf": pdf[pairs[i][0]]}, pairs[i][1], pairs[i][0]) if i in pairs else _Group(sides)
        for i, sides in enumerate(words)
    ]
    seen = {_printed(group) for group in groups}
    places = {index for index, _ in pairs.values()}
    for index, figure in enumerate(pdf):
        if index in places:
            continue
        if key(figure) in seen:
            twice.append(figure)
        else:
            later = (n for n, group in enumerate(groups) if group.place is not None and group.place > index)
            groups.insert(next(later, len(groups)), _Group({"pdf": figure}, place=index))
    return groups, twice


def _printed(group: _Group) -> str:
    """The number that holds: the PDF's, else the source's."""
    return key(group.sides.get("pdf") or next(iter(group.sides.values())))


def match_figures(one: Sequence[FoundFigure], other: Sequence[FoundFigure]) -> dict[int, tuple[int, float]]:
    """Index of a figure -> (index of the other side's figure, how sure the pair is, 0..1); each is in one pair at most."""
    pairs: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for same_number, least in PASSES:
        options = [
            (similarity(figure.caption, candidate.caption), i, j)
            for i, figure in enumerate(one)
            for j, candidate in enumerate(other)
            if i not in pairs and j not in taken and (not same_number or key(figure) == key(candidate))
        ]
        for alike, i, j in sorted(options, key=lambda option: (-option[0], abs(option[1] - option[2]))):
            if alike >= least and i not in pairs and j not in taken:
                pairs[i] = (j, alike if least else ONE_SIDED)
                taken.add(j)
    return pairs


def _decide(group: _Group, asked: frozenset[str]) -> FoundFigure:
    """One figure from its sides; where the numbers differ the printed one holds."""
    sides = group.sides
    first = sides.get("pdf") or next(iter(sides.values()))
    shown = _shown(sides)
    return replace(
        first,
        caption=caption(sides),
        image=sides[shown].image,
        mentions=mentions(sides),
        panels=panels(sides, shown),
        text=sides[shown].text,
        rasters=sides[shown].rasters,
        route="+".join(route for route in ROUTES if route in sides),
        confidence=round(first.confidence * (group.sure if "pdf" in asked else 1.0), 3),
        disagreements=disagreements(sides, asked),
    )


def _shown(sides: Sides) -> str:
    """The route whose picture is delivered: the PDF's, unless it is poor and another has one."""
    own = next((route for route, side in sides.items() if route != "pdf" and side.image is not None), None)
    pdf = sides.get("pdf")
    if pdf is None or (own and (pdf.image is None or pdf.confidence < POOR_PICTURE)):
        return own or next(iter(sides))
    return "pdf"


def _is_lost(figure: FoundFigure) -> bool:
    """Whether no route knows where it is or what it looks like."""
    return figure.image is None and figure.page is None


def _still_dropped(dropped: tuple[Dropped, ...], figures: list[FoundFigure]) -> list[Dropped]:
    """What the PDF route dropped and another has a picture of is delivered after all."""
    have = {key(figure) for figure in figures if figure.image is not None}
    return [item for item in dropped if (label := parse_label(item.item)) is None or label.number not in have]


def _without_picture(figures: list[FoundFigure], already: tuple[Dropped, ...]) -> list[Dropped]:
    named = {label.number for item in already if (label := parse_label(item.item)) is not None}
    return [
        Dropped(item=figure.label, reason="not-in-pdf", detail=f"{figure.route} alone gives no picture of it")
        for figure in figures
        if _is_lost(figure) and key(figure) not in named
    ]
