"""Two readings of one paper, by its source and by its PDF -> one: words from the source, place and picture from the PDF."""

import re
import unicodedata
from dataclasses import replace
from difflib import SequenceMatcher

from llava_graph.record import Dropped
from scicap_builder.mentions import parse_label
from scicap_builder.reading import FoundFigure, PaperReading

ROUTE = "latex+pdf"
SURE = 0.6
"""Similarity from which two captions with the same number are the same: maths and citations read differently on the two sides."""
SAME_TEXT = 0.85
"""Similarity from which two captions are the same although their numbers differ (a class numbers otherwise than we think)."""
ONE_SIDED = 0.5
"""Factor on the confidence of a figure that only one side has, and of a pair that agrees in its number alone."""
POOR_PICTURE = 0.3
"""A PDF region surer than this is taken as the picture; below it the source's own picture is, where there is one."""
COMPARED_CHARS = 300
"""Captions are compared by their first letters: ends differ where a PDF caption is cut or glued."""


def join(source: PaperReading, pdf: PaperReading) -> PaperReading:
    """Join what the LaTeX route and the PDF route found.

    Figures are paired by number and caption, then by caption alone, then by number alone; `confidence` falls from one to the
    next. A figure of one side alone is kept with half its confidence; without any picture it is dropped as `not-in-pdf`.
    """
    pairs = match_figures(source.figures, pdf.figures)
    joined = [
        _join_one(figure, pdf.figures[pairs[i][0]], pairs[i][1]) if i in pairs else figure
        for i, figure in enumerate(source.figures)
    ]
    figures = [_alone(figure) if i not in pairs else figure for i, figure in enumerate(joined)]
    paired = {index for index, _ in pairs.values()}
    seen = {_key(figure) for figure in figures}
    rest = [figure for index, figure in enumerate(pdf.figures) if index not in paired]
    twice = [figure for figure in rest if _key(figure) in seen]
    delivered = [figure for figure in figures if figure.image is not None]
    delivered += [_alone(figure) for figure in rest if _key(figure) not in seen]
    dropped = [*source.dropped, *_still_dropped(pdf.dropped, figures)]
    dropped += _without_picture(figures, pdf.dropped)
    dropped += [Dropped(item=figure.label, reason="number-twice", detail=figure.caption[:80]) for figure in twice]
    if not any(figure.mentions for figure in source.figures):
        delivered = _with_mentions(delivered, pdf.figures)
    return PaperReading(
        title=source.title or pdf.title,
        abstract=source.abstract or pdf.abstract,
        figures=tuple(delivered),
        dropped=tuple(dropped),
        pages=pdf.pages,
    )


def match_figures(source: tuple[FoundFigure, ...], pdf: tuple[FoundFigure, ...]) -> dict[int, tuple[int, float]]:
    """Index of a source figure -> (index of its PDF figure, how sure the pair is, 0..1). Every figure is in one pair at most."""
    pairs: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for same_number, least in ((True, SURE), (False, SAME_TEXT), (True, 0.0)):
        options = [
            (similarity(figure.caption, other.caption), i, j)
            for i, figure in enumerate(source)
            for j, other in enumerate(pdf)
            if i not in pairs and j not in taken and (not same_number or _key(figure) == _key(other))
        ]
        for alike, i, j in sorted(options, key=lambda option: (-option[0], abs(option[1] - option[2]))):
            if alike >= least and i not in pairs and j not in taken:
                pairs[i] = (j, alike if least else ONE_SIDED)
                taken.add(j)
    return pairs


def similarity(one: str, other: str) -> float:
    """How alike two captions are, 0..1, by letters and digits; one that begins like the other, cut short, counts as alike."""
    a, b = _flat(one), _flat(other)
    if not a or not b:
        return 0.0
    if min(len(a), len(b)) >= 20 and (a.startswith(b) or b.startswith(a)):
        return 1.0
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.quick_ratio() < ONE_SIDED:
        return 0.0
    return matcher.ratio()


def _flat(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower()).replace("[cite]", "").replace("[eq]", "")
    return re.sub(r"[^a-z0-9]", "", plain)[:COMPARED_CHARS]


def _key(figure: FoundFigure) -> str:
    """The number with what the label adds to it: "Supplementary Figure 1" is S1."""
    label = parse_label(figure.label)
    return label.number if label is not None else figure.number


def _join_one(source: FoundFigure, pdf: FoundFigure, sure: float) -> FoundFigure:
    """One figure from its two sides; where the numbers differ the printed one holds."""
    use_source = source.image is not None and (pdf.image is None or pdf.confidence < POOR_PICTURE)
    return replace(
        source,
        number=pdf.number,
        label=pdf.label,
        caption=source.caption or pdf.caption,
        image=source.image if use_source else pdf.image,
        page=pdf.page,
        box=pdf.box,
        mentions=source.mentions,
        route=ROUTE,
        confidence=round(pdf.confidence * sure, 3),
    )


def _with_mentions(figures: list[FoundFigure], pdf: tuple[FoundFigure, ...]) -> list[FoundFigure]:
    """When the source cites no figure at all, its references were not understood: then the PDF's mentions are the better ones."""
    mentions = {_key(figure): figure.mentions for figure in pdf}
    return [replace(figure, mentions=figure.mentions or mentions.get(_key(figure), ())) for figure in figures]


def _alone(figure: FoundFigure) -> FoundFigure:
    return replace(figure, confidence=round(figure.confidence * ONE_SIDED, 3))


def _still_dropped(dropped: tuple[Dropped, ...], figures: list[FoundFigure]) -> list[Dropped]:
    """What the PDF route dropped and the source has a picture of is delivered after all."""
    have = {_key(figure) for figure in figures if figure.image is not None}
    return [item for item in dropped if (label := parse_label(item.item)) is None or label.number not in have]


def _without_picture(figures: list[FoundFigure], already: tuple[Dropped, ...]) -> list[Dropped]:
    named = {label.number for item in already if (label := parse_label(item.item)) is not None}
    return [
        Dropped(item=figure.label, reason="not-in-pdf", detail="the source alone gives no picture of it")
        for figure in figures
        if figure.image is None and _key(figure) not in named
    ]
