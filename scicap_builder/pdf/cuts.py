"""The ink of a picture -> its parts between white gutters, by recursive cuts (Nagy and Seth's X-Y cut, 1984). Pure functions."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAP_PX = 500
"""px of the longer side of an ink map: a gutter of 1 px is a fifth of a percent of the picture."""
PAPER = 235
"""Grey level from which on a pixel is paper; the rims of JPEG pictures are not pure white."""
LEAST_SHARE = 0.12
"""Share of the part that is cut, along the cut, that either side must keep."""
CLEAR = 1.5
"""How much wider the narrowest gutter that is cut must be than the widest that is not, where no letters say where to cut."""
EVEN = 0.2
"""Least area of a part over the largest, where no letters say where to cut."""
PULL = 0.5
"""px of gutter that a letter's nearness to it is worth per px."""

Cell = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in px of the ink map, x1 and y1 exclusive."""
Ink = NDArray[np.bool_]
Point = tuple[float, float]


class Gutter(NamedTuple):
    """A white band across a cell."""

    axis: int
    """0: the band is crossed by going down; 1: by going right."""
    start: int
    end: int

    @property
    def width(self) -> int:
        return self.end - self.start

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def ink_map(look: Image.Image) -> tuple[Ink, int]:
    """(height, width) of what is inked, and how many px of the picture one px of the map stands for."""
    scale = max(1, -(-max(look.size) // MAP_PX))
    grey = np.asarray(look.convert("L"))
    high, wide = (-(-side // scale) * scale for side in grey.shape)
    padded = np.full((high, wide), 255, np.uint8)
    padded[: grey.shape[0], : grey.shape[1]] = grey
    return padded.reshape(high // scale, scale, wide // scale, scale).min(axis=(1, 3)) < PAPER, scale


def _inked(part: Ink, axis: int) -> NDArray[np.intp]:
    """The rows (axis 0) or columns (1) that hold ink."""
    return np.flatnonzero(np.any(part, axis=1 - axis))


def trim(ink: Ink, cell: Cell) -> Cell | None:
    """The cell without the white around its ink; None if it is blank."""
    x0, y0, x1, y1 = cell
    part = ink[y0:y1, x0:x1]
    rows, columns = _inked(part, 0), _inked(part, 1)
    if not len(rows):
        return None
    return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1


def gutters(ink: Ink, cell: Cell) -> Iterator[Gutter]:
    """The white bands that cross a trimmed cell and leave something on both sides."""
    x0, y0, x1, y1 = cell
    part = ink[y0:y1, x0:x1]
    for axis, first in ((0, y0), (1, x0)):
        inked = _inked(part, axis)
        length = part.shape[axis]
        for before, after in pairwise(inked):
            if after - before > 1 and min(before + 1, length - after) >= LEAST_SHARE * length:
                yield Gutter(axis, first + int(before) + 1, first + int(after))


def split(ink: Ink, cell: Cell, gutter: Gutter) -> tuple[Cell, Cell] | None:
    x0, y0, x1, y1 = cell
    if gutter.axis == 0:
        halves = trim(ink, (x0, y0, x1, gutter.start)), trim(ink, (x0, gutter.end, x1, y1))
    else:
        halves = trim(ink, (x0, y0, gutter.start, y1)), trim(ink, (gutter.end, y0, x1, y1))
    return (halves[0], halves[1]) if halves[0] and halves[1] else None


def cut_for(ink: Ink, points: Sequence[Point]) -> list[Cell]:
    """One cell for each point (x, y), in their order; empty where gutters do not part the points.

    Letters stand at the top or at the bottom of their panels: both are tried, and the cuts nearer to the letters win.
    """
    whole = trim(ink, (0, 0, ink.shape[1], ink.shape[0]))
    if whole is None:
        return []
    tries = [_cut_for(ink, whole, list(range(len(points))), points, at_top=at_top) for at_top in (True, False)]
    score, cells = max(tries, key=lambda attempt: attempt[0])
    return [cells[i] for i in range(len(points))] if score > float("-inf") else []


def _cut_for(
    ink: Ink, cell: Cell, inside: list[int], points: Sequence[Point], *, at_top: bool
) -> tuple[float, dict[int, Cell]]:
    """(score, cell by point); -inf where a point cannot be parted from another."""
    if len(inside) == 1:
        return 0.0, {inside[0]: cell}
    best: tuple[float, Gutter] | None = None
    for gutter in gutters(ink, cell):
        before = [points[i][1 - gutter.axis] for i in inside if points[i][1 - gutter.axis] < gutter.middle]
        after = [points[i][1 - gutter.axis] for i in inside if points[i][1 - gutter.axis] >= gutter.middle]
        if not before or not after:
            continue
        near = gutter.start - max(before) if gutter.axis == 0 and not at_top else min(after) - gutter.end
        value = gutter.width - PULL * abs(near)
        if best is None or value > best[0]:
            best = value, gutter
    halves = split(ink, cell, best[1]) if best else None
    if best is None or halves is None:
        return float("-inf"), {}
    total = best[0]
    cells: dict[int, Cell] = {}
    for half, sides in zip(halves, (True, False), strict=True):
        mine = [i for i in inside if (points[i][1 - best[1].axis] < best[1].middle) == sides]
        score, found = _cut_for(ink, half, mine, points, at_top=at_top)
        total += score
        cells |= found
    return total, cells


def cut_evenly(ink: Ink, count: int) -> list[Cell]:
    """`count` cells of like size between the widest gutters, where these are clearly wider than all others; else none."""
    whole = trim(ink, (0, 0, ink.shape[1], ink.shape[0]))
    if whole is None:
        return []
    cells, narrowest = [whole], float("inf")
    while True:
        options = [(gutter.width, place, gutter) for place, cell in enumerate(cells) for gutter in gutters(ink, cell)]
        widest = max(options, default=(0, 0, None))
        if len(cells) == count or widest[2] is None:
            break
        halves = split(ink, cells[widest[1]], widest[2])
        if halves is None:
            return []
        cells[widest[1] : widest[1] + 1] = halves
        narrowest = min(narrowest, widest[0])
    sizes = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in cells]
    sure = len(cells) == count and narrowest > CLEAR * widest[0] and min(sizes) > EVEN * max(sizes)
    return cells if sure else []
