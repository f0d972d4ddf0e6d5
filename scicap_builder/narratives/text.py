"""A localized narrative as text, as Quilt-LLaVA's captions have it: `sentences [x1, y1, x2, y2], sentences [x1, y1, x2, y2]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llava_graph.record import Box

_NUMBER = r"(\d(?:\.\d+)?)"
_BOX = re.compile(rf"\s*\[{_NUMBER}, {_NUMBER}, {_NUMBER}, {_NUMBER}\](?:, |\s*$)")


@dataclass(frozen=True, slots=True)
class Narrated:
    """What was said while the cursor was in `box` (0..1 of the image, origin top left); None: nobody knows where it was."""

    text: str
    box: Box | None = None


def write_narrative(parts: Sequence[Narrated]) -> str:
    """The published form: corners with two decimals, clipped to the image; parts without a box are bare words."""
    return ", ".join(f"{part.text} [{_corners(part.box)}]" if part.box else part.text for part in parts)


def _corners(box: Box) -> str:
    # numpy's rounding (of 100 x, to even) is the published one; Python's differs in 0.155.
    return ", ".join(str(float(side)) for side in np.round(np.clip(box, 0, 1), 2))


def read_narrative(text: str) -> tuple[Narrated, ...]:
    """The parts of such a text. Brackets that hold no box of an image (corners in order, in 0..1) stay words."""
    parts: list[Narrated] = []
    begin = 0
    for found in _BOX.finditer(text):
        x1, y1, x2, y2 = (float(number) for number in found.groups())
        if x1 <= x2 <= 1 and y1 <= y2 <= 1:
            parts.append(Narrated(text[begin : found.start()].strip(), (x1, y1, x2, y2)))
            begin = found.end()
    rest = text[begin:].strip()
    return (*parts, Narrated(rest)) if rest else tuple(parts)
