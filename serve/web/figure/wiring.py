"""How a figure arrives on the page, whatever brings it: the answer about the last one ends, the new one is shown, then read."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from llava_graph.examples import ExampleFigure
from serve.web.figure.choosing import Choices, Wanted
from serve.web.figure.opening import Arrival, Reading, ReadText, open_figure, read_figure
from serve.web.look import Look, drawn
from serve.web.parts import WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session

SHOWING: dict[str, Any] = {
    "trigger_mode": "multiple",
    # Pictures that are decoded at once: 200 MB each at most, and all in under a second.
    "concurrency_limit": 4,
    "concurrency_id": "figures",
    "show_progress": "hidden",
    "api_visibility": "private",
}
READING = SHOWING | {
    # Figures whose text is read at once; a reader takes a core for seconds.
    "concurrency_limit": 2,
    "concurrency_id": "ocr",
}
QUEUEING, AT_WORK = "Waiting for the text reader …", "Reading the text in the figure …"
BANNER, STATUS, EXPLAIN, STOP = 1, 3, 5, 7
"""Places in `PageParts.look`."""
NOTHING = tuple(gr.skip() for _ in range(11))
"""For `PageParts.arrival` and the paper bar."""


def wire_figures(
    parts: PageParts, read: ReadText, picked: Callable[[str], Arrival], answers: Sequence[Any]
) -> list[Any]:
    """`picked`: a figure of a paper, by its id. `answers`: the events in which a model answers; the next figure ends them.
    Returns the events that bring a figure, so that clearing can end them."""
    figure, steps = parts.figure, _Steps(parts.figure.examples, read, picked)
    given, outputs = [figure.choices, parts.session], [*parts.arrival, parts.paper.bar]
    asked = [(figure.upload.upload, upload), (parts.paper.bar.pick_figure, of_paper)]
    if figure.gallery is not None:
        asked.append((figure.gallery.select, example))
    taking = []
    for event, want in asked:
        # First the answer ends, then the figure comes: a last piece of the answer would bring the figure before back.
        wanted = event(want, figure.choices, None, cancels=answers, **WITH_EVERY_CHANGE)
        shown = wanted.then(steps.show, given, outputs, **SHOWING)
        taking += [shown, shown.then(steps.finish, given, outputs, **READING)]
    return taking


async def upload(choices: Choices, event: gr.EventData) -> None:
    """A picture that has been uploaded."""
    choices.take(Wanted(upload=text_of(event, "path"), name=text_of(event, "name"), number=(_count(event), 0)))


async def of_paper(choices: Choices, event: gr.EventData) -> None:
    """A figure of the paper in the bar."""
    choices.take(Wanted(of_paper=text_of(event, "figure"), number=(_count(event), 0)))


async def example(choices: Choices, event: gr.SelectData) -> None:
    """A picture of the gallery."""
    choices.take(Wanted(example=event.index, number=choices.behind()))


class _Steps:
    """Showing what was chosen last, and reading it. Steps of one visitor may run side by side."""

    def __init__(self, examples: Sequence[ExampleFigure], read: ReadText, picked: Callable[[str], Arrival]) -> None:
        self._examples, self._read, self._picked = examples, read, picked

    async def show(self, choices: Choices, before: Session) -> tuple[Any, ...]:
        """The figure as it is, unless another step has it or a newer choice has come."""
        wanted = choices.begin()
        if wanted is None:
            return NOTHING
        arrival = await asyncio.to_thread(self._opened, wanted, before)
        if wanted is not choices.newest:
            return NOTHING
        if arrival.reading.session.figure is None:
            return refused(arrival.reading.banner, before, choices)
        choices.show(wanted, arrival.rest)
        return arrived(arrival, before, wanted.number[0])

    async def finish(self, choices: Choices, session: Session) -> AsyncGenerator[tuple[Any, ...]]:
        """The text of what is shown; it is shown only if the figure is still there."""
        rest, number = choices.unread, choices.on_page
        if rest is None:
            yield NOTHING
            return
        choices.unread = None
        yield (*NOTHING[:STATUS], AT_WORK, *NOTHING[STATUS + 1 :])
        whole = await asyncio.to_thread(rest)
        if number != choices.on_page or whole.session.figure is None:
            yield NOTHING
            return
        choices.reading = False
        whole = replace(whole, session=replace(session, figure=whole.session.figure))
        values = (*finished(whole, number[0]), gr.skip(), gr.skip())
        # What went wrong meanwhile stays told.
        yield values if whole.banner else (*values[:BANNER], gr.skip(), *values[BANNER + 1 :])

    def _opened(self, wanted: Wanted, before: Session) -> Arrival:
        if wanted.of_paper:
            return self._picked(wanted.of_paper)
        chosen = None if wanted.example is None else self._examples[wanted.example]
        first = open_figure(str(chosen.path) if chosen else wanted.upload, wanted.name)
        # What stands in the field was written for this figure only if there was no other one.
        caption = chosen.caption if chosen else None if before.figure is None else ""
        return Arrival(first, caption, lambda: read_figure(first, self._read))


def arrived(arrival: Arrival, before: Session, number: int) -> tuple[Any, ...]:
    """A figure as values for `PageParts.arrival` and the paper bar. As long as its text is not read nothing can be asked."""
    reading = replace(arrival.reading, session=arrival.reading.session.coming_after(before))
    values = finished(reading, number) if arrival.rest is None else _not_yet(finished(reading, number))
    return (*values, gr.skip() if arrival.caption is None else arrival.caption, gr.skip())


def finished(reading: Reading, number: int) -> tuple[Any, ...]:
    """A figure as values for `PageParts.look` and the viewer. `number`: the browser's of the choice."""
    return (*drawn(Look(reading.session, reading.banner)), {**(reading.view or {}), "choice": number})


def refused(banner: str, before: Session, choices: Choices) -> tuple[Any, ...]:
    """What cannot be shown leaves what is there, but says why. (An answer that was being given has ended.)"""
    look = drawn(Look(before.settled(), banner))
    if choices.reading:
        look = (*look[:STATUS], gr.skip(), *_not_yet(look)[STATUS + 1 :])
    return (*look, gr.skip(), gr.skip(), {"chosen": before.figure.id if before.figure else ""})


def _not_yet(values: tuple[Any, ...]) -> tuple[Any, ...]:
    off = gr.update(interactive=False)
    return (*values[:STATUS], QUEUEING, *values[STATUS + 1 : EXPLAIN], off, off, *values[STOP:])


def _count(event: gr.EventData) -> int:
    count = event._data.get("choice") if isinstance(event._data, dict) else None
    return count if isinstance(count, int) else 0


def text_of(event: gr.EventData, name: str) -> str:
    """What the browser sends along with an event; empty if it is no text."""
    value = event._data.get(name) if isinstance(event._data, dict) else None
    return value if isinstance(value, str) else ""
