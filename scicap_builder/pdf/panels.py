"""A picture, its words and its caption -> the panels of a compound figure with letters, captions and boxes. Pure functions."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from llava_graph.record import Panel
from scicap_builder.panels import letter_order, split_caption
from scicap_builder.pdf.boxes import area, center, holds, meet, overlap_y
from scicap_builder.pdf.cuts import Cell, cut_evenly, cut_for, ink_map
from scicap_builder.pdf.page import Page, Rect, Word, is_bold

LETTER = re.compile(r"(?P<open>\(?)(?P<letter>[A-Za-z])(?P<close>\)?)[.:]?")
MIN_PANEL = 0.02
"""Share of the picture that an object must have to be a panel of its own."""
MAX_PANELS = 26


class Mark(NamedTuple):
    """A panel's letter within the picture."""

    letter: str
    box: Rect
    """pt"""


def find_panels(caption: str, page: Page, box: Rect, look: Image.Image | None) -> tuple[Panel, ...]:
    """The panels of the picture in `box` (pt): what the caption tells, what letters stand in the picture, where it parts.

    `look` shows `box`; without it no panel has a box. The letters in the picture win where they run farther than the
    caption's. No panels rather than wrong ones, no boxes where letters, objects and white gutters do not agree.
    """
    told = split_caption(caption)
    words = [word for word in page.words if holds(box, word.box)]
    marks = find_marks(words, [panel.letter for panel in told])
    panels = _merged(told, marks)
    if not 2 <= len(panels) <= MAX_PANELS or look is None:
        return panels if len(panels) <= MAX_PANELS else ()
    found = _by_object(marks, page, box, len(panels)) or _by_gutter(marks, box, look, len(panels))
    if not found:
        return panels
    return tuple(replace(panel, box=_share(part, box)) for panel, part in zip(panels, found, strict=True))


def find_marks(words: Iterable[Word], told: Sequence[str]) -> list[Mark]:
    """The letters in a picture that name its panels: one form, font and size, each once, from a on without a gap.

    Where the caption names the same letters any form will do; else they must be bracketed or bold.
    """
    groups: dict[tuple[str, bool, str, float], list[Mark]] = defaultdict(list)
    for word in words:
        match = LETTER.fullmatch(word.text)
        if match:
            form = match["open"] + match["close"]
            key = (form, match["letter"].isupper(), word.font, round(word.size * 2) / 2)
            groups[key].append(Mark(match["letter"], word.box))
    best: list[Mark] = []
    wanted = [letter.lower() for letter in told]
    for (form, _, font, _), marks in groups.items():
        run = _run(marks)
        letters = [mark.letter.lower() for mark in run]
        confirmed = bool(wanted) and letters[: len(wanted)] == wanted
        alone = not wanted and len(run) == len(marks) and (form == "()" or (is_bold(font) and len(run) > 2))
        if len(run) > max(1, len(best)) and (confirmed or alone):
            best = run
    return best


def _run(marks: Sequence[Mark]) -> list[Mark]:
    """a, b, c, … as long as each stands there exactly once."""
    by_letter: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        by_letter[mark.letter.lower()].append(mark)
    run = []
    for code in range(ord("a"), ord("z") + 1):
        here = by_letter.get(chr(code), [])
        if len(here) != 1:
            break
        run.append(here[0])
    return run


def _merged(told: Sequence[Panel], marks: Sequence[Mark]) -> tuple[Panel, ...]:
    """The caption's panels, and after them those that only the picture shows."""
    known = {panel.letter.lower() for panel in told}
    more = [Panel(letter=mark.letter) for mark in marks if mark.letter.lower() not in known]
    return tuple(sorted([*told, *more], key=lambda panel: letter_order(panel.letter)))


def _by_object(marks: Sequence[Mark], page: Page, box: Rect, count: int) -> list[Rect]:
    """The images and included drawings of the page in the picture, where there is one for each panel."""
    least = MIN_PANEL * area(box)
    things = [meet(g.box, box) for g in page.graphics if g.kind in ("image", "form") and holds(box, g.box)]
    things = [thing for thing in things if area(thing) > least]
    if len(things) != count or any(area(meet(a, b)) > 0.1 * least for i, a in enumerate(things) for b in things[:i]):
        return []
    if len(marks) != count:
        return [] if marks else reading_order(things)
    taken = [min(range(count), key=lambda i: _distance(things[i], mark.box)) for mark in marks]
    return [things[i] for i in taken] if len(set(taken)) == count else []


def _distance(thing: Rect, mark: Rect) -> float:
    x, y = center(mark)
    return max(thing[0] - x, x - thing[2], 0.0) + max(thing[1] - y, y - thing[3], 0.0)


def reading_order(boxes: Sequence[Rect]) -> list[Rect]:
    """Boxes row by row: those that share half their height stand in one row."""
    rows: list[list[Rect]] = []
    for item in sorted(boxes, key=lambda entry: entry[1]):
        row = next((r for r in rows if overlap_y(r[0], item) > 0.5 * min(r[0][3] - r[0][1], item[3] - item[1])), None)
        if row is None:
            rows.append([item])
        else:
            row.append(item)
    return [item for row in rows for item in sorted(row, key=lambda entry: entry[0])]


def _by_gutter(marks: Sequence[Mark], box: Rect, look: Image.Image, count: int) -> list[Rect]:
    """The parts between white gutters: one around each letter, or as many as the caption tells of."""
    ink, scale = ink_map(look)
    across, down = look.width / (box[2] - box[0]), look.height / (box[3] - box[1])
    if len(marks) == count:
        points = [center(mark.box) for mark in marks]
        cells = cut_for(ink, [((x - box[0]) * across / scale, (y - box[1]) * down / scale) for x, y in points])
    elif not marks:
        cells = cut_evenly(ink, count)
    else:
        return []
    parts = [_in_points(cell, scale, across, down, box) for cell in cells]
    return parts if marks else reading_order(parts)


def _in_points(cell: Cell, scale: int, across: float, down: float, box: Rect) -> Rect:
    return (
        box[0] + cell[0] * scale / across,
        box[1] + cell[1] * scale / down,
        min(box[2], box[0] + cell[2] * scale / across),
        min(box[3], box[1] + cell[3] * scale / down),
    )


def _share(part: Rect, box: Rect) -> Rect:
    width, height = box[2] - box[0], box[3] - box[1]
    x0, y0 = (part[0] - box[0]) / width, (part[1] - box[1]) / height
    x1, y1 = (part[2] - box[0]) / width, (part[3] - box[1]) / height
    return tuple(min(1.0, max(0.0, value)) for value in (x0, y0, x1, y1))  # type: ignore[return-value]
