"""What the page does when somebody acts: reading a figure, explaining it, answering on. Values in, values for the page out."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from llava_graph.errors import ImageError, LlavaGraphError, ServeError
from llava_graph.images import open_image
from ocr import draw_overlay, read_text
from serve.client import ModelClient, Sampling
from serve.web.session import Session, answer_status, banner, error_banner, figure_of, messages_for, model_line, text_of

UPDATE_S = 0.06
"""At most so often is a growing answer drawn: faster than reading, slower than a token."""
NO_MODEL = ServeError("no model is running", next_step="Start one: llava-graph-serve worker (or: make demo)")


@dataclass(frozen=True)
class Look:
    """What the page shows after a step."""

    session: Session
    banner: str = ""
    status: str = ""
    busy: bool = False
    field: str | None = None
    """What the question field holds now; None leaves it alone."""


@dataclass(frozen=True)
class Reading:
    """A figure that was opened and read."""

    session: Session
    overlay: Image.Image | None = None
    text: str = ""
    banner: str = ""


@dataclass(frozen=True)
class Models:
    """Which models there are and what the chosen one is."""

    names: tuple[str, ...]
    chosen: str
    line: str
    banner: str = ""


def open_figure(path: str | None) -> Reading:
    """An uploaded file (gradio's own copy of it) as a new session; a banner says why it cannot be opened."""
    if not path:
        return Reading(Session())
    try:
        return Reading(Session(figure_of(open_image(Path(path).read_bytes()))))
    except OSError:
        return Reading(Session(), banner=banner("the upload did not arrive whole", "Choose the figure again"))
    except ImageError as error:
        return Reading(
            Session(), banner=banner(error.what, error.next_step or "Choose a PNG, JPEG, WebP, GIF, BMP or TIFF file.")
        )


def read_figure(session: Session) -> Reading:
    """The text in the session's figure, drawn onto it. A reader that fails costs the text, not the figure."""
    if session.figure is None or not isinstance(session.figure.image, bytes):
        return Reading(session)
    image = open_image(session.figure.image)
    try:
        lines = read_text(image)
    except LlavaGraphError as error:
        return Reading(session, image, banner=error_banner(error))
    figure = replace(session.figure, ocr=tuple(lines))
    return Reading(replace(session, figure=figure), draw_overlay(image, lines), text_of(lines))


async def find_models(client: ModelClient, wanted: str = "") -> Models:
    """The models that are served now; `wanted` stays chosen if it is among them."""
    try:
        names = tuple(await client.models())
        chosen = wanted if wanted in names else next(iter(names), "")
        details = await client.details(chosen) if chosen else None
    except ServeError as error:
        return Models((), "", model_line("", ""), error_banner(error))
    if details is None:
        return Models((), "", model_line("", ""), error_banner(NO_MODEL))
    return Models(names, chosen, model_line(details.name, details.about))


async def answer(
    client: ModelClient, session: Session, question: str | None, model: str, sampling: Sampling
) -> AsyncGenerator[Look]:
    """The page while an answer grows. `question` None asks for an explanation and begins the conversation anew.

    An error becomes a banner with its real reason; what was answered until then stays.
    """
    begun = time.monotonic()
    before = session
    try:
        image = session.figure.image if session.figure else None
        if not isinstance(image, bytes):
            raise ImageError("there is no figure yet", next_step="Upload one, or pick an example.")
        model = model or next(iter(await client.models()), "")
        if not model:
            raise NO_MODEL
        messages, asked = messages_for(session, question, (await client.details(model)).prompt)
        session = (replace(session, turns=()) if question is None else session).asked(asked)
        yield Look(session, status="Thinking …", busy=True, field=None if question is None else "")
        drawn, tokens, reason = 0.0, None, None
        async with aclosing(client.answer(model, messages, [image], sampling)) as replies:
            async for reply in replies:
                session, tokens, reason = session.answered(reply.text), reply.completion_tokens, reply.finish_reason
                if time.monotonic() - drawn > UPDATE_S:
                    drawn = time.monotonic()
                    yield Look(session, status="Writing …", busy=True)
        yield Look(session, status=answer_status(tokens, time.monotonic() - begun, reason))
    except LlavaGraphError as error:
        if session is not before and session.turns[-1].text:
            yield Look(session, error_banner(error))
        else:
            # Nothing was answered: the question goes back to where it was typed.
            yield Look(before, error_banner(error), field=question)
