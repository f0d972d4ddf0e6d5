"""Comparing two models blind: ask both, vote, see the names."""

import html
from collections.abc import AsyncGenerator, Callable
from typing import Any

import gradio as gr

from llava_graph.errors import InputError, LlavaGraphError
from serve.client import ModelClient, Sampling
from serve.web.arena.battle import VOTES, Battle
from serve.web.arena.fighting import fight
from serve.web.arena.parts import ABOUT
from serve.web.banner import error_banner
from serve.web.options import WebOptions
from serve.web.parts import AT_ONCE, PageParts
from serve.web.session import OnPage, Session
from serve.web.sharing.recording import Consent, Recorder
from serve.web.sharing.wiring import address_of

ALONE = "This needs two models, and {} served now. Start another one: llava-graph-serve worker --model-path …"
KEPT = "Your vote is kept. Thank you."
NOT_KEPT = "Your vote could not be kept: the server's log cannot be written now."
NOT_AGREED = "Your vote is not kept: you have not agreed to the log."
NO_LOG = "Your vote is not kept: this server has no log."


def wire_arena(page: gr.Blocks, parts: PageParts, client: ModelClient, options: WebOptions, recorder: Recorder) -> None:
    """The battle's buttons. `recorder`: where a vote goes, if its visitor agreed."""
    arena = parts.arena
    look = [arena.battle, arena.answers, arena.compare, arena.stop, *arena.votes.values(), parts.banner]
    asking = {*parts.given.values(), *parts.models.sampling, arena.question}
    voting = {*parts.given.values(), parts.sharing.consent, arena.battle}

    def of(values: dict[Any, Any]) -> OnPage:
        return OnPage(**{name: values[component] for name, component in parts.given.items()})

    async def ready(session: Session) -> tuple[Any, str]:
        try:
            count = len(await client.models())
        except LlavaGraphError:
            count = 0
        alone = ALONE.format("one is" if count == 1 else "none is")
        told = f"<p>{html.escape(ABOUT if count > 1 else alone)}</p>"
        return gr.update(interactive=count > 1 and session.figure is not None), told

    async def compare(values: dict[Any, Any]) -> AsyncGenerator[tuple[Any, ...]]:
        temperature, top_p, length = (values[slider] for slider in parts.models.sampling)
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=int(length))
        question = (values[arena.question] or "").strip() or None
        try:
            async for battle in fight(client, of(values).now(), question, sampling):
                yield drawn(battle)
        except LlavaGraphError as error:
            yield drawn(None, banner=error_banner(error))

    def vote(name: str, values: dict[Any, Any], request: gr.Request) -> tuple[Any, ...]:
        battle, consent = values[arena.battle], Consent.from_page(values[parts.sharing.consent])
        try:
            if battle is None:
                raise InputError("there is nothing to vote on now", next_step="Compare once more")
            battle = battle.voted(name)
            sides = battle.left.session, battle.right.session
            kept = recorder.battle(sides, name, consent, address_of(request))
        except LlavaGraphError as error:
            return drawn(values[arena.battle], banner=error_banner(error))
        told = KEPT if kept else NO_LOG if not recorder.on else NOT_KEPT if consent.keep else NOT_AGREED
        return drawn(battle, said=told)

    def stopped() -> tuple[Any, ...]:
        return drawn(None)

    gr.on([page.load, parts.figure.viewer.change], ready, parts.session, [arena.compare, arena.note], **AT_ONCE)
    asked = gr.on(
        [arena.compare.click, arena.question.submit],
        compare,
        asking,
        look,
        show_progress="hidden",
        concurrency_limit=options.concurrency_count,
        concurrency_id="answers",
        api_visibility="private",
    )
    arena.stop.click(lambda: None, cancels=asked, **AT_ONCE).then(stopped, None, look, **AT_ONCE)
    parts.figure.viewer.change(lambda: None, cancels=asked, **AT_ONCE).then(stopped, None, look, **AT_ONCE)
    for name, button in arena.votes.items():
        button.click(_voting(vote, name), voting, look, **AT_ONCE)


def _voting(vote: Callable[..., tuple[Any, ...]], name: str) -> Callable[[dict[Any, Any], gr.Request], tuple[Any, ...]]:
    def voted(values: dict[Any, Any], request: gr.Request) -> tuple[Any, ...]:
        return vote(name, values, request)

    return voted


def drawn(battle: Battle | None, *, said: str = "", banner: str = "") -> tuple[Any, ...]:
    """A battle as values for the parts that show it."""
    writing, open_now = battle is not None and battle.state == "writing", battle is not None and battle.state == "vote"
    view = battle.view() | {"said": said or _verdict(battle)} if battle else None
    return (
        battle,
        view,
        gr.update(visible=not writing),
        gr.update(visible=writing),
        *(gr.update(visible=open_now) for _ in VOTES),
        banner,
    )


def _verdict(battle: Battle) -> str:
    if battle.state == "void":
        return "One of the models has not answered, so there is nothing to vote on."
    return "Which answer is better?" if battle.state == "vote" else ""
