"""Items answered by a model: in batches by one in this process, at the same time by one behind an API. What fails costs itself.

In: items, a model. Out: replies in the order in which they end, and failures by reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from llava_graph.errors import InputError, LlavaGraphError, ServeError
from llava_graph.evaluate.answered import Item, Reply
from llava_graph.explain import Answerer, Explainer, first_text
from llava_graph.generate import Decoder, own_stops
from llava_graph.images import open_image
from llava_graph.prompt import Message, PromptOptions
from llava_graph.record import Dropped
from llava_graph.sampling import NO_NUMBER, GenerationOptions
from llava_graph.sources import reason_of, told
from llava_graph.tables.chart_model import ChartModel

if TYPE_CHECKING:
    from PIL import Image

    from llava_graph.batched import Alone, Batch, Row

FAILURES_IN_A_ROW = 3
"""So many refusals of a model's server mean that it is gone."""
Outcome = Reply | Dropped


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How items are asked."""

    options: PromptOptions
    generation: GenerationOptions
    at_once: int = 8


def answer(answerer: Answerer, items: Iterable[Item], asking: Asking) -> Generator[Outcome]:
    """Replies and failures, as they come. Raises ServeError when a model's server is gone."""
    if isinstance(answerer, Explainer):
        yield from _batched(answerer, iter(items), asking)
    elif isinstance(answerer, ChartModel):
        yield from _in_groups(answerer, iter(items), asking)
    else:
        yield from _at_once(answerer, iter(items), asking)


def _in_groups(answerer: ChartModel, items: Iterator[Item], asking: Asking) -> Iterator[Outcome]:
    """As many charts as are asked at once, together; a group that fails (a full GPU) is read one by one."""
    while group := list(islice(items, asking.at_once)):
        opened: list[tuple[Item, Image.Image]] = []
        for item in group:
            try:
                if item.figure.image is None:
                    raise InputError("the record has no picture", where=item.id)
                opened.append((item, open_image(item.figure.image, where=item.id)))
            except (LlavaGraphError, OSError) as error:
                yield _failed(item, error)
        if opened:
            yield from _read_group(answerer, opened, asking)


def _read_group(answerer: ChartModel, opened: list[tuple[Item, Image.Image]], asking: Asking) -> Iterator[Outcome]:
    begun = time.monotonic()
    questions = [item.question or "" for item, _ in opened]
    try:
        chunks = answerer.read(questions, [image for _, image in opened], asking.generation)
    except (RuntimeError, ValueError) as error:
        if len(opened) == 1:
            yield _failed(opened[0][0], error)
            return
        for one in opened:
            yield from _read_group(answerer, [one], asking)
        return
    seconds = round((time.monotonic() - begun) / len(opened), 3)
    for (item, _), question, chunk in zip(opened, questions, chunks, strict=True):
        yield Reply(
            id=item.id,
            text=chunk.text.strip(),
            mark=item.mark,
            prompt=question,
            finish_reason=chunk.finish_reason or "",
            prompt_tokens=chunk.prompt_tokens or None,
            completion_tokens=chunk.completion_tokens,
            seconds=seconds,
        )


def _at_once(answerer: Answerer, items: Iterator[Item], asking: Asking) -> Iterator[Outcome]:
    """Threads, each with one request; no more submitted than run, as every one holds its picture."""
    stopping = threading.Event()
    waiting: set[Future[tuple[Outcome, ServeError | None]]] = set()
    failures = 0
    with ThreadPoolExecutor(asking.at_once) as pool:
        try:
            while True:
                while len(waiting) < asking.at_once and (item := next(items, None)) is not None:
                    waiting.add(pool.submit(_asked, answerer, item, asking, stopping))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for outcome, error in (future.result() for future in done):
                    yield outcome
                    failures = failures + 1 if error else 0
                    if error and failures >= FAILURES_IN_A_ROW:
                        raise error
        finally:
            stopping.set()


def _asked(
    answerer: Answerer, item: Item, asking: Asking, stopping: threading.Event
) -> tuple[Outcome, ServeError | None]:
    """One answer, and the error if it was the server's."""
    own = threading.Event()  # a generation sets its event at its end
    if stopping.is_set():
        own.set()
    try:
        explained = answerer.explain(
            item.figure,
            item.question,
            history=item.history,
            options=asking.options,
            generation=asking.generation,
            stopping=own,
        )
    except (LlavaGraphError, OSError, RuntimeError) as error:
        return _failed(item, error), error if isinstance(error, ServeError) else None
    said = explained.answers[-1]
    reply = Reply(
        id=item.id,
        text=said.text,
        mark=item.mark,
        prompt=explained.prompt,
        finish_reason=said.finish_reason,
        prompt_tokens=said.prompt_tokens,
        completion_tokens=said.completion_tokens,
        seconds=said.seconds,
    )
    return reply, None


