"""How many answers a worker computes at once, and how many requests may wait; and a generator run in a thread under a slot.

The slot belongs to the thread that computes, not to the response: it is free again exactly when the computing has ended,
whatever becomes of the connection (FastChat loses slots on some disconnects: #2382, #3328).
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, suppress
from typing import Any, TypeVar

from llava_graph.errors import ServeError
from serve.protocol.codes import ErrorCode

T = TypeVar("T")


class Slots:
    """`limit` answers at once and `max_waiting` requests behind them. Used from one event loop."""

    def __init__(self, limit: int = 5, max_waiting: int = 20) -> None:
        self.limit = limit
        self.max_waiting = max_waiting
        self.running = 0
        self.waiting = 0
        self._semaphore = asyncio.Semaphore(limit)

    @property
    def queue_length(self) -> int:
        """Running and waiting, as FastChat counts it."""
        return self.running + self.waiting

    async def acquire(self) -> None:
        """Wait for a slot. Raises ServeError 42903 at once when enough others wait already."""
        if self._semaphore.locked() and self.waiting >= self.max_waiting:
            raise ServeError(
                f"the worker is busy: {self.running} answers are being written and {self.waiting} wait",
                code=ErrorCode.ENGINE_OVERLOADED,
                next_step="Try again in a moment",
            )
        self.waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self.waiting -= 1
        self.running += 1

    def release(self) -> None:
        """Give a slot back."""
        self.running -= 1
        self._semaphore.release()


_DONE = object()


async def stream_from_thread(start: Callable[[threading.Event], Generator[T]], slots: Slots) -> AsyncGenerator[T]:
    """Run `start(stopping)` in a thread under a slot and yield what it yields; when we fall behind, only the newest.

    `stopping` is set when this generator ends for whatever reason: the client has gone, or the answer is complete.
    """
    await slots.acquire()
    loop, mail, stopping = asyncio.get_running_loop(), _Mailbox(), threading.Event()
    work = threading.Thread(target=_work, args=(start, stopping, mail, loop, slots), name="generate", daemon=True)
    try:
        work.start()
    except RuntimeError as error:
        slots.release()
        raise ServeError("the worker can start no more threads", code=ErrorCode.ENGINE_OVERLOADED) from error
    try:
        while not mail.ended or mail.full:
            if mail.full:
                yield mail.take()
            else:
                await mail.wait()
        if mail.error:
            raise mail.error
    finally:
        stopping.set()


class _Mailbox:
    """The newest step that nobody has read yet, and how the work ended. Touched only in the event loop."""

    def __init__(self) -> None:
        self.full = False
        self.ended = False
        self.error: Exception | None = None
        self._step: Any = None
        self._news = asyncio.Event()

    def put(self, step: Any) -> None:
        self._step, self.full = step, True
        self._news.set()

    def end(self, error: Exception | None) -> None:
        self.ended, self.error = True, error
        self._news.set()

    def take(self) -> Any:
        step, self._step, self.full = self._step, None, False
        return step

    async def wait(self) -> None:
        self._news.clear()
        await self._news.wait()


def _work(
    start: Callable[[threading.Event], Generator[Any]],
    stopping: threading.Event,
    mail: _Mailbox,
    loop: asyncio.AbstractEventLoop,
    slots: Slots,
) -> None:
    """The thread: every step, error and end goes to the event loop; the slot goes back however it ends."""

    def post(call: Callable[..., None], *args: Any) -> None:
        # The loop is closed when the worker was shut down in the middle of an answer: nobody listens any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(call, *args)

    failure: Exception | None = None
    try:
        with closing(start(stopping)) as steps:
            for step in steps:
                post(mail.put, step)
                if stopping.is_set():
                    break
    except Exception as error:  # noqa: BLE001  (it is raised again in the request that waits for it)
        failure = error
    finally:
        post(slots.release)
        post(mail.end, failure)
