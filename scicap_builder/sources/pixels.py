"""The image of a row: found below the root or held by the table, decoded once to its last pixel, kept as PNG or JPEG."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from llava_graph.errors import ImageError
from llava_graph.images import encode_png, open_image
from scicap_builder.one_paper import KEPT_FORMATS
from scicap_builder.sources.contract import Entry
from scicap_builder.sources.root import Root, Zipped

MISSING, BROKEN = "image-missing", "image-broken"
KEPT_DECODED = 8
"""Rows about one image stand together: it is decoded once."""


class NoImage(Exception):
    """An image that cannot be had; what follows is the policy's. `reason` is MISSING or BROKEN."""

    def __init__(self, reason: str, what: str) -> None:
        self.reason, self.what = reason, what
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a record has it: bytes, or the path of a file that stays where it is; width and height in px."""

    image: bytes | Path
    width: int
    height: int


class Pixels:
    """Gives rows their images. Safe to ask from several threads."""

    def __init__(self, root: Root, *, link: bool) -> None:
        """With `link`, PNG and JPEG files are named by path; others, and those in ZIP files and tables, are copied."""
        self._root, self._link = root, link
        self._load = lru_cache(maxsize=KEPT_DECODED)(self._load_now)

    def of(self, entry: Entry) -> Picture:
        """The entry's image. Raises NoImage, and SampleRefused for a path that leads out of the root."""
        if entry.pixels is not None:
            return opened(entry.pixels, entry.figure.id)
        found = self._root.picture(entry.pictures)
        if found is None:
            raise NoImage(MISSING, f"no image {' or '.join(entry.pictures)}")
        return self._load(found)

    def _load_now(self, found: Path | Zipped) -> Picture:
        data = read_bytes(self._root, found)
        picture = opened(data, str(found))
        if self._link and isinstance(found, Path) and picture.image is data:
            return Picture(found.resolve(), picture.width, picture.height)
        return picture


def read_bytes(root: Root, found: Path | Zipped) -> bytes:
    """An image's bytes, not decoded. Raises NoImage."""
    try:
        return root.read(found)
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: an encrypted member
        raise NoImage(BROKEN, f"{found}: {error}") from error


def opened(data: bytes, where: str) -> Picture:
    """Decoded to its last pixel, since what breaks off shows only there; another format becomes PNG. Raises NoImage."""
    try:
        image = open_image(data, where=where)
    except ImageError as error:
        raise NoImage(BROKEN, str(error)) from error
    return Picture(data if data.startswith(KEPT_FORMATS) else encode_png(image), image.width, image.height)
