"""Two answers at once: both models write, and the page sees them grow side by side."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from llava_graph.errors import LlavaGraphError
from serve.client import ModelClient, Sampling
from serve.web.arena.battle import Battle, Draw, Side, draw_pair
from serve.web.at_once import at_once
from serve.web.banner import sentences
from serve.web.conversation.answering import Wish, limited
from serve.web.given import given_for
from serve.web.session import AnswerFacts, Session

UPDATE_S = 0.1
"""At most so often are the two drawn."""


async def fight(
    client: ModelClient,
    session: Session,
    wish: Wish,
    sampling: Sampling,
    *,
    draw: Draw = draw_pair,
) -> AsyncGenerator[Battle]:
    """The battle as it grows; the last one has ended.

    Closing the generator ends both answers in their workers. Raises InputError (no two models), ServeError.
    """
    left, right = draw(await client.models())
    sides = [Side(model, Session(session.figure)) for model in (left, right)]
    streams = [_written(client, session, wish, side.model, sampling) for side in sides]
    drawn = 0.0
    yield Battle(sides[0], sides[1])
    async with aclosing(at_once(streams, sides)) as steps:
        async for left_side, right_side in steps:
            battle = Battle(left_side, right_side)
            if (left_side.ended and right_side.ended) or time.monotonic() - drawn > UPDATE_S:
                drawn = time.monotonic()
                yield battle


async def _written(
    client: ModelClient, session: Session, wish: Wish, model: str, sampling: Sampling
) -> AsyncGenerator[Side]:
    """One side as it grows. An error of the model's is a side that has ended with it."""
    begun, side = time.monotonic(), Side(model, Session(session.figure))
    try:
        details = await client.details(model)
        given = given_for(replace(session, turns=(), facts=()), wish.question, details, wish.regions, wish.ask)
        sampling = limited(sampling, given)
        facts = AnswerFacts(
            id=uuid.uuid4().hex, model=model, about=details.about, sampling=sampling, started=time.time()
        )
        asked = replace(session, turns=(), facts=()).asked(given.asked, facts)
        async with aclosing(client.answer(model, given.messages, given.images, sampling)) as replies:
            async for reply in replies:
                facts = replace(
                    facts, completion_tokens=reply.completion_tokens, finish_reason=reply.finish_reason or ""
                )
                asked = asked.answered(reply.text, facts)
                yield (side := Side(model, asked))
        yield Side(model, asked.answered(side.text, replace(facts, seconds=time.monotonic() - begun)))
    except LlavaGraphError as error:
        yield replace(side, error=sentences(error))
