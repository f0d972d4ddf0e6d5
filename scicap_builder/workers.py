"""Worker processes, one job at a time each: a job that hangs, grows or kills its process costs itself, never the run."""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from llava_graph.errors import DatasetError, LlavaGraphError, MissingExtra
from scicap_builder.archive import NO_ROOM
from scicap_builder.memory import die_with_parent, expendable, resident_bytes

Job = TypeVar("Job")

START_S = 120.0
"""s for a process to start and import the readers, on a machine that is busy; the time limit of its first job begins then."""
LOOK_S = 0.1
"""s between two looks at the workers' memory: a process can take about 0.2 GB in that time."""
REPLACED_ABOVE = 0.5
"""A process that rests above this share of the limit is replaced, so that no paper pays for what others left behind."""

SPAWN = multiprocessing.get_context("spawn")
"""A fresh interpreter: forking after threads or an ONNX session has begun can hang."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one job may use."""

    seconds: float
    memory_bytes: int
    """Resident, the programs that it starts included."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job has no result: "timeout", "memory", "crashed" (the process died twice), "no-room" or the exception it raised."""

    reason: str
    detail: str = ""
    error: Exception | None = None

    @property
    def stops_run(self) -> bool:
        """Whether every other job would fail in the same way: the machine is at fault, not the job."""
        return self.reason == "no-room" or isinstance(self.error, MissingExtra)


class Engine(Protocol[Job]):
    """Something that works jobs off, some at a time. A context manager."""

    def __enter__(self) -> "Engine[Job]": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def busy(self) -> int:
        """How many jobs are under way."""

    @property
    def free(self) -> bool:
        """Whether another job can be given."""

    def give(self, job: Job) -> None:
        """Take a job."""

    def results(self, patience_s: float) -> list[tuple[Job, Any | Failure]]:
        """What has finished, after at most about `patience_s` of waiting. Raises LlavaGraphError if nothing can be worked off."""


class _Begun:
    """What a process sends when it has taken a job up."""


@dataclass(kw_only=True)
class _Worker(Generic[Job]):
    process: SpawnProcess
    pipe: "Connection[Any, Any]"
    job: Job | None = None
    deadline: float = 0.0
    begun: bool = False
    """Whether it ever took a job up."""
    second_try: bool = False


