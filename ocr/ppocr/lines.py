"""Which of the lines that were read are kept: doubles and marks of the plot that look like a letter are left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from ocr.ppocr.crops import Part, Slant

SAME = 0.6
"""Share of the smaller of two lines from which on they are the same text."""
LETTER_SURE, DIGIT_SURE, PAIR_SURE = 0.9, 0.6, 0.7
"""A letter, digit or pair of letters that stands alone is believed from here on: markers of a plot are read as O, X, Δ, 米."""
HUGE = 3.0
"""Times the usual height of a figure's lines from which on one or two letters are a curve or a shape."""
WORD = 3
"""Ideographs in one line from which on a figure is taken to have such a script; markers are read as one or two of them."""
IDEOGRAPHS = ("\u2e80", "\u9fff")


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read."""

    text: str
    slant: Slant
    """How the picture lies that it was read from …"""
    box: Part
    """… and where in that its ink is."""
    confidence: float


def apart(line: Line) -> list[Line]:
    """A row of numbers that was read with spaces, as lines of their own; their places by the count of letters."""
    words = line.text.split()
    if len(words) < 2 or not all(any(c.isdigit() for c in word) for word in words):
        return [line]
    x0, y0, x1, y1 = line.box
    unit, place, found = (x1 - x0) / len(line.text), 0, []
    for word in words:
        place = line.text.index(word, place)
        found.append(replace(line, text=word, box=(x0 + place * unit, y0, x0 + (place + len(word)) * unit, y1)))
        place += len(word)
    return found


def believable(lines: Sequence[Line]) -> list[Line]:
    """The lines without what is more likely a marker. Ideographs count only where a line has a word of them."""
    heights = [(line.box[3] - line.box[1]) * line.slant.height for line in lines]
    usual = median(heights) if heights else 0.0
    together = max((sum(map(_ideograph, line.text)) for line in lines), default=0) >= WORD

    def needed(text: str) -> float:
        if len(text) == 1:
            return DIGIT_SURE if text.isdigit() else LETTER_SURE
        return PAIR_SURE if len(text) == 2 else 0.0

    found = []
    for line, high in zip(lines, heights, strict=True):
        kept = line.text if together else "".join(c for c in line.text if not _ideograph(c)).strip()
        text = "".join(kept.split())
        curve = len(text) <= 2 and high > HUGE * usual
        if text and not curve and line.confidence >= needed(text):
            found.append(replace(line, text=kept))
    return found


def _ideograph(letter: str) -> bool:
    return IDEOGRAPHS[0] <= letter <= IDEOGRAPHS[1]


def once(lines: Sequence[Line]) -> list[Line]:
    """Of lines in one place the longest, of as long ones the surest; in the order given."""
    corners = np.array([line.slant.corners(line.box) for line in lines]).reshape(-1, 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    areas = (high - low).prod(axis=1)
    kept: list[int] = []
    for i in sorted(range(len(lines)), key=lambda i: (-len(lines[i].text), -lines[i].confidence)):
        others = np.array(kept, int)
        both = np.clip(np.minimum(high[others], high[i]) - np.maximum(low[others], low[i]), 0, None).prod(axis=1)
        if not (both > SAME * np.minimum(areas[others], areas[i])).any():
            kept.append(i)
    return [lines[i] for i in sorted(kept)]
