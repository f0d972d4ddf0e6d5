"""Which figure of a paper a published figure is: number and caption against the figures that were read. Pure functions."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from llava_graph.record import Figure
from scicap_builder.agreement import SAME_TEXT, flat, key, similarity
from scicap_builder.mentions import parse_label
from scicap_builder.reading import FoundFigure, with_ids

SURE = 0.6
"""Likeness from which two captions with one number are one figure's: published captions come from PDFs, with maths in pieces.
The same as in `join`."""
MIN_LETTERS = 20
"""A shorter caption ("Results.") names no figure by itself."""
AS_ALIKE = 0.02
"""Two figures whose captions are as alike as this are told apart by nothing."""
NO_FIGURE, DIFFERS, SEVERAL = "no-such-figure", "caption-differs", "several-alike"
UNPAIRED = (NO_FIGURE, DIFFERS, SEVERAL)
NUMBER, CAPTION = "number", "caption"
"""By which a figure was found: its number, with a caption that is alike; or its caption, under another number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A published figure as it is looked for."""

    number: str = ""
    """As `mentions.parse_label` spells it; empty where the publication gives none."""
    panel: str = ""
    """ "a" of "Figure 2a"."""
    name: str = ""
    """The end of its id, "fig2-2": the second figure 2 of the paper."""
    caption: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """What was found for it."""

    figure: FoundFigure | None = None
    by: str = ""
    """NUMBER or CAPTION; empty without a figure."""
    reason: str = ""
    """One of UNPAIRED; empty with a figure."""
    likeness: float = 0.0
    """0..1, of the captions: of the figure that was found, or of the likeliest that was not."""
    detail: str = ""


def asked_for(figure: Figure) -> Asked:
    """What is known of a published figure."""
    label = parse_label(figure.label)
    name = figure.id.partition("#")[2].partition("~")[0]
    if label is None:
        return Asked(name=name, caption=figure.caption)
    return Asked(number=label.number, panel=label.panel.lower(), name=name, caption=figure.caption)


def match(asked: Sequence[Asked], found: Sequence[FoundFigure]) -> list[Match]:
    """The figure of each published one, in their order.

    Surest first: number and the same caption; the same caption under another number (figures are renumbered from version to
    version); number and a caption that is alike; a caption that is alike, of a figure that nobody else has. Parts of one
    figure ("Figure 2a", "Figure 2b") share it.
    """
    pairs = _Pairs(asked, found)
    pairs.by_number(same_text=True)
    pairs.by_caption(same_text=True)
    pairs.by_number(same_text=False)
    pairs.by_caption(same_text=False)
    return [pairs.outcome(row) for row in range(len(asked))]


class _Pairs:
    """The pairs found so far: rows are what is asked for, places are the paper's figures."""

    def __init__(self, asked: Sequence[Asked], found: Sequence[FoundFigure]) -> None:
        self._asked, self._found = asked, found
        self._names = [name.partition("#")[2] for name, _ in with_ids("", tuple(found))]
        self._texts = [flat(item.caption) for item in asked], [flat(figure.caption) for figure in found]
        self._own = [[p for p, figure in enumerate(found) if _same(item.number, key(figure))] for item in asked]
        self._shares: dict[tuple[int, int], float] = {}
        self._settled: dict[int, tuple[int, str]] = {}

    def by_number(self, *, same_text: bool) -> None:
        """Pair figures with one number, whose captions are the same; or alike, and no other figure's is the same text."""
        for row in self._left():
            fits = [p for p in self._own[row] if (self._exact(row, p) if same_text else self._share(row, p) >= SURE)]
            best = max(fits, key=lambda p: self._rank(row, p), default=None)
            if best is not None and (self._share(row, best) >= SAME_TEXT or not self._likeliest(row, same_text=False)):
                self._settled[row] = best, NUMBER

    def by_caption(self, *, same_text: bool) -> None:
        """Pair what is left by captions that are the same, or alike, in one figure of the paper only, which nobody else has."""
        taken = {place for place, _ in self._settled.values()}
        for row in self._left():
            likeliest = self._likeliest(row, same_text=same_text)
            if len(likeliest) == 1 and likeliest[0] not in taken:
                self._settled[row] = likeliest[0], CAPTION

    def outcome(self, row: int) -> Match:
        """What has become of a row."""
        if row in self._settled:
            place, by = self._settled[row]
            return Match(figure=self._found[place], by=by, likeness=round(self._share(row, place), 3))
        if len(self._likeliest(row, same_text=False)) > 1:
            return Match(reason=SEVERAL, detail="several figures of the paper have this caption, under other numbers")
        if self._own[row]:
            share, place = max((self._share(row, p), -p) for p in self._own[row])
            told = self._found[-place]
            return Match(reason=DIFFERS, likeness=round(share, 3), detail=f"{told.label} is {told.caption!r:.200}")
        number = self._asked[row].number
        return Match(reason=NO_FIGURE, detail=f"the paper has no figure {number}" if number else "it has no number")

    def _left(self) -> list[int]:
        return [row for row in range(len(self._asked)) if row not in self._settled]

    def _likeliest(self, row: int, *, same_text: bool) -> list[int]:
        """The figures with the most alike caption; none where no caption is alike."""
        if len(self._texts[0][row]) < MIN_LETTERS:
            return []
        places = [p for p in range(len(self._found)) if not same_text or self._exact(row, p)]
        top = max((self._share(row, p) for p in places), default=0.0)
        return [p for p in places if self._share(row, p) >= max(SAME_TEXT, top - AS_ALIKE)]

    def _rank(self, row: int, place: int) -> tuple[float, bool, int]:
        """Of several figures with one number: the caption, then the order in which they come."""
        return self._share(row, place), self._names[place] == self._asked[row].name, -place

    def _exact(self, row: int, place: int) -> bool:
        return bool(self._texts[0][row]) and self._texts[0][row] == self._texts[1][place]

    def _share(self, row: int, place: int) -> float:
        if (row, place) not in self._shares:
            self._shares[row, place] = _likeness(self._asked[row], self._found[place])
        return self._shares[row, place]


def _likeness(item: Asked, figure: FoundFigure) -> float:
    """0..1: with the figure's caption, or with the caption of the panel that is asked for.

    Where one side has no caption at all, the number speaks alone.
    """
    if not flat(item.caption) or not flat(figure.caption):
        return SURE
    panels = [panel.caption for panel in figure.panels if item.panel and panel.letter.lower() == item.panel]
    return max(similarity(item.caption, caption) for caption in (figure.caption, *panels))


def _same(one: str, other: str) -> bool:
    """Whether two numbers are one: "A.1" is "A1", "s2" is "S2"."""
    return bool(one) and _bare(one) == _bare(other)


def _bare(number: str) -> str:
    return re.sub(r"(?<=[A-Z])[.\-](?=\d)", "", number.upper())


def with_seen(matches: Iterable[Match], asked: Iterable[Asked], dropped: Iterable[str]) -> Iterator[Match]:
    """The same; where the reader saw the figure's label and could not deliver it, that is told."""
    seen = {_bare(label.number): text for text in dropped if (label := parse_label(text.partition(":")[0]))}
    for one, item in zip(matches, asked, strict=True):
        if one.reason == NO_FIGURE and item.number and (told := seen.get(_bare(item.number))):
            yield replace(one, detail=f"it was seen and left out ({told})")
        else:
            yield one
