"""A checkpoint in this process as a worker's engine: answers are written together where they are the same as alone."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from PIL import Image

from llava_graph.batched import Alone, Batch, prepare, row_of
from llava_graph.batched.memory import free_memory, tokens_that_fit
from llava_graph.batched.proof import prove
from llava_graph.errors import InputError, ServeError
from llava_graph.explain import Explainer
from llava_graph.generate import Decoder, own_stops
from llava_graph.model.load import LoadedModel
from llava_graph.model.prompts import count_tokens, render_prompt
from llava_graph.sampling import GenerationOptions
from serve.engines.batching.answer import Answer
from serve.engines.batching.limits import Limits
from serve.engines.batching.request import Prepared
from serve.engines.batching.scheduler import Scheduler, Writer
from serve.engines.engine import Step
from serve.protocol.codes import ErrorCode
from serve.protocol.messages import GenerateRequest, open_images, plain_placeholders

log = logging.getLogger(__name__)


class ExplainerEngine:
    """A `SchedulingEngine`."""

    def __init__(self, explainer: Explainer, limits: Limits = Limits(), writer: Writer | None = None) -> None:
        """Tries out whether the model answers in batches. `limits.max_batch_tokens` 0: as many as the free memory takes.

        `writer` computes instead of the model.
        """
        self._model = model = explainer.model
        self.name = model.name
        self.about = model.about
        self.chat_template = model.template
        self.prompt = model.prompt
        self.instructions = model.instructions
        self.max_images = model.max_images
        self.context_length = model.context_length
        self.one_at_a_time = "" if writer else "--max-batch-size is 1" if limits.max_batch_size == 1 else prove(model)
        """Why answers are not written together; empty: they are."""
        if self.one_at_a_time:
            log.warning("%s answers one request at a time: %s", model.name, self.one_at_a_time)
            limits = replace(limits, max_batch_size=1)
        tokens = limits.max_batch_tokens or tokens_that_fit(model)
        self.limits = replace(limits, max_batch_tokens=tokens)
        if limits.max_batch_tokens and tokens < (least := shortest_request(model)):
            raise InputError(
                f"--max-batch-tokens {tokens} is too few: one figure with the shortest question takes {least} tokens"
            )
        writer = writer or (Alone(model) if self.one_at_a_time else Batch(model))
        self._scheduler = Scheduler(writer, self.limits, free_memory=lambda: free_memory(model))
        log.info("up to %d answers and %d tokens at once", self.limits.max_batch_size, tokens)

    @property
    def queue_length(self) -> int:
        """See SchedulingEngine."""
        return self._scheduler.queue_length

    @property
    def waiting(self) -> int:
        """See Engine."""
        return self._scheduler.waiting

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """See Engine."""
        return render_prompt(self._model, messages)

    def count_tokens(self, prompt: str) -> int:
        """See Engine."""
        return count_tokens(self._model, plain_placeholders(prompt))

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[Step]:
        """See SchedulingEngine."""
        decoder = Decoder(self._model.tokenizer, (*request.stop, *own_stops(self._model)))
        answer = Answer(asyncio.get_running_loop(), decoder, lambda: self._scheduler.cancel(submitted))
        submitted = self._scheduler.submit(lambda: self._prepare(request), answer)
        try:
            async with aclosing(answer.steps()) as steps:
                async for step in steps:
                    yield step
        finally:
            self._scheduler.cancel(submitted)

    def close(self) -> None:
        """See SchedulingEngine."""
        self._scheduler.close()

    def _prepare(self, request: GenerateRequest) -> Prepared:
        """In a thread of the scheduler's: images, tokens, pixels."""
        messages = request.messages or plain_placeholders(request.prompt)
        prompt = prepare(self._model, messages, open_images(request))
        row = row_of(self._model, prompt, generation_options(request))
        room = self.limits.max_batch_tokens - prompt.tokens
        if room < 1:
            raise ServeError(
                f"the prompt has {prompt.tokens} tokens, this worker has memory for {self.limits.max_batch_tokens}",
                code=ErrorCode.CONTEXT_OVERFLOW,
                next_step="Shorten it, or start the worker with a higher --max-batch-tokens",
            )
        row.max_new_tokens = min(row.max_new_tokens, room)
        return Prepared(prompt, row)


def shortest_request(model: LoadedModel) -> int:
    """Tokens of a small image, one word and one token of an answer: less serves nobody."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
    return prepare(model, [message], [Image.new("RGB", (64, 64), "white")]).tokens + 1


def generation_options(request: GenerateRequest) -> GenerationOptions:
    """What is neutral in a request (FastChat's clients send every parameter) is left to the checkpoint, but the temperature."""
    return GenerationOptions(
        max_new_tokens=request.max_new_tokens,
        temperature=request.temperature,
        top_p=request.top_p or None,
        top_k=None if request.top_k < 0 else request.top_k,
        repetition_penalty=None if request.repetition_penalty == 1 else request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
        seed=request.seed,
    )
