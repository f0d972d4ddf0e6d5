"""One part of a figure as a figure of its own: its pixels, and the text inside it with places of its own. Values in and out.

What is said of the whole figure (label, caption, mentions, paper, table) stays: it is still what the part belongs to.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from llava_graph.errors import InputError
from llava_graph.images import MIN_SIDE_PX, encode_png, open_image
from llava_graph.record import Box, Figure, OcrLine, Panel, check_box

ENLARGED_SIDE_PX = 768
"""A crop whose longer side is below it is enlarged up to it: models that see pixels as they are (AnyRes, Qwen) give small
images too few tokens to read labels by; those with one fixed size (336 to 512 px) lose nothing."""
MAX_ENLARGING = 4.0
"""More blurs without showing more."""
INSIDE = 0.5
"""Share of a line's box that has to lie in the region: a line that is cut in the middle is read as something else."""


def crop(figure: Figure, box: Box) -> Figure:
    """The part `box` (0..1 of the image, origin top left) of `figure`, cut out of its own pixels and enlarged if small.

    Its id says which part of what it is. Lines and panels outside it are left out, the others have boxes in 0..1 of the
    part; so has its place on the page. `turns` speak of the whole figure and are left out. Raises InputError for a figure
    without an image and for a part under MIN_SIDE_PX a side, RecordError for a wrong box, ImageError.
    """
    check_box(box, "region")
    if figure.image is None:
        raise InputError("the figure has no image to cut a region out of", where=figure.id)
    image = enlarged(pixels_in(open_image(figure.image, where=figure.id), box))
    paper = figure.paper
    return replace(
        figure,
        id=f"{figure.id}@{','.join(f'{side:.4g}' for side in box)}",
        image=encode_png(image),
        width=image.width,
        height=image.height,
        ocr=lines_in(figure.ocr, box),
        panels=panels_in(figure.panels, box),
        paper=replace(paper, box=outer(box, paper.box)) if paper.box else paper,
        turns=(),
    )


def pixels_in(image: Image.Image, box: Box) -> Image.Image:
    """The pixels of `image` in `box`, as they are. Raises InputError for fewer than MIN_SIDE_PX a side."""
    left, top, right, bottom = pixel_box(box, image.size)
    if min(right - left, bottom - top) < MIN_SIDE_PX:
        raise InputError(
            f"the region is {right - left} x {bottom - top} px of the figure, at least {MIN_SIDE_PX} a side are needed",
            next_step="Choose a larger region.",
        )
    return image.crop((left, top, right, bottom))


def enlarged(part: Image.Image) -> Image.Image:
    """A crop as a model is shown it: larger (Lanczos) if it is small, else as it is."""
    scale = min(ENLARGED_SIDE_PX / max(part.size), MAX_ENLARGING)
    if scale <= 1:
        return part
    return part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.LANCZOS)


def pixel_box(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in px of an image of `size`: every pixel that the box touches."""
    width, height = size
    # A side that is meant to lie between two pixels comes a rounding error beside it.
    left, top = (math.floor(round(value, 3)) for value in (box[0] * width, box[1] * height))
    right, bottom = (math.ceil(round(value, 3)) for value in (box[2] * width, box[3] * height))
    return left, top, right, bottom


def lines_in(lines: Sequence[OcrLine], box: Box) -> tuple[OcrLine, ...]:
    """The lines that lie in the region (half of them is enough), in their order, with boxes in 0..1 of the region."""
    return tuple(replace(line, box=inner(line.box, box)) for line in lines if share_inside(line.box, box) >= INSIDE)


def panels_in(panels: Sequence[Panel], box: Box) -> tuple[Panel, ...]:
    """The panels that reach into the region, and those of which nobody knows where they stand."""
    there = (panel for panel in panels if panel.box is None or share_inside(panel.box, box) > 0)
    return tuple(replace(panel, box=inner(panel.box, box) if panel.box else None) for panel in there)


def share_inside(box: Box, region: Box) -> float:
    """The share of `box` that lies in `region`, 0..1; of a box without an area, whether its middle does."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    if area <= 0:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return float(region[0] <= x <= region[2] and region[1] <= y <= region[3])
    wide = min(box[2], region[2]) - max(box[0], region[0])
    high = min(box[3], region[3]) - max(box[1], region[1])
    return max(0.0, wide) * max(0.0, high) / area


def inner(box: Box, region: Box) -> Box:
    """A box of the whole, cut off at the region's sides, in 0..1 of the region."""
    x0, y0, x1, y1 = region
    wide, high = max(x1 - x0, 1e-9), max(y1 - y0, 1e-9)
    across = [_unit((value - x0) / wide) for value in box[::2]]
    down = [_unit((value - y0) / high) for value in box[1::2]]
    return across[0], down[0], across[1], down[1]


def outer(box: Box, region: Box) -> Box:
    """A box in 0..1 of the region, in 0..1 of the whole: the opposite of `inner`."""
    x0, y0, x1, y1 = region
    across = [_unit(x0 + value * (x1 - x0)) for value in box[::2]]
    down = [_unit(y0 + value * (y1 - y0)) for value in box[1::2]]
    return across[0], down[0], across[1], down[1]


def _unit(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)
