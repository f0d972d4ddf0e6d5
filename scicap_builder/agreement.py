"""What several routes say of one figure -> what holds, and where they differ, in words. Pure functions."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import combinations

from llava_graph.record import Panel
from scicap_builder.mentions import parse_label
from scicap_builder.reading import FoundFigure

Sides = Mapping[str, FoundFigure]
"""The same figure by route, in the order of ROUTES; a route that does not have it is absent."""
ROUTES = ("latex", "pdf", "html")
SAME_TEXT = 0.85
"""Similarity from which two captions are the same text: maths and citations read differently on two sides."""
COMPARED_CHARS = 300
"""Figures are paired by the first letters of their captions: ends differ where a PDF caption is cut or glued."""
TOLD_CHARS = 2000
"""Captions are compared for disagreements this far."""
_LEFTOVER = re.compile(r"\\[A-Za-z]{2,}")


def similarity(one: str, other: str) -> float:
    """How alike two captions are, 0..1, by letters and digits; one that begins like the other, cut short, counts as alike."""
    a, b = flat(one)[:COMPARED_CHARS], flat(other)[:COMPARED_CHARS]
    if not a or not b:
        return 0.0
    if min(len(a), len(b)) >= 20 and (a.startswith(b) or b.startswith(a)):
        return 1.0
    return _ratio(a, b)


def alike(one: str, other: str) -> float:
    """How alike two captions are as a whole, 0..1: one that is cut short is less alike the more it lacks."""
    a, b = flat(one)[:TOLD_CHARS], flat(other)[:TOLD_CHARS]
    if a == b:
        return 1.0
    short, long = sorted((a, b), key=len)
    if short and long.startswith(short):
        return 2 * len(short) / (len(short) + len(long))
    return _ratio(a, b) if short else 0.0


def flat(text: str) -> str:
    """Letters and digits in lower case, accents off; citations and displayed equations left out."""
    plain = unicodedata.normalize("NFKD", text.lower()).replace("[cite]", "").replace("[eq]", "")
    return re.sub(r"[^a-z0-9]", "", plain)


def _ratio(a: str, b: str) -> float:
    """Share of letters in common, in order; what both begin and end with is not searched through, which makes it fast."""
    head = _same_head(a, b)
    tail = _same_head(a[head:][::-1], b[head:][::-1])
    rest = SequenceMatcher(None, a[head : len(a) - tail], b[head : len(b) - tail], autojunk=False)
    same = head + tail + sum(block.size for block in rest.get_matching_blocks())
    return 2 * same / (len(a) + len(b))


def _same_head(a: str, b: str) -> int:
    return next((n for n, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def key(figure: FoundFigure) -> str:
    """The number with what the label adds to it: "Supplementary Figure 1" is S1."""
    label = parse_label(figure.label)
    return label.number if label is not None else figure.number


def caption(sides: Sides) -> str:
    """The caption that holds: the source's, unless it is broken, or the two others agree on another text; then HTML's, PDF's."""
    found = {route: sides[route].caption for route in ("latex", "html", "pdf") if route in sides}
    whole = {route: text for route, text in found.items() if not is_broken(text)} or found
    if len(whole) == len(ROUTES):
        against = max(similarity(whole["latex"], whole[other]) for other in ("pdf", "html"))
        if against < SAME_TEXT <= similarity(whole["html"], whole["pdf"]):
            return whole["html"]
    return next(iter(whole.values()), "")


def is_broken(text: str) -> bool:
    """Whether a caption holds nothing to read, or commands that were not understood."""
    return not re.search(r"\w", text) or bool(_LEFTOVER.search(text))


def mentions(sides: Sides) -> tuple[str, ...]:
    """The paragraphs of the first route that has any: source, HTML, PDF."""
    return next((side.mentions for side in _by_words(sides) if side.mentions), ())


def panels(sides: Sides, shown: str) -> tuple[Panel, ...]:
    """Letters and captions from the source or the HTML, boxes from the side whose picture is `shown`.

    Joined by letter, then in order where the counts agree; a box in a picture that is not shown is left out.
    """
    told = next((side.panels for side in _by_words(sides) if side.panels), ())
    drawn = sides[shown].panels
    if told is drawn:
        return told
    boxes = {panel.letter.lower(): panel.box for panel in drawn if panel.letter and panel.box}
    if not any(panel.letter.lower() in boxes for panel in told) and len(drawn) == len(told):
        return tuple(replace(panel, box=other.box) for panel, other in zip(told, drawn, strict=True))
    return tuple(replace(panel, box=boxes.get(panel.letter.lower())) for panel in told)


def _by_words(sides: Sides) -> list[FoundFigure]:
    """The sides in the order in which their words are believed."""
    return [sides[route] for route in ("latex", "html", "pdf") if route in sides]


def disagreements(sides: Sides, asked: frozenset[str]) -> tuple[str, ...]:
    """Where the routes do not say the same, each as "SORT: VALUE in ROUTE, VALUE in ROUTE" (`docs/html.md` lists the sorts).

    `asked`: the routes that could have seen the figure; one that does not have it is a disagreement too.
    """
    here = [route for route in ROUTES if route in asked]
    told = []
    if any(route not in sides for route in here):
        told.append(_told("figure", {route: str(int(route in sides)) for route in here}))
    told += _values("number", sides, key)
    for one, other in combinations([route for route in ROUTES if route in sides], 2):
        share = alike(sides[one].caption, sides[other].caption)
        if share < SAME_TEXT:
            told.append(f"caption: {share:.2f} alike in {one} and {other}")
    told += _values("mentions", sides, lambda figure: str(len(figure.mentions)))
    parted = {
        route: side for route, side in sides.items() if side.panels
    }  # no panels: that route saw one picture whole
    told += _values("panels", parted, lambda figure: str(len(figure.panels)))
    return tuple(told)


def _values(sort: str, sides: Sides, value: Callable[[FoundFigure], str]) -> list[str]:
    found = {route: value(sides[route]) for route in ROUTES if route in sides}
    return [_told(sort, found)] if len(set(found.values())) > 1 else []


def _told(sort: str, found: Mapping[str, str]) -> str:
    return f"{sort}: " + ", ".join(f"{value} in {route}" for route, value in found.items())
