"""Ticks that were found as one line, parted: a reading and its ink in, pieces out.

The digits of a font are all as wide, so that their middles are evenly apart within a number and farther apart between two.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

import numpy as np
from numpy.typing import NDArray

from ocr.ppocr.crops import Part, tight
from ocr.ppocr.recognizer import Reading

NARROW_STEP, DIGIT_STEP = 0.68, 0.8
"""Digit heights from the middle of a digit to that of the next, at least and usually at most: 0.68 in Arial at small sizes,
0.75 in Times, 0.8 in Helvetica, 0.87 in DejaVu Sans."""
WIDE_STEP = 0.92
"""The widest that was seen, DejaVu Sans at small sizes: where one or two steps tell nothing of what is usual."""
WIDER = 1.17
"""Times the usual step of a line from which on two digits are of two numbers."""
ASIDE = 0.02
"""Digit heights by which a 1 may stand beside the middle of its room."""
SOME = 3
"""Steps from which on they tell what is usual in their line."""
LEVEL = 0.25
"""Digit heights by which the feet of digits may differ: lines may lie a little aslant."""
MINUS_APART = 0.5
"""Digit heights of white before a minus sign that begins a number; before a raised exponent there is less."""
THIN = 1.2
"""Digit heights from middle to middle up to which groups of three digits are one number with thin spaces."""
WORDS_APART = 0.33
"""Text heights of white between two words that were read without a space …"""
THAN_LETTERS = 2.0
"""… and this many times the line's usual white: letters of a typewriter stand far apart."""
TELLING = 6
"""Runs of white from which on their median tells of the letters, not of the words."""
NUMERIC = re.compile(r"[\d.,\s−–-]+")
THOUSANDS = re.compile(r"\d{1,3}( \d{3}){1,2}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line."""

    text: str
    """Empty: it has to be read again by itself."""
    confidence: float
    box: Part
    """0..1 of the line."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Columns of ink without white between them, px: mostly one letter."""

    start: int
    end: int
    low: int
    high: int

    @property
    def width(self) -> int:
        return self.end - self.start

    @property
    def height(self) -> int:
        return self.high - self.low


def part_reading(reading: Reading, marked: NDArray[np.bool_]) -> list[Piece]:
    """The line as one piece, or as several where it is a row of numbers. `marked`: its ink."""
    box = tight(marked)
    height, width = marked.shape
    runs = _runs(marked[round(box[1] * height) : round(box[3] * height)])
    letters = [(c, s) for c, s in zip(reading.text, reading.sure, strict=True) if not c.isspace()]
    if not runs or not NUMERIC.fullmatch(reading.text) or sum(c.isdigit() for c, _ in letters) < 2:
        size = (box[3] - box[1]) * height
        return [Piece(_spaced(reading, runs, size, width), reading.confidence, box)]
    cuts = _between_numbers(runs)
    if not cuts:
        return [Piece(reading.text, reading.confidence, box)]
    spans = list(pairwise([0, *cuts, len(runs)]))
    boxes = [(runs[a].start / width, box[1], runs[b - 1].end / width, box[3]) for a, b in spans]
    if len(runs) != len(letters):  # touching or broken digits: which letter belongs where is not known
        return [Piece("", 0.0, part) for part in boxes]
    parts = [letters[a:b] for a, b in spans]
    pieces = [
        Piece("".join(c for c, _ in part), sum(s for _, s in part) / len(part), where)
        for part, where in zip(parts, boxes, strict=True)
    ]
    whole = " ".join(piece.text for piece in pieces)
    size = max(run.height for run in runs)
    if THOUSANDS.fullmatch(whole) and max(_step(a, b, size) for a, b in pairwise(runs)) < THIN:
        return [Piece(whole, reading.confidence, box)]
    return pieces


def _runs(marked: NDArray[np.bool_]) -> list[_Run]:
    filled = np.concatenate(([False], marked.any(axis=0), [False]))
    starts, ends = np.flatnonzero(filled[1:] & ~filled[:-1]), np.flatnonzero(filled[:-1] & ~filled[1:])
    runs = []
    for start, end in zip(starts, ends, strict=True):
        rows = np.flatnonzero(marked[:, start:end].any(axis=1))
        runs.append(_Run(int(start), int(end), int(rows[0]), int(rows[-1]) + 1))
    return runs


def _between_numbers(runs: Sequence[_Run]) -> list[int]:
    """Before which runs a new number begins."""
    size = max(run.height for run in runs)
    ground = median(run.high for run in runs)  # raised exponents are smaller digits: other steps
    digits = [run.height > 0.6 * size and abs(run.high - ground) < LEVEL * size for run in runs]
    steps = {i: _step(runs[i - 1], runs[i], size) for i in range(1, len(runs)) if digits[i] and digits[i - 1]}
    if not steps:
        return []
    usual = quantiles(steps.values(), n=4, method="inclusive")[0] if len(steps) >= SOME else WIDE_STEP
    least = WIDER * min(max(usual, NARROW_STEP), DIGIT_STEP if len(steps) >= SOME else WIDE_STEP)
    cuts = {i for i, step in steps.items() if step > least}
    for i in range(1, len(runs) - 1):
        low, high = runs[i].low, runs[i].high  # a minus sign is flat and in the middle; points stand on the ground
        minus = not digits[i] and low > 0.25 * size and high < 0.75 * size
        if minus and digits[i - 1] and runs[i].start - runs[i - 1].end > MINUS_APART * size:
            cuts.add(i)
    return sorted({*cuts, *_between_points(runs, cuts, steps, size)})


def _between_points(runs: Sequence[_Run], cuts: set[int], steps: dict[int, float], size: int) -> Iterator[int]:
    """Two decimal points are of two numbers: parted where the step between their digits is widest."""
    points = [i for i, run in enumerate(runs) if max(run.height, run.width) < 0.4 * size and run.low > 0.5 * size]
    for before, after in pairwise(points):
        inner = [i for i in range(before + 2, after) if i in steps]
        if inner and not any(before < cut <= after for cut in cuts):
            yield max(inner, key=lambda i: steps[i])


def _step(a: _Run, b: _Run, size: int) -> float:
    """Digit heights from the middle of one digit to that of the next."""
    step = (_middle(b, size, first=True) - _middle(a, size, first=False)) / size
    return step - ASIDE if min(a.width, b.width) < 0.5 * size else step


def _middle(run: _Run, size: int, *, first: bool) -> float:
    """The middle of the run's first or last digit: touching digits are one run."""
    if run.width < 0.95 * size:
        return (run.start + run.end) / 2
    return run.start + 0.33 * size if first else run.end - 0.33 * size


def _spaced(reading: Reading, runs: Sequence[_Run], size: float, width: int) -> str:
    """The text with spaces where there is white and the engine told none."""
    gaps = [((a.end + b.start) / 2 / width, (b.start - a.end) / max(1.0, size)) for a, b in pairwise(runs)]
    usual = median(gap for _, gap in gaps) if len(gaps) >= TELLING else 0.0
    wide = [place for place, gap in gaps if gap > max(WORDS_APART, THAN_LETTERS * usual)]
    text, before = "", -1.0
    for letter, place in zip(reading.text, reading.places, strict=True):
        if text and not letter.isspace() and not text[-1].isspace() and any(before < w < place for w in wide):
            text += " "
        text, before = text + letter, place
    return text
