"""What every engine is: an RGB image in, raw lines in image pixels out."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Four corners in px, clockwise: top left, top right, bottom right, bottom left."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line as an engine gives it."""

    text: str
    quad: Quad
    confidence: float
    """0..1"""
    orientation: int | None = None
    """Degrees counter-clockwise (0, 90, 180, 270); None: the engine does not tell, a tall box is taken for turned text."""


class Engine(Protocol):
    """Reads one image. Sessions are kept for the life of the process."""

    name: str

    def __call__(self, image: Image.Image) -> list[RawLine]:
        """All lines found, in any order."""


def quad_of(corners: object) -> Quad:
    """Any four (x, y), such as rows of an array."""
    points = [(float(x), float(y)) for x, y in corners]  # type: ignore[attr-defined]
    return (points[0], points[1], points[2], points[3])
