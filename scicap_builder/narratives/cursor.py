"""The cursor's trace before a background that stands still: |frame - median| -> threshold -> the centroid of what is left.

The publication shows these steps in a figure (Quilt-LLaVA, Seyfioglu et al. 2023) and states no constant; those here are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from llava_graph.errors import InputError
from scicap_builder.narratives.clusters import Trace
from scicap_builder.narratives.video import Frame

GHOST_CELL = 0.01
"""Of the frame: what stays within it stands still."""


@dataclass(frozen=True, kw_only=True)
class CursorOptions:
    """What counts as a cursor."""

    threshold: int = 40
    """Of 255, in the colour that differs most. Noise of compression stays below 20."""
    min_area: float = 0.00003
    """Of the frame: 28 px of 1280 x 720. Less are specks."""
    max_area: float = 0.02
    """A larger thing is a hand, a face or another slide."""
    max_changed: float = 0.10
    """Of the frame. Where more differs from the median the background is another one, and there is no point."""
    join: int = 3
    """px by which pieces grow together: a cursor's edge and its inside."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 255 or not 0 <= self.min_area <= self.max_area <= 1:
            raise InputError("a cursor needs a threshold in 1..254, and areas in 0..1 with the smaller one first")


DEFAULT_CURSOR = CursorOptions()


def cursor_trace(
    frames: Iterable[Frame],
    image: np.ndarray,
    options: CursorOptions = DEFAULT_CURSOR,
) -> Trace:
    """(n, 3) x, y in 0..1 and t in s of the frames in which a cursor is seen before the background `image`.

    Of several things that differ from it the nearest to the last point is taken; at first, the largest.
    """
    times: list[float] = []
    seen: list[np.ndarray] = []
    for frame in frames:
        spots = find_spots(frame.pixels, image, options)
        if len(spots):
            times.append(frame.time)
            seen.append(spots)
    points: list[tuple[float, float, float]] = []
    for time, spots in zip(times, without_ghosts(seen), strict=True):
        if len(spots):
            last = points[-1] if points else None
            near = 0 if last is None else int(np.argmin(np.hypot(spots[:, 0] - last[0], spots[:, 1] - last[1])))
            points.append((float(spots[near, 0]), float(spots[near, 1]), time))
    return np.array(points, dtype=np.float64).reshape(-1, 3)


def without_ghosts(seen: list[np.ndarray]) -> list[np.ndarray]:
    """The spots of every frame without those that stand in one place, mostly beside another one.

    A cursor that rested for more than half of the time lies in the median itself, and shows where it was once it has moved.
    """
    cells = [{(int(x / GHOST_CELL), int(y / GHOST_CELL)) for x, y in spots} for spots in seen]
    present = Counter(cell for frame in cells for cell in frame)
    beside = Counter(cell for frame in cells if len(frame) > 1 for cell in frame)
    ghosts = {cell for cell, count in present.items() if count > len(seen) / 2 and beside[cell] > count / 2}
    if not ghosts:
        return seen
    return [spots[[(int(x / GHOST_CELL), int(y / GHOST_CELL)) not in ghosts for x, y in spots]] for spots in seen]


def find_spots(pixels: np.ndarray, image: np.ndarray, options: CursorOptions) -> np.ndarray:
    """(k, 2) x, y in 0..1: the centroids of what differs from the background and has a cursor's size, the largest first."""
    import cv2

    height, width = image.shape[:2]
    red, green, blue = cv2.split(cv2.absdiff(pixels, image))
    _, differs = cv2.threshold(cv2.max(cv2.max(red, green), blue), options.threshold, 1, cv2.THRESH_BINARY)
    if not 0 < cv2.countNonZero(differs) <= options.max_changed * width * height:
        return np.empty((0, 2))
    begin_x, begin_y, wide, high = cv2.boundingRect(differs)
    differs = differs[begin_y : begin_y + high, begin_x : begin_x + wide]
    joined = cv2.dilate(differs, np.ones((options.join, options.join), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    labels = labels * differs  # what has grown joins, it does not weigh
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    rows, columns = np.nonzero(labels)
    owners = labels[rows, columns]
    across = np.bincount(owners, weights=begin_x + columns + 0.5, minlength=count)[1:] / np.maximum(areas, 1) / width
    down = np.bincount(owners, weights=begin_y + rows + 0.5, minlength=count)[1:] / np.maximum(areas, 1) / height
    share = areas / (width * height)
    fits = np.flatnonzero((share >= options.min_area) & (share <= options.max_area) & (areas > 0))
    order = fits[np.argsort(-areas[fits], kind="stable")]
    return np.stack([across[order], down[order]], axis=1)
