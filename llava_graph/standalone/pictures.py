"""Pictures that a page carries itself: scaled, as WebP in a data address, never more bytes in all than the page may have."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from llava_graph.errors import ImageError
from llava_graph.images import open_image
from llava_graph.record import Box, Figure

FIGURE_SIDES = (960, 640, 420, 280)
"""px of a figure's longer side, the first that fits the budget: about 500 are shown, and dense screens draw twice as many."""
QUALITY = 72
"""Of WebP, 0..100; below about 60 thin axes and small letters of charts get rings."""

METHOD = 2
"""Of WebP, 0..6: half the time of the default 4, and 4 % larger on figures and pages of papers."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded picture: a data address and its size in px."""

    address: str
    width: int
    height: int


class Budget:
    """How many more bytes of pictures may be spent. Each paper brings its share, and leaves what it did not need."""

    def __init__(self) -> None:
        self.left = 0
        self.left_out = 0
        """Pictures that found no room."""

    def add(self, share: int) -> None:
        """Room for one more paper."""
        self.left += share

    def encode(self, image: Image.Image, sides: Sequence[int]) -> Picture | None:
        """The picture at the first of `sides` (px of the longer side, never enlarged) that fits; None if none does."""
        for side in sides:
            picture = webp(image, side)
            if len(picture.address) <= self.left:
                self.left -= len(picture.address)
                return picture
        self.left_out += 1
        return None


def picture_of(figure: Figure, budget: Budget, *sizes: Sequence[int]) -> tuple[list[Picture | None], str]:
    """(the figure's picture for each of `sizes`, see `Budget.encode`; why the last is missing, empty if it is not)."""
    if figure.image is None:
        return [None] * len(sizes), "the record has no image"
    try:
        image = open_image(figure.image, where=figure.id)
    except ImageError as error:
        return [None] * len(sizes), error.what
    found = [budget.encode(image, sides) for sides in sizes]
    return found, "" if found[-1] else "left out, the page is full"


def webp(image: Image.Image, side: int) -> Picture:
    """An RGB image scaled down to `side` px at most."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    address = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(address=address, width=small.width, height=small.height)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A box drawn on a picture: per cent of its sides from the top left, with a text and where it leads."""

    left: float
    top: float
    width: float
    height: float
    text: str
    link: str = ""


def mark(box: Box, text: str, link: str = "") -> Mark:
    """A box of 0..1 as per cent."""
    x0, y0, x1, y1 = box
    sides = (round(100 * value, 2) for value in (x0, y0, x1 - x0, y1 - y0))
    left, top, width, height = sides
    return Mark(left=left, top=top, width=width, height=height, text=text, link=link)
