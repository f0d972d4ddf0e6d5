"""Comparing answers: ask for both, stop, keep a figure and let it go."""

import html
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.record import Figure
from serve.client import ModelClient, ModelDetails, Sampling
from serve.web.banner import banner, error_banner
from serve.web.compare.asking import Contrast, answered, two_figures, with_and_without
from serve.web.compare.pair import pair_view
from serve.web.compare.parts import KEEP, TWO_FIGURES, WITHOUT_TEXT, AskingParts
from serve.web.conversation.answering import Wish
from serve.web.figure.reading import RegionReader
from serve.web.options import WebOptions
from serve.web.parts import AT_ONCE, WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session
from serve.web.writing import REFUSED, Writing

NO_TEXT = "No text of this figure is given to the model: there is nothing to leave out."
CHOOSE_B = "Now choose the other figure: from the paper, an upload or an example."
KEEP_INSTEAD = "Take this figure as Figure A instead"
ASK_BOTH = "Figure B is the one that is shown; another one takes its place. Ask about both:"

Values = dict[Any, Any]
"""Component -> its value, as gradio gives a set of inputs."""
Prepare = Callable[[Values, str | None, ModelDetails], Awaitable[Contrast]]
"""What is asked, from what stands on the page."""


def wire_compare(
    page: gr.Blocks, parts: PageParts, client: ModelClient, options: WebOptions, reader: RegionReader
) -> None:
    """Both folds."""
    wires = Wires(parts, client, options)
    _wire_text(wires, reader)
    _wire_figures(page, wires)


@dataclass(frozen=True)
class Wires:
    """What both folds need to ask a model."""

    parts: PageParts
    client: ModelClient
    options: WebOptions


def _wire_text(wires: Wires, reader: RegionReader) -> None:
    parts = wires.parts
    asking = parts.compare.text

    async def prepare(values: Values, question: str | None, details: ModelDetails) -> Contrast:
        page = parts.on_page(values)
        wish = Wish(question=question, ask=page.ask, regions=await reader.parts(page) if question else ())
        return with_and_without(page.now(), wish, details)

    def ready(values: Values) -> tuple[Any, ...]:
        figure = parts.on_page(values).now().figure
        usable = figure is not None and bool(figure.ocr)
        note = WITHOUT_TEXT if usable or figure is None else NO_TEXT
        return (*_of_another_figure(values, asking, figure), gr.update(interactive=usable), _paragraph(note))

    changed = [parts.figure.viewer.change, parts.figure.changes.change]
    look = [asking.contrast, asking.answers, asking.ask, asking.note]
    inputs = {*parts.given.values(), asking.contrast}
    gr.on(changed, ready, inputs, look, **WITH_EVERY_CHANGE)
    _wire_asking(wires, asking, prepare)


def _wire_figures(page: gr.Blocks, wires: Wires) -> None:
    parts, compare = wires.parts, wires.parts.compare
    asking = compare.figures
    shown = [compare.pair, compare.pin, compare.unpin, asking.ask, asking.note]
    answers = [asking.contrast, asking.answers]

    async def prepare(values: Values, question: str | None, details: ModelDetails) -> Contrast:
        page = parts.on_page(values)
        one, other = values[compare.pinned], page.now()
        if not _are_two(one, other):
            raise InputError("two figures are needed to compare", next_step=CHOOSE_B)
        before = values[asking.contrast]
        wish = Wish(question=question, ask=page.ask)
        return two_figures((one, other), wish, details, before.turns if before else ())

    def look(pinned: Session | None, shown: Session) -> tuple[Any, ...]:
        other = shown if _are_two(pinned, shown) else None
        return (
            pair_view(pinned.figure if pinned else None, other.figure if other else None),
            gr.update(interactive=shown.figure is not None, value=KEEP_INSTEAD if other else KEEP),
            gr.update(visible=pinned is not None),
            gr.update(interactive=other is not None),
            _paragraph(ASK_BOTH if other else CHOOSE_B if pinned else TWO_FIGURES),
        )

    def pin(values: Values) -> tuple[Any, ...]:
        values[asking.writing].end()
        shown = replace(parts.on_page(values).now(), turns=(), facts=(), original=None)
        return (shown, *look(shown, shown), None, None)

    def unpin(values: Values) -> tuple[Any, ...]:
        values[asking.writing].end()
        return (None, *look(None, parts.on_page(values).now()), None, None)

    def changed(values: Values) -> tuple[Any, ...]:
        shown = parts.on_page(values).now()
        return (*look(values[compare.pinned], shown), *_of_another_figure(values, asking, shown.figure))

    given = {*parts.given.values()}
    events = [page.load, parts.figure.viewer.change, parts.context.caption.change]
    gr.on(
        events,
        changed,
        given | {compare.pinned, asking.contrast},
        [*shown, *answers],
        **WITH_EVERY_CHANGE,
    )
    asked = _wire_asking(wires, asking, prepare, (compare.pinned,))
    for button, step in ((compare.pin, pin), (compare.unpin, unpin)):
        ended = button.click(lambda: None, cancels=asked, **AT_ONCE)
        ended.then(step, given | {asking.writing}, [compare.pinned, *shown, *answers], **AT_ONCE).then(
            lambda: _buttons(writing=False), None, [asking.row, asking.stop], **AT_ONCE
        )


