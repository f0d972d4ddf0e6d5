"""News on its way to the event loops of those who asked."""

import asyncio
from collections import defaultdict
from contextlib import suppress

from serve.engines.batching.request import Listener, News


class Mail:
    """Collects the news of a turn, and sends it with one call for each event loop: a call a row would wake it as often."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[tuple[Listener, News]]] = defaultdict(list)

    def put(self, listener: Listener, news: News) -> None:
        """For the next `send`."""
        self._waiting[listener.loop].append((listener, news))

    def send(self) -> None:
        """All of it."""
        for loop, mail in self._waiting.items():
            # The loop is closed when its server was shut down in the middle of an answer: nobody listens any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_deliver, mail)
        self._waiting.clear()


def _deliver(mail: list[tuple[Listener, News]]) -> None:
    for listener, news in mail:
        listener.hear(news)
