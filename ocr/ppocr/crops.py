"""The picture of a single line: cut out of its image along its slant, lengthened to where its letters end, its ink measured."""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ocr.ppocr.detector import Pixels, TextBox

Part = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in 0..1 of a line that lies flat."""
INK = 48
"""Difference of a pixel from its paper, of 255, from which on it is ink."""
THROUGH = 0.95
"""Rows and columns of ink from edge to edge are grids and frames."""
LETTER_GAP = 0.35
"""Text heights; the white between two letters of one word, or between two close words, is less."""
REACH = 3.0
"""Text heights by which a line may be longer than its box."""
RISE = 0.35
"""Text heights by which letters and brackets may stand out above or below the rest of their line."""
LEAST_RISE = 0.3
"""Text heights; lower ink beside a line is a tick mark or a dash of the plot, not a letter."""


@dataclass(frozen=True, slots=True)
class Slant:
    """How a line lies in its image: its top left corner, width and height in px, and degrees clockwise from the x-axis."""

    x: float
    y: float
    width: float
    height: float
    angle: float

    def corners(self, part: Part = (0.0, 0.0, 1.0, 1.0)) -> tuple[tuple[float, float], ...]:
        """Top left, top right, bottom right, bottom left of a part of the line, as the text reads."""
        cos, sin = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        x0, y0, x1, y1 = part
        return tuple(
            (
                float(self.x + u * self.width * cos - v * self.height * sin),
                float(self.y + u * self.width * sin + v * self.height * cos),
            )
            for u, v in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        )

    def part(self, start: float, end: float) -> "Slant":
        """The piece from `start` to `end`, in 0..1 of the width (beyond it: longer)."""
        (x, y), *_ = self.corners((start, 0.0, end, 1.0))
        return replace(self, x=x, y=y, width=self.width * (end - start))

    def taller(self, share: float) -> "Slant":
        """The same with `share` of its height more above and below."""
        (x, y), *_ = self.corners((0.0, -share, 1.0, 1.0))
        return replace(self, x=x, y=y, height=self.height * (1 + 2 * share))


def lie(box: TextBox, angle: float) -> Slant:
    """A box as a line that reads in the direction `angle`, which is along its longer side or across it."""
    along = abs((box.angle - angle + 90) % 180 - 90) < 45
    width, height = (box.length, box.height) if along else (box.height, box.length)
    cos, sin = float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))
    x = box.x - width / 2 * cos + height / 2 * sin
    return Slant(x, box.y - width / 2 * sin - height / 2 * cos, width, height, angle)


def cut(image: Pixels, slant: Slant) -> Pixels:
    """The line, flat. What lies outside of the image repeats its edge."""
    width, height = max(2, round(slant.width)), max(2, round(slant.height))
    source = np.array(slant.corners()[:3], np.float32)
    left, top = (max(0, int(v)) for v in source.min(axis=0) - width)  # a small part is quicker to turn than the whole
    right, bottom = (int(v) + 2 for v in source.max(axis=0) + width)
    if slant.angle % 90 == 0:
        corners = np.array(slant.corners())
        (x0, y0), (x1, y1) = np.rint(corners.min(axis=0)).astype(int), np.rint(corners.max(axis=0)).astype(int)
        if x0 >= 0 and y0 >= 0 and x1 <= image.shape[1] and y1 <= image.shape[0] and x1 > x0 and y1 > y0:
            return np.ascontiguousarray(np.rot90(image[y0:y1, x0:x1], k=round(slant.angle / 90) % 4))
    target = np.array([(0, 0), (width, 0), (width, height)], np.float32)
    matrix = cv2.getAffineTransform((source - (left, top)).astype(np.float32), target)
    part = image[top:bottom, left:right]
    flat = cv2.warpAffine(part, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8)


def ink(line: Pixels) -> NDArray[np.bool_]:
    """(height, width): which pixels differ from the commonest colour, which is the paper's."""
    coarse = (line >> 4).astype(np.int32)
    keys = coarse[..., 0] * 256 + coarse[..., 1] * 16 + coarse[..., 2]
    paper = line[keys == np.bincount(keys.ravel()).argmax()].mean(axis=0)
    marked: NDArray[np.bool_] = np.abs(line.astype(np.float32) - paper).max(axis=2) > INK
    return marked


def tight(marked: NDArray[np.bool_]) -> Part:
    """The box of the ink; what runs through from edge to edge does not count."""
    height, width = marked.shape
    columns = (marked.mean(axis=0) < THROUGH) | (width < 2 * height)
    inner = marked & (marked.mean(axis=1) < THROUGH)[:, None] & columns[None, :]
    ys, xs = np.flatnonzero(inner.any(axis=1)), np.flatnonzero(inner.any(axis=0))
    if not len(ys):
        return (0.0, 0.0, 1.0, 1.0)
    return (xs[0] / width, ys[0] / height, (xs[-1] + 1) / width, (ys[-1] + 1) / height)


def white(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of the runs of columns without ink between the first and the last."""
    columns = np.flatnonzero(marked.any(axis=0))
    return [(int(a) + 1, int(b)) for a, b in pairwise(columns) if b - a > 1]


def lengthened(image: Pixels, slant: Slant) -> Slant:
    """The line up to where its letters end: detectors cut off brackets and last letters."""
    reach = REACH * slant.height / slant.width
    marked = ink(cut(image, slant.part(-reach, 1 + reach).taller(0.5)))
    height, width = marked.shape
    own = slice(round(width * reach / (1 + 2 * reach)), round(width * (1 + reach) / (1 + 2 * reach)))
    rows = np.flatnonzero(marked[height // 4 : height - height // 4, own].any(axis=1)) + height // 4
    if not len(rows):
        return slant
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    right = _added(marked[:, own.start :], own.stop - own.start, top, bottom)
    left = _added(marked[:, : own.stop][:, ::-1], own.stop - own.start, top, bottom)
    unit = (1 + 2 * reach) / width
    return slant.part(-left * unit, 1 + right * unit) if left or right else slant


def _added(marked: NDArray[np.bool_], end: int, top: int, bottom: int) -> int:
    """px beyond `end` where the line goes on to the right: letters that follow closely and are as high as its own."""
    size = bottom - top
    columns = np.flatnonzero(marked[top:bottom].any(axis=0))
    before = columns[columns < end]
    last = int(before[-1]) if len(before) else 0
    if not len(before) or end - last > LETTER_GAP * size:
        return 0
    stop = last
    for column in columns[columns >= end]:
        if column - stop - 1 > LETTER_GAP * size:
            break
        stop = int(column)
    if stop == last or stop >= marked.shape[1] - 1 - LETTER_GAP * size:
        return 0  # nothing, or a line of the plot that goes on and on
    rows = np.flatnonzero(marked[:, end : stop + 1].any(axis=1))
    low, high = int(rows[0]), int(rows[-1]) + 1
    if low < top - RISE * size or high > bottom + RISE * size or high - low < LEAST_RISE * size:
        return 0
    return stop + 1 - end + max(1, round(0.1 * size))
