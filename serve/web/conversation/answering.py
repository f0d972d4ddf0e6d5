"""An answer as it grows: the page while a model writes."""

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from llava_graph.errors import ImageError, LlavaGraphError
from llava_graph.several_images import Part
from serve.client import ModelClient, Sampling, flat_text
from serve.web.banner import error_banner
from serve.web.conversation.text import answer_status
from serve.web.given import given_for
from serve.web.look import Look
from serve.web.models.finding import NO_MODEL
from serve.web.session import AnswerFacts, Session

UPDATE_S = 0.06
"""At most so often is a growing answer drawn: faster than reading, slower than a token."""


async def answer(
    client: ModelClient,
    session: Session,
    question: str | None,
    model: str,
    sampling: Sampling,
    *,
    regions: Sequence[Part] = (),
) -> AsyncGenerator[Look]:
    """The page while an answer grows. `question` None asks for an explanation and begins the conversation anew; any other is
    about `regions`, if there are some.

    An error becomes a banner with its real reason; what was answered until then stays.
    """
    begun = time.monotonic()
    before = session
    try:
        if session.figure is None:
            raise ImageError("there is no figure yet", next_step="Upload one, or pick an example.")
        model = model or next(iter(await client.models()), "")
        if not model:
            raise NO_MODEL
        details = await client.details(model)
        given = given_for(session, question, details, regions)
        facts = AnswerFacts(
            id=uuid.uuid4().hex,
            model=model,
            about=details.about,
            prompt=flat_text(given.messages[0], "<image>\n"),
            sampling=sampling,
            started=time.time(),
        )
        session = (replace(session, turns=()) if question is None else session).asked(given.asked, facts)
        yield Look(session, status="Thinking …", busy=True, field=None if question is None else "")
        drawn, tokens, reason = 0.0, None, None
        async with aclosing(client.answer(model, given.messages, given.images, sampling)) as replies:
            async for reply in replies:
                session, tokens, reason = session.answered(reply.text), reply.completion_tokens, reply.finish_reason
                if time.monotonic() - drawn > UPDATE_S:
                    drawn = time.monotonic()
                    yield Look(session, status="Writing …", busy=True)
        seconds = time.monotonic() - begun
        facts = replace(facts, seconds=seconds, completion_tokens=tokens, finish_reason=reason or "")
        yield Look(session.answered(session.turns[-1].text, facts), status=answer_status(tokens, seconds, reason))
    except LlavaGraphError as error:
        if session is not before and session.turns[-1].text:
            yield Look(session, error_banner(error))
        else:
            # Nothing was answered: the question goes back to where it was typed.
            yield Look(before, error_banner(error), field=question)
