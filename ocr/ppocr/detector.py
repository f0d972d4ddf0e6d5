"""Where text stands: an image in, slanted boxes out. DB (Liao et al., "Real-time Scene Text Detection with Differentiable
Binarization", AAAI 2020): a network marks the shrunken core of each line of text, and each core grown back is its box.

Large images go through the network in overlapping tiles, whose marks are put together before boxes are taken from them:
no line is found twice, and memory is bounded by the tile.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(height, width, 3)"""
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(1, 3, H, W) in -1..1, H and W multiples of 32 -> (1, 1, H, W) in 0..1."""

STRIDE = 32
TILE_PX = 1280
"""Side of a tile: 1.6 megapixels take the network about 1 GB."""
OVERLAP_PX = 64
"""Marks nearer than half of this to an inner edge of a tile are taken from its neighbour, which sees what is around them."""
MARKED = 0.3
SURE = 0.5
UNCLIP = 1.6
"""A pixel is marked from MARKED on; a box whose marks are weaker than SURE on average is none; cores are grown back by
area / outline * UNCLIP. All as in RapidOCR."""
MIN_SIDE = 3.0
"""px of the marks; what is smaller is a speck."""
MOST_BOXES = 5000
"""A picture with more text than ten pages of a paper is none."""
BLANK = 16
"""Range of grey levels, of 255, below which a tile is blank."""


@dataclass(frozen=True, slots=True)
class TextBox:
    """A box of any slant: (x, y) of its middle, its length along the text's longer side, its height, and its slant."""

    x: float
    y: float
    length: float
    height: float
    angle: float
    """Degrees clockwise from the x-axis to the longer side, in -90 < angle <= 90."""
    score: float


def mark_text(image: Pixels, scale: float, network: Network) -> NDArray[np.float32]:
    """How likely each pixel of the image, scaled by `scale`, is in the core of a line: (height, width) in 0..1."""
    height, width = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in image.shape[:2])
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = image if (height, width) == image.shape[:2] else cv2.resize(image, (width, height), interpolation=shrink)
    marks = np.zeros((height, width), np.float32)
    for top, bottom in _spans(height):
        for left, right in _spans(width):
            tile = scaled[top:bottom, left:right]
            if int(tile.max()) - int(tile.min()) < BLANK:
                continue  # blank: nothing to look for
            seen = network(np.ascontiguousarray(tile.transpose(2, 0, 1)[None], dtype=np.float32) / 127.5 - 1)[0, 0]
            y0, x0 = (OVERLAP_PX // 2 if start else 0 for start in (top, left))
            marks[top + y0 : bottom, left + x0 : right] = seen[y0:, x0:]
    return marks


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the tiles along one side, all multiples of 32."""
    count = 1 if length <= TILE_PX else -(-(length - OVERLAP_PX) // (TILE_PX - OVERLAP_PX))
    step = -(-(length - OVERLAP_PX) // count // STRIDE) * STRIDE if count > 1 else length
    for number in range(count):
        start = min(number * step, length)
        end = length if number == count - 1 else start + step + OVERLAP_PX
        if start < end:
            yield start, min(end, length)


def find_boxes(marks: NDArray[np.float32], size: tuple[int, int]) -> list[TextBox]:
    """The boxes, in px of an image of `size` (width, height)."""
    mask = cv2.dilate((marks > MARKED).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    across, down = size[0] / marks.shape[1], size[1] / marks.shape[0]
    boxes = []
    for contour in contours:
        (x, y), (w, h), angle = cv2.minAreaRect(contour)
        if min(w, h) < MIN_SIDE:
            continue
        score = _score(marks, contour)
        if score < SURE:
            continue
        grown = w * h * UNCLIP / (w + h)
        w, h = w + grown, h + grown
        if w < h:
            w, h, angle = h, w, angle + 90
        angle = 90 - (90 - angle) % 180
        factor = across if abs(angle) < 45 else down
        boxes.append(TextBox(x * across, y * down, w * factor, h * factor, angle, score))
    return sorted(boxes, key=lambda box: -box.score)[:MOST_BOXES]


def not_in(others: Sequence[TextBox], boxes: Sequence[TextBox]) -> list[TextBox]:
    """The boxes that neither hold the middle of one of `others` nor have their own middle in one."""
    if not others:
        return list(boxes)
    theirs = np.array([(o.x, o.y, o.length, o.height, np.radians(o.angle)) for o in others]).T
    return [box for box in boxes if not _meets(box, theirs)]


def _meets(box: TextBox, theirs: NDArray[np.float64]) -> bool:
    x, y, length, height, angle = theirs
    dx, dy = box.x - x, box.y - y

    def within(turn: float | NDArray[np.float64], long: object, high: object) -> bool:
        along, across = np.abs(dx * np.cos(turn) + dy * np.sin(turn)), np.abs(dy * np.cos(turn) - dx * np.sin(turn))
        return bool(((2 * along < long) & (2 * across < high)).any())

    return within(angle, length, height) or within(float(np.radians(box.angle)), box.length, box.height)


def _score(marks: NDArray[np.float32], contour: NDArray[np.int32]) -> float:
    """The mean mark inside a contour."""
    x, y, w, h = cv2.boundingRect(contour)
    mask = np.zeros((h, w), np.uint8)
    cv2.fillPoly(mask, [contour - (x, y)], 1)
    return float(cv2.mean(marks[y : y + h, x : x + w], mask)[0])
