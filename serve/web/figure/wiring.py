"""How a figure arrives on the page, whatever brings it: the answer about the last one ends, the new one is shown, then read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from serve.web.figure.opening import Arrival, ReadText, open_figure, read_figure
from serve.web.look import Look, drawn
from serve.web.parts import AT_ONCE, PageParts
from serve.web.session import Session

ARRIVING: dict[str, Any] = {
    # One at a time, none dropped: a figure chosen while another one is read comes after it, and stays.
    "trigger_mode": "multiple",
    "concurrency_limit": 1,
    "concurrency_id": "ocr",
    "show_progress": "hidden",
    "api_visibility": "private",
}


@dataclass(frozen=True)
class Wanted:
    """The figure that a visitor has asked for: one of the three."""

    upload: str = ""
    """Path of an uploaded picture."""
    example: int | None = None
    """Number of a packaged example."""
    of_paper: str = ""
    """Id of a figure of a paper on the shelf."""


def wire_figures(
    parts: PageParts, read: ReadText, picked: Callable[[str], Iterator[Arrival]], answers: Sequence[Any]
) -> list[Any]:
    """`picked`: a figure of a paper, by its id. `answers`: the events in which a model answers; the next figure ends them.
    Returns the events that bring a figure, so that clearing can end them."""
    figure, examples = parts.figure, parts.figure.examples

    def upload(event: gr.EventData) -> Wanted:
        return Wanted(upload=text_of(event, "path"))

    def example(event: gr.SelectData) -> Wanted:
        return Wanted(example=event.index)

    def of_paper(event: gr.EventData) -> Wanted:
        return Wanted(of_paper=text_of(event, "figure"))

    def arrive(wanted: Wanted, before: Session) -> Iterator[tuple[Any, ...]]:
        for step in arrivals(wanted):
            session = step.reading.session.coming_after(before)
            yield arrived(replace(step, reading=replace(step.reading, session=session)))

    def arrivals(wanted: Wanted) -> Iterator[Arrival]:
        if wanted.of_paper:
            return picked(wanted.of_paper)
        if wanted.example is None:
            return opened(wanted.upload)
        chosen = examples[wanted.example]
        return opened(str(chosen.path), chosen.caption)

    def opened(path: str, caption: str | None = None) -> Iterator[Arrival]:
        first = open_figure(path)
        there = first.session.figure is not None
        yield Arrival(first, caption if there else None, waiting=there)
        if there:
            yield Arrival(read_figure(first, read))

    asked = [(figure.upload.upload, upload), (parts.paper.bar.pick_figure, of_paper)]
    if figure.gallery is not None:
        asked.append((figure.gallery.select, example))
    # First the answer ends, then the figure comes: a last piece of the answer would bring the figure before back.
    return [
        event(want, None, figure.wanted, cancels=answers, **AT_ONCE).then(
            arrive, [figure.wanted, parts.session], parts.arrival, **ARRIVING
        )
        for event, want in asked
    ]


def arrived(arrival: Arrival) -> tuple[Any, ...]:
    """An arrival as values for `PageParts.arrival`. While its text is read nothing can be asked."""
    reading, waiting = arrival.reading, arrival.waiting
    look = drawn(Look(reading.session, reading.banner, "Reading the text in the figure …" if waiting else ""))
    if waiting:
        look = (*look[:5], gr.update(interactive=False), gr.update(interactive=False), gr.skip())
    return (*look, reading.view, gr.skip() if arrival.caption is None else arrival.caption)


def text_of(event: gr.EventData, name: str) -> str:
    """What the browser sends along with an event; empty if it is no text."""
    value = event._data.get(name) if isinstance(event._data, dict) else None
    return value if isinstance(value, str) else ""
