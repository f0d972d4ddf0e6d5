"""An image in, ordered lines with boxes, orientation and role out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from llava_graph.images import open_image
from llava_graph.record import OcrLine
from ocr.engines import Engine, RawLine, get_engine
from ocr.layout import by_panel, reading_order
from ocr.roles import assign_roles
from ocr.swatches import Swatches

MIN_CONFIDENCE = 0.5
"""Lines below it are noise more often than text (RapidOCR's own `text_score` default)."""
TALL = 1.5
"""A box this many times higher than wide holds text turned by 90 degrees (PaddleOCR's `get_rotate_crop_image`)."""

SURE_TURNED = 0.8
"""Turned lines below it are curves and hatchings taken for letters more often than words."""
_SAMPLE = re.compile(r"(?=[^\w\s]*[-–—―=~•●○■□▲△▼◆◇★])[-–—―=~•●○■□▲△▼◆◇★+*_.]+\s+(?=[^\W\d])")
"""A line, with or without a marker on it, before a word. A lone + or a minus sign before a number is text."""


def read_text(
    image: bytes | Path | str | Image.Image,
    engine: str | Engine = "rapidocr",
    *,
    min_confidence: float = MIN_CONFIDENCE,
) -> tuple[OcrLine, ...]:
    """The text in an image, line by line in reading order.

    `engine` is a name (see `engines()`) or anything that behaves like one. Raises ImageError for an image that cannot be
    opened, InputError for an unknown engine, MissingExtra for one that is not installed.
    """
    opened = open_image(image)
    return in_order(raw_lines(opened, engine, min_confidence=min_confidence), opened)


def read_texts(
    images: Iterable[bytes | Path | str | Image.Image],
    engine: str | Engine = "rapidocr",
    *,
    min_confidence: float = MIN_CONFIDENCE,
) -> Iterator[tuple[OcrLine, ...] | Exception]:
    """The text of many images, one after the other, with one engine: for each its lines, or why it could not be read.

    Raises InputError for an unknown engine and MissingExtra for one that is not installed, before any image is read.
    """
    reader = get_engine(engine) if isinstance(engine, str) else engine
    return (_lines_or_reason(image, reader, min_confidence) for image in images)


def _lines_or_reason(
    image: bytes | Path | str | Image.Image, reader: Engine, min_confidence: float
) -> tuple[OcrLine, ...] | Exception:
    try:
        return read_text(image, reader, min_confidence=min_confidence)
    except Exception as error:  # noqa: BLE001  (engines are foreign code: onnxruntime, OpenCV, subprocesses)
        return error


def raw_lines(image: Image.Image, engine: str | Engine, *, min_confidence: float = MIN_CONFIDENCE) -> list[OcrLine]:
    """What `engine` finds in an RGB image, in any order and without roles."""
    reader = get_engine(engine) if isinstance(engine, str) else engine
    found = (to_line(raw, image.size, reader.name) for raw in reader(image) if raw.confidence >= min_confidence)
    return [line for line in found if line is not None]


def in_order(lines: Sequence[OcrLine], image: Image.Image) -> tuple[OcrLine, ...]:
    """The lines of a figure with roles, panel by panel, each in reading order."""
    return by_panel(assign_roles(reading_order(lines), image.size, swatch=Swatches(image)))


def to_line(raw: RawLine, size: tuple[int, int], source: str) -> OcrLine | None:
    """A raw line in px of an image of `size` -> a line in 0..1; None when it holds no letter and no digit."""
    text, cut = without_sample(" ".join(raw.text.split()))
    if not any(letter.isalnum() or letter in "%‰°±∞" for letter in text):
        return None  # markers of a scatter plot are read as ● or +
    width, height = size
    xs, ys = [x / width for x, _ in raw.quad], [y / height for _, y in raw.quad]
    box = (_unit(min(xs)), _unit(min(ys)), _unit(max(xs)), _unit(max(ys)))
    turned = raw.orientation
    if turned is None:
        tall = (box[3] - box[1]) * height > TALL * (box[2] - box[0]) * width
        turned = 90 if tall and len(text) > 1 else 0
    if turned and raw.confidence < SURE_TURNED:
        return None
    if not turned:
        box = (_unit(box[0] + cut * (box[2] - box[0])), *box[1:])
    return OcrLine(text=text, box=box, confidence=raw.confidence, orientation=turned, source=source)


def without_sample(text: str) -> tuple[str, float]:
    """A legend's entry without the piece of line before it that was read as signs ("-+- Ours" -> "Ours"), and the share cut."""
    match = _SAMPLE.match(text)
    return (text[match.end() :], match.end() / len(text)) if match else (text, 0.0)


def _unit(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)
