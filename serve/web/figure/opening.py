"""From a file to a figure on the page: opened under limits, shown at once, then read. Values in, values for the page out."""

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from llava_graph.errors import ImageError, LlavaGraphError
from llava_graph.images import MIN_SIDE_PX, encode_png, open_image
from llava_graph.record import Box, Figure, OcrLine
from ocr.merge import with_rest
from scicap_builder.kinds import kind_of
from serve.web.banner import banner, error_banner
from serve.web.figure.formats import TAKEN, format_of
from serve.web.figure.lines import line_rows
from serve.web.session import Session

MAX_SIDE_PX = 4096
"""Larger figures are scaled down before they are sent: no model sees more, and small labels stay readable. Long thin ones stay
longer, so that their short side keeps MIN_SIDE_PX: less is no image to any worker."""
SHOWN_SIDE_PX, SHOWN_BYTES = 2048, 500_000
"""A figure with a longer side or more bytes is shown (not sent) smaller, as WebP: the page stays quick over slow lines."""

ReadText = Callable[[bytes], Sequence[OcrLine]]
"""From an encoded image to the lines of text in it, in reading order (`ocr.read_text`)."""


@dataclass(frozen=True)
class Reading:
    """A figure that was opened and read."""

    session: Session
    view: dict[str, Any] | None = None
    """What the viewer shows, see `view_of`; None: nothing."""
    banner: str = ""


@dataclass(frozen=True)
class Arrival:
    """A figure that comes to the page: at once, and with what is to be read in it."""

    reading: Reading
    caption: str | None = None
    """None leaves the field alone."""
    rest: Callable[[], Reading] | None = None
    """Reads the text that is still to be read. Blocks."""


def open_figure(path: str | None, name: str = "") -> Reading:
    """An uploaded file (gradio's own copy of it) as a new session; a banner says why it cannot be opened. `name`: the visitor's
    name for it."""
    if not path:
        return Reading(Session())
    data = b""
    try:
        data = Path(path).read_bytes()
        image = open_image(data)
        figure = figure_of(image)
        original = data if max(image.size) > MAX_SIDE_PX else None
        return Reading(Session(figure, original=original), view_of(figure, image))
    except OSError:
        return Reading(Session(), banner=banner("the upload did not arrive whole", "Choose the figure again"))
    except ImageError as error:
        if kind := format_of(data, name):
            called = f"the file {name}" if name else "this file"
            return Reading(Session(), banner=banner(f"{called} is {kind}, no image that is taken", TAKEN))
        return Reading(Session(), banner=banner(error.what, error.next_step or TAKEN))


def read_figure(opened: Reading, read: ReadText) -> Reading:
    """An opened figure with the text in it. A reader that fails costs the text, not the figure."""
    session = opened.session
    if session.figure is None or not isinstance(session.figure.image, bytes) or opened.view is None:
        return opened
    failed, figure = "", session.figure
    try:
        figure = replace(figure, ocr=tuple(read(session.figure.image)))
        figure = replace(figure, kind=figure.kind or kind_of(open_image(session.figure.image), "", figure.ocr))
    except LlavaGraphError as error:
        failed = error_banner(error)
    view = {**opened.view, "lines": line_rows(figure.ocr), "reading": False}
    return Reading(replace(session, figure=figure), view, failed)


def reading_of(figure: Figure, *, waiting: bool) -> Reading:
    """A figure of a paper as a new session. `waiting`: some of its text is still to be read."""
    data = figure.image
    try:
        if not isinstance(data, bytes):
            raise ImageError("the figure has no pixels at hand", next_step="Open its paper again.")
        image = open_image(data)
        small = figure_of(image) if max(image.size) > MAX_SIDE_PX else figure
        shown = replace(figure, image=small.image, width=small.width, height=small.height)
    except ImageError as error:
        return Reading(Session(), banner=error_banner(error))
    view = {**view_of(shown, image), "reading": waiting}
    return Reading(Session(shown, original=None if small is figure else data), view)


def read_rest(opened: Reading, parts: Sequence[Box], read: ReadText) -> Reading:
    """With what `read` finds in some parts of the figure (0..1), beside the text that is known already."""
    figure = opened.session.figure
    if figure is None or not isinstance(figure.image, bytes):
        return opened
    known = figure.ocr
    return read_figure(
        opened, lambda data: with_rest(open_image(data), known, parts, lambda part: read(encode_png(part)))
    )


def figure_of(image: Image.Image) -> Figure:
    """An uploaded image as a record."""
    if (size := _sent_size(image.size)) != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    data = encode_png(image)
    name = hashlib.sha256(data).hexdigest()[:12]
    return Figure(id=f"upload:{name}", image=data, width=image.width, height=image.height, source="upload")


def _sent_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) in px of an image when it is sent; the shape stays."""
    scale = min(1.0, max(MAX_SIDE_PX / max(size), MIN_SIDE_PX / min(size)))
    width, height = (max(MIN_SIDE_PX, round(side * scale)) for side in size)
    return width, height


def view_of(figure: Figure, image: Image.Image) -> dict[str, Any]:
    """What the viewer on the page shows of a figure whose text is still to be read. `image`: its pixels, decoded."""
    return {
        "figure": figure.id,
        "image": _shown_image(figure, image),
        "width": figure.width,
        "height": figure.height,
        "reading": True,
        "lines": line_rows(figure.ocr),
        "alt": ": ".join(filter(None, (figure.label, figure.caption))),
    }


def _shown_image(figure: Figure, image: Image.Image) -> str:
    """A data URI: the PNG that is sent to the model where that is small enough."""
    data, kind = figure.image, "png"
    if not isinstance(data, bytes) or max(image.size) > SHOWN_SIDE_PX or len(data) > SHOWN_BYTES:
        smaller, buffer, kind = image.copy(), io.BytesIO(), "webp"
        smaller.thumbnail((SHOWN_SIDE_PX, SHOWN_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2)
        smaller.save(buffer, "WEBP", quality=88, method=0)
        data = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
