"""Uploading a figure or choosing an example, and reading its text."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from serve.web.figure.opening import Reading, ReadText, open_figure, read_figure
from serve.web.look import Look, drawn
from serve.web.parts import PageParts


def wire_figure(parts: PageParts, read: ReadText) -> list[Any]:
    """Take figures in. Returns the events, so that clearing can end them."""
    figure, examples = parts.figure, parts.figure.examples

    def take(file: dict[str, Any] | None, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
        # An upload brings no data (gradio: None), choosing an example brings its index.
        example = examples[event.index] if event._data else None
        opened = open_figure(str(example.path) if example else (file or {}).get("path"))
        caption = example.caption if example and opened.session.figure else gr.skip()
        # The viewer shows the figure now; the field is empty, ready for the next one.
        yield (*reading_drawn(opened, waiting=opened.session.figure is not None), None, caption)
        if opened.session.figure is not None:
            yield (*reading_drawn(read_figure(opened, read)), gr.skip(), gr.skip())

    # One event for both, one at a time, none dropped: a figure chosen while another one is read comes after it, and stays.
    # preprocess=False: the file is an upload (serve.web.uploads); we open it ourselves, under our limits.
    taking = gr.on(
        [figure.upload.upload] if figure.gallery is None else [figure.upload.upload, figure.gallery.select],
        take,
        figure.upload,
        [*parts.look, figure.viewer, figure.upload, parts.context.caption],
        preprocess=False,
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=figure.upload,
        concurrency_limit=1,
        concurrency_id="ocr",
        api_visibility="private",
    )
    return [taking]


def reading_drawn(reading: Reading, *, waiting: bool = False) -> tuple[Any, ...]:
    """A reading as values for `PageParts.look` and the viewer. While `waiting` for the text nothing can be asked."""
    status = "Reading the text in the figure …" if waiting else ""
    look = drawn(Look(reading.session, reading.banner, status))
    if waiting:
        look = (*look[:5], gr.update(interactive=False), gr.update(interactive=False), gr.skip())
    return (*look, reading.view)
