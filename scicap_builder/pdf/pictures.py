"""A region of a page -> the picture that is delivered: the image's own pixels where the figure is one image, else a crop."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from llava_graph.images import encode_png
from scicap_builder.pdf.boxes import area, meet, overlap_x, overlap_y
from scicap_builder.pdf.page import Page, Rect
from scicap_builder.pdf.pdfium import OpenPdf

PADDING = 2.0
"""pt of white around a picture, so that anti-aliased edges are not cut."""
INK_LEVEL = 245
"""Grey level from which on a pixel is paper."""
TOUCH = 0.5
"""pt; what reaches less far into a picture is its neighbour's edge."""
FILLED = 0.9
"""Share of a figure's box that its one image must fill to be the figure."""
CONTRAST = 40
"""Grey levels (of 255) between letters and their ground from which on they can be read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is delivered of a figure."""

    data: bytes
    """PNG or JPEG."""
    box: Rect
    """pt on the page: exactly what `data` shows."""
    original: bool
    """The pixels are the image's own, not drawn again."""


def draw(pdf: OpenPdf, page: Page, box: Rect, dpi: int) -> tuple[Picture, Image.Image]:
    """The picture in `box` (pt, tight around what is drawn), and a look at it as RGB at `dpi`. Raises PaperError."""
    image = only_image(page, box)
    if image is not None:
        look = pdf.render(page, image, dpi)
        data = pdf.own_pixels(page, image, look)
        if data is not None:
            return Picture(data, image, original=True), look
    look = pdf.render(page, box, dpi)
    box, look = trimmed(look, box)
    return Picture(encode_png(look), box, original=False), look


def has_contrast(look: Image.Image, box: Rect, part: Rect) -> bool:
    """Whether something is to be seen in `part` of a picture that shows `box` (pt): white text on a dark ground, say."""
    across, down = look.width / (box[2] - box[0]), look.height / (box[3] - box[1])
    x0, x1 = (int((value - box[0]) * across) for value in (part[0], part[2]))
    y0, y1 = (int((value - box[1]) * down) for value in (part[1], part[3]))
    piece = look.crop((max(0, x0), max(0, y0), min(look.width, x1 + 1), min(look.height, y1 + 1)))
    if not piece.width or not piece.height:
        return False
    levels = np.asarray(piece.convert("L"))
    return int(levels.max()) - int(levels.min()) >= CONTRAST


def only_image(page: Page, box: Rect) -> Rect | None:
    """The box of the one image that fills `box`, where no word and nothing else is drawn in it."""
    touching = [graphic for graphic in page.graphics if _touches(graphic.box, box)]
    images = [graphic for graphic in touching if graphic.kind in ("image", "form")]
    if len(images) != 1 or area(meet(images[0].box, box)) < FILLED * max(area(box), area(images[0].box)):
        return None
    image = images[0].box
    # a frame or a ground around the image is not drawn in it
    if any(
        graphic.kind == "shading" or not _around(graphic.box, image) for graphic in touching if graphic is not images[0]
    ):
        return None
    return None if any(_touches(word.box, image) for word in page.words) else image


def _around(outer: Rect, inner: Rect) -> bool:
    slack = 2 * TOUCH
    return (
        outer[0] <= inner[0] + slack
        and outer[1] <= inner[1] + slack
        and outer[2] >= inner[2] - slack
        and outer[3] >= inner[3] - slack
    )


def _touches(a: Rect, b: Rect) -> bool:
    return overlap_x(a, b) > TOUCH and overlap_y(a, b) > TOUCH


def trimmed(look: Image.Image, box: Rect) -> tuple[Rect, Image.Image]:
    """A rendered box without the white around what is inked in it, but for PADDING; as it is where all is blank."""
    inked = look.convert("L").point(lambda level: 255 * (level < INK_LEVEL)).getbbox()
    if inked is None:
        return box, look
    across, down = look.width / (box[2] - box[0]), look.height / (box[3] - box[1])
    cut = (
        max(0, int(inked[0] - PADDING * across)),
        max(0, int(inked[1] - PADDING * down)),
        min(look.width, int(inked[2] + PADDING * across) + 1),
        min(look.height, int(inked[3] + PADDING * down) + 1),
    )
    kept = (box[0] + cut[0] / across, box[1] + cut[1] / down, box[0] + cut[2] / across, box[1] + cut[3] / down)
    return kept, look.crop(cut)
