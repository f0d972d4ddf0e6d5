"""An answer as its event loop sees it: tokens in, growing text out. A reader slower than the model gets the newest text."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from llava_graph.generate import Decoder
from serve.engines.batching.request import Begun, Ended, News, Written
from serve.engines.engine import Step
from serve.protocol.messages import Usage

SHOWN_EVERY_S = 0.02
"""No reader sees more; a small model writes hundreds of tokens a second for each of many readers."""


class Answer:
    """The listener of one request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, decoder: Decoder, stop: Callable[[], None]) -> None:
        """`stop` is called when a stop string has come."""
        self.loop = loop
        self._decoder = decoder
        self._stop = stop
        self._text = ""
        self._prompt_tokens = 0
        self._tokens = 0
        self._stopped = False
        self._ended: Ended | None = None
        self._fresh = asyncio.Event()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, news: News) -> None:
        """See Listener. Raises nothing: others are told of theirs in the same call."""
        try:
            self._take(news)
        except Exception as error:  # noqa: BLE001  (raised again by `steps`)
            self._ended = Ended("error", error=error)
            self._stop()
        if self._ended is not None or self.loop.time() >= self._due:
            self._fresh.set()
        elif self._timer is None:
            self._timer = self.loop.call_at(self._due, self._fresh.set)

    def _take(self, news: News) -> None:
        match news:
            case Begun(prompt_tokens):
                self._prompt_tokens = prompt_tokens
            case Written(token) if not self._stopped:
                self._tokens += 1
                self._text += self._decoder.push(token)
                if self._decoder.stopped:
                    self._stopped = True
                    self._stop()
            case Ended() if self._ended is None:
                self._ended = news

    async def steps(self) -> AsyncGenerator[Step]:
        """Until the end. Raises the error that ended it."""
        shown = 0
        while self._ended is None:
            await self._fresh.wait()
            self._fresh.clear()
            self._timer = None
            if self._ended is None and len(self._text) != shown:
                shown = len(self._text)
                self._due = self.loop.time() + SHOWN_EVERY_S
                yield Step(self._text, Usage(self._prompt_tokens, self._tokens))
        ended = self._ended
        if ended.error is not None and not self._stopped:
            raise ended.error
        tokens = self._tokens if self._stopped else ended.tokens
        reason = "length" if ended.reason == "length" and not self._stopped else "stop"
        text = self._text + self._decoder.rest()
        yield Step(text, Usage(self._prompt_tokens, tokens), reason, ended.timings)
