"""Worker processes, one job at a time each: a job that hangs or kills its process costs itself, never the run."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

from llava_graph.errors import LlavaGraphError

Job = TypeVar("Job")

START_S = 120.0
"""s for a process to start and import the readers, on a machine that is busy; the time limit of its first job begins then."""

SPAWN = multiprocessing.get_context("spawn")
"""A fresh interpreter: forking after threads or an ONNX session has begun can hang."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job has no result: "timeout", "crashed" (the process died) or the exception that it raised."""

    reason: str
    detail: str = ""
    error: Exception | None = None


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


class Workers(Generic[Job]):
    """`count` processes that call `function(job)`. Jobs go in by `give`, results come out by `results`."""

    def __init__(self, function: Callable[[Job], Any], count: int, *, timeout_s: float) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._workers: list[_Worker[Job]] = []
        self._count = count

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
        worker = next((one for one in self._workers if one.job is None), None) or self._start()
        try:
            worker.pipe.send(job)
        except OSError:  # it died while it was idle
            self._drop(worker)
            worker = self._start()
            worker.pipe.send(job)
        worker.job, worker.deadline = job, time.monotonic() + START_S

    def results(self, patience_s: float) -> list[tuple[Job, Any | Failure]]:
        """What has finished, after at most `patience_s` of waiting. Raises LlavaGraphError if processes cannot start."""
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = set(wait([worker.pipe for worker in busy], timeout=patience_s)) if busy else set()
        done: list[tuple[Job, Any | Failure]] = []
        for worker in busy:
            job = worker.job
            if job is None:
                continue
            if worker.pipe in ready:
                result = self._receive(worker)
                if isinstance(result, _Begun):
                    worker.deadline = time.monotonic() + self._timeout_s
                else:
                    done.append((job, result))
            elif time.monotonic() > worker.deadline:
                self._drop(worker)
                done.append((job, Failure(reason="timeout", detail=f"not done after {self._timeout_s:.0f} s")))
        return done

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
            return Failure(reason="crashed", detail=f"the process died ({_exit_name(code)})")
        if isinstance(result, _Begun):
            worker.begun = True
        else:
            worker.job = None
        return result

    def _drop(self, worker: _Worker[Job]) -> None:
        self._workers.remove(worker)
        _end(worker)


def _end(worker: _Worker[Any]) -> None:
    worker.pipe.close()
    if worker.job is not None:
        worker.process.kill()
    worker.process.join(timeout=5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.process.close()


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
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
            pipe.send(_Begun())
        except (EOFError, OSError):
            return
        try:
            result = function(job)
        except Exception as error:  # noqa: BLE001  (whatever a broken file makes a reader raise costs that file)
            result = Failure(reason="failed", detail=_where_raised(error), error=_sendable(error))
        try:
            pipe.send(result)
        except OSError:
            return


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _where_raised(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119
    return f"{type(error).__name__}: {error}{place}"[:1000]


def _sendable(error: Exception) -> Exception | None:
    """The error if it survives the way between processes."""
    return error if isinstance(error, LlavaGraphError) else None
