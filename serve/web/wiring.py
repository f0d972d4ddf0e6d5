"""Which part of the page calls which action, and how what an action gives back is drawn."""

import html
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from llava_graph.errors import InputError
from llava_graph.examples import ExampleFigure
from serve.client import ModelClient, Sampling
from serve.web import actions
from serve.web.options import WebOptions
from serve.web.session import Session, error_banner, on_the_page

TO_CHAT_ON_PHONES = (
    "() => { if (innerWidth < 800) document.querySelector('#right').scrollIntoView({behavior: 'smooth'}) }"
)


AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Of steps that take no time: answered directly, not through gradio's queue and the stream that it opens for them."""


@dataclass(frozen=True)
class Parts:
    """The components that actions read and write."""

    session: gr.State
    model: gr.Dropdown
    model_line: gr.HTML
    figure: gr.Image
    """Takes uploads; what was uploaded stands in the viewer."""
    viewer: gr.HTML
    """Shows `view_of` a figure."""
    changes: gr.HTML
    """What the visitor changed of its lines, see `on_the_page`; written by the viewer, in the browser."""
    caption: gr.Textbox
    prompt: gr.Textbox
    prompt_note: gr.HTML
    explain: gr.Button
    clear: gr.Button
    sampling: tuple[gr.Slider, gr.Slider, gr.Slider]
    banner: gr.HTML
    chat: gr.Chatbot
    status: gr.HTML
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button

    @property
    def look(self) -> list[Any]:
        """What `drawn` gives values for."""
        return [
            self.session,
            self.chat,
            self.banner,
            self.status,
            self.question,
            self.explain,
            self.ask,
            self.stop,
        ]


def drawn(look: actions.Look) -> tuple[Any, ...]:
    """A look as values for `Parts.look`."""
    ready = look.session.figure is not None and not look.busy
    return (
        look.session,
        look.session.chat(),
        look.banner,
        look.status,
        gr.skip() if look.field is None else look.field,
        gr.update(interactive=ready),
        gr.update(interactive=ready, visible=not look.busy),
        gr.update(visible=look.busy),
    )


def wire_models(page: gr.Blocks, parts: Parts, client: ModelClient, options: WebOptions) -> None:
    """Which models there are: on every visit, or once."""
    known: list[actions.Models] = []

    async def find(wanted: str | None) -> tuple[Any, str, str]:
        if not (options.model_list_mode == "once" and known and known[0].names):
            known[:] = [await actions.find_models(client, wanted or "")]
        models = known[0]
        dropdown = gr.update(choices=list(models.names), value=models.chosen or None, visible=len(models.names) > 1)
        return dropdown, models.line, models.banner

    async def choose(wanted: str | None) -> tuple[str, str]:
        models = await actions.find_models(client, wanted or "")
        return models.line, models.banner

    page.load(find, parts.model, [parts.model, parts.model_line, parts.banner], **AT_ONCE)
    parts.model.input(choose, parts.model, [parts.model_line, parts.banner], **AT_ONCE)


