"""Blocking work (decoding images, reading their text) in a few threads, with a bounded number of requests behind them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from serve.api.errors import FAILED, ApiError

T = TypeVar("T")


class Desk:
    """`threads` do one thing each; `max_waiting` more may wait. Used from one event loop."""

    def __init__(self, name: str, threads: int, max_waiting: int) -> None:
        self.name = name
        self._places = threads + max_waiting
        self._taken = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def do(self, work: Callable[[], T]) -> T:
        """`work()` in a thread. Raises ApiError 503 when too many wait, and what `work` raises."""
        if self._taken >= self._places:
            raise ApiError(
                f"{self._taken} requests wait for {self.name} already",
                status=503,
                kind=FAILED,
                name="overloaded",
                retry_after=2,
                next_step="Try again in a moment",
            )
        self._taken += 1
        job = self._pool.submit(work)
        # The place is the thread's: a caller that goes away while it works does not make room for another one.
        loop = asyncio.get_running_loop()

        def leave(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody counts any more
                loop.call_soon_threadsafe(self._leave)

        job.add_done_callback(leave)
        return await asyncio.wrap_future(job)

    def _leave(self) -> None:
        self._taken -= 1
