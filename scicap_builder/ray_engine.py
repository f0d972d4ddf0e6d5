"""The same work on a Ray cluster: each actor holds one worker process of `workers.py`, so that all limits hold there too.

Files travel as bytes: the nodes need this package and its extras installed, and no common file system.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from llava_graph.errors import InputError, LlavaGraphError, missing_extra
from scicap_builder.paper_ref import PaperFiles
from scicap_builder.parts import carried
from scicap_builder.workers import LOOK_S, Failure, Limits, Workers

START_S = 300.0
"""s until the first actor must be up: a cluster may have to start a machine for it."""
TRIES = 3
"""A paper whose machine is lost is given to another one; after so many it is the paper."""
STORE_BYTES = 512 * 2**20
"""Object store of a Ray of our own: a few papers and their figures are under way at once."""


class Reader:
    """The actor: one worker process on one CPU of the cluster."""

    def __init__(self, function: Callable[[PaperFiles], Any], limits: Limits) -> None:
        self._workers = Workers(function, 1, limits=limits)

    def ready(self) -> None:
        """Answers once the actor is up."""

    def read(self, files: PaperFiles) -> Any | Failure:
        """What the function makes of one paper, or why it makes nothing."""
        self._workers.give(files)
        while not (done := self._workers.results(LOOK_S)):
            pass
        return done[0][1]


@dataclass(kw_only=True)
class _Task:
    """What is awaited of an actor: that it is up (no job), or a job."""

    actor: Any
    job: PaperFiles | None = None
    tries: int = 1


class RayWorkers:
    """`count` actors of one CPU each. See `workers.Engine`. Raises MissingExtra, InputError (no such cluster)."""

    def __init__(self, function: Callable[[PaperFiles], Any], count: int, *, limits: Limits, address: str = "") -> None:
        self._function, self._count, self._limits = function, count, limits
        self._address = address or os.environ.get("RAY_ADDRESS", "") or "local"
        self._ray = _import_ray()
        self._folder: Path | None = None
        self._joined = False
        self._idle: list[Any] = []
        self._tasks: dict[Any, _Task] = {}
        self._failed: list[tuple[PaperFiles, Failure]] = []
        self._started = time.monotonic()
        self._seen_one = False

    def __enter__(self) -> "RayWorkers":
        self._joined = self._ray.is_initialized()
        if not self._joined:
            self._connect()
        self._actor = self._ray.remote(num_cpus=1, max_restarts=0)(Reader)
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in [*self._idle, *(task.actor for task in self._tasks.values())]:
            self._ray.kill(actor)
        if not self._joined:
            self._ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def busy(self) -> int:
        """How many papers are under way."""
        return sum(task.job is not None for task in self._tasks.values()) + len(self._failed)

    @property
    def free(self) -> bool:
        """Whether an actor waits for a paper."""
        return bool(self._idle)

    def give(self, job: PaperFiles) -> None:
        """Send a paper with its files to an idle actor."""
        self._hand(self._idle.pop(), job, 1)

    def results(self, patience_s: float) -> list[tuple[PaperFiles, Any | Failure]]:
        """What has come back. Raises LlavaGraphError if the cluster gives no CPU, or its workers do not start."""
        done, self._failed = list[tuple[PaperFiles, Any | Failure]](self._failed), []
        waited = list(self._tasks)
        ready, _ = self._ray.wait(waited, num_returns=len(waited), timeout=patience_s) if waited else ([], [])
        for reference in ready:
            done += self._settle(self._tasks.pop(reference), reference)
        if not self._seen_one and time.monotonic() - self._started > START_S:
            raise LlavaGraphError(
                f"the Ray cluster gave no CPU within {START_S:.0f} s",
                where=self._address,
                next_step="See `ray status`; lower --workers or add machines",
            )
        return done

    def _settle(self, task: _Task, reference: Any) -> list[tuple[PaperFiles, Any | Failure]]:
        """Take up what an actor answered; a lost actor is replaced, and its paper given again."""
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (
                cause
                if isinstance(cause, LlavaGraphError)
                else LlavaGraphError(
                    f"a Ray worker failed ({type(cause).__name__}: {cause})"[:500],
                    where=self._address,
                    next_step="Install the same llava-graph on every node",
                )
            ) from error
        except self._ray.exceptions.RayError as error:
            return self._lost(task, error)
        self._seen_one = True
        self._idle.append(task.actor)
        return [(task.job, answer)] if task.job else []

    def _lost(self, task: _Task, error: Exception) -> list[tuple[PaperFiles, Any | Failure]]:
        if task.job is None and task.tries == TRIES:
            raise LlavaGraphError(
                f"the Ray workers do not start ({str(error).strip().splitlines()[-1]})"[:500],
                where=self._address,
                next_step="Install the same llava-graph, and the same Python, on every node",
            ) from error
        actor = self._actor.remote(self._function, self._limits)
        if task.tries < TRIES:
            self._hand(actor, task.job, task.tries + 1)
            return []
        self._hand(actor, None, 1)
        why = f"its Ray worker was lost {TRIES} times ({error})"[:500]
        return [(task.job, Failure(reason="crashed", detail=why))] if task.job else []

    def _start(self) -> None:
        self._hand(self._actor.remote(self._function, self._limits), None, 1)

    def _hand(self, actor: Any, job: PaperFiles | None, tries: int) -> None:
        if job is None:
            self._tasks[actor.ready.remote()] = _Task(actor=actor, tries=tries)
            return
        try:
            reference = actor.read.remote(carried(job))
        except OSError as error:
            self._idle.append(actor)
            self._failed.append((job, Failure(reason="failed", detail=f"its files cannot be read: {error}")))
            return
        self._tasks[reference] = _Task(actor=actor, job=job, tries=tries)

    def _connect(self) -> None:
        """Join the cluster, or start a Ray of our own, as quiet as it can be. Raises InputError."""
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if self._address == "local":
            os.environ.setdefault("RAY_worker_niceness", "0")  # 15 unless told, which starves on a busy machine
            # Unix sockets lie below this folder, and their names hold 107 characters.
            base = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108
            self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir=base))
            options |= {
                "num_cpus": self._count,
                "include_dashboard": False,
                "object_store_memory": STORE_BYTES,
                "_temp_dir": str(self._folder),
                # Readers that a script brings along are found where the script finds them.
                "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
            }
        try:
            self._ray.init(address=self._address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster answers ({str(error).splitlines()[0]})",
                where=self._address,
                next_step="Start one with `ray start --head`, or leave --address out",
            ) from error


def _import_ray() -> Any:
    """Ray, told to send nothing home. Raises MissingExtra."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        missing = missing_extra(error, needed_for="--engine ray")
        raise missing or error from error
    return ray
