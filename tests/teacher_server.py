"""A teacher for the tests: an OpenAI-compatible server whose every answer a function decides, also to fail as servers do."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from upstream_server import MODELS, chunk, running_openai

GOOD = "Question: What does this plot show?\nAnswer: The loss falls with the epochs."
DEAD, HUNG = "dead", "hung"


@dataclass(frozen=True)
class Reply:
    """What one request gets."""

    text: str = GOOD
    finish: str = "stop"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    ending: str = ""
    """DEAD: the connection breaks in the middle. HUNG: nothing more comes."""
    usage: tuple[int, int] | None = (100, 20)


def step_of(body: dict[str, Any]) -> str:
    """Which of our prompts the request was made from."""
    system = body["messages"][0]["content"]
    names = {
        "explains scientific figures": "scigraphqa",
        "assistant that SEES": "llava-med",
        "3 or 4 exchanges": "quilt-conversation",
        "Write a description": "quilt-description",
        "who examines students": "quilt-complex",
        "You are a student": "quilt-student",
        "who guides a student": "quilt-guide",
        "note the final diagnosis": "clues",
        "asked aloud": "quilt-vqa",
        "ask questions aloud": "quilt-vqa",
        "You check training data": "rating",
    }
    return next(name for words, name in names.items() if words in system)


def asked(body: dict[str, Any]) -> str:
    """The text of the last message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(p["text"] for p in content if p["type"] == "text")


@dataclass
class TeacherServer:
    """An ASGI app. `answer(step, text of the last message)` decides; what it was asked is in `bodies`."""

    answer: Callable[[str, str], Reply] = lambda step, text: Reply()
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def steps(self) -> list[str]:
        return [step_of(body) for body in self.bodies]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        if scope["path"] == "/v1/models":
            await _whole(send, Reply(), {"object": "list", "data": [MODELS["openai"]]})
            return
        asked_for = json.loads(body)
        with self.lock:
            self.bodies.append(asked_for)
            self.keys |= {value.decode() for name, value in scope["headers"] if name == b"authorization"}
        reply = self.answer(step_of(asked_for), asked(asked_for))
        if reply.status != 200:
            await _whole(send, reply, {"error": {"message": reply.text}})
            return
        await self._stream(reply, receive, send)

    async def _stream(self, reply: Reply, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        middle = len(reply.text) // 2
        await _event(send, chunk({"content": reply.text[:middle]}))
        if reply.ending == DEAD:
            raise ConnectionAbortedError
        if reply.ending == HUNG:
            while (await receive())["type"] != "http.disconnect":
                await asyncio.sleep(0)
            return
        await _event(send, chunk({"content": reply.text[middle:]}))
        await _event(send, chunk({}, reply.finish))
        if reply.usage:
            told = dict(zip(("prompt_tokens", "completion_tokens"), reply.usage, strict=True))
            await _event(send, chunk(None, usage=told))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _event(send: Any, data: dict[str, Any]) -> None:
    await send({"type": "http.response.body", "body": f"data: {json.dumps(data)}\n\n".encode(), "more_body": True})


async def _whole(send: Any, reply: Reply, data: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), *((a.encode(), b.encode()) for a, b in reply.headers)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})


@contextmanager
def teaching(server: TeacherServer) -> Iterator[str]:
    """Its address."""
    with running_openai(server) as url:
        yield url
