"""What an OpenAI-compatible server streams -> the answer as it grows. Pure: bytes and JSON in, steps out."""

import json
from collections.abc import Mapping
from typing import Any

from llava_graph.errors import ServeError
from serve.engines.engine import Step
from serve.engines.upstream.refusals import failure_in
from serve.protocol.codes import ErrorCode
from serve.protocol.messages import Usage

DONE = "[DONE]"
MAX_EVENT = 8 * 2**20
"""Bytes of one event; a server that sends more without an end is broken."""


class Events:
    """Bytes as they arrive -> the data of whole server-sent events. Comments (keep-alives) and other fields are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """The events that `piece` completes. Raises ServeError for one beyond MAX_EVENT."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MAX_EVENT:
            raise no_stream("an event has no end")
        return [event for line in lines if (event := self._line(line)) is not None]

    def end(self) -> list[str]:
        """What stands unfinished when the connection closes: some servers leave out the last empty line."""
        return [event for line in (self._rest, b"") if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> str | None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        name, _, value = text.partition(":")
        # `error` instead of `data` is how older llama.cpp servers break off.
        if name in ("data", "error"):
            self._data.append(value.removeprefix(" "))
        if text or not self._data:
            return None
        event, self._data = "\n".join(self._data), []
        return event


class Answer:
    """An answer that grows by chunks of /chat/completions or /completions."""

    def __init__(self, model: str) -> None:
        self.text = ""
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.ended = False
        """The server has said that no more will come."""
        self._model = model

    def take(self, event: str) -> Step | None:
        """One event; None when it brings nothing new. Raises ServeError for an error in the stream, with its own reason."""
        if event.strip() == DONE:
            self.ended = True
            return None
        try:
            data = json.loads(event)
        except ValueError as error:
            raise no_stream(f"{event[:80]!r}") from error
        if not isinstance(data, Mapping):
            raise no_stream(f"{event[:80]!r}")
        if failure := failure_in(data, self._model):
            raise failure
        return self._chunk(data)

    def last(self) -> Step:
        """The whole answer. Raises ServeError 50006 when the server broke off, and for an answer that was withheld."""
        if self.finish_reason is None and not self.ended:
            raise ServeError(
                "the upstream server stopped in the middle of the answer",
                code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
                next_step="Ask again; its log says why",
            )
        if self.finish_reason in ("content_filter", "abort", "error"):
            raise ServeError(
                f"the upstream server ended the answer ({self.finish_reason})", code=ErrorCode.INTERNAL_ERROR
            )
        return Step(self.text, self.usage, "length" if self.finish_reason == "length" else "stop")

    def _chunk(self, data: Mapping[str, Any]) -> Step | None:
        self.usage = _usage(data.get("usage")) or self.usage
        choices = data.get("choices")
        # The chunk that carries the usage has no choices.
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
        grown = _text(choice)
        self.text += grown
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        return Step(self.text, self.usage) if grown else None


def _text(choice: Mapping[str, Any]) -> str:
    """What a choice adds: a delta, a whole message (a server that does not stream), or the text of a completion."""
    for holder in (choice.get("delta"), choice.get("message")):
        if isinstance(holder, Mapping) and isinstance(holder.get("content"), str):
            return str(holder["content"])
    return str(choice["text"]) if isinstance(choice.get("text"), str) else ""


def _usage(told: Any) -> Usage | None:
    if not isinstance(told, Mapping):
        return None
    counts = [told.get(name) for name in ("prompt_tokens", "completion_tokens")]
    return Usage(*counts) if all(isinstance(count, int) for count in counts) else None  # type: ignore[arg-type]


def no_stream(what: str) -> ServeError:
    """The server speaks another language."""
    return ServeError(
        f"the upstream server's answer is no OpenAI stream: {what}",
        next_step="Check --upstream: it is the address that ends in /v1",
    )
