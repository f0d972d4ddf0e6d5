"""A small OpenAI-compatible server for the tests: answers as vLLM, SGLang, llama.cpp and Ollama do, and fails as they do."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from serve.http.servers import Server, bind

WORDS = ("The", " curve", " rises", ",", " then", " stays", " flat", ".")
USAGE = {"prompt_tokens": 21, "completion_tokens": 8, "total_tokens": 29}
MODELS = {
    "vllm": {"id": "figures", "object": "model", "owned_by": "vllm", "root": "/m/figures", "max_model_len": 4096},
    "sglang": {"id": "figures", "object": "model", "owned_by": "sglang", "root": "figures", "max_model_len": 8192},
    "llamacpp": {"id": "figures", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}},
    "ollama": {"id": "figures:latest", "object": "model", "owned_by": "library"},
    "openai": {"id": "figures", "object": "model", "owned_by": "system"},
}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "figures", "choices": choices, **more}


def vllm(words=WORDS, finish="stop"):
    """A first chunk with the role alone, the finish on a chunk of its own, the usage without choices."""
    yield chunk({"role": "assistant", "content": ""})
    for word in words:
        yield chunk({"content": word})
    yield chunk({"content": ""}, finish, stop_reason=None)
    yield chunk(None, usage=USAGE)


def saying(text, pause=0.0):
    """A script that says `text` word by word, so many seconds apart."""
    words = [word if place == 0 else f" {word}" for place, word in enumerate(text.split(" "))]
    spoken = [item for word in words for item in ([pause] if pause else []) + [chunk({"content": word})]]
    return [*spoken, chunk({}, "stop"), chunk(None, usage=USAGE), "data: [DONE]\n\n"]


def llamacpp(words=WORDS, finish="stop"):
    """Content null first, the end with an empty delta, timings beside the usage."""
    yield chunk({"role": "assistant", "content": None})
    for word in words:
        yield chunk({"content": word})
    yield chunk({}, finish)
    yield chunk(None, usage=USAGE, timings={"prompt_n": 21, "predicted_n": 8, "predicted_per_second": 80.0})


def ollama(words=WORDS, finish="stop"):
    """The role on every chunk, the finish on one with content."""
    for word in words:
        yield chunk({"role": "assistant", "content": word}, system_fingerprint="fp_ollama")
    yield chunk({"role": "assistant", "content": ""}, finish)
    yield chunk(None, usage=USAGE)


STREAMS = {"vllm": vllm, "sglang": vllm, "llamacpp": llamacpp, "ollama": ollama, "openai": vllm}


@dataclass
class OpenAiServer:
    """An ASGI app. `script`: chunks (JSON), strings (sent as they are), floats (pauses, s); None breaks the connection off."""

    kind: str = "vllm"
    script: Any = None
    refusals: list[tuple[int, Any]] = field(default_factory=list)
    """(status, JSON or text) that the next requests for an answer get, before the script."""
    models: list[dict[str, Any]] | None = None
    """What it serves; None: one model, as servers of its kind tell of it."""
    no_chat: bool = False
    down: int = 0
    """An HTTP status that /models has while the model loads."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    open: int = 0
    most_open: int = 0
    left: int = 0
    """Clients that went away in the middle of an answer."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.keys.add(headers.get("authorization", ""))
        self.paths.append(scope["path"])
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        if scope["path"] in ("/v1/chat/completions", "/v1/completions"):
            await self.answer(json.loads(body), receive, send)
        else:
            status, data = self.question(scope["path"], json.loads(body) if body else {})
            await respond(send, status, data)

    def question(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            data = [MODELS[self.kind]] if self.models is None else self.models
            loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
            return (self.down, loading) if self.down else (200, {"object": "list", "data": data})
        if path == "/props" and self.kind == "llamacpp":
            return 200, {"default_generation_settings": {"n_ctx": 16384}, "total_slots": 4}
        if path == "/api/version" and self.kind == "ollama":
            return 200, {"version": "0.13.1"}
        if path == "/api/ps" and self.kind == "ollama":
            return 200, {"models": [{"name": "figures:latest", "context_length": 32768}]}
        if path == "/apply-template" and self.kind == "llamacpp":
            return 200, {"prompt": "".join(f"<{m['role']}>{m['content']}" for m in body["messages"])}
        if path == "/tokenize" and self.kind == "llamacpp":
            return 200, {"tokens": list(range(len(body["content"].split())))}
        if path == "/tokenize" and self.kind in ("vllm", "sglang"):
            texts = [m["content"] for m in body["messages"]] if "messages" in body else [body["prompt"]]
            return 200, {"count": sum(len(text.split()) + 5 for text in texts), "max_model_len": 4096, "tokens": []}
        return 404, {"detail": "Not Found"}

    async def answer(self, body: dict[str, Any], receive: Any, send: Any) -> None:
        self.bodies.append(body)
        if self.refusals:
            await respond(send, *self.refusals.pop(0))
            return
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        gone = asyncio.create_task(receive())
        try:
            await self._stream(gone, send)
        finally:
            gone.cancel()
            with self.lock:
                self.open -= 1

    async def _stream(self, gone: asyncio.Task, send: Any) -> None:
        script = [*STREAMS[self.kind](), "data: [DONE]\n\n"] if self.script is None else self.script
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for item in script:
            if item is None:
                raise ConnectionAbortedError
            if isinstance(item, float):
                await asyncio.wait({gone}, timeout=item)
            if gone.done():
                self.left += 1
                return
            if not isinstance(item, float):
                text = item if isinstance(item, str) else f"data: {json.dumps(item)}\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def respond(send: Any, status: int, data: Any) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    kind = b"text/html" if isinstance(data, str) else b"application/json"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": text.encode()})


@contextmanager
def running_openai(server: OpenAiServer, port: int = 0) -> Iterator[str]:
    """Its address, which ends in /v1."""
    with Server(server, bind("127.0.0.1", port), "upstream") as running:
        yield running.url + "/v1"
