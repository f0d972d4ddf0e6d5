"""A model behind any OpenAI-compatible server (ours, vLLM, SGLang, llama.cpp, Ollama, a hosted one), asked from a command."""

import json
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx

from llava_graph.errors import InputError, ServeError, did_you_mean
from llava_graph.explain import Answerer
from llava_graph.generate import Chunk, GenerationOptions
from llava_graph.images import encode_png
from llava_graph.openai_wire import (
    INTERNAL,
    INVALID_MODEL,
    OVERLOADED,
    Delta,
    Events,
    adapted,
    asked_pause,
    chat_body,
    endpoint,
    read_answer,
    read_event,
    reason_in,
    refusal,
)
from llava_graph.prompt import Message, PromptOptions, about_tokens, prompt_options_of

if TYPE_CHECKING:
    from PIL import Image

_log = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 300.0
"""A large model on a CPU reads a prompt for minutes before its first word."""
BUSY_WAITS_S = (1.0, 4.0, 16.0)
"""Between tries when a server says that it is busy and not for how long."""
ABORTED = ("abort", "error")
"""Reasons of SGLang, vLLM and OpenRouter for an answer that they did not end."""
SAMPLING = {"temperature", "top_p", "seed", "repetition_penalty"}
"""What somebody may have asked for; that it is left out is told."""
MAX_BODY_BYTES = 16 * 2**20
OURS = "llava-graph"
"""The owner of models that our own API serves."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SHOWN = PromptOptions(title=True, mentions=True, max_context_tokens=3000)
"""What a general model is shown beside the figure: it was not trained to do without the paper's words."""