def _are_two(one: Session | None, other: Session | None) -> bool:
    """Whether both have a figure, and not the same."""
    figures = [session.figure for session in (one, other) if session is not None and session.figure is not None]
    return len({figure.id for figure in figures}) > 1


def _wire_asking(wires: Wires, asking: AskingParts, prepare: Prepare, more: Collection[Any] = ()) -> Any:
    """The question, its answers and Stop. Returns the event, so that others can end it. `more`: what `prepare` reads."""
    parts, client = wires.parts, wires.client
    look = [asking.contrast, asking.answers, asking.row, asking.stop, parts.banner]
    front = parts.arena.front
    inputs = {
        *parts.given.values(),
        *parts.models.sampling,
        front,
        asking.question,
        asking.contrast,
        asking.writing,
        *more,
    }

    async def run(values: Values) -> AsyncGenerator[tuple[Any, ...]]:
        writing: Writing = values[asking.writing]
        figure = values[parts.session].figure
        if (turn := writing.begin(figure.id if figure else "")) is None:
            yield (*(gr.skip(),) * (len(look) - 1), banner(REFUSED))
            return
        try:
            async with aclosing(written(values)) as steps:
                async for contrast, told in steps:
                    if not writing.holds(turn):
                        return
                    if contrast is None or contrast.ended:
                        writing.end(turn)
                    yield _drawn(contrast, told)
        finally:
            writing.end(turn)

    async def written(values: Values) -> AsyncGenerator[tuple[Contrast | None, str]]:
        page = parts.on_page(values)
        _, top_p, length = (values[slider] for slider in parts.models.sampling)
        try:
            model = page.model or next(iter(await client.models()), "")
            question = (values[asking.question] or "").strip() or None
            contrast = await prepare(values, question, await client.details(model))
            values[front].figure = contrast.figures[-1]
            yield contrast, ""
            # The likeliest words, so that answers differ by what they are given alone.
            sampling = Sampling(temperature=0.0, top_p=top_p, max_new_tokens=int(length))
            async with aclosing(answered(client, contrast, model, sampling)) as steps:
                async for contrast in steps:
                    # Another figure may have come to the front meanwhile.
                    yield (contrast if contrast.figures[-1] == values[front].figure else None), ""
                    if contrast.figures[-1] != values[front].figure:
                        return
        except LlavaGraphError as error:
            yield None, error_banner(error)

    def stopped(contrast: Contrast | None, writing: Writing) -> tuple[Any, ...]:
        writing.end()
        return _drawn(contrast.stopped() if contrast else None)

    asked = gr.on(
        [asking.ask.click, asking.question.submit],
        run,
        inputs,
        look,
        show_progress="hidden",
        concurrency_limit=wires.options.concurrency_count,
        concurrency_id="answers",
        api_visibility="private",
    )
    asking.stop.click(lambda: None, cancels=asked, **AT_ONCE).then(
        stopped, [asking.contrast, asking.writing], look, **AT_ONCE
    )
    return asked


def _of_another_figure(values: Values, asking: AskingParts, figure: Figure | None) -> tuple[Any, Any]:
    """Answers about a figure that is no longer shown go."""
    contrast = values[asking.contrast]
    gone = contrast is not None and (figure is None or contrast.figures[-1] != figure.id)
    return (None, None) if gone else (gr.skip(), gr.skip())


def _drawn(contrast: Contrast | None, told: str = "") -> tuple[Any, ...]:
    writing = contrast is not None and not contrast.ended
    return (contrast, contrast.view() if contrast else None, *_buttons(writing=writing), told)


def _buttons(*, writing: bool) -> tuple[Any, Any]:
    return gr.update(visible=not writing), gr.update(visible=writing)


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"
