"""How a figure arrives on the page: an upload or an example is opened, shown at once, and then read."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from serve.web.figure.opening import Reading, ReadText, open_figure, read_figure
from serve.web.look import Look, drawn
from serve.web.parts import PageParts

ARRIVING: dict[str, Any] = {
    # One at a time, none dropped: a figure chosen while another one is read comes after it, and stays.
    "trigger_mode": "multiple",
    "concurrency_limit": 1,
    "concurrency_id": "ocr",
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""How every event is run that brings a figure, wherever it comes from."""


def wire_figure(parts: PageParts, read: ReadText) -> list[Any]:
    """Take figures in. Returns the events, so that clearing can end them."""
    figure, examples = parts.figure, parts.figure.examples

    def upload(event: gr.EventData) -> Iterator[tuple[Any, ...]]:
        path = event._data.get("path") if isinstance(event._data, dict) else None
        yield from arrivals(path if isinstance(path, str) else None)

    def example(event: gr.SelectData) -> Iterator[tuple[Any, ...]]:
        chosen = examples[event.index]
        yield from arrivals(str(chosen.path), chosen.caption)

    def arrivals(path: str | None, caption: str | None = None) -> Iterator[tuple[Any, ...]]:
        opened = open_figure(path)
        there = opened.session.figure is not None
        yield arrival(opened, caption if there else None, waiting=there)
        if there:
            yield arrival(read_figure(opened, read))

    events = [figure.upload.upload(upload, None, parts.arrival, **ARRIVING)]
    if figure.gallery is not None:
        events.append(figure.gallery.select(example, None, parts.arrival, **ARRIVING))
    return events


def arrival(reading: Reading, caption: str | None = None, *, waiting: bool = False) -> tuple[Any, ...]:
    """A reading as values for `PageParts.arrival`; `caption` None leaves it alone. While `waiting` nothing can be asked."""
    status = "Reading the text in the figure …" if waiting else ""
    look = drawn(Look(reading.session, reading.banner, status))
    if waiting:
        look = (*look[:5], gr.update(interactive=False), gr.update(interactive=False), gr.skip())
    return (*look, reading.view, gr.skip() if caption is None else caption)
