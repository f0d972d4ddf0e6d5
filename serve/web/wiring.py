"""Which part of the page calls which action, and how what an action gives back is drawn."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from llava_graph.examples import ExampleFigure
from llava_graph.images import open_image
from serve.client import ModelClient, Sampling
from serve.web import actions
from serve.web.app import WebOptions
from serve.web.session import Session, with_context

TO_CHAT_ON_PHONES = (
    "() => { if (innerWidth < 800) document.querySelector('#right').scrollIntoView({behavior: 'smooth'}) }"
)


@dataclass(frozen=True)
class Parts:
    """The components that actions read and write."""

    session: gr.State
    model: gr.Dropdown
    model_line: gr.HTML
    figure: gr.Image
    overlay: gr.Image
    caption: gr.Textbox
    use_text: gr.Checkbox
    text: gr.Textbox
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

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(find, parts.model, [parts.model, parts.model_line, parts.banner], **quiet)
    parts.model.input(choose, parts.model, [parts.model_line, parts.banner], **quiet)


def wire_figure(parts: Parts, gallery: gr.Gallery | None, examples: Sequence[ExampleFigure]) -> None:
    """Uploading, choosing an example, clearing."""
    fresh = [*parts.look, parts.overlay, parts.text]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}

    def opened(reading: actions.Reading, status: str) -> tuple[Any, ...]:
        # Explain waits until the figure is read: otherwise it would go without its text.
        look = actions.Look(reading.session, reading.banner, status, busy=False)
        return (*drawn(look)[:5], gr.update(interactive=False), gr.update(interactive=False), gr.skip(), None, "")

    def upload(file: dict[str, Any] | None) -> tuple[Any, ...]:
        reading = actions.open_figure(file["path"] if file else None)
        status = "Reading the text in the figure …" if reading.session.figure else ""
        return (*opened(reading, status), gr.skip() if reading.session.figure else None)

    def pick(event: gr.SelectData) -> tuple[Any, ...]:
        example = examples[event.index]
        reading = actions.open_figure(str(example.path))
        return (*opened(reading, "Reading the text in the figure …"), open_image(example.path), example.caption)

    def read(session: Session, shown: str) -> tuple[Any, ...]:
        reading = actions.read_figure(session)
        ready = gr.update(interactive=reading.session.figure is not None)
        return reading.session, reading.overlay, reading.text, reading.banner or shown, "", ready, ready

    read_outputs = [parts.session, parts.overlay, parts.text, parts.banner, parts.status, parts.explain, parts.ask]
    one_at_a_time: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "ocr", "api_visibility": "private"}
    # preprocess=False: the file is an upload (serve.web.uploads); we open it ourselves, under our limits.
    parts.figure.upload(upload, parts.figure, [*fresh, parts.figure], preprocess=False, **quiet).then(
        read, [parts.session, parts.banner], read_outputs, show_progress_on=[parts.text, parts.overlay], **one_at_a_time
    )
    if gallery is not None:
        gallery.select(pick, None, [*fresh, parts.figure, parts.caption], **quiet).then(
            read,
            [parts.session, parts.banner],
            read_outputs,
            show_progress_on=[parts.text, parts.overlay],
            **one_at_a_time,
        )


def wire_chat(parts: Parts, client: ModelClient, options: WebOptions) -> None:
    """Explaining, asking on, stopping, clearing."""
    context = [parts.session, parts.caption, parts.use_text, parts.text, parts.model, *parts.sampling]

    async def run(question: str | None, *values: Any) -> AsyncGenerator[tuple[Any, ...]]:
        session, caption, use_text, text, model, *numbers = values
        asked: Session = session
        if session.figure is not None:
            # The caption and the text are those on the page now, in every turn.
            asked = replace(session, figure=with_context(session.figure, caption or "", text or "", use_text))
        temperature, top_p, length = numbers
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=int(length))
        async for look in actions.answer(client, asked, question, model or "", sampling):
            # The visitor's session keeps the figure as it was read, so that a line that was taken out can come back.
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

    def stopped(session: Session) -> tuple[Any, ...]:
        return drawn(actions.Look(session, status="Stopped."))

    def cleared() -> tuple[Any, ...]:
        return (*drawn(actions.Look(Session(), field="")), None, None, "", "")

    def forgotten(session: Session) -> tuple[Any, ...]:
        return drawn(actions.Look(replace(session, turns=())))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    everything = [*parts.look, parts.figure, parts.overlay, parts.caption, parts.text]
    after_the_end: tuple[tuple[Any, Any, list[Any], list[Any]], ...] = (
        (parts.stop.click, stopped, [parts.session], parts.look),
        (parts.chat.clear, forgotten, [parts.session], parts.look),
        (parts.clear.click, cleared, [], everything),
        (parts.figure.clear, cleared, [], everything),
    )
    for event, action, inputs, outputs in after_the_end:
        # First the answer ends, then the page changes: a last piece of the answer would draw over it.
        event(lambda: None, cancels=answers, **quiet).then(action, inputs, outputs, **quiet)