class ApiModel(Answerer):
    """One model of one server. Keeps no connection open between answers, so that threads may share it."""

    def __init__(
        self,
        base: str,
        model: str = "",
        *,
        key: str | None = None,
        silence_s: float = SILENCE_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Ask the server for its models; without `model` it must have one only. `key` None: from OPENAI_API_KEY.
        A server that says nothing for `silence_s` is given up.

        Raises InputError (address, model unknown or not chosen) and ServeError (no answer, key refused).
        """
        self.base = base
        self._key = os.environ.get(KEY_VARIABLE, "") if key is None else key
        self._transport, self._sleep, self._silence_s = transport, sleep, silence_s
        told = self._model(model)
        self.name = str(told["id"])
        if told.get("owned_by") == OURS:
            told = self._details(self.name)
        self.about = str(told.get("about") or told.get("description") or "")
        self.prompt = prompt_options_of(told["prompt"]) if "prompt" in told else SHOWN
        self.instructions = told.get("instructions") is not False

    def count_tokens(self, text: str) -> int:
        """An estimate from above."""
        return about_tokens(text)

    def generate_stream(
        self,
        prompt: Sequence[Message],
        images: Sequence["Image.Image"],
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """See Answerer. Raises ServeError with the server's reason, or because it is gone or silent."""
        body = chat_body(self.name, prompt, [encode_png(image) for image in images], generation)
        written, reason = Written(), None
        for delta in self._deltas(body):
            written.add(delta)
            if delta.text:
                yield written.chunk(delta.text)
            if stopping is not None and stopping.is_set():
                reason = "cancelled"
                break
        reason = reason or written.finish_reason
        if reason is None or reason in ABORTED:
            told = f" ({reason})" if reason else ""
            raise ServeError(f"the server stopped in the middle of the answer{told}", code=INTERNAL, where=self.base)
        yield written.chunk("", reason)

    def _deltas(self, body: Mapping[str, Any]) -> Iterator[Delta]:
        with self._answer(dict(body)) as response:
            if "json" in response.headers.get("content-type", ""):
                yield read_answer(_json(_whole(response), self.base))
                return
            events, written = Events(), Written()
            for data in response.iter_bytes():
                for event in events.feed(data):
                    delta = read_event(event)
                    if delta is None:
                        if written.said_something and written.finish_reason is None:
                            yield Delta(finish_reason="stop")  # the stream's own end: it did not break off
                        return
                    written.add(delta)
                    yield delta
            yield from (delta for event in events.end() if (delta := read_event(event)) is not None)

    @contextmanager
    def _answer(self, body: dict[str, Any]) -> Iterator[httpx.Response]:
        """The response to a chat request, waiting while the server is busy and leaving out what it does not know."""
        address, waits = endpoint(self.base, "chat/completions"), iter(BUSY_WAITS_S)
        while True:
            with self._http() as http, self._told(), http.stream("POST", address, json=body) as response:
                if response.status_code == httpx.codes.OK:
                    yield response
                    return
                told, wished = _whole(response), asked_pause(response.headers, time.time())
            error = refusal(response.status_code, told, self.base)
            other = adapted(body, reason_in(told)[0]) if 400 <= response.status_code < 500 else None
            if other is not None:
                if dropped := ", ".join(sorted({*body} & SAMPLING - {*other})):
                    _log.warning("%s does not know %s: it is left out", self.name, dropped)
                body = other
                continue
            pause = next(waits, None) if error.code == OVERLOADED else None
            if pause is None:
                raise error
            self._sleep(pause if wished is None else wished)

    def _model(self, wanted: str) -> Mapping[str, Any]:
        """What the server tells of the model. One that lists no models is taken at its word."""
        with self._http() as http, self._told():
            response = http.get(endpoint(self.base, "models"), timeout=CONNECT_TIMEOUT_S)
        if response.status_code == httpx.codes.NOT_FOUND and wanted:
            return {"id": wanted}
        if response.status_code != httpx.codes.OK:
            raise refusal(response.status_code, response.content, self.base)
        listed = _json(response.content, self.base)
        models = listed.get("data") if isinstance(listed, Mapping) else None
        known = {str(one["id"]): one for one in models or () if isinstance(one, Mapping) and one.get("id")}
        if wanted in known:
            return known[wanted]
        if not known:
            raise ServeError("the server serves no model", code=INVALID_MODEL, where=self.base)
        if not wanted and len(known) == 1:
            return next(iter(known.values()))
        what = f"the server has no model {wanted!r}" if wanted else "the server has several models"
        raise InputError(what, where=self.base, next_step=f"Give --model. {did_you_mean(wanted, known)}")

    def _details(self, model: str) -> Mapping[str, Any]:
        """What a server of ours tells of one model: what it is, whether it follows instructions, what it is shown."""
        with self._http() as http, self._told():
            response = http.get(endpoint(self.base, f"models/{quote(model)}"), timeout=CONNECT_TIMEOUT_S)
        told = _json(response.content, self.base) if response.status_code == httpx.codes.OK else {}
        return told if isinstance(told, Mapping) else {}

    def _http(self) -> httpx.Client:
        local = urlsplit(self.base).hostname in LOOPBACK
        return httpx.Client(
            transport=self._transport,
            timeout=httpx.Timeout(self._silence_s, connect=CONNECT_TIMEOUT_S),
            verify=_trust(),
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            trust_env=not local,  # a proxy of the environment cannot reach this machine
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """httpx's exceptions -> ServeError."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServeError(
                "the server says nothing", code=INTERNAL, where=self.base, next_step="Ask again, or look into its log"
            ) from error
        except httpx.InvalidURL as error:
            raise InputError(f"no http address ({error})", where=self.base, next_step="Check --api") from error
        except httpx.HTTPError as error:
            raise ServeError(
                f"the server cannot be reached, or broke off ({error})",
                code=INTERNAL,
                where=self.base,
                next_step="Is it running? Check --api",
            ) from error


class Written:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.said_something = False
        self._prompt_tokens = self._completion_tokens = 0

    def add(self, delta: Delta) -> None:
        """One more delta."""
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.said_something = self.said_something or bool(delta.text)
        self._prompt_tokens = delta.prompt_tokens or self._prompt_tokens
        self._completion_tokens = delta.completion_tokens or self._completion_tokens

    def chunk(self, text: str, finish_reason: str | None = None) -> Chunk:
        """A piece of it; tokens are 0 where the server does not tell."""
        return Chunk(
            text=text,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            finish_reason=finish_reason,
        )


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted, read once: reading them takes 20 ms."""
    return httpx.create_ssl_context()


def _whole(response: httpx.Response) -> bytes:
    """A body that is no stream, as far as we read it."""
    data = b""
    for piece in response.iter_bytes():
        data += piece
        if len(data) > MAX_BODY_BYTES:
            break
    return data


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise ServeError(
            "the server's answer is no JSON",
            code=INTERNAL,
            where=where,
            next_step="Is it an OpenAI-compatible server? --api is the address that ends in /v1",
        ) from error
