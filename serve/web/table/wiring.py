"""The table of the figure that is shown, and reading one with a table model."""

import html
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from llava_graph.errors import LlavaGraphError
from llava_graph.prompt import Message
from llava_graph.record import Figure
from llava_graph.tables.linearised import ReadTable, read_table
from llava_graph.tables.requests import DEPLOT, TABLE_TOKENS
from serve.client import ModelClient, Sampling
from serve.web.banner import error_banner
from serve.web.given import pixels_of
from serve.web.options import WebOptions
from serve.web.parts import WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session
from serve.web.table.spreadsheet import table_view

OF_THE_PAPER = "This table came with the figure."
READ_BY = "Read from the chart by {}: it may be wrong, check it against the figure."


@dataclass
class _Shown:
    """What the fold holds for one visitor, as a `gr.State`. It changes, so that a reading sees whether it is still wanted."""

    figure: str = ""
    """Id of the figure that the fold is about."""
    reading: object | None = None
    """The reading that is under way."""


def wire_table(parts: PageParts, client: ModelClient, options: WebOptions) -> None:
    """Show what the figure has; read on demand. What is read stays, and goes on being read, until another figure comes: the
    viewer changes too where its text comes late, is hidden or is corrected."""
    table, model, shown = parts.table, options.table_model, gr.State(_Shown())

    def ready(session: Session, shown: _Shown) -> tuple[Any, ...]:
        figure = session.figure
        name = figure.id if figure else ""
        if name == shown.figure:
            return (gr.skip(),) * 4
        shown.figure, shown.reading = name, None
        known = figure.table if figure else None
        view = table_view(known, source=OF_THE_PAPER) if known else None
        usable = figure is not None and bool(model)
        return gr.update(visible=usable or view is not None), gr.update(interactive=usable), view, ""

    async def read(session: Session, shown: _Shown) -> AsyncGenerator[tuple[Any, ...]]:
        figure = session.figure
        if figure is None:
            return
        # A reader may be faster than the change of the viewer.
        held = gr.skip() if figure.id == shown.figure else None
        reading = object()
        shown.figure, shown.reading = figure.id, reading
        yield held, "<p>Reading the chart …</p>", gr.update(interactive=False), gr.skip()
        try:
            found = await ask_for_table(client, model, figure, lambda: shown.reading is reading)
        except LlavaGraphError as error:
            if shown.reading is reading:
                yield None, f"<p>{html.escape(error.what)}.</p>", gr.update(interactive=True), error_banner(error)
            return
        if found is None or shown.reading is not reading:
            return
        source = READ_BY.format(model)
        view = table_view(found.table, source=source, problems=found.problems)
        yield view, "", gr.update(interactive=True), ""

    table.read.click(
        read,
        [parts.session, shown],
        [table.data, table.note, table.read, parts.banner],
        show_progress="hidden",
        concurrency_limit=options.concurrency_count,
        concurrency_id="answers",
        api_visibility="private",
    )
    fold = [table.fold, table.read, table.data, table.note]
    parts.figure.viewer.change(ready, [parts.session, shown], fold, **WITH_EVERY_CHANGE)


async def ask_for_table(
    client: ModelClient, model: str, figure: Figure, wanted: Callable[[], bool] = lambda: True
) -> ReadTable | None:
    """The data of a chart as `model` reads it; None where it was wanted no more.

    Raises ServeError, ImageError, and TableRefused.
    """
    messages: list[Message] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": DEPLOT}]}]
    sampling = Sampling(temperature=0.0, max_new_tokens=TABLE_TOKENS)
    text, reason = "", None
    async with aclosing(client.answer(model, messages, pixels_of([figure]), sampling)) as replies:
        async for reply in replies:
            if not wanted():
                return None
            text, reason = reply.text, reply.finish_reason
    return read_table(text, cut=reason == "length")
