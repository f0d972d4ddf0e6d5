"""An answer as its event loop sees it: tokens in, growing text out. A reader slower than the model gets the newest text."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from llava_graph.generate import Decoder
from serve.engines.batching.request import Begun, Ended, News, Written
from serve.engines.engine import Step
from serve.protocol.messages import Usage


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

    def hear(self, news: News) -> None:
        """See Listener."""
        match news:
            case Begun(prompt_tokens):
                self._prompt_tokens = prompt_tokens
            case Written(token) if not self._stopped:
                self._tokens += 1
                self._text += self._decoder.push(token)
                if self._decoder.stopped:
                    self._stopped = True
                    self._stop()
            case Ended():
                self._ended = news
        self._fresh.set()

    async def steps(self) -> AsyncGenerator[Step]:
        """Until the end. Raises the error that ended it."""
        shown = -1
        while self._ended is None:
            await self._fresh.wait()
            self._fresh.clear()
            if self._ended is None and self._tokens and len(self._text) != shown:
                shown = len(self._text)
                yield Step(self._text, Usage(self._prompt_tokens, self._tokens))
        ended = self._ended
        if ended.error is not None and not self._stopped:
            raise ended.error
        tokens = self._tokens if self._stopped else ended.tokens
        reason = "length" if ended.reason == "length" and not self._stopped else "stop"
        text = self._text + self._decoder.rest()
        yield Step(text, Usage(self._prompt_tokens, tokens), reason, ended.timings)