def _failed(item: Item, error: Exception) -> Dropped:
    return Dropped(item=item.id, reason=reason_of(error), detail=told(error, item.id))


@dataclass(eq=False, slots=True)
class _Writing:
    """One answer of a batch."""

    item: Item
    row: Row
    decoder: Decoder
    prompt: str
    prompt_tokens: int
    begun: float
    text: str = ""
    tokens: int = 0

    def take(self, token: int) -> str:
        """One more token; why the answer has ended, empty while it has not."""
        from llava_graph.batched import ENDED

        if token == NO_NUMBER:
            raise FloatingPointError("the model's logits are no finite numbers")
        if token == ENDED:
            return "stop"
        self.tokens += 1
        if token in self.row.ends:
            return "stop"
        self.text += self.decoder.push(token)
        if self.decoder.stopped:
            return "stop"
        return "length" if self.tokens >= self.row.max_new_tokens else ""

    def reply(self, reason: str) -> Reply:
        """When it has ended."""
        return Reply(
            id=self.item.id,
            text=(self.text + self.decoder.rest()).strip(),
            mark=self.item.mark,
            prompt=self.prompt,
            finish_reason=reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.tokens,
            seconds=round(time.monotonic() - self.begun, 3),
        )


def _batched(answerer: Explainer, items: Iterator[Item], asking: Asking) -> Iterator[Outcome]:
    """Each answer as if it were alone (`llava_graph.batched`); a model that cannot be shown to do so answers one at a time."""
    from llava_graph.batched import Alone, Batch
    from llava_graph.batched.memory import tokens_that_fit
    from llava_graph.batched.proof import prove

    most = asking.at_once
    batch: Alone | Batch
    if most > 1 and not prove(answerer.model):
        batch = Batch(answerer.model)
        most = max(1, min(most, tokens_that_fit(answerer.model) // answerer.model.context_length))
    else:
        batch, most = Alone(answerer.model), 1
    writing: list[_Writing] = []
    try:
        while True:
            while len(writing) < most and (item := next(items, None)) is not None:
                yield from _begin(answerer, batch, item, asking, writing)
            if not writing:
                return
            try:
                tokens = batch.step()
            except RuntimeError as error:  # torch tells of a full GPU by it
                yield from (_failed(one.item, error) for one in writing)
                writing.clear()
                batch.clear()
                continue
            for one, token in list(zip(writing, tokens, strict=True)):
                yield from _go_on(batch, one, token, writing)
    finally:
        batch.clear()


def _begin(
    answerer: Explainer, batch: Alone | Batch, item: Item, asking: Asking, writing: list[_Writing]
) -> Iterator[Outcome]:
    """Read one prompt and take its first token."""
    from llava_graph.batched import prepare, row_of

    try:
        messages: list[Message] = answerer.messages(item.figure, item.question, asking.options, history=item.history)
        images = [] if item.figure.image is None else [open_image(item.figure.image, where=item.id)]
        prompt = prepare(answerer.model, messages, images)
        row = row_of(answerer.model, prompt, asking.generation)
        decoder = Decoder(answerer.model.tokenizer, (*asking.generation.stop, *own_stops(answerer.model)))
        one = _Writing(item, row, decoder, first_text(messages), prompt.tokens, time.monotonic())
        (token,) = batch.admit([prompt], [row])
    except (LlavaGraphError, OSError, RuntimeError) as error:
        yield _failed(item, error)
        return
    writing.append(one)
    yield from _go_on(batch, one, token, writing)


def _go_on(batch: Alone | Batch, one: _Writing, token: int, writing: list[_Writing]) -> Iterator[Outcome]:
    """Take a token; when the answer has ended its row leaves, and the last row takes its place, here as in the batch."""
    outcome: Outcome | None = None
    try:
        if reason := one.take(token):
            outcome = one.reply(reason)
    except FloatingPointError as error:
        outcome = _failed(one.item, error)
    if outcome is not None:
        batch.remove(one.row)
        place = writing.index(one)
        writing[place] = writing[-1]
        writing.pop()
        yield outcome
