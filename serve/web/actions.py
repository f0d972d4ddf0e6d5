"""What the page does when somebody acts: reading a figure, explaining it, answering on. Values in, values for the page out."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llava_graph.errors import ImageError, LlavaGraphError, ServeError
from llava_graph.images import open_image
from llava_graph.prompt import PromptOptions, render_context
from llava_graph.record import Figure, OcrLine
from serve.client import ModelClient, Sampling, flat_text
from serve.web.lines import line_rows
from serve.web.session import (
    Session,
    answer_status,
    banner,
    error_banner,
    figure_of,
    messages_for,
    model_line,
    on_the_page,
    view_of,
)

UPDATE_S = 0.06
"""At most so often is a growing answer drawn: faster than reading, slower than a token."""
MANY_TOKENS = 10**9
"""A budget that shortens nothing."""
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
    view: dict[str, Any] | None = None
    """What the viewer shows, see `view_of`; None: nothing."""
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
        image = open_image(Path(path).read_bytes())
        figure = figure_of(image)
        return Reading(Session(figure), view_of(figure, image))
    except OSError:
        return Reading(Session(), banner=banner("the upload did not arrive whole", "Choose the figure again"))
    except ImageError as error:
        return Reading(
            Session(), banner=banner(error.what, error.next_step or "Choose a PNG, JPEG, WebP, GIF, BMP or TIFF file.")
        )


ReadText = Callable[[bytes], Sequence[OcrLine]]
"""From an encoded image to the lines of text in it, in reading order (`ocr.read_text`)."""


def read_figure(opened: Reading, read: ReadText) -> Reading:
    """An opened figure with the text in it. A reader that fails costs the text, not the figure."""
    session = opened.session
    if session.figure is None or not isinstance(session.figure.image, bytes) or opened.view is None:
        return opened
    failed, figure = "", session.figure
    try:
        figure = replace(figure, ocr=tuple(read(session.figure.image)))
    except LlavaGraphError as error:
        failed = error_banner(error)
    view = {**opened.view, "lines": line_rows(figure.ocr), "reading": False}
    return Reading(replace(session, figure=figure), view, failed)


@dataclass(frozen=True)
class Preview:
    """What the model would be given, word for word, and what is to be said about it."""

    prompt: str = ""
    note: str = ""


async def preview(client: ModelClient, session: Session, caption: str, changes: Any, model: str) -> Preview:
    """The message that Explain would send now, as the chosen model was trained to read it."""
    if session.figure is None:
        return Preview()
    try:
        figure = on_the_page(session, caption, changes).figure
        options = (await client.details(model)).prompt
        messages, _ = messages_for(Session(figure), None, options)
    except LlavaGraphError as error:
        return Preview(note=f"{error.what}. {error.next_step}")
    return Preview(flat_text(messages[0], "<image>\n"), _shortening(figure, options) if figure else "")


def _shortening(figure: Figure, options: PromptOptions) -> str:
    """What is to be said when not all of the context fits."""
    whole = replace(options, max_context_tokens=MANY_TOKENS)
    if options.style == "llava_graph" or render_context(figure, options) == render_context(figure, whole):
        return ""
    return (
        f"Shortened: this model takes {options.max_context_tokens} tokens beside the figure. The least useful text is left "
        "out first (unsure lines, ticks inside a scale); switch off what you do not need to make room."
    )


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
