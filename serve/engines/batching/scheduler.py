"""The thread that owns a model: requests wait in line, join the batch, get a token a step, leave. News goes to their event loops.

    submit ─▶ line (prepared in other threads meanwhile) ─▶ running ─▶ Ended

The thread starts with the first request and ends when there has been none for a while, or with `close`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from llava_graph.batched import ENDED, Prompt, Row
from llava_graph.errors import ServeError
from llava_graph.sampling import NO_NUMBER
from serve.engines.batching.limits import Limits, Pace, joining
from serve.engines.batching.line import Line
from serve.engines.batching.mail import Mail
from serve.engines.batching.request import Begun, Ended, Listener, Prepared, Request, Written
from serve.engines.engine import is_out_of_memory, out_of_memory
from serve.protocol.codes import ErrorCode

log = logging.getLogger(__name__)

LINGER_S = 30.0
"""An idle thread ends after so long: it holds torch's pool of threads."""


class Writer(Protocol):
    """What computes: `llava_graph.batched.Batch`, or `Alone` with room for one row."""

    rows: list[Row]
    joins_several: bool

    def admit(self, prompts: Sequence[Prompt], rows: Sequence[Row]) -> list[int]:
        """First tokens. Whatever it raises, the rows that were there are as before."""

    def step(self) -> list[int]:
        """Next tokens, in the order of `rows`. Whatever it raises, it can be repeated."""

    def remove(self, row: Row) -> None:
        """Out of `rows`."""

    def clear(self) -> None:
        """All out."""


