"""Which numbers of a figure stand on one scale: boxes and values in, runs of ticks out. Pure geometry, in px.

Ticks stand in a row or a column and their values grow evenly (or by one factor) along it; a misread tick does not end a scale.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

PxBox = tuple[float, float, float, float]
ALIGNED = 0.6
"""Text heights by which the edges or middles of the ticks of one scale may differ."""
FIT = 0.2
"""Share of the usual step between two ticks by which a third may miss its place."""
SKIPPED = 2
"""Misread ticks in a row that a scale may hold."""
LEAST = 3
"""Ticks from which on numbers in line are a scale by themselves; two are one where nothing else stands in line with them."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The ticks of one axis."""

    axis: str
    """ "x" or "y" """
    members: tuple[int, ...]
    """Indices of the lines, by position along the axis."""
    box: PxBox
    """Around all of them."""


def find_scales(boxes: Sequence[PxBox], values: Sequence[float | None]) -> tuple[Scale, ...]:
    """All scales among the lines that are numbers (`values[i]` is not None); each line is in one at most."""
    free = {index for index, value in enumerate(values) if value is not None}
    found: list[Scale] = []
    while True:
        runs = [(axis, *_best_run(axis, row, boxes, values)) for axis, row in _rows(boxes, free)]
        runs = [item for item in runs if item[2]]
        if not runs:
            return tuple(found)
        axis, _, best = max(runs, key=lambda item: (item[1], _spread(item[0], item[2], boxes)))
        found.append(Scale(axis, tuple(best), around([boxes[i] for i in best])))
        free -= set(best)


def around(boxes: Sequence[PxBox]) -> PxBox:
    """The smallest box that holds all."""
    return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))


def height(box: PxBox) -> float:
    """The size of a line's letters: the shorter side, since turned lines are higher than wide."""
    return max(1.0, min(box[2] - box[0], box[3] - box[1]))


_Edge = Callable[[PxBox], float]
_COLUMN_EDGES: tuple[_Edge, ...] = (lambda b: b[2], lambda b: b[0], lambda b: (b[0] + b[2]) / 2)
_ROW_EDGES: tuple[_Edge, ...] = (lambda b: (b[1] + b[3]) / 2, lambda b: b[1])


def _rows(boxes: Sequence[PxBox], free: set[int]) -> list[tuple[str, list[int]]]:
    """Lines in one row ("x") or column ("y"): by right edge, left edge or middle; by middle or top."""
    rows = []
    for axis, edges in (("y", _COLUMN_EDGES), ("x", _ROW_EDGES)):
        for edge in edges:
            rows += [(axis, row) for row in in_line(boxes, free, edge) if len(row) > 1]
    return rows


def in_line(boxes: Sequence[PxBox], indices: set[int], edge: _Edge, aligned: float = ALIGNED) -> list[list[int]]:
    """Groups of lines whose `edge` is the same to within `aligned` of their height."""
    groups: list[list[int]] = []
    for index in sorted(indices, key=lambda i: edge(boxes[i])):
        if groups:
            last = boxes[groups[-1][-1]]
            reach = aligned * min(height(last), height(boxes[index]))
            if (
                edge(boxes[index]) - edge(last) <= reach
                and edge(boxes[index]) - edge(boxes[groups[-1][0]]) <= 2 * reach
            ):
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups


def _position(axis: str, box: PxBox) -> float:
    return (box[0] + box[2]) / 2 if axis == "x" else (box[1] + box[3]) / 2


def _spread(axis: str, run: Sequence[int], boxes: Sequence[PxBox]) -> float:
    return abs(_position(axis, boxes[run[-1]]) - _position(axis, boxes[run[0]]))


def _best_run(
    axis: str, row: Sequence[int], boxes: Sequence[PxBox], values: Sequence[float | None]
) -> tuple[int, list[int]]:
    """The part of a row that one straight line from place to value (or to its logarithm) explains best, and how well:
    a tick that does not fit outweighs one that does. Empty when nothing fits."""
    row = sorted(row, key=lambda i: _position(axis, boxes[i]))
    if len(row) == 2 and not _pair(axis, row, boxes, values):
        return 0, []
    best: tuple[int, list[int]] = (0, [])
    for transform in (lambda v: v, _log10):
        seen = [transform(v) if (v := values[i]) is not None else None for i in row]
        for start in range(len(row) - 1):
            for second in range(start + 1, min(start + 2 + SKIPPED, len(row))):
                run = _extend(axis, [row[start], row[second]], row, (boxes, dict(zip(row, seen, strict=True))))
                best = max(best, run, key=lambda item: item[0])
    return best if best[0] >= min(LEAST, len(row)) else (0, [])


def _log10(value: float) -> float | None:
    return math.log10(value) if value > 0 else None


def _pair(axis: str, row: Sequence[int], boxes: Sequence[PxBox], values: Sequence[float | None]) -> bool:
    """Two numbers are a scale when they differ, stand well apart, and grow to the right or upwards."""
    first, second = values[row[0]], values[row[1]]
    far = _spread(axis, row, boxes) > 4 * max(height(boxes[i]) for i in row)
    return far and first is not None and second is not None and (second > first if axis == "x" else second < first)


def _extend(
    axis: str, run: list[int], row: Sequence[int], known: tuple[Sequence[PxBox], dict[int, float | None]]
) -> tuple[int, list[int]]:
    """`run` (two lines that define a scale) with all that follow on it; misread ones between two good ones are taken in."""
    boxes, seen = known
    first, second = seen[run[0]], seen[run[1]]
    place, step = _position(axis, boxes[run[0]]), _spread(axis, run, boxes)
    if first is None or second is None or first == second or step < 1.2 * height(boxes[run[0]]):
        return 0, []
    slope = (second - first) / step
    reach = FIT * abs(slope) * _usual_gap(axis, row, boxes)

    def fits(index: int) -> bool:
        value = seen[index]
        expected = first + slope * (_position(axis, boxes[index]) - place)
        return value is not None and abs(value - expected) <= reach

    taken: list[int] = []
    waiting: list[int] = []
    for index in row[row.index(run[0]) :]:
        waiting.append(index)
        if fits(index):
            taken += waiting
            waiting = []
        elif len(waiting) > SKIPPED:
            break
    fitting = sum(fits(index) for index in taken)
    return fitting - (len(taken) - fitting), taken


def _usual_gap(axis: str, row: Sequence[int], boxes: Sequence[PxBox]) -> float:
    """The median distance between neighbours in a row."""
    places = sorted(_position(axis, boxes[i]) for i in row)
    return median(after - before for before, after in pairwise(places))
