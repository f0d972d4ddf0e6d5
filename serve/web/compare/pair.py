"""Two figures as the page shows them beside each other. Figures in, values for pair.js out."""

import base64
import io
from functools import lru_cache
from typing import Any

from PIL import Image

from llava_graph.images import open_image
from llava_graph.record import Figure

SIDE_PX = 480
"""Longer side of a picture in the pair."""


def pair_view(one: Figure | None, other: Figure | None) -> dict[str, Any]:
    """{"one", "other"}: picture, name and caption of each figure, or None."""
    return {"one": _shown(one, "Figure A"), "other": _shown(other, "Figure B")}


def _shown(figure: Figure | None, name: str) -> dict[str, str] | None:
    if figure is None or not isinstance(figure.image, bytes):
        return None
    caption = f"{figure.label}: {figure.caption}" if figure.label and figure.caption else figure.caption
    return {"image": _picture(figure.image), "name": name, "caption": caption}


@lru_cache(maxsize=64)
def _picture(data: bytes) -> str:
    """A small WebP as a data URI; a caption that is being written asks for it with every letter."""
    image, buffer = open_image(data), io.BytesIO()
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2)
    image.save(buffer, "WEBP", quality=85, method=0)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
