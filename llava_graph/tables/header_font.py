"""The font in which DePlot's question is drawn above the chart. In: what a person gave, the checkpoint. Out: the font's bytes.

transformers fetches Arial from the hub for it at every start; this works without a network and says where it differs.
"""

from __future__ import annotations

import logging
from pathlib import Path

from llava_graph.errors import CheckpointError, InputError

_log = logging.getLogger(__name__)

PUBLISHED = ("ybelkada/fonts", "Arial.TTF")
"""Repository and file that transformers draws with, as DePlot was trained (Pix2Struct's own code has Arial, too)."""
LIKE_ARIAL = ("Arial.ttf", "arial.ttf", "LiberationSans-Regular.ttf", "Arimo-Regular.ttf")
"""Fonts of a system with Arial's widths: the header has the same size."""
OTHERS = ("DejaVuSans.ttf",)


def header_font(folder: Path, given: Path | None = None, *, from_hub: bool = False) -> bytes:
    """The font `given`; else one in the checkpoint's folder, Arial in the hub's cache (fetched where the checkpoint came
    `from_hub`), a font of the system like Arial, another one, Pillow's own. Raises InputError for a given file that is no font.
    """
    if given is not None:
        return _font_file(given)
    for file in sorted(file for file in folder.glob("*") if file.suffix.lower() in (".ttf", ".otf")):
        return _font_file(file)
    if published := _published(fetch=from_hub):
        return _font_file(published)
    if like := _of_the_system(LIKE_ARIAL):
        return _font_file(like)
    other = _of_the_system(OTHERS)
    _log.warning(
        "no Arial is here: the question above the charts is drawn in another font than the model learnt; --font"
    )
    return _font_file(other) if other else _pillows()


def _font_file(path: Path) -> bytes:
    from PIL import ImageFont

    try:
        ImageFont.truetype(str(path), 36)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"this is no font ({error})", where=str(path), next_step="Give a .ttf or .otf file") from error


def _published(*, fetch: bool) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(*PUBLISHED, local_files_only=not fetch))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


def _of_the_system(names: tuple[str, ...]) -> Path | None:
    from PIL import ImageFont

    for name in names:
        try:
            return Path(str(ImageFont.truetype(name, 36).path))  # it looks into the system's folders
        except OSError:
            continue
    return None


def _pillows() -> bytes:
    from PIL import ImageFont

    font = ImageFont.load_default(36)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise CheckpointError(
            "Pillow was built without FreeType, and draws no header", next_step="Install Pillow's wheel"
        )
    return font.font_bytes
