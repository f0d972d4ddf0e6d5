"""The letters of a figure's panels and which panel each line stands in. Boxes in px and texts in, names of panels out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ocr.frames import Frame
from ocr.scales import PxBox, around

_LETTER = re.compile(r"[(\[]?(?P<letter>[A-Za-z])[)\].:]?(?P<rest>\s+\S.*)?")
"""A, (a), a), A. and a letter in brackets before a panel's own title."""
NO_ROMAN = 3
"""Letters from which on a, b, c … are panels whatever else the figure holds; fewer must be all there are from the first on."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One panel letter."""

    index: int
    """Of its line."""
    letter: str
    alone: bool
    """Whether the line holds nothing else."""


def find_letters(texts: Sequence[str], boxes: Sequence[PxBox]) -> tuple[Anchor, ...]:
    """The letters a, b, c … (or A, B, C …) that name panels: in unbroken sequence, in reading order; none for a single "a"."""
    found: dict[str, Anchor] = {}
    for index, text in sorted(enumerate(texts), key=lambda item: (boxes[item[0]][1], boxes[item[0]][0])):
        match = _LETTER.fullmatch(text.strip())
        if match and (not match["rest"] or text.strip()[0] in "(["):
            found.setdefault(match["letter"], Anchor(index, match["letter"], not match["rest"]))
    for first in "aA":
        letters = [chr(ord(first) + step) for step in range(26)]
        run: list[Anchor] = []
        for letter in letters:
            if letter not in found:
                break
            run.append(found[letter])
        if len(run) > 1 and _in_reading_order(run, boxes):
            return tuple(run)
    return ()


def _in_reading_order(run: Sequence[Anchor], boxes: Sequence[PxBox]) -> bool:
    """Rows first or columns first; and far enough apart to be panels, not the axes of one."""
    places = [boxes[anchor.index] for anchor in run]
    whole = around(places)
    unit = max(box[3] - box[1] for box in places)
    if max(whole[2] - whole[0], whole[3] - whole[1]) < 6 * unit:
        return False
    rows = sorted(range(len(run)), key=lambda i: (round(places[i][1] / (2 * unit)), places[i][0]))
    columns = sorted(range(len(run)), key=lambda i: (round(places[i][0] / (2 * unit)), places[i][1]))
    return list(range(len(run))) in (rows, columns)


def panel_of(boxes: Sequence[PxBox], letters: Sequence[Anchor], frames: Sequence[Frame]) -> list[str]:
    """The letter of the panel in which each line stands; empty where there is but one.

    Letters stand at the top left of their panels, or (as LaTeX sets sub-captions) below them: the plots tell which, and
    without plots it is the top left.
    """
    if len(letters) < 2:
        return [""] * len(boxes)
    below = _below(boxes, letters, frames)
    return [_nearest(box, boxes, letters, below) for box in boxes]


def _below(boxes: Sequence[PxBox], letters: Sequence[Anchor], frames: Sequence[Frame]) -> bool:
    """Whether letters stand under their plots: then the last of them is lower than every plot, and the first than some."""
    if not frames:
        return False
    low, high = max(frame.box[3] for frame in frames), min(frame.box[1] for frame in frames)
    places = [boxes[anchor.index] for anchor in letters]
    return max(place[1] for place in places) > low and min(place[1] for place in places) > high + 0.5 * (
        min(frame.box[3] for frame in frames) - high
    )


def _nearest(box: PxBox, boxes: Sequence[PxBox], letters: Sequence[Anchor], below: bool) -> str:
    """The letter whose cell of the grid of letters the line's middle is in."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    places = [(anchor.letter, boxes[anchor.index]) for anchor in letters]
    unit = max(place[3] - place[1] for _, place in places)
    if below:
        under = [(place[3] >= y - unit, place) for _, place in places]
        rows = [place[1] for fits, place in under if fits] or [max(place[1] for _, place in places)]
        row = min(rows)
        return min(
            (abs((place[0] + place[2]) / 2 - x), letter) for letter, place in places if abs(place[1] - row) < 2 * unit
        )[1]
    rows = [place[1] for _, place in places if place[1] <= y + unit] or [min(place[1] for _, place in places)]
    row = max(rows)
    mine = [(place[0], letter) for letter, place in places if abs(place[1] - row) < 2 * unit]
    left = [item for item in mine if item[0] <= x + unit]
    return max(left)[1] if left else min(mine)[1]
