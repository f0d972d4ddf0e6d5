"""POST /v1/chat/completions: from a request's JSON to one answer, or to a stream of server-sent events, exactly as OpenAI's."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llava_graph.errors import ServeError
from llava_graph.evidence import evidence
from llava_graph.record import plain
from serve.api.answers import Growing, answers
from serve.api.chat_request import ChatRequest
from serve.api.context import Given, Kitchen
from serve.api.errors import model_not_found, refusal_of
from serve.api.options import ApiOptions
from serve.client import ModelClient, ModelDetails, Reply
from serve.http.guard import read_json
from serve.http.metrics import Metrics
from serve.http.stream import Stream, unless_gone
from serve.protocol.codes import ErrorCode

DONE = b"data: [DONE]\n\n"
Numbered = AsyncGenerator[tuple[int, Reply]]


@dataclass(frozen=True)
class Chat:
    """What answers chat requests."""

    client: ModelClient
    kitchen: Kitchen
    metrics: Metrics
    options: ApiOptions
    charge: Callable[[str, int], None]
    """(caller, tokens): what an answer has cost."""

    async def answer(self, request: Request, caller: str) -> Response:
        """Raises ApiError and whatever else is wrong before the first word; after it, errors stand in the stream."""
        data = await read_json(request, self.options.max_body)
        asked = ChatRequest.from_json(data, max_choices=self.options.max_choices)
        with self.metrics.queued.track_inprogress():
            given = await unless_gone(request, self._prepare(asked))
            # What the images came as (megabytes of text) is not held while the answer is written.
            asked = replace(asked, images=())
            del data
            replies = answers(self.client, asked.model, given, asked.n)
            # The first step says whether the worker takes the request: until then an error has a status of its own.
            begun = time.monotonic()
            first = await unless_gone(request, self._first(asked.model, replies))
        self.metrics.first_token.labels(asked.model).observe(time.monotonic() - begun)
        writing = _Writing(self, _Job(asked, given, caller), first, replies)
        if asked.stream:
            return Stream(writing.events(), "text/event-stream", begun=replies)
        try:
            return JSONResponse(await unless_gone(request, writing.whole()))
        finally:
            await replies.aclose()

    async def details(self, model: str) -> ModelDetails:
        """What a model is. Raises ApiError 404 with the known names."""
        try:
            return await self.client.details(model)
        except ServeError as error:
            raise await self._meant(error, model) from error

    async def _first(self, model: str, replies: Numbered) -> tuple[int, Reply]:
        try:
            return await anext(replies)
        except ServeError as error:
            raise await self._meant(error, model) from error

    async def _meant(self, error: ServeError, model: str) -> ServeError:
        """Asked only where no worker was found, for most requests are fine."""
        if error.code != ErrorCode.CONTROLLER_NO_WORKER:
            return error
        known = await self.client.models()
        return error if model in known else await missing(self.client, model, known)

    async def last(self, asked: ChatRequest, given: Given, caller: str) -> Reply:
        """One whole answer."""
        growing = Growing()
        with self.counted(asked.model, caller, [growing]):
            async with aclosing(answers(self.client, asked.model, given, 1)) as replies:
                async for _, reply in replies:
                    growing.push(reply, last=True)
        return growing.reply

    @contextmanager
    def counted(self, model: str, caller: str, growing: Sequence[Growing]) -> Iterator[None]:
        """However it ends: what was read and written is counted and charged."""
        try:
            with self.metrics.running.track_inprogress():
                yield
        finally:
            if usage := usage_of(growing):
                self.metrics.prompt_tokens.labels(model).inc(usage["prompt_tokens"])
                self.metrics.completion_tokens.labels(model).inc(usage["completion_tokens"])
                self.charge(caller, usage["total_tokens"])

    async def _prepare(self, asked: ChatRequest) -> Given:
        """Only a figure's prompt depends on the model."""
        return await self.kitchen.prepare(asked, await self.details(asked.model) if asked.figure else None)


async def missing(client: ModelClient, model: str, known: list[str]) -> ServeError:
    """Why `model` is none of the `known`: it was served lately (503: ask again, as OpenAI's clients do), or never (404)."""
    if not await client.served_lately(model):
        return model_not_found(model, known)
    return ServeError(
        f"the worker of {model!r} has gone; it was there in the last minutes",
        code=ErrorCode.CONTROLLER_NO_WORKER,
        next_step="Ask again in a moment",
    )


