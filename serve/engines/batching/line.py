"""Requests that wait their turn, in the order in which they came; those at the head are prepared in other threads meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from serve.engines.batching.limits import Limits, Need
from serve.engines.batching.request import Request


class Line:
    """Used by the scheduler's thread. `wake` is notified when a request is prepared."""

    def __init__(self, limits: Limits, wake: threading.Condition) -> None:
        self._limits = limits
        self._wake = wake
        self._requests: list[Request] = []
        self._preparing: dict[Request, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def __iter__(self) -> Iterator[Request]:
        return iter(tuple(self._requests))

    def join(self, request: Request) -> None:
        """At the end."""
        self._requests.append(request)

    def leave(self, request: Request) -> None:
        """From anywhere, whatever is being done for it; nothing if it is not here."""
        if request in self._requests:
            self._requests.remove(request)
        future = self._preparing.pop(request, None)
        if future is not None:
            future.cancel()

    def lost(self, now: float) -> list[Request]:
        """Those that do not want or cannot have an answer any more, or have waited too long by `now`."""
        return [request for request in self._requests if self._is_lost(request, now)]

    def _is_lost(self, request: Request, now: float) -> bool:
        return request.cancelled or request.failure is not None or self.deadline(request) <= now

    def deadline(self, request: Request) -> float:
        """When it has waited too long."""
        return request.submitted + self._limits.max_queue_s

    def head(self) -> list[Request]:
        """Those at the head that are prepared."""
        ready = []
        for request in self._requests:
            if request.prepared is None:
                break
            ready.append(request)
        return ready

    def needs(self) -> list[Need]:
        """The sizes of `head`."""
        return [request.prepared.need for request in self._requests[: len(self.head())] if request.prepared]

    def prepare(self) -> None:
        """Begin with as many at the head as may be held in memory."""
        for request in self._requests[: self._limits.prepared]:
            if request.prepared is None and request.failure is None and request not in self._preparing:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="prepare")
                self._preparing[request] = self._pool.submit(self._work, request)

    def close(self) -> None:
        """Let the threads end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None

    def _work(self, request: Request) -> None:
        """In a thread of the pool. A broken image costs its own request."""
        prepared, failure = None, None
        try:
            prepared = None if request.cancelled else request.prepare()
        except Exception as error:  # noqa: BLE001  (told to the one who asked)
            failure = error
        with self._wake:
            if not request.ended:
                request.prepared, request.failure = prepared, failure
            self._wake.notify()
