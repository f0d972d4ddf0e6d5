"""Text that a file knows and text that an engine reads, as one: exact lines where there are some, the engine for pictures.

A figure cut from a PDF has its vector text in the text layer; only what is embedded as pixels has to be read.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image

from llava_graph.record import Box, OcrLine
from ocr.engines import Engine
from ocr.read import MIN_CONFIDENCE, in_order, raw_lines

SAME_PLACE = 0.5
"""Share of the smaller of two boxes from which on they are the same text."""
SMALL_PX = 24
"""A picture narrower or lower than this holds no words: a marker, a colour bar's step."""
WHOLE = (0.0, 0.0, 1.0, 1.0)


def read_figure_text(
    image: Image.Image, own: Sequence[OcrLine], rasters: Sequence[Box], engine: str | Engine | None
) -> tuple[OcrLine, ...]:
    """All text of a figure: `own` lines of its file, and what `engine` reads in its embedded pictures (`rasters`, 0..1).

    `engine` None reads nothing: only the own lines, in order and with roles.

    Without any own text the whole image is read: text is often drawn as outlines. Each line says by `source` where it
    comes from. Raises as `ocr.read_text`.
    """
    if engine is None:
        return in_order(own, image)
    chosen = engine
    return with_rest(
        image,
        own,
        unread_parts(image.size, own, rasters),
        lambda part: raw_lines(part, chosen, min_confidence=MIN_CONFIDENCE),
    )


def with_rest(
    image: Image.Image,
    own: Sequence[OcrLine],
    parts: Sequence[Box],
    read: Callable[[Image.Image], Sequence[OcrLine]],
) -> tuple[OcrLine, ...]:
    """The own lines of a figure and what `read` finds in some parts of it (0..1), in order and with roles."""
    found = [line for box in parts for line in _read_part(image, box, read) if not _known(line, own)]
    return in_order([*own, *found], image)


def unread_parts(size: tuple[int, int], own: Sequence[OcrLine], rasters: Sequence[Box]) -> list[Box]:
    """Where only an engine can read: in the embedded pictures, or everywhere if the file knows no text at all."""
    return rasters_to_read(rasters, size) if own else [WHOLE]


def rasters_to_read(rasters: Sequence[Box], size: tuple[int, int]) -> list[Box]:
    """The pictures that are large enough for words; those that overlap or touch (tiles of one image) as one."""
    parts: list[Box] = []
    for raster in rasters:
        box = raster
        while touching := next((part for part in parts if _touch(part, box)), None):
            parts.remove(touching)
            box = (
                min(box[0], touching[0]),
                min(box[1], touching[1]),
                max(box[2], touching[2]),
                max(box[3], touching[3]),
            )
        parts.append(box)
    width, height = size
    return [b for b in parts if (b[2] - b[0]) * width >= SMALL_PX and (b[3] - b[1]) * height >= SMALL_PX]


def _touch(a: Box, b: Box) -> bool:
    reach = 0.005
    return min(a[2], b[2]) + reach >= max(a[0], b[0]) and min(a[3], b[3]) + reach >= max(a[1], b[1])


def _read_part(image: Image.Image, box: Box, read: Callable[[Image.Image], Sequence[OcrLine]]) -> list[OcrLine]:
    """The lines found in one part of the image, with boxes in 0..1 of the whole."""
    width, height = image.size
    left, top = int(box[0] * width), int(box[1] * height)
    right, bottom = min(width, round(box[2] * width) + 1), min(height, round(box[3] * height) + 1)
    part = image.crop((left, top, right, bottom))

    def placed(line: OcrLine) -> OcrLine:
        x0, y0, x1, y1 = line.box
        return replace(
            line,
            box=(
                round(min(1.0, (left + x0 * part.width) / width), 4),
                round(min(1.0, (top + y0 * part.height) / height), 4),
                round(min(1.0, (left + x1 * part.width) / width), 4),
                round(min(1.0, (top + y1 * part.height) / height), 4),
            ),
        )

    return [placed(line) for line in read(part)]


def _known(line: OcrLine, own: Sequence[OcrLine]) -> bool:
    """Whether a line of the file stands in the same place."""
    return any(_shared(line.box, other.box) > SAME_PLACE for other in own)


def _shared(a: Box, b: Box) -> float:
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return both / smaller if smaller > 0 else 0.0
