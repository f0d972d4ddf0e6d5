"""An answer as it grows: the page while a model writes."""

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from llava_graph.asking import Ask
from llava_graph.claims import Claim
from llava_graph.errors import ImageError, InputError, LlavaGraphError
from llava_graph.explained import AskedRegion
from llava_graph.several_images import Part
from serve.client import ModelClient, Sampling, flat_text
from serve.web.banner import error_banner
from serve.web.conversation.text import answer_status
from serve.web.given import Given, given_for, given_to_check
from serve.web.look import Look
from serve.web.models.finding import NO_MODEL
from serve.web.session import AnswerFacts, Session

UPDATE_S = 0.06
"""At most so often is a growing answer drawn: faster than reading, slower than a token."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked now."""

    question: str | None = None
    """None: an explanation, which begins the conversation anew."""
    ask: Ask | None = None
    """How the explanation is wanted; None: as the model was trained to be asked."""
    regions: Sequence[Part] = ()
    """What a question is about, if not about the whole figure."""
    check: tuple[Claim, ...] | None = None
    """What the paper claims, to be checked against the figure, instead of a question."""
    retry: bool = False
    """Ask the last question once more; `question` and `ask` are those of that time."""


def again(session: Session) -> Wish:
    """The last question once more. Raises InputError where there is none."""
    if not session.facts or len(session.turns) < 2:
        raise InputError("there is nothing to ask again", next_step="Press Explain first")
    last = session.facts[-1]
    return Wish(question=last.question, ask=last.ask, check=last.claims or None, retry=True)


async def answer(
    client: ModelClient, session: Session, wish: Wish, model: str, sampling: Sampling
) -> AsyncGenerator[Look]:
    """The page while an answer grows.

    An error becomes a banner with its real reason; what was answered until then stays.
    """
    begun = time.monotonic()
    before, figure = session, session.figure
    typed = None if wish.question is None or wish.retry else wish.question
    try:
        if figure is None:
            raise ImageError("there is no figure yet", next_step="Upload one, or pick an example.")
        model = model or next(iter(await client.models()), "")
        if not model:
            raise NO_MODEL
        details = await client.details(model)
        earlier = replace(session, turns=session.turns[:-2], facts=session.facts[:-1]) if wish.retry else session
        if wish.check is None:
            given = given_for(earlier, wish.question, details, wish.regions, wish.ask)
        else:
            given = given_to_check(earlier, wish.check, details)
        sampling = limited(sampling, given)
        facts = AnswerFacts(
            id=uuid.uuid4().hex,
            model=model,
            about=details.about,
            prompt=flat_text(given.messages[0], "<image>\n"),
            sampling=sampling,
            started=time.time(),
            question=wish.question,
            regions=tuple(AskedRegion(name=part.name, box=part.box) for part in wish.regions),
            ask=wish.ask,
            claims=wish.check or (),
        )
        session = _begun(session, wish, given, facts)
        yield Look(session, status="Thinking …", busy=True, field=None if typed is None else "", figure=figure)
        drawn, tokens, reason = 0.0, None, None
        async with aclosing(client.answer(model, given.messages, given.images, sampling)) as replies:
            async for reply in replies:
                session, tokens, reason = session.answered(reply.text), reply.completion_tokens, reply.finish_reason
                if time.monotonic() - drawn > UPDATE_S:
                    drawn = time.monotonic()
                    yield Look(session, status="Writing …", busy=True, figure=figure)
        seconds = time.monotonic() - begun
        facts = replace(session.facts[-1], seconds=seconds, completion_tokens=tokens, finish_reason=reason or "")
        session = session.answered(session.turns[-1].text, facts)
        yield Look(session, status=answer_status(tokens, seconds, reason), figure=figure)
    except LlavaGraphError as error:
        if session is not before and session.turns[-1].text:
            yield Look(session, error_banner(error), figure=figure)
        else:
            # Nothing was answered: the question goes back to where it was typed.
            yield Look(before, error_banner(error), field=typed, figure=figure)


def _begun(session: Session, wish: Wish, given: Given, facts: AnswerFacts) -> Session:
    """The session with an answer that is still empty."""
    if wish.retry:
        return session.retried(facts)
    if wish.question is None and wish.check is None:
        session = replace(session, turns=(), facts=())
    return session.asked(given.asked, facts)


def limited(sampling: Sampling, given: Given) -> Sampling:
    """With room for the length that was wished for; a lower limit that the visitor has set stays."""
    wanted = given.max_new_tokens
    if wanted is None:
        return sampling
    untouched = sampling.max_new_tokens >= Sampling.max_new_tokens
    return replace(sampling, max_new_tokens=wanted if untouched else min(wanted, sampling.max_new_tokens))
