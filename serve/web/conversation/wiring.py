"""Explaining, asking on, asking again, and what ends an answer."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from llava_graph.asking import can_follow
from llava_graph.claims import claims_of
from llava_graph.errors import InputError, LlavaGraphError
from serve.client import ModelClient, ModelDetails, Sampling
from serve.web.banner import error_banner
from serve.web.conversation.answering import Wish, again, answer
from serve.web.conversation.view import conversation_view
from serve.web.figure.reading import RegionReader
from serve.web.look import Look, drawn
from serve.web.options import WebOptions
from serve.web.parts import AT_ONCE, WITH_EVERY_CHANGE, PageParts
from serve.web.session import OnPage, Session
from serve.web.writing import REFUSED, Writing

TO_CHAT_ON_PHONES = (
    "() => { if (innerWidth < 800) document.querySelector('#right').scrollIntoView({behavior: 'smooth'}) }"
)
FOLLOWS_NONE = "This model explains in its own way: it was not trained to follow a level or a length."

Values = dict[Any, Any]
Drawn = AsyncGenerator[tuple[Any, ...]]
STATUS, FIELD, LOOK = 3, 4, 8
"""Places of the status line and of the question field in `PageParts.look`, and how many there are."""


def wire_conversation(parts: PageParts, client: ModelClient, options: WebOptions, reader: RegionReader) -> list[Any]:
    """Explain, Ask, Retry. Returns the events in which a model answers."""
    talk, steps = parts.conversation, _Steps(parts, client, reader)
    context = {*parts.given.values(), *parts.models.sampling, talk.writing}
    stream: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": options.concurrency_count,
        "concurrency_id": "answers",
        "api_visibility": "private",
    }
    talk.explain.click(None, js=TO_CHAT_ON_PHONES)
    answers = [
        talk.explain.click(steps.explain, context, parts.look, **stream),
        talk.ask.click(steps.ask, {talk.question, *context}, parts.look, **stream),
        talk.question.submit(steps.ask, {talk.question, *context}, parts.look, **stream),
        talk.chat.ask_suggested(steps.ask_suggested, context, parts.look, **stream),
        talk.chat.ask_again(steps.retry, context, parts.look, **stream),
        talk.chat.check_claims(steps.check, context, parts.look, **stream),
    ]
    talk.chat.ask_too_early(_too_early, talk.writing, talk.status, **WITH_EVERY_CHANGE)
    wire_evidence(parts)
    wire_for_whom(parts, client)
    return answers


class _Steps:
    """What leads to an answer, as gradio calls it: with the values of all components that say what the model is given."""

    def __init__(self, parts: PageParts, client: ModelClient, reader: RegionReader) -> None:
        self._parts, self._client, self._reader = parts, client, reader

    async def explain(self, values: Values) -> Drawn:
        """Explain the figure, for whom and how long as the page says."""

        async def wish(page: OnPage) -> Wish:
            return Wish(ask=page.ask)

        async for step in self._answered(values, wish):
            yield step

    async def ask(self, values: Values) -> Drawn:
        """The question in the field."""
        async for step in self._answered(values, self._question(values[self._parts.conversation.question])):
            yield step

    async def ask_suggested(self, values: Values, event: gr.EventData) -> Drawn:
        """A suggested question; what stands in the field stays there."""
        data = event._data if isinstance(event._data, dict) else {}
        async for step in self._answered(values, self._question(data.get("ask"))):
            yield (*step[:FIELD], gr.skip(), *step[FIELD + 1 :])

    async def check(self, values: Values) -> Drawn:
        """What the paper claims of the figure, against the figure."""

        async def wish(page: OnPage) -> Wish:
            figure = page.now().figure
            return Wish(check=claims_of(figure) if figure else ())

        async for step in self._answered(values, wish):
            yield step

    async def retry(self, values: Values) -> Drawn:
        """The last question once more, with the regions that are chosen now."""

        async def wish(page: OnPage) -> Wish:
            last = again(page.session)
            return replace(last, regions=() if last.question is None else await self._reader.parts(page))

        async for step in self._answered(values, wish):
            yield step

    def _question(self, text: Any) -> Callable[[OnPage], Awaitable[Wish]]:
        async def wish(page: OnPage) -> Wish:
            return Wish(question=str(text or ""), regions=await self._reader.parts(page))

        return wish

    async def _answered(self, values: Values, wish: Callable[[OnPage], Awaitable[Wish]]) -> Drawn:
        writing: Writing = values[self._parts.conversation.writing]
        figure = values[self._parts.session].figure
        if (turn := writing.begin(figure.id if figure else "")) is None:
            # Two that are written at once would each take the other one's place in the session.
            yield tuple(REFUSED if place == STATUS else gr.skip() for place in range(LOOK))
            return
        try:
            async with aclosing(self._written(values, wish)) as looks:
                async for look in looks:
                    if not writing.holds(turn):
                        return
                    if not look.busy:
                        # Before it is drawn: who sees it may ask on at once.
                        writing.end(turn)
                    yield drawn(replace(look, status=writing.said(look.status)) if look.busy else look)
        finally:
            writing.end(turn)

    async def _written(self, values: Values, wish: Callable[[OnPage], Awaitable[Wish]]) -> AsyncGenerator[Look]:
        page = self._parts.on_page(values)
        temperature, top_p, length = (values[slider] for slider in self._parts.models.sampling)
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=int(length))
        try:
            # The caption, the text and the regions are those on the page now, in every turn.
            asked, wished = page.now(), await wish(page)
        except LlavaGraphError as error:
            yield Look(page.session, error_banner(error))
            return
        async with aclosing(answer(self._client, asked, wished, page.model or "", sampling)) as looks:
            async for look in looks:
                # The visitor's session keeps the figure as it was read, so that every change can be undone.
                yield replace(look, session=replace(look.session, figure=page.session.figure))


def _too_early(writing: Writing) -> str:
    writing.refused = writing.turn is not None
    return REFUSED if writing.refused else gr.skip()


def wire_evidence(parts: PageParts) -> None:
    """Evidence follows what stands on the page: corrections of caption and lines, and the version of an answer that is chosen."""
    talk, given = parts.conversation, list(parts.given.values())

    def shown(*values: Any) -> Any:
        page = parts.on_page(values)
        try:
            return conversation_view(page.session, page.now().figure) | {"refresh": True}
        except InputError:
            return gr.skip()  # a correction that is refused is told when something is asked

    def choose(values: Values, event: gr.EventData) -> tuple[Any, Any]:
        page, data = parts.on_page(values), event._data if isinstance(event._data, dict) else {}
        number, version = data.get("answer"), data.get("version")
        if type(number) is not int or type(version) is not int:
            return gr.skip(), gr.skip()
        session = page.session.with_version(number, version)
        return session, conversation_view(session, _figure_now(page))

    changed = [parts.figure.changes.change, parts.context.caption.change, parts.figure.viewer.change]
    gr.on(changed, shown, given, talk.chat, **WITH_EVERY_CHANGE)
    talk.chat.choose_version(choose, set(given), [parts.session, talk.chat], **AT_ONCE)


def wire_for_whom(parts: PageParts, client: ModelClient) -> None:
    """Level and length are off for a model that follows no instructions, with the reason."""
    talk = parts.conversation

    async def offered(model: str | None) -> tuple[Any, Any, str]:
        try:
            details = await client.details(model) if model else ModelDetails("")
        except LlavaGraphError:
            details = ModelDetails("")  # that it does not answer is told when it is asked
        follows = can_follow(details.prompt, instructions=details.instructions)
        off = gr.update(interactive=follows)
        return off, off, "" if follows else f"<p>{FOLLOWS_NONE}</p>"

    outputs = [talk.level, talk.length, talk.asking_note]
    gr.on(
        [parts.models.model.change, parts.models.line.change], offered, parts.models.model, outputs, **WITH_EVERY_CHANGE
    )


def wire_ends(parts: PageParts, answers: Sequence[Any], taking: Sequence[Any]) -> None:
    """What ends an answer: Stop, clearing the conversation, and Clear, which also ends `taking`: the events that bring a figure.
    (The next figure ends it too: serve.web.figure.wiring.)"""
    talk, figure = parts.conversation, parts.figure
    given = [*parts.given.values(), talk.writing]

    def ended_by_visitor(values: Sequence[Any]) -> None:
        writing: Writing = values[-1]
        writing.end()

    def stopped(*values: Any) -> tuple[Any, ...]:
        ended_by_visitor(values)
        page = parts.on_page(values)
        return drawn(Look(page.session.settled(), status="Stopped.", figure=_figure_now(page)))

    def cleared(writing: Writing) -> tuple[Any, ...]:
        writing.end()
        return (*drawn(Look(Session(), field="")), None, None, "")

    def forgotten(*values: Any) -> tuple[Any, ...]:
        ended_by_visitor(values)
        page = parts.on_page(values)
        return drawn(Look(replace(page.session, turns=(), facts=()), figure=_figure_now(page)))

    everything = [*parts.look, figure.upload, figure.viewer, parts.context.caption]
    after_the_end: tuple[tuple[Any, Any, list[Any], list[Any]], ...] = (
        (talk.stop.click, stopped, given, parts.look),
        (talk.chat.forget_talk, forgotten, given, parts.look),
        (talk.clear.click, cleared, [talk.writing], everything),
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


def _figure_now(page: OnPage) -> Any:
    """The figure as it stands on the page; as it was read where a correction is refused."""
    try:
        return page.now().figure
    except InputError:
        return page.session.figure