class Scheduler:
    """`submit`, `cancel` and `close` from any thread; everything else happens in its own."""

    def __init__(
        self,
        writer: Writer,
        limits: Limits,
        *,
        free_memory: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`free_memory` is called when the model ran out of it and something was given up."""
        self.limits = limits
        self.clock = clock
        self._writer = writer
        self._free_memory = free_memory
        self._pace = Pace(limits)
        self._wake = threading.Condition()
        self._inbox: deque[Request] = deque()
        self._open = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._line = Line(limits, self._wake)
        self._running: dict[Row, Request] = {}
        self._shaken = False
        self._mail = Mail()

    @property
    def queue_length(self) -> int:
        """Requests that have not ended."""
        return self._open

    @property
    def waiting(self) -> int:
        """Those of them that are not in the batch."""
        return max(0, self._open - len(self._running))

    def submit(self, prepare: Callable[[], Prepared], listener: Listener) -> Request:
        """Put a request in line; its listener hears everything else. Raises ServeError 42903 when enough wait already."""
        with self._wake:
            if self._open >= self.limits.max_batch_size + self.limits.max_waiting:
                running = len(self._running)
                raise ServeError(
                    f"the worker is busy: {running} answers are being written and {self._open - running} wait",
                    code=ErrorCode.ENGINE_OVERLOADED,
                    next_step="Try again in a moment",
                )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError as error:
                    self._thread = None
                    raise ServeError(
                        "the worker can start no more threads", code=ErrorCode.ENGINE_OVERLOADED
                    ) from error
            request = Request(prepare, listener, self.clock())
            self._open += 1
            self._inbox.append(request)
            self._wake.notify()
            return request

    def cancel(self, request: Request) -> None:
        """End a request soon, wherever it is."""
        with self._wake:
            request.cancelled = True
            self._wake.notify()

    def close(self) -> None:
        """End everything and wait for that. A later `submit` starts anew."""
        with self._wake:
            thread, self._closing = self._thread, self._thread is not None
            self._wake.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            try:
                if not self._wait():
                    return
                self._turn()
            except Exception as error:  # a mistake of ours costs the requests of this moment, not the worker
                log.exception("the scheduler failed")
                self._fail_all(error)
            self._mail.send()

    def _wait(self) -> bool:
        """Until there is something to do; False: the thread is to end."""
        with self._wake:
            waited = True
            while True:
                while self._inbox:
                    self._line.join(self._inbox.popleft())
                self._line.prepare()
                if self._closing or not (waited or self._open):
                    self._fail_all(ServeError("the worker is stopping", code=ErrorCode.INTERNAL_ERROR))
                    self._line.close()
                    self._mail.send()
                    self._closing, self._thread = False, None
                    return False
                if self._running or self._joining() or self._line.lost(self.clock()):
                    return True
                waited = self._wake.wait(self._patience())

    def _patience(self) -> float:
        """Seconds until somebody has waited too long, or the thread has nothing to do for long enough."""
        deadlines = [self._line.deadline(request) for request in self._line]
        return max(0.01, min(deadlines) - self.clock()) if deadlines else LINGER_S

    def _turn(self) -> None:
        """Who gives up leaves, who may joins, else every row gets a token."""
        for request in self._line.lost(self.clock()):
            self._lose(request)
        for request in [request for request in self._running.values() if request.cancelled]:
            self._leave(request, "cancelled")
        if (self._pace.may_read or not self._running) and (group := self._joining()):
            self._admit(group)
        elif self._running:
            self._step()

    def _lose(self, request: Request) -> None:
        if request.cancelled:
            self._end(request, "cancelled")
        elif request.failure is not None:
            self._end(request, "error", request.failure)
        else:
            waited = self.clock() - request.submitted
            error = ServeError(
                f"the worker is busy: no place became free in {waited:.0f} s",
                code=ErrorCode.ENGINE_OVERLOADED,
                next_step="Try again in a moment",
            )
            self._end(request, "error", error)

    def _joining(self) -> list[Request]:
        """Who joins now."""
        running = [request.prepared.need for request in self._running.values() if request.prepared]
        count = joining(self._line.needs(), running, self.limits, self._pace.most)
        return self._line.head()[: count if self._writer.joins_several else min(count, 1)]

    def _admit(self, group: list[Request]) -> None:
        beside, begun = bool(self._running), self.clock()
        prepared = [request.prepared for request in group if request.prepared]
        for request in group:
            request.read_from = begun
        try:
            tokens = self._writer.admit([one.prompt for one in prepared], [one.row for one in prepared])
        except Exception as error:  # noqa: BLE001  (told to the ones whom it concerns)
            self._not_admitted(group, error)
            return
        now = self.clock()
        self._pace.read(sum(one.prompt.tokens for one in prepared), now - begun, beside_rows=beside)
        for request, one, token in zip(group, prepared, tokens, strict=True):
            self._line.leave(request)
            self._running[one.row] = request
            request.was_read()
            self._mail.put(request.listener, Begun(one.prompt.tokens))
            self._take(request, one.row, token, now)

    def _not_admitted(self, group: list[Request], error: Exception) -> None:
        """What cannot be read together may be read alone; what cannot be read alone fails, and nothing else."""
        short = is_out_of_memory(error)
        if short:
            error = out_of_memory()
            self._free_memory()
        if len(group) == 1:
            self._end(group[0], "error", error)
            return
        log.warning("%d prompts could not be read together (%s); each is read alone", len(group), error)
        for request in group:
            self._admit([request])

    def _step(self) -> None:
        rows, begun = list(self._writer.rows), self.clock()
        try:
            tokens = self._writer.step()
        except Exception as error:  # noqa: BLE001  (told to the ones whom it concerns)
            self._not_stepped(error)
            return
        self._shaken, now = False, self.clock()
        for row, token in zip(rows, tokens, strict=True):
            self._take(self._running[row], row, token, now)
        self._pace.written(now - begun, rows_left=bool(self._running))

    def _not_stepped(self, error: Exception) -> None:
        """Without memory the longest row is given up. After another error the step is repeated, then the newest row is."""
        requests = list(self._running.values())
        if is_out_of_memory(error):
            error = out_of_memory()
            victim = max(reversed(requests), key=lambda request: request.length)
        elif not self._shaken:
            self._shaken = True
            log.warning("a step failed and is repeated (%s)", error)
            return
        else:
            victim = requests[-1]
        log.warning("one of %d answers is given up: %s", len(requests), error)
        self._leave(victim, "error", error)
        self._free_memory()

    def _take(self, request: Request, row: Row, token: int, now: float) -> None:
        """A token for a row."""
        if token == NO_NUMBER:
            self._leave(request, "error", FloatingPointError("the model's logits are no finite numbers"))
            return
        if token == ENDED:
            self._leave(request, "stop")
            return
        request.take(now)
        if token in row.ends:
            self._leave(request, "stop")
            return
        self._mail.put(request.listener, Written(token))
        if request.written >= row.max_new_tokens:
            self._leave(request, "length")

    def _leave(self, request: Request, reason: str, error: Exception | None = None) -> None:
        """Out of the batch."""
        if request.prepared:
            del self._running[request.prepared.row]
            self._writer.remove(request.prepared.row)
        self._end(request, reason, error)

    def _end(self, request: Request, reason: str, error: Exception | None = None) -> None:
        """The last that is heard of a request."""
        if request.ended:
            return
        request.ended = True
        self._line.leave(request)
        request.prepared = None
        with self._wake:
            self._open -= 1
        self._mail.put(request.listener, Ended(reason, request.written, request.timings(), error))

    def _fail_all(self, error: Exception) -> None:
        with self._wake:
            requests = [*self._running.values(), *self._line, *self._inbox]
            self._running.clear()
            self._inbox.clear()
        with suppress(Exception):
            self._writer.clear()
        for request in requests:
            self._end(request, "error", error)
