"""How many answers are open at once somewhere, and how many requests may wait for one to end."""

import asyncio

from llava_graph.errors import ServeError
from serve.protocol.codes import ErrorCode


class Slots:
    """`limit` answers at once and `max_waiting` requests behind them, for `max_queue_s`. Used from one event loop."""

    def __init__(self, limit: int = 5, max_waiting: int = 20, max_queue_s: float | None = None) -> None:
        self.limit = limit
        self.max_waiting = max_waiting
        self.max_queue_s = max_queue_s
        self.running = 0
        self.waiting = 0
        self._semaphore = asyncio.Semaphore(limit)

    @property
    def queue_length(self) -> int:
        """Running and waiting, as FastChat counts it."""
        return self.running + self.waiting

    async def acquire(self) -> None:
        """Wait for a slot. Raises ServeError 42903: at once when enough others wait already, or after `max_queue_s`."""
        if self._semaphore.locked() and self.waiting >= self.max_waiting:
            raise ServeError(
                f"the worker is busy: {self.running} answers are being written and {self.waiting} wait",
                code=ErrorCode.ENGINE_OVERLOADED,
                next_step="Try again in a moment",
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(self.max_queue_s):
                await self._semaphore.acquire()
        except TimeoutError as error:
            raise ServeError(
                f"the worker is busy: it was not this request's turn within {self.max_queue_s:g} s",
                code=ErrorCode.ENGINE_OVERLOADED,
                next_step="Try again in a moment",
            ) from error
        finally:
            self.waiting -= 1
        self.running += 1

    def release(self) -> None:
        """Give a slot back."""
        self.running -= 1
        self._semaphore.release()
