"""Picture files of an export: their names, and which of them may be written."""

import re
from pathlib import Path

from llava_graph.errors import ImageError
from llava_graph.images import encode_png, open_image
from llava_graph.licences import is_redistributable
from llava_graph.record import Figure
from scicap_builder.exports.contract import Tally

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"


def image_name(figure: Figure) -> str:
    """A file name that is unique as the id is, and safe on every system: "arxiv_hep-th__9901001v1_fig3.png"."""
    data = figure.image if isinstance(figure.image, bytes) else b""
    ending = ".jpg" if data.startswith(JPEG_START) else ".png"
    stem = re.sub(
        r"[^\w.\-]", lambda match: {":": "_", "#": "_", "/": "__"}.get(match[0], f"~{ord(match[0]):x}"), figure.id
    )
    return stem + ending


def may_be_passed_on(figure: Figure) -> bool:
    """Whether the licence of the figure's paper lets its picture be published again."""
    return is_redistributable(figure.licence or figure.paper.licence)


def is_wanted(figure: Figure, images: str) -> bool:
    """Whether the picture belongs into an export with `images`, one of contract.IMAGES."""
    return images == "all" or (images == "redistributable" and may_be_passed_on(figure))


def write_picture(figure: Figure, path: Path, images: str, tally: Tally, *, png: bool = False) -> None:
    """Write the figure's picture to `path` if it is wanted, as PNG where the layout knows nothing else, and count it."""
    if not is_wanted(figure, images):
        tally.pictures_left_out += 1
        return
    data = picture_bytes(figure, png=png)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    tally.pictures += 1
    tally.restricted += not may_be_passed_on(figure)


def picture_bytes(figure: Figure, *, png: bool = False) -> bytes:
    """The encoded picture as it is stored; anything but PNG is encoded anew if `png`. Raises ImageError."""
    if figure.image is None:
        raise ImageError("the record has no image", where=figure.id)
    data = figure.image if isinstance(figure.image, bytes) else b""
    if data.startswith(PNG_START) or (data and not png):
        return data
    return encode_png(open_image(figure.image, where=figure.id))
