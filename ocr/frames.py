"""The plots of a figure: scales in, one frame for each pair of an x- and a y-scale out. Pure geometry, in px."""

from collections.abc import Sequence
from dataclasses import dataclass

from ocr.scales import PxBox, Scale, height


@dataclass(frozen=True, slots=True)
class Frame:
    """One plot: where its data stand, and its scales."""

    box: PxBox
    """The data area, as far as the ticks tell."""
    x: Scale | None = None
    y: Scale | None = None
    right: Scale | None = None
    """A second y-scale, on the other side."""


def find_frames(scales: Sequence[Scale], boxes: Sequence[PxBox]) -> tuple[Frame, ...]:
    """Each y-scale with the x-scale below (or above) it, row by row. Panels that share a scale each have it."""
    ys = [scale for scale in scales if scale.axis == "y"]
    xs = [scale for scale in scales if scale.axis == "x"]
    pairs: dict[tuple[int, int], list[int]] = {}
    lonely_x = set(range(len(xs)))
    found: list[Frame] = []
    for i, y in enumerate(ys):
        near = _beneath(y, xs, boxes)
        if near is None:
            found.append(Frame(_area(None, y), None, y))
            continue
        lonely_x.discard(near)
        pairs.setdefault((near, round(y.box[1] / (4 * _letter(y, boxes)))), []).append(i)
    for (j, _), members in pairs.items():
        left, *rest = sorted(members, key=lambda i: ys[i].box[0])
        right = ys[rest[-1]] if rest and ys[rest[-1]].box[0] > _middle(xs[j].box) else None
        found.append(Frame(_area(xs[j], ys[left]), xs[j], ys[left], right))
        found += [Frame(_area(None, ys[i]), None, ys[i]) for i in rest if ys[i] is not right]
    found += [Frame(_area(xs[j], None), xs[j], None) for j in lonely_x]
    return tuple(sorted(found, key=lambda frame: (round(frame.box[1] / 20), frame.box[0])))


def _beneath(y: Scale, xs: Sequence[Scale], boxes: Sequence[PxBox]) -> int | None:
    """The x-scale that belongs to a y-scale: beginning about where it stands, nearest to one of its ends."""
    letter = _letter(y, boxes)
    options = []
    for index, x in enumerate(xs):
        beside = x.box[2] > y.box[0] and x.box[0] < y.box[2] + 0.5 * (x.box[2] - x.box[0]) + 6 * letter
        right_side = x.box[0] < y.box[0] and x.box[2] > y.box[0] - 6 * letter
        middle = (x.box[1] + x.box[3]) / 2
        below, above = middle - y.box[3], y.box[1] - middle
        reach = 0.35 * (y.box[3] - y.box[1]) + 4 * letter
        # Of two plots in a row the one whose ticks begin where the scale stands; a scale on the right side is the rarer case.
        across = min(abs(x.box[0] - y.box[2]), abs(y.box[0] - x.box[2]) + 4 * letter)
        if (beside or right_side) and -letter < below < reach:
            options.append((round(below / (2 * letter)), across, index))
        elif (beside or right_side) and -letter < above < reach:
            options.append((round((above + reach) / (2 * letter)), across, index))
    return min(options)[2] if options else None


def _letter(scale: Scale, boxes: Sequence[PxBox]) -> float:
    return sorted(height(boxes[i]) for i in scale.members)[len(scale.members) // 2]


def _middle(box: PxBox) -> float:
    return (box[0] + box[2]) / 2


def _area(x: Scale | None, y: Scale | None) -> PxBox:
    """The data area: right of the y-ticks, above the x-ticks, a tick's step larger where no scale ends it."""
    if x is not None and y is not None:
        middle = (x.box[1] + x.box[3]) / 2
        below = middle >= _middle_y(y.box)
        left = min(y.box[2], x.box[2]) if y.box[0] < _middle(x.box) else x.box[0]
        top, bottom = (y.box[1], x.box[1]) if below else (x.box[3], y.box[3])
        return (left, min(top, bottom), x.box[2], max(top, bottom))
    if y is not None:
        side = y.box[3] - y.box[1]
        return (y.box[2], y.box[1], y.box[2] + 1.5 * side, y.box[3])
    if x is None:
        raise ValueError("a frame needs a scale")
    side = 0.7 * (x.box[2] - x.box[0])
    return (x.box[0], x.box[1] - side, x.box[2], x.box[1])


def _middle_y(box: PxBox) -> float:
    return (box[1] + box[3]) / 2
