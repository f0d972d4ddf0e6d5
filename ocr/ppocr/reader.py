"""From an image to its lines: boxes at the scales that its size asks for, pictures of lines, readings.

Turned lines are read in the likelier direction first, and in the others where that one is unsure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from ocr.ppocr import detector, recognizer
from ocr.ppocr.crops import Slant, cut, ink, lengthened, lie, tight, white
from ocr.ppocr.detector import Pixels, TextBox, find_boxes, mark_text, not_in
from ocr.ppocr.lines import Line, apart, believable, once
from ocr.ppocr.parting import part_reading
from ocr.ppocr.recognizer import Reading, recognize

SMALL_PX, TINY_PX = 0.5e6, 0.3e6
"""px of images that are looked at enlarged as well: lone letters are found better when they are large."""
COARSE, COARSE_PX = 0.6, 1.5e6
"""The scale, and the most px, at which an image that is not small is looked at first."""
MOST_PX = 8e6
"""px at which any image is looked at, at most: 8 s, and with its marks 0.1 GB."""
DENSE_PX = 3e6
"""From so many px on the second look is left out where the first finds large letters only …"""
LARGE_LETTERS = 16.0
"""… px of nine in ten boxes, in the coarse image."""
HUGE_LETTERS = 40.0
"""px in the coarse image; larger letters fall to pieces in the fine one."""
FAST, FAST_PX = 0.7, 1.2e6
"""The one scale, and the most px, of the fast setting."""
UNSURE = 0.96
"""Below this confidence other directions are tried: upside down, "Frequency" is read as "rency" with 0.91."""
APART = 1.2
"""Heights of a line; wider white parts what was found as one line."""
EDGE = 0.15
"""Heights of a line left and right of a number that is read by itself."""
FLAT, STEEP = 3.0, 60.0
"""Degrees: up to FLAT from level or upright is meant as such; from STEEP on a line may read up or down."""
LONG, LONGER = 1.5, 2.5
"""Lengths in heights: from LONG on a line has a direction (PaddleOCR's `get_rotate_crop_image`), from LONGER on for sure."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A picture of a line on its way through the recognizer."""

    box: int
    slant: Slant
    picture: Pixels = field(repr=False)


class Reader:
    """Reads images with two networks; `characters`: what each output of the second but the first stands for.

    Keeps nothing between calls, so that several threads may use it.
    """

    def __init__(self, detect: detector.Network, spell: recognizer.Network, characters: Sequence[str]) -> None:
        self._detect, self._spell, self._characters = detect, spell, characters

    def read(self, image: Image.Image, *, fast: bool = False) -> list[Line]:
        """All lines of an RGB image, in any order. `fast`: one look at the image, coarse."""
        pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        boxes = self._boxes(pixels, fast=fast)
        best: dict[int, tuple[float, list[Line]]] = {}
        ways = [directions(box) for box in boxes]
        for turn in range(max(map(len, ways), default=0)):
            unsure = [i for i, way in enumerate(ways) if len(way) > turn and (i not in best or best[i][0] < UNSURE)]
            slants = {i: lengthened(pixels, lie(boxes[i], ways[i][turn])) for i in unsure}
            for i, found in self._read(pixels, slants).items():
                sure = _confidence(found)
                if i not in best or sure > best[i][0]:
                    best[i] = (sure, found)
        return once(believable([line for _, found in best.values() for line in found]))

    def _boxes(self, pixels: Pixels, *, fast: bool) -> list[TextBox]:
        """The boxes of a coarse look and of a fine one: the fine ones are exacter, but break up very large letters."""
        size = (pixels.shape[1], pixels.shape[0])
        area = size[0] * size[1]
        if fast:
            scale = 1.0 if area < SMALL_PX else min(FAST, (FAST_PX / area) ** 0.5)
            return find_boxes(mark_text(pixels, scale, self._detect), size)
        coarse = 1.0 if area < SMALL_PX else min(COARSE, (COARSE_PX / area) ** 0.5)
        fine = 2.0 if area < TINY_PX else 1.5 if area < SMALL_PX else min(1.0, (MOST_PX / area) ** 0.5)
        found = find_boxes(mark_text(pixels, coarse, self._detect), size)
        heights = sorted(box.height * coarse for box in found)
        if fine * fine * area > DENSE_PX and heights and heights[len(heights) // 10] > LARGE_LETTERS:
            return found
        huge = [box for box in found if box.height * coarse >= HUGE_LETTERS]
        exact = not_in(huge, find_boxes(mark_text(pixels, fine, self._detect), size))
        return [*huge, *exact, *not_in(exact, [box for box in found if box.height * coarse < HUGE_LETTERS])]

    def _read(self, pixels: Pixels, slants: dict[int, Slant]) -> dict[int, list[Line]]:
        """The lines in each of the pictures: one, or several where it holds several."""
        jobs = [job for i, slant in slants.items() for job in _jobs(i, slant, cut(pixels, slant))]
        found: dict[int, list[Line]] = {i: [] for i in slants}
        again: list[tuple[Line, list[_Job]]] = []
        for job, reading in zip(jobs, self._recognize(jobs), strict=True):
            marked = ink(job.picture)
            pieces = part_reading(reading, marked)
            if all(piece.text for piece in pieces):
                found[job.box] += [Line(piece.text, job.slant, piece.box, piece.confidence) for piece in pieces]
            else:
                whole = Line(reading.text, job.slant, tight(marked), reading.confidence)
                again.append((whole, [_piece(job, piece.box[0], piece.box[2]) for piece in pieces]))
        readings = iter(self._recognize([job for _, parts in again for job in parts]))
        for whole, parts in again:
            lines = [_line(job, next(readings)) for job in parts]
            sure = _confidence(lines) > whole.confidence - 0.05
            found[parts[0].box] += [line for part in lines for line in apart(part)] if sure else [whole]
        return found

    def _recognize(self, jobs: Sequence[_Job]) -> list[Reading]:
        return recognize([job.picture for job in jobs], self._spell, self._characters)


def directions(box: TextBox) -> list[float]:
    """The angles in which a box may read, the likeliest first."""
    if abs(box.angle) <= STEEP:
        flat = 0.0 if abs(box.angle) < FLAT else box.angle
        return [flat] if box.length > LONG * box.height else [flat, -90.0, 90.0]
    up = -90.0 if 90 - abs(box.angle) < FLAT else box.angle if box.angle < 0 else box.angle - 180
    if box.length > LONGER * box.height:
        return [up, up + 180]
    return [up, 0.0, up + 180] if box.length > LONG * box.height else [0.0, up, up + 180]


def _jobs(box: int, slant: Slant, picture: Pixels) -> list[_Job]:
    """The picture of a line, parted at wide white."""
    height, width = picture.shape[:2]
    gaps = white(ink(picture)) if width > 2 * height else []
    edges = [0, *((a + b) // 2 for a, b in gaps if b - a > APART * height), width]
    return [_Job(box, slant.part(start / width, end / width), picture[:, start:end]) for start, end in pairwise(edges)]


def _piece(job: _Job, start: float, end: float) -> _Job:
    """From `start` to `end` of a picture (0..1), and a little more."""
    height, width = job.picture.shape[:2]
    left, right = max(0, round(start * width - EDGE * height)), min(width, round(end * width + EDGE * height))
    return _Job(job.box, job.slant.part(left / width, right / width), job.picture[:, left:right])


def _line(job: _Job, reading: Reading) -> Line:
    return Line(reading.text, job.slant, tight(ink(job.picture)), reading.confidence)


def _confidence(lines: Sequence[Line]) -> float:
    """The mean over all letters."""
    letters = sum(len(line.text) for line in lines)
    return sum(line.confidence * len(line.text) for line in lines) / letters if letters else 0.0
