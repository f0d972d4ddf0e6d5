"""A model on an OpenAI-compatible server as a worker's engine: requests go on as chat completions, answers come back as steps.

Everything waits asynchronously; closing an answer closes the connection, which ends the generation on such servers.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from llava_graph.errors import ServeError
from llava_graph.images import encode_png
from llava_graph.model.about import About
from llava_graph.openai_wire import DONE, Events, reason_in
from llava_graph.prompt import PromptOptions
from serve.engines.batching.limits import Limits
from serve.engines.engine import Step
from serve.engines.upstream.dialect import MESSAGES_V1, messages_of, write_prompt
from serve.engines.upstream.discovery import (
    Upstream,
    UpstreamOptions,
    client_settings,
    count,
    public_host,
    unreachable,
)
from serve.engines.upstream.events import Answer
from serve.engines.upstream.refusals import refusal_of
from serve.engines.upstream.request import Habits, body_of
from serve.engines.upstream.slots import Slots
from serve.protocol.codes import ErrorCode
from serve.protocol.messages import MAX_IMAGES, GenerateRequest, Timings, data_uri, open_images

log = logging.getLogger(__name__)

MAX_ERROR_BODY = 64 * 2**10
"""Bytes of a refusal that are read."""
FRESH_S = {"openai": 60.0}
"""For so long the server's word that it is there is believed; a hosted one is not asked every few seconds."""
MAX_ATTEMPTS = 4
"""One for each habit that may have to change (`changed`, and the limit of the answer), and the one that is answered."""
KINDS = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "ollama": "Ollama",
    "openai": "an OpenAI-compatible server",
}


