"""One request on its way through a scheduler, and what is told of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llava_graph.batched import Prompt, Row
from serve.engines.batching.limits import Need
from serve.protocol.messages import Timings


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is read."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Written:
    """A token of the answer; not that which ends it."""

    token: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes."""

    reason: str
    """ "stop", "length", "cancelled" or "error"."""
    tokens: int = 0
    """Written, with the one that ended it."""
    timings: Timings | None = None
    error: Exception | None = None


News = Begun | Written | Ended


class Listener(Protocol):
    """Who asked."""

    loop: asyncio.AbstractEventLoop
    """In whose thread `hear` is called; all listeners of a loop together, once a step."""

    def hear(self, news: News) -> None:
        """The next piece of news; an Ended is the last."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a request is once its images are opened and its text is counted."""

    prompt: Prompt
    row: Row

    @property
    def need(self) -> Need:
        """In tokens."""
        return Need(self.prompt.tokens, self.prompt.tokens + self.row.max_new_tokens)


@dataclass(eq=False, slots=True)
class Request:
    """Touched by the scheduler's thread; `cancelled` by anybody, `prepared` and `failure` by the thread that prepares it."""

    prepare: Callable[[], Prepared]
    """Done in another thread. Raises what is wrong with the request."""
    listener: Listener
    submitted: float
    """When, by the scheduler's clock."""
    cancelled: bool = False
    prepared: Prepared | None = None
    failure: Exception | None = None
    ended: bool = False
    written: int = 0
    read_from: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0

    @property
    def length(self) -> int:
        """Tokens, with what is written."""
        return self.written + (self.prepared.prompt.tokens if self.prepared else 0)

    def was_read(self) -> None:
        """Its pixels are not needed any more."""
        if self.prepared:
            self.prepared = Prepared(Prompt({}, self.prepared.prompt.ids), self.prepared.row)

    def take(self, now: float) -> None:
        """Count a token."""
        self.written += 1
        self.first_token = self.first_token or now
        self.last_token = now

    def timings(self) -> Timings | None:
        """None before the first token."""
        if not self.written:
            return None
        decode = self.last_token - self.first_token
        return Timings(
            queue_s=self.read_from - self.submitted,
            prefill_s=self.first_token - self.read_from,
            decode_s=decode,
            tokens_per_s=(self.written - 1) / decode if decode > 0 else 0.0,
        )
