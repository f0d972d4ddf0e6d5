"""Arithmetic of boxes (x0, y0, x1, y1) in points. Pure functions."""

from collections.abc import Iterable, Sequence

from scicap_builder.pdf.page import Rect

MANY = 1500
"""Boxes from which on `clusters`, quadratic at worst, looks at tiles of the page instead."""
TILE = 20.0
"""pt; 1,300 tiles on an A4 page."""


def bounds(boxes: Iterable[Rect]) -> Rect:
    """The smallest box around `boxes` (at least one)."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def area(box: Rect) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap_x(a: Rect, b: Rect) -> float:
    """pt that two boxes share on the x axis; negative: the gap between them."""
    return min(a[2], b[2]) - max(a[0], b[0])


def overlap_y(a: Rect, b: Rect) -> float:
    return min(a[3], b[3]) - max(a[1], b[1])


def meet(a: Rect, b: Rect) -> Rect:
    """The common part (its sides may be crossed when there is none: `area` is 0 then)."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def share_inside(box: Rect, host: Rect) -> float:
    """Share of `box` that lies in `host`; lines without thickness count by their length."""
    width, height = max(box[2] - box[0], 0.1), max(box[3] - box[1], 0.1)
    fat = (box[0], box[1], box[0] + width, box[1] + height)
    return area(meet(fat, host)) / (width * height)


def near(a: Rect, b: Rect, distance: float) -> bool:
    """Whether two boxes overlap or stand within `distance` pt of each other."""
    return overlap_x(a, b) > -distance and overlap_y(a, b) > -distance


def center(box: Rect) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def holds(host: Rect, box: Rect) -> bool:
    """Whether the center of `box` lies in `host`."""
    x, y = center(box)
    return host[0] <= x <= host[2] and host[1] <= y <= host[3]


def clusters(boxes: Sequence[Rect], distance: float) -> list[Rect]:
    """Bounding boxes of the groups of boxes that stand within `distance` of each other."""
    if len(boxes) > MANY:
        boxes = _tiles(boxes)
    groups: list[Rect] = []
    for box in boxes:
        hit = next((i for i in range(len(groups) - 1, -1, -1) if near(groups[i], box, distance)), None)
        if hit is None:
            groups.append(box)
        else:
            groups[hit] = bounds((groups[hit], box))
    merged = True
    while merged:
        merged = False
        rest: list[Rect] = []
        for box in groups:
            hit = next((i for i, other in enumerate(rest) if near(other, box, distance)), None)
            if hit is None:
                rest.append(box)
            else:
                rest[hit] = bounds((rest[hit], box))
                merged = True
        groups = rest
    return groups


def _tiles(boxes: Sequence[Rect]) -> list[Rect]:
    """Very many boxes joined where their centers share a tile, so that grouping them stays quick."""
    tiles: dict[tuple[int, int], Rect] = {}
    for box in boxes:
        x, y = center(box)
        key = (int(x // TILE), int(y // TILE))
        tiles[key] = bounds((tiles[key], box)) if key in tiles else box
    return list(tiles.values())