def usage_of(growing: Sequence[Growing]) -> dict[str, int] | None:
    """The prompt once, the answers together, as OpenAI counts; None when the worker does not say."""
    replies = [one.reply for one in growing]
    prompt = next((reply.prompt_tokens for reply in replies if reply.prompt_tokens is not None), None)
    if prompt is None:
        return None
    written = sum(reply.completion_tokens or 0 for reply in replies)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


@dataclass(frozen=True)
class _Job:
    """What is to be written, and for whom."""

    asked: ChatRequest
    given: Given
    caller: str


class _Writing:
    """One request's answers while they are written."""

    def __init__(self, chat: Chat, job: "_Job", first: tuple[int, Reply], rest: Numbered) -> None:
        self._chat, self._asked, self._given, self._caller = chat, job.asked, job.given, job.caller
        self._first, self._rest = first, rest
        asked = job.asked
        self._growing = [Growing() for _ in range(asked.n)]
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk" if asked.stream else "chat.completion",
            "created": int(time.time()),
            "model": asked.model,
        }

    async def whole(self) -> dict[str, Any]:
        """All of it as one answer."""
        with self._chat.counted(self._asked.model, self._caller, self._growing):
            async for number, reply in self._replies():
                self._growing[number].push(reply, last=True)
        choices = [
            {
                "index": number,
                "message": {"role": "assistant", "content": growing.reply.text, "refusal": None},
                "logprobs": None,
                "finish_reason": growing.finish_reason,
                **await self._evidence(growing),
            }
            for number, growing in enumerate(self._growing)
        ]
        return {**self._head, "choices": choices, "usage": usage_of(self._growing), **self._figure()}

    async def events(self) -> AsyncGenerator[bytes]:
        """The same as server-sent events."""
        try:
            with self._chat.counted(self._asked.model, self._caller, self._growing):
                for number in range(self._asked.n):
                    yield self._event(number, {"role": "assistant", "content": ""})
                if told := self._figure():
                    yield _sse({**self._head, "choices": [], **told})
                async for number, reply in self._replies():
                    if new := self._growing[number].push(reply):
                        yield self._event(number, {"content": new})
                for number, growing in enumerate(self._growing):
                    if rest := growing.push(growing.reply, last=True):
                        yield self._event(number, {"content": rest})
                    yield self._event(number, {}, growing.finish_reason, **await self._evidence(growing))
        except Exception as error:  # noqa: BLE001  (the status is sent: the error can only stand in the stream)
            refusal = refusal_of(error)
            self._chat.metrics.errors.labels(refusal.code or str(refusal.status)).inc()
            yield _sse(refusal.to_json())
            return
        if self._asked.include_usage:
            yield _sse({**self._head, "choices": [], "usage": usage_of(self._growing)})
        yield DONE

    async def _replies(self) -> Numbered:
        """All of them. `rest` is closed by whoever holds it: this generator may end before it has begun."""
        yield self._first
        async for item in self._rest:
            yield item

    def _event(self, number: int, delta: dict[str, str], finish: str | None = None, **beside: Any) -> bytes:
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": finish, **beside}
        usage = {"usage": None} if self._asked.include_usage else {}
        return _sse({**self._head, "choices": [choice], **usage})

    def _figure(self) -> dict[str, Any]:
        """The extension: what the model was given, if the caller wants to know."""
        asked, figure = self._asked.figure, self._given.figure
        if asked is None or figure is None or not asked.include & {"prompt", "ocr"}:
            return {}
        told: dict[str, Any] = {"id": figure.id}
        if "prompt" in asked.include:
            told["prompt"] = self._given.prompt
        if "ocr" in asked.include:
            told["ocr"] = [plain(line) for line in figure.ocr]
        return {"figure": told}

    async def _evidence(self, growing: Growing) -> dict[str, Any]:
        """The extension: each sentence of an answer and what supports it."""
        asked, figure = self._asked.figure, self._given.figure
        if asked is None or figure is None or "evidence" not in asked.include:
            return {}
        # In a thread: against a megabyte of paragraphs it takes a second.
        sentences = await asyncio.to_thread(evidence, growing.reply.text, figure)
        return {"evidence": [asdict(sentence) for sentence in sentences]}


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"
