"""Explaining and asking on, and what ends an answer."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from llava_graph.errors import LlavaGraphError
from serve.client import ModelClient, Sampling
from serve.web.banner import error_banner
from serve.web.conversation.answering import answer
from serve.web.figure.reading import RegionReader
from serve.web.look import Look, drawn
from serve.web.options import WebOptions
from serve.web.parts import AT_ONCE, PageParts
from serve.web.session import Session

TO_CHAT_ON_PHONES = (
    "() => { if (innerWidth < 800) document.querySelector('#right').scrollIntoView({behavior: 'smooth'}) }"
)


def wire_conversation(
    parts: PageParts, client: ModelClient, options: WebOptions, taking: Sequence[Any], reader: RegionReader
) -> list[Any]:
    """Explain, Ask, Stop, Clear. `taking`: the events that bring a figure, so that Clear can end them. Returns the events in
    which a model answers."""
    talk = parts.conversation
    context = [*parts.given.values(), *parts.models.sampling]

    async def run(question: str | None, values: Sequence[Any]) -> AsyncGenerator[tuple[Any, ...]]:
        page = parts.on_page(values)
        temperature, top_p, length = values[-3:]
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=int(length))
        try:
            # The caption, the text and the regions are those on the page now, in every turn.
            asked = page.now()
            regions = () if question is None else await reader.parts(page)
        except LlavaGraphError as error:
            yield drawn(Look(page.session, error_banner(error)))
            return
        async for look in answer(client, asked, question, page.model or "", sampling, regions=regions):
            # The visitor's session keeps the figure as it was read, so that every change can be undone.
            yield drawn(replace(look, session=replace(look.session, figure=page.session.figure)))

    async def explain(*values: Any) -> AsyncGenerator[tuple[Any, ...]]:
        async for step in run(None, values):
            yield step

    async def ask(question: str, *values: Any) -> AsyncGenerator[tuple[Any, ...]]:
        async for step in run(question or "", values):
            yield step

    stream: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": options.concurrency_count,
        "concurrency_id": "answers",
        "api_visibility": "private",
    }
    talk.explain.click(None, js=TO_CHAT_ON_PHONES)
    answers = [
        talk.explain.click(explain, context, parts.look, **stream),
        talk.ask.click(ask, [talk.question, *context], parts.look, **stream),
        talk.question.submit(ask, [talk.question, *context], parts.look, **stream),
    ]
    wire_ends(parts, answers, taking)
    return answers


def wire_ends(parts: PageParts, answers: Sequence[Any], taking: Sequence[Any]) -> None:
    """What ends an answer: Stop, the bin at the conversation, Clear, and taking the figure away."""
    talk, figure = parts.conversation, parts.figure

    def stopped(session: Session) -> tuple[Any, ...]:
        return drawn(Look(session, status="Stopped."))

    def cleared() -> tuple[Any, ...]:
        return (*drawn(Look(Session(), field="")), None, None, "")

    def forgotten(session: Session) -> tuple[Any, ...]:
        return drawn(Look(replace(session, turns=())))

    everything = [*parts.look, figure.upload, figure.viewer, parts.context.caption]
    after_the_end: tuple[tuple[Any, Any, list[Any], list[Any]], ...] = (
        (talk.stop.click, stopped, [parts.session], parts.look),
        (talk.chat.clear, forgotten, [parts.session], parts.look),
        (talk.clear.click, cleared, [], everything),
        (figure.upload.clear, cleared, [], everything),
    )
    smaller: list[Any] = []
    for event, action, inputs, outputs in after_the_end:
        # First the answer ends, then the page changes: a last piece of the answer would draw over it. Clearing all also
        # ends a stop or a forgetting that is still on its way, which would bring the old figure back.
        ending = [*answers, *taking, *smaller] if action is cleared else answers
        ended = event(lambda: None, cancels=ending, **AT_ONCE)
        # What can be cancelled has to be queued.
        step: dict[str, Any] = AT_ONCE if action is cleared else AT_ONCE | {"queue": True}
        change = ended.then(action, inputs, outputs, **step)
        if action is not cleared:
            smaller.append(change)
