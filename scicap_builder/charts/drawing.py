"""A drawn figure: encoded pixels and the true text with its boxes, and what all ways of drawing share."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llava_graph.record import OcrLine
from ocr.numbers import parse_number

if TYPE_CHECKING:
    from PIL.Image import Image

PALETTES = (
    ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee"),
    ("#000000", "#e41a1c", "#377eb8", "#4daf4a", "#984ea3"),
    ("#264653", "#e76f51", "#2a9d8f", "#e9c46a", "#f4a261"),
    ("#000000", "#555555", "#888888", "#bbbbbb", "#333333"),
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#f0e442"),
    ("#5b8ff9", "#5ad8a6", "#5d7092", "#f6bd16", "#e8684a"),
    ("#003f5c", "#bc5090", "#ffa600", "#58508d", "#ff6361"),
    ("#ff0000", "#0000ff", "#00a000", "#ff00ff", "#00a0a0"),
)
JPEG_SHARE = 0.2
GREY_SHARE = 0.1
TICK_ROLES = ("x-tick", "y-tick", "tick")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawn figure."""

    image: bytes | None
    """PNG or JPEG; None where only the layout was asked for."""
    width: int
    """px"""
    height: int
    """px"""
    ocr: tuple[OcrLine, ...]
    """The text that was drawn, exactly, with the box in which it was drawn."""
    library: str = ""
    """What drew it."""
    places: tuple[tuple[np.ndarray, ...], ...] = ()
    """Per panel and series (n, 2): where the values stand (`tracing.data_points`), as shares of width and height; empty
    where the library does not say."""


def true_line(
    text: str,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    *,
    role: str,
    panel: str = "",
    turned: bool = False,
) -> OcrLine:
    """One drawn text. `box`: (x0, y0, x1, y1) in px from the top left; `size`: (width, height) of the image in px."""
    width, height = size
    x0, x1 = (min(max(float(value) / width, 0.0), 1.0) for value in (box[0], box[2]))
    y0, y1 = (min(max(float(value) / height, 0.0), 1.0) for value in (box[1], box[3]))
    return OcrLine(
        text=text,
        box=(round(x0, 4), round(y0, 4), round(x1, 4), round(y1, 4)),
        role=role,
        orientation=90 if turned else 0,
        source="drawn",
        panel=panel,
        value=parse_number(text) if role in TICK_ROLES else None,
    )


def encode(image: Image, rng: np.random.Generator) -> bytes:
    """PNG, or JPEG with its noise; in grey for a share."""
    if rng.random() < GREY_SHARE:
        image = image.convert("L")
    buffer = io.BytesIO()
    if rng.random() < JPEG_SHARE:
        image.save(buffer, "JPEG", quality=int(rng.integers(40, 92)))
    else:
        image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
