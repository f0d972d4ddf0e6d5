"""The events of an OpenAI-compatible server's stream -> the answer as it grows. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from llava_graph.errors import ServeError
from llava_graph.openai_wire import DONE, read_answer
from serve.engines.engine import Step
from serve.engines.upstream.refusals import failure_in
from serve.protocol.codes import ErrorCode
from serve.protocol.messages import Usage


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
        # The chunk that carries the usage has no choices.
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
        read = read_answer(data, "message" if "message" in choice else "delta")
        completion = choice.get("text")
        grown = completion if isinstance(completion, str) else read.text
        self.text += grown
        self.finish_reason = read.finish_reason or self.finish_reason
        if read.prompt_tokens is not None and read.completion_tokens is not None:
            self.usage = Usage(read.prompt_tokens, read.completion_tokens)
        return Step(self.text, self.usage) if grown else None


def no_stream(what: str) -> ServeError:
    """The server speaks another language."""
    return ServeError(
        f"the upstream server's answer is no OpenAI stream: {what}",
        next_step="Check --upstream: it is the address that ends in /v1",
    )
