"""Comparing two models blind: ask both, vote, see the names."""

import html
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from llava_graph.errors import InputError, LlavaGraphError
from serve.client import ModelClient, Sampling
from serve.web.arena.battle import VOTES, Battle, contestants, draw_pair
from serve.web.arena.fighting import fight
from serve.web.arena.parts import ABOUT, Front
from serve.web.banner import banner, error_banner
from serve.web.conversation.answering import Wish
from serve.web.options import WebOptions
from serve.web.parts import AT_ONCE, WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session
from serve.web.sharing.recording import Consent, Recorder
from serve.web.sharing.wiring import address_of
from serve.web.writing import REFUSED

ALONE = "This needs two models, and {} served now."
KEPT = "Your vote is kept. Thank you."
NOT_KEPT = "Your vote could not be kept: the server's log cannot be written now."
NOT_AGREED = "Your vote is not kept: you have not agreed to the log."
NO_LOG = "Your vote is not kept: this server has no log."


def wire_arena(page: gr.Blocks, parts: PageParts, client: ModelClient, options: WebOptions, recorder: Recorder) -> None:
    """The battle's buttons. `recorder`: where a vote goes, if its visitor agreed."""
    _wire_figure(page, parts, client)
    _wire_compare(parts, client, options)
    _wire_votes(parts, recorder)


def _wire_figure(page: gr.Blocks, parts: PageParts, client: ModelClient) -> None:
    """A figure comes to the front, or the fold is opened: is there something to compare? A battle about another figure goes."""
    arena = parts.arena

    async def ready(session: Session, front: Front, battle: Battle | None) -> tuple[Any, ...]:
        front.figure = session.figure.id if session.figure else ""
        try:
            count = len(await client.models())
        except LlavaGraphError:
            count = 0
        gone = battle is not None and battle.figure != front.figure
        told = f"<p>{html.escape(ABOUT if count > 1 else ALONE.format('one is' if count else 'none is'))}</p>"
        usable = gr.update(interactive=count > 1 and session.figure is not None)
        return (*(drawn(None) if gone else (gr.skip(),) * len(_look(parts))), usable, told)

    shown = [parts.session, arena.front, arena.battle]
    gr.on(
        [page.load, parts.figure.viewer.change, arena.fold.expand],
        ready,
        shown,
        [*_look(parts), arena.compare, arena.note],
        **WITH_EVERY_CHANGE,
    )


def _wire_compare(parts: PageParts, client: ModelClient, options: WebOptions) -> None:
    """Compare, and Stop."""
    arena = parts.arena

    def draw(models: Sequence[str]) -> tuple[str, str]:
        return draw_pair(contestants(models, options.table_model))

    async def compare(values: dict[Any, Any]) -> AsyncGenerator[tuple[Any, ...]]:
        temperature, top_p, length = (values[slider] for slider in parts.models.sampling)
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=int(length))
        question = (values[arena.question] or "").strip() or None
        front: Front = values[arena.front]
        figure = values[parts.session].figure
        if (turn := front.writing.begin(figure.id if figure else "")) is None:
            yield (*(gr.skip(),) * (len(_look(parts)) - 1), banner(REFUSED))
            return
        try:
            on_page = parts.on_page(values)
            asked = on_page.now()
            front.figure = asked.figure.id if asked.figure else ""
            wish = Wish(question=question, ask=on_page.ask)
            async with aclosing(fight(client, asked, wish, sampling, draw=draw)) as battles:
                async for battle in battles:
                    if not front.writing.holds(turn):
                        return
                    if battle.figure != front.figure:
                        # Another figure has come to the front meanwhile.
                        front.writing.end(turn)
                        yield drawn(None)
                        return
                    if battle.state != "writing":
                        front.writing.end(turn)
                    yield drawn(battle)
        except LlavaGraphError as error:
            front.writing.end(turn)
            yield drawn(None, told=error_banner(error))
        finally:
            front.writing.end(turn)

    def stopped(front: Front) -> tuple[Any, ...]:
        front.writing.end()
        return drawn(None)

    asking = gr.on(
        [arena.compare.click, arena.question.submit],
        compare,
        {*parts.given.values(), *parts.models.sampling, arena.question, arena.front},
        _look(parts),
        show_progress="hidden",
        concurrency_limit=options.concurrency_count,
        concurrency_id="answers",
        api_visibility="private",
    )
    stopping = arena.stop.click(lambda: None, cancels=asking, **AT_ONCE)
    stopping.then(stopped, arena.front, _look(parts), **AT_ONCE)


def _wire_votes(parts: PageParts, recorder: Recorder) -> None:
    """The four votes."""
    arena = parts.arena

    def voting(name: str) -> Callable[..., tuple[Any, ...]]:
        def vote(battle: Battle | None, agreed: Any, request: gr.Request) -> tuple[Any, ...]:
            consent = Consent.from_page(agreed)
            try:
                if battle is None:
                    raise InputError("there is nothing to vote on now", next_step="Compare once more")
                voted = battle.voted(name)
                sides = voted.left.session, voted.right.session
                kept = recorder.battle(sides, name, consent, address_of(request))
            except InputError as error:
                return drawn(battle, told=error_banner(error))
            told = KEPT if kept else NO_LOG if not recorder.on else NOT_KEPT if consent.keep else NOT_AGREED
            return drawn(voted, said=told)

        return vote

    for name, button in arena.votes.items():
        button.click(voting(name), [arena.battle, parts.sharing.consent], _look(parts), **AT_ONCE)


def _look(parts: PageParts) -> list[Any]:
    """What `drawn` gives values for."""
    arena = parts.arena
    return [arena.battle, arena.answers, arena.row, arena.stop, *arena.votes.values(), parts.banner]


def drawn(battle: Battle | None, *, said: str = "", told: str = "") -> tuple[Any, ...]:
    """A battle as values for the parts that show it."""
    writing, open_now = battle is not None and battle.state == "writing", battle is not None and battle.state == "vote"
    view = battle.view() | {"said": said or _verdict(battle)} if battle else None
    return (
        battle,
        view,
        gr.update(visible=not writing),
        gr.update(visible=writing),
        *(gr.update(visible=open_now) for _ in VOTES),
        told,
    )


def _verdict(battle: Battle) -> str:
    if battle.state == "void":
        return "One of the models has not answered, so there is nothing to vote on."
    return "Which answer is better?" if battle.state == "vote" else ""
