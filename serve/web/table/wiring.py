"""The table of the figure that is shown, and reading one with a table model."""

import html
from collections.abc import AsyncGenerator
from contextlib import aclosing
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


def wire_table(parts: PageParts, client: ModelClient, options: WebOptions) -> None:
    """Show what the figure has; read on demand."""
    table, model = parts.table, options.table_model

    def ready(session: Session) -> tuple[Any, ...]:
        figure = session.figure
        known = figure.table if figure else None
        view = table_view(known, source=OF_THE_PAPER) if known else None
        usable = figure is not None and bool(model)
        return gr.update(visible=usable or view is not None), gr.update(interactive=usable), view, ""

    async def read(session: Session) -> AsyncGenerator[tuple[Any, ...]]:
        figure = session.figure
        if figure is None:
            return
        yield gr.skip(), "<p>Reading the chart …</p>", gr.update(interactive=False), gr.skip()
        try:
            found = await ask_for_table(client, model, figure)
        except LlavaGraphError as error:
            yield None, f"<p>{html.escape(error.what)}.</p>", gr.update(interactive=True), error_banner(error)
            return
        source = READ_BY.format(model)
        view = table_view(found.table, source=source, problems=found.problems)
        yield view, "", gr.update(interactive=True), ""

    reading = table.read.click(
        read,
        parts.session,
        [table.data, table.note, table.read, parts.banner],
        show_progress="hidden",
        concurrency_limit=options.concurrency_count,
        concurrency_id="answers",
        api_visibility="private",
    )
    shown = [table.fold, table.read, table.data, table.note]
    parts.figure.viewer.change(ready, parts.session, shown, cancels=reading, **WITH_EVERY_CHANGE)


async def ask_for_table(client: ModelClient, model: str, figure: Figure) -> ReadTable:
    """The data of a chart as `model` reads it. Raises ServeError, ImageError, and TableRefused."""
    messages: list[Message] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": DEPLOT}]}]
    sampling = Sampling(temperature=0.0, max_new_tokens=TABLE_TOKENS)
    text, reason = "", None
    async with aclosing(client.answer(model, messages, pixels_of([figure]), sampling)) as replies:
        async for reply in replies:
            text, reason = reply.text, reply.finish_reason
    return read_table(text, cut=reason == "length")