class Workers(Generic[Job]):
    """`count` processes that call `function(job)`. Jobs go in by `give`, results come out by `results`.

    A job whose process dies is given once more to a fresh one: the kernel may have ended it for another's hunger.
    """

    def __init__(self, function: Callable[[Job], Any], count: int, *, limits: Limits) -> None:
        self._function = function
        self._limits = limits
        self._workers: list[_Worker[Job]] = []
        self._count = count
        self._looked = 0.0

    def __enter__(self) -> "Workers[Job]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            _end(worker)

    @property
    def busy(self) -> int:
        """How many jobs are under way."""
        return sum(worker.job is not None for worker in self._workers)

    @property
    def free(self) -> bool:
        """Whether another job can be given."""
        return self.busy < self._count

    def give(self, job: Job) -> None:
        """Start a job on an idle process, or on a new one."""
        worker = next((one for one in self._workers if one.job is None), None)
        if worker and resident_bytes(worker.process.pid or 0) > REPLACED_ABOVE * self._limits.memory_bytes:
            self._drop(worker)
            worker = None
        self._hand(worker or self._start(), job)

    def results(self, patience_s: float) -> list[tuple[Job, Any | Failure]]:
        """What has finished, after at most `patience_s` of waiting. Raises LlavaGraphError if processes cannot start."""
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = set(wait([worker.pipe for worker in busy], timeout=patience_s)) if busy else set()
        look = time.monotonic() - self._looked >= LOOK_S
        done: list[tuple[Job, Any | Failure]] = []
        for worker in busy:
            job = worker.job
            if job is None:
                continue
            result = self._receive(worker) if worker.pipe in ready else self._over_limit(worker, look)
            if isinstance(result, _Begun):
                worker.begun, worker.deadline = True, time.monotonic() + self._limits.seconds
            elif isinstance(result, Failure) and result.reason == "crashed" and not worker.second_try:
                self._hand(self._start(), job, second_try=True)
            elif result is not None:
                done.append((job, result))
        if look:
            self._looked = time.monotonic()
        return done

    def _over_limit(self, worker: _Worker[Job], look: bool) -> Failure | None:
        """Kill a process that is over a limit of its job."""
        if time.monotonic() > worker.deadline:
            failure = Failure(reason="timeout", detail=f"not done after {self._limits.seconds:.0f} s")
        elif look and resident_bytes(worker.process.pid or 0) > self._limits.memory_bytes:
            failure = Failure(reason="memory", detail=f"took more than {self._limits.memory_bytes / 2**30:.1f} GiB")
        else:
            return None
        self._drop(worker)
        return failure

    def _hand(self, worker: _Worker[Job], job: Job, *, second_try: bool = False) -> None:
        try:
            worker.pipe.send(job)
        except OSError:  # it died while it was idle
            self._drop(worker)
            worker = self._start()
            worker.pipe.send(job)
        worker.job, worker.deadline, worker.second_try = job, time.monotonic() + START_S, second_try

    def _start(self) -> _Worker[Job]:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=_serve, args=(theirs, self._function), daemon=True)
        process.start()
        theirs.close()
        worker: _Worker[Job] = _Worker(process=process, pipe=ours)
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker[Job]) -> Any | Failure:
        try:
            result = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(timeout=5)
            code = worker.process.exitcode
            self._drop(worker)
            if not worker.begun:
                raise LlavaGraphError(
                    f"the worker processes do not start ({_exit_name(code)})",
                    next_step='In a script, call build() under `if __name__ == "__main__":`',
                ) from None
            return Failure(reason="crashed", detail=f"the process died twice ({_exit_name(code)})")
        if not isinstance(result, _Begun):
            worker.job = None
        return result

    def _drop(self, worker: _Worker[Job]) -> None:
        self._workers.remove(worker)
        _end(worker)


def _end(worker: _Worker[Any]) -> None:
    worker.pipe.close()
    if worker.job is not None:
        _kill(worker.process)
    worker.process.join(timeout=5)
    if worker.process.is_alive():
        _kill(worker.process)
        worker.process.join()
    worker.process.close()


def _kill(process: SpawnProcess) -> None:
    """The process and what it started (Ghostscript, Tesseract), which is its group."""
    if process.pid:
        with suppress(OSError, AttributeError):  # it has no group yet, or the system has none
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _exit_name(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit status {code}"


def _serve(pipe: "Connection[Any, Any]", function: Callable[[Any], Any]) -> None:
    """The life of a worker process: jobs in, results out, until the pipe closes or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with suppress(OSError, AttributeError):
        os.setpgid(0, 0)
    expendable()
    die_with_parent()
    threading.Thread(target=_watch_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
            pipe.send(_Begun())
        except (EOFError, OSError):
            return
        try:
            result = function(job)
        except Exception as error:  # noqa: BLE001  (whatever a broken file makes a reader raise costs that file)
            result = _failure(error)
        try:
            pipe.send(result)
        except OSError:
            return


def _watch_parent() -> None:
    """End with the parent, where the system does not see to it, and end what this process started."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        with suppress(OSError, AttributeError):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _failure(error: Exception) -> Failure:
    """What went wrong, with the error if it is ours (then it survives the way between processes)."""
    if isinstance(error, MemoryError):
        return Failure(reason="memory", detail="the system gave no more memory")
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno in NO_ROOM:
            full = DatasetError(
                f"the folder for temporary files cannot be written ({chain.strerror})",
                where=chain.filename or tempfile.gettempdir(),
                next_step="Make room or set TMPDIR; the same command goes on where it stopped",
            )
            return Failure(reason="no-room", error=full)
        chain = chain.__cause__ or chain.__context__
    ours = error if isinstance(error, LlavaGraphError) else None
    return Failure(reason="failed", detail=_where_raised(error), error=ours)


def _where_raised(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119
    return f"{type(error).__name__}: {error}{place}"[:1000]