class UpstreamEngine:
    """A `RemoteEngine`: `limits.max_batch_size` requests are open at the server at once, others wait here.

    `about`: what the checkpoint that the server has loaded says of itself; None: it is one that follows instructions.
    """

    def __init__(
        self,
        options: UpstreamOptions,
        upstream: Upstream,
        *,
        limits: Limits = Limits(),
        about: About | None = None,
    ) -> None:
        self.options = options
        self.upstream = upstream
        self.name = (about.name if about else options.model or upstream.model).rstrip("/").rpartition("/")[2]
        self.about = (about.description if about else "") or f"{_shown(upstream.model)} on {KINDS[upstream.kind]}."
        if host := public_host(options.url):
            self.about += f" Figures and questions are sent to {host}."
        self.chat_template = ""
        self.prompt = about.prompt if about else PromptOptions()
        self.instructions = about.instructions if about else True
        self.max_images = about.max_images if about else MAX_IMAGES
        self.context_length = upstream.context_length
        self.conversation = MESSAGES_V1
        self.habits = Habits(upstream.kind)
        self._slots = Slots(limits.max_batch_size, limits.max_waiting, limits.max_queue_s)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._questions = httpx.Client(**client_settings(options))
        self._seen = time.monotonic()

    @property
    def queue_length(self) -> int:
        """See Engine."""
        return self._slots.queue_length

    @property
    def waiting(self) -> int:
        """See Engine."""
        return self._slots.waiting

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """The prompt of messages in this worker's own conversation template; the model's is the server's business."""
        return write_prompt(messages)

    def count_tokens(self, prompt: str) -> int:
        """See Engine. An Estimate where the server lends no tokenizer, and for images."""
        messages = messages_of(prompt) or ({"role": "user", "content": [{"type": "text", "text": prompt}]},)
        return count(self._questions, self.upstream, messages)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[Step]:
        """See Engine. Raises ServeError with the server's own reason."""
        clock = Clock()
        await self._slots.acquire()
        try:
            clock.began()
            images = await asyncio.to_thread(data_uris, request)
            async with aclosing(self._answer(request, images)) as steps:
                async for step in steps:
                    yield clock.timed(step)
        finally:
            self._slots.release()

    async def check(self) -> None:
        """Raises ServeError 50006 when the server does not answer."""
        if time.monotonic() - self._seen < FRESH_S.get(self.upstream.kind, 2.0):
            return
        try:
            response = await self._client().get("models", timeout=3.0)
        except httpx.HTTPError as error:
            raise unreachable("", error) from error
        if response.status_code in (502, 503, 504):
            raise refusal_of(response.status_code, response.content, (), self.upstream.model)
        self._seen = time.monotonic()

    def close(self) -> None:
        """See Engine: open answers end, since their connections do."""
        self._questions.close()
        if self._http and self._loop and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._http.aclose(), self._loop).result(5)

    def _client(self) -> httpx.AsyncClient:
        # Made where it is used: its connections belong to that event loop.
        if self._http is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=self._slots.limit)
            self._http = httpx.AsyncClient(limits=limits, **client_settings(self.options))
            self._loop = asyncio.get_running_loop()
        return self._http

    async def _answer(self, request: GenerateRequest, images: Sequence[str]) -> AsyncGenerator[Step]:
        answer = Answer(self.upstream.model)
        try:
            async with self._opened(request, images) as response:
                async for events in _events(response):
                    # Of what has arrived together only the newest text: a slow reader gets no backlog.
                    if steps := [step for event in events if (step := answer.take(event))]:
                        yield steps[-1]
        except httpx.TimeoutException as error:
            raise ServeError(
                f"the upstream server has said nothing for {self._patience(error):g} s",
                code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
                next_step="Ask again, or look into its log",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if answer.text:
                log.warning("the upstream server broke off: %s", error or type(error).__name__)
            else:
                raise unreachable("", error) from error
        except ServeError as error:
            raise self._without_key(error) from error
        yield answer.last()

    def _patience(self, error: httpx.TimeoutException) -> float:
        return self.options.connect_s if isinstance(error, httpx.ConnectTimeout) else self.options.silence_s

    @asynccontextmanager
    async def _opened(self, request: GenerateRequest, images: Sequence[str]) -> AsyncIterator[httpx.Response]:
        """The server's 200. What it refuses for a habit that we can change is asked again once that is changed."""
        limited = True
        for _ in range(MAX_ATTEMPTS):
            path, body = body_of(request, images, self.upstream.model, self.habits, limit=limited)
            async with self._client().stream("POST", path.removeprefix("/"), json=body) as response:
                if response.status_code == httpx.codes.OK:
                    self._seen = time.monotonic()
                    yield response
                    return
                told = await _bounded(response)
            refusal = refusal_of(response.status_code, told, body.keys(), self.upstream.model)
            if habits := changed(self.habits, *reason_in(told)):
                self.habits = habits
            elif refusal.code == ErrorCode.CONTEXT_OVERFLOW and limited:
                # The prompt may fit though prompt and the longest answer do not: then all the room that is left is the limit.
                limited = False
            else:
                raise refusal
        raise refusal

    def _without_key(self, error: ServeError) -> ServeError:
        key = self.options.key
        if not key or key not in str(error):
            return error
        return ServeError(str(error).replace(key, "***"), code=error.code)


def changed(habits: Habits, reason: str, param: str) -> Habits | None:
    """Habits for a server that gave this reason; None when the reason is another one."""
    if habits.tokens_field == "max_tokens" and "max_completion_tokens" in reason:
        return replace(habits, tokens_field="max_completion_tokens")
    if habits.stream_options and "stream_options" in (param or reason):
        return replace(habits, stream_options=False)
    return None


async def _events(response: httpx.Response) -> AsyncGenerator[list[str]]:
    """The events of a stream as they arrive; one event for a server that answers with one JSON instead."""
    if response.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        yield [(await response.aread()).decode("utf-8", "replace"), DONE]
        return
    events = Events()
    async for piece in response.aiter_bytes():
        yield events.feed(piece)
    yield events.end()


def _shown(model: str) -> str:
    """A model's name for people who need not know where its files lie."""
    return model.rstrip("/").rpartition("/")[2] if model.startswith(("/", ".", "~")) else model


class Clock:
    """Where the time of one answer goes, as this worker sees it: the server's own queue is part of the prefill."""

    def __init__(self) -> None:
        self._asked = self._began = time.monotonic()
        self._first: float | None = None
        self._latest: float | None = None

    def began(self) -> None:
        """It is our turn at the server."""
        self._began = time.monotonic()

    def timed(self, step: Step) -> Step:
        """The last step with its timings; the others as they are."""
        if step.finish_reason is None:
            self._latest = time.monotonic()
            self._first = self._first or self._latest
            return step
        first = self._first or time.monotonic()
        decode = (self._latest or first) - first
        later = step.usage.completion_tokens - 1 if step.usage else 0
        # A server that sends all of it at once does not tell how fast it was.
        rate = later / decode if later > 0 and decode > 0 else 0.0
        return replace(step, timings=Timings(self._began - self._asked, first - self._began, decode, rate))


async def _bounded(response: httpx.Response) -> bytes:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ERROR_BODY:
            break
    return body


def data_uris(request: GenerateRequest) -> list[str]:
    """The images, decoded under our limits before anybody else decodes them, as PNG. Raises ImageError, ServeError 40001.

    Only pixels go on: no format that we have not understood, and nothing of what a camera writes beside them.
    """
    return [data_uri(encode_png(image)) for image in open_images(request)]
