"""A small raster canvas: lines, bars, markers and text in px, with a note of every text and its box.

OpenCV draws the shapes, Pillow the letters; several times faster than a plotting library. Without `raster` only the texts
are noted, which makes records without pictures.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llava_graph.errors import MissingExtra
from llava_graph.record import OcrLine
from scicap_builder.charts.drawing import true_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
"""RGB, 0..255."""
SHIFT = 4
"""Fractional bits of OpenCV's coordinates: a sixteenth of a px."""
FONT_FILES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono", "STIXGeneral", "STIXGeneralBol",
    "DejaVuSans-Oblique",
)  # fmt: skip
"""Fonts that matplotlib brings: the same picture on every machine."""


class Canvas:
    """A figure being drawn."""

    def __init__(self, width: int, height: int, *, font: str, background: Colour, raster: bool = True) -> None:
        self.size = (width, height)
        self.font = font
        self.raster = raster
        self.lines: list[OcrLine] = []
        self._letters: list[tuple[float, float, str, float, Colour, bool]] = []
        self._pixels = np.full((height, width, 3), background, np.uint8) if raster else np.zeros((0, 0, 3), np.uint8)

    def polyline(
        self, points: np.ndarray, colour: Colour, width: float, dash: tuple[float, float] | None = None
    ) -> None:
        """A line through `points` (n, 2) px; `dash`: (drawn, left out) px."""
        if not self.raster:
            return
        import cv2

        pieces = [points] if dash is None else _dashes(points, *dash)
        rounded = [np.round(piece * 2**SHIFT).astype(np.int32) for piece in pieces]
        cv2.polylines(self._pixels, rounded, False, colour, max(1, round(width)), cv2.LINE_AA, SHIFT)

    def polygon(self, points: np.ndarray, colour: Colour, *, alpha: float = 1.0, edge: Colour | None = None) -> None:
        """A filled area with the corners `points` (n, 2) px."""
        if not self.raster:
            return
        import cv2

        corners = [np.round(points * 2**SHIFT).astype(np.int32)]
        target = self._pixels if alpha >= 1 else self._pixels.copy()
        cv2.fillPoly(target, corners, colour, cv2.LINE_AA, SHIFT)
        if alpha < 1:
            cv2.addWeighted(target, alpha, self._pixels, 1 - alpha, 0, self._pixels)
        if edge is not None:
            cv2.polylines(self._pixels, corners, True, edge, 1, cv2.LINE_AA, SHIFT)

    def rectangle(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: Colour,
        *,
        alpha: float = 1.0,
        edge: Colour | None = None,
    ) -> None:
        """A filled rectangle between two corners in px."""
        self.polygon(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), colour, alpha=alpha, edge=edge)

    def marker(self, x: float, y: float, shape: str, size: float, colour: Colour) -> None:
        """`shape`: o, s, ^, D, x, +; `size`: px across."""
        if not self.raster:
            return
        half = size / 2
        if shape == "o":
            import cv2

            centre = (round(x * 2**SHIFT), round(y * 2**SHIFT))
            cv2.circle(self._pixels, centre, round(half * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)
        elif shape in "x+":
            arm = half * (0.9 if shape == "x" else 1.1)
            steps = ((1, 1), (1, -1)) if shape == "x" else ((1, 0), (0, 1))
            for dx, dy in steps:
                self.polyline(np.array([(x - arm * dx, y - arm * dy), (x + arm * dx, y + arm * dy)]), colour, 1)
        else:
            corners = {
                "s": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
                "^": ((0, -1.15), (1.05, 0.85), (-1.05, 0.85)),
                "D": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
            }[shape]
            self.polygon(np.array([(x + half * dx, y + half * dy) for dx, dy in corners]), colour)

    def measure(self, text: str, size: float) -> tuple[float, float]:
        """(width, height) px of the ink of `text`."""
        x0, y0, x1, y1 = load_font(self.font, size).getbbox(text)
        return x1 - x0, y1 - y0

    def text(
        self, x: float, y: float, text: str, size: float, colour: Colour, *, role: str,
        panel: str = "", anchor: str = "mm", turned: bool = False,
    ) -> None:  # fmt: skip
        """Write `text` at (x, y) px. `anchor`: l, m or r across, then t, m or b down, of the ink. `turned`: reads upwards."""
        width, height = self.measure(text, size)
        if turned:
            width, height = height, width
        x0 = x - {"l": 0, "m": width / 2, "r": width}[anchor[0]]
        y0 = y - {"t": 0, "m": height / 2, "b": height}[anchor[1]]
        self.lines.append(
            true_line(text, (x0, y0, x0 + width, y0 + height), self.size, role=role, panel=panel, turned=turned)
        )
        if self.raster:
            self._letters.append((x0, y0, text, size, colour, turned))

    def finish(self) -> Image | None:
        """The picture, with all text on top; None without `raster`."""
        if not self.raster:
            return None
        from PIL import Image, ImageDraw

        picture = Image.fromarray(self._pixels)
        draw = ImageDraw.Draw(picture)
        for x, y, text, size, colour, turned in self._letters:
            font = load_font(self.font, size)
            left, top, right, bottom = font.getbbox(text)
            if not turned:
                draw.text((x - left, y - top), text, fill=colour, font=font)
                continue
            mask = Image.new("L", (int(right - left) + 1, int(bottom - top) + 1))
            ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font)
            turned_mask = mask.transpose(Image.Transpose.ROTATE_90)
            picture.paste(colour, (round(x), round(y)), turned_mask)
        return picture


@cache
def load_font(name: str, size: float) -> FreeTypeFont:
    """One of FONT_FILES at `size` px. Raises MissingExtra without matplotlib, which brings the files."""
    from PIL import ImageFont

    return ImageFont.truetype(str(_font_folder() / f"{name}.ttf"), size)


@cache
def _font_folder() -> Path:
    try:
        from matplotlib import get_data_path
    except ImportError as error:
        raise MissingExtra("matplotlib", "charts", needed_for="drawing charts") from error
    return Path(get_data_path()) / "fonts" / "ttf"


def _dashes(points: np.ndarray, drawn: float, gap: float) -> list[np.ndarray]:
    """The drawn pieces of a dashed line through `points` (n, 2) px."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    pieces = []
    for start in np.arange(0, lengths[-1], drawn + gap):
        end = min(start + drawn, lengths[-1])
        inner = lengths[(lengths > start) & (lengths < end)]
        along = np.concatenate([[start], inner, [end]])
        pieces.append(np.stack([np.interp(along, lengths, points[:, axis]) for axis in (0, 1)], axis=1))
    return pieces or [points]