def wire_figure(
    parts: Parts, gallery: gr.Gallery | None, examples: Sequence[ExampleFigure], read: actions.ReadText
) -> Any:
    """Uploading a figure or choosing an example, and reading its text. Returns the event, so that clearing can end it."""

    def take(file: dict[str, Any] | None, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
        # An upload brings no data (gradio: None), choosing an example brings its index.
        example = examples[event.index] if event._data else None
        opened = actions.open_figure(str(example.path) if example else (file or {}).get("path"))
        caption = example.caption if example and opened.session.figure else gr.skip()
        # The viewer shows the figure now; the field is empty, ready for the next one.
        yield (*reading_drawn(opened, waiting=opened.session.figure is not None), None, caption)
        if opened.session.figure is not None:
            yield (*reading_drawn(actions.read_figure(opened, read)), gr.skip(), gr.skip())

    # One event for both, one at a time, none dropped: a figure chosen while another one is read comes after it, and stays.
    # preprocess=False: the file is an upload (serve.web.uploads); we open it ourselves, under our limits.
    return gr.on(
        [parts.figure.upload] if gallery is None else [parts.figure.upload, gallery.select],
        take,
        parts.figure,
        [*parts.look, parts.viewer, parts.figure, parts.caption],
        preprocess=False,
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=parts.figure,
        concurrency_limit=1,
        concurrency_id="ocr",
        api_visibility="private",
    )


def reading_drawn(reading: actions.Reading, *, waiting: bool = False) -> tuple[Any, ...]:
    """A reading as values for `Parts.look` and the viewer. While `waiting` for the text nothing can be asked."""
    status = "Reading the text in the figure …" if waiting else ""
    look = drawn(actions.Look(reading.session, reading.banner, status))
    if waiting:
        look = (*look[:5], gr.update(interactive=False), gr.update(interactive=False), gr.skip())
    return (*look, reading.view)


def wire_chat(parts: Parts, client: ModelClient, options: WebOptions, taking: Any) -> None:
    """Explaining and asking on."""
    context = [parts.session, parts.caption, parts.changes, parts.model, *parts.sampling]

    async def run(question: str | None, *values: Any) -> AsyncGenerator[tuple[Any, ...]]:
        session, caption, changes, model, *numbers = values
        try:
            # The caption and the text are those on the page now, in every turn.
            asked = on_the_page(session, caption or "", changes)
        except InputError as error:
            yield drawn(actions.Look(session, error_banner(error)))
            return
        temperature, top_p, length = numbers
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=int(length))
        async for look in actions.answer(client, asked, question, model or "", sampling):
            # The visitor's session keeps the figure as it was read, so that every change can be undone.
            yield drawn(replace(look, session=replace(look.session, figure=session.figure)))

    async def explain(*values: Any) -> AsyncGenerator[tuple[Any, ...]]:
        async for step in run(None, *values):
            yield step

    async def ask(question: str, *values: Any) -> AsyncGenerator[tuple[Any, ...]]:
        async for step in run(question or "", *values):
            yield step

    stream: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": options.concurrency_count,
        "concurrency_id": "answers",
        "api_visibility": "private",
    }
    parts.explain.click(None, js=TO_CHAT_ON_PHONES)
    answers = [
        parts.explain.click(explain, context, parts.look, **stream),
        parts.ask.click(ask, [parts.question, *context], parts.look, **stream),
        parts.question.submit(ask, [parts.question, *context], parts.look, **stream),
    ]

    wire_ends(parts, answers, taking)


def wire_preview(parts: Parts, client: ModelClient) -> None:
    """What the model would be given, drawn anew when anything that it is made of has changed."""

    async def look(session: Session, caption: str | None, changes: Any, model: str | None) -> tuple[str, str]:
        shown = await actions.preview(client, session, caption or "", changes, model or "")
        return shown.prompt, f"<p>{html.escape(shown.note)}</p>" if shown.note else ""

    gr.on(
        [parts.viewer.change, parts.changes.change, parts.caption.change, parts.model.input],
        look,
        [parts.session, parts.caption, parts.changes, parts.model],
        [parts.prompt, parts.prompt_note],
        # Of many keystrokes the last one counts.
        trigger_mode="always_last",
        **AT_ONCE,
    )


def wire_ends(parts: Parts, answers: Sequence[Any], taking: Any) -> None:
    """What ends an answer: Stop, the bin at the conversation, Clear, and taking the figure away."""

    def stopped(session: Session) -> tuple[Any, ...]:
        return drawn(actions.Look(session, status="Stopped."))

    def cleared() -> tuple[Any, ...]:
        return (*drawn(actions.Look(Session(), field="")), None, None, "")

    def forgotten(session: Session) -> tuple[Any, ...]:
        return drawn(actions.Look(replace(session, turns=())))

    everything = [*parts.look, parts.figure, parts.viewer, parts.caption]
    after_the_end: tuple[tuple[Any, Any, list[Any], list[Any]], ...] = (
        (parts.stop.click, stopped, [parts.session], parts.look),
        (parts.chat.clear, forgotten, [parts.session], parts.look),
        (parts.clear.click, cleared, [], everything),
        (parts.figure.clear, cleared, [], everything),
    )
    smaller: list[Any] = []
    for event, action, inputs, outputs in after_the_end:
        # First the answer ends, then the page changes: a last piece of the answer would draw over it. Clearing all also
        # ends a stop or a forgetting that is still on its way, which would bring the old figure back.
        ending = [*answers, taking, *smaller] if action is cleared else answers
        ended = event(lambda: None, cancels=ending, **AT_ONCE)
        # What can be cancelled has to be queued.
        step: dict[str, Any] = AT_ONCE if action is cleared else AT_ONCE | {"queue": True}
        change = ended.then(action, inputs, outputs, **step)
        if action is not cleared:
            smaller.append(change)
