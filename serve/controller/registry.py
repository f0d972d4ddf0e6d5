"""Which workers there are, which models they serve and who is asked next: pure state behind one lock.

In: registrations, heartbeats, what probes found, a clock. Out: names of models and addresses of workers. No network here.
"""

import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from llava_graph.errors import InputError, ServeError, did_you_mean
from serve.controller.admission import HostList, host_of
from serve.protocol.codes import ErrorCode
from serve.protocol.workers import MAX_ROUTES, Registration, Route, WorkerStatus

Dispatch = Literal["lottery", "shortest_queue"]
HEART_BEAT_EXPIRATION_S = 90.0
"""FastChat's default: two of its 45 s heartbeats."""
PATIENCE = 2
"""So many questions in a row may stay without an answer before a worker that still takes connections is no longer offered."""
LATELY_S = 600.0
"""So long the names of models that nobody serves any more are remembered: they may come back, others will not."""
MAX_LATELY = 4096


@dataclass(frozen=True)
class WorkerEntry:
    """One registered worker."""

    address: str
    status: WorkerStatus
    check_heart_beat: bool
    multimodal: bool
    last_heart_beat: float
    """Seconds of the registry's clock; a probe that was answered counts as one."""
    unanswered: int = 0
    """Probes in a row; from PATIENCE on it is offered to nobody, until it answers or is forgotten."""

    @property
    def load(self) -> float:
        """What shortest_queue compares."""
        return self.status.queue_length / self.status.speed


class Registry:
    """All methods may be called from any thread. A worker past its expiry is gone for every method at once."""

    def __init__(
        self,
        dispatch: Dispatch = "shortest_queue",
        *,
        expire_after: float = HEART_BEAT_EXPIRATION_S,
        replica_hosts: HostList = HostList(),
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        if dispatch not in get_args(Dispatch):
            raise InputError(
                f"unknown dispatch method {dispatch!r}", next_step=did_you_mean(dispatch, get_args(Dispatch))
            )
        self.id = secrets.token_hex(8)
        """Of this controller, until its process ends."""
        self.dispatch = dispatch
        self.expire_after = expire_after
        self.replica_hosts = replica_hosts
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  (it draws a worker, not a secret)
        self._lock = threading.Lock()
        self._workers: dict[str, WorkerEntry] = {}
        self._lately: dict[str, float] = {}
        """Names of models -> when a worker last served them; the latest last."""

    def register(self, registration: Registration, status: WorkerStatus) -> bool:
        """Add or renew a worker. True when it was not known.

        Raises ServeError 40103 when another host serves one of its names (see `replica_hosts`): nobody takes a name over.
        """
        with self._lock:
            for name in status.model_names:
                if holder := self._holder(name, registration.worker_name):
                    raise _taken(name, registration.worker_name, holder)
            fresh = registration.worker_name not in self._known()
            self._workers[registration.worker_name] = WorkerEntry(
                registration.worker_name,
                status,
                registration.check_heart_beat,
                registration.multimodal,
                self._clock(),
            )
            self._remember(status.model_names)
            return fresh

    def heart_beat(self, address: str, queue_length: int) -> bool:
        """Renew a worker. False when it is unknown and must register again."""
        with self._lock:
            entry = self._known().get(address)
            if entry is None:
                return False
            status = replace(entry.status, queue_length=queue_length)
            # A heartbeat says that it lives, not that it can be reached: only an answer does.
            self._workers[address] = replace(entry, status=status, last_heart_beat=self._clock())
            return True

    def answered(self, address: str, status: WorkerStatus) -> None:
        """A known worker was asked and has answered; an unknown one stays unknown. Names of other hosts are passed over."""
        with self._lock:
            if entry := self._known().get(address):
                names = tuple(name for name in status.model_names if not self._holder(name, address))
                status = replace(status, model_names=names)
                self._workers[address] = replace(entry, status=status, last_heart_beat=self._clock(), unanswered=0)
                self._remember(names)

    def unanswered(self, address: str, *, gone: bool = False) -> bool:
        """A worker was asked and has not answered; `gone`: nobody is there. True when it is offered no more from now on."""
        with self._lock:
            entry = self._known().get(address)
            if entry is None:
                return False
            count = max(entry.unanswered + 1, PATIENCE if gone else 0)
            self._workers[address] = replace(entry, unanswered=count)
            return entry.unanswered < PATIENCE <= count

    def remove(self, address: str) -> bool:
        """Forget a worker. False when it was not known."""
        with self._lock:
            return self._workers.pop(address, None) is not None

    def known(self) -> tuple[str, ...]:
        """The addresses of all workers, also of those that do not answer now."""
        with self._lock:
            return tuple(self._known())

    def workers(self) -> tuple[WorkerEntry, ...]:
        """Everybody who can be asked, in the order of registration."""
        with self._lock:
            return tuple(self._offered())

    def models(self, multimodal: bool | None = None) -> list[str]:
        """Sorted names; with `multimodal` only those of such workers."""
        chosen = (entry for entry in self.workers() if multimodal is None or entry.multimodal == multimodal)
        return sorted({name for entry in chosen for name in entry.status.model_names})

    def lately(self) -> list[str]:
        """Sorted names of all models that are served or were in the last LATELY_S."""
        with self._lock:
            self._remember(())
            return sorted(self._lately)

    def address_of(self, model: str, without: Iterable[str] = ()) -> str:
        """The worker to ask for `model`, never one of `without`; empty when there is none.

        shortest_queue counts the request at once, so that a burst before the next heartbeat is spread.
        """
        tried = frozenset(without)
        with self._lock:
            entries = [e for e in self._offered() if model in e.status.model_names and e.address not in tried]
            if not entries:
                return ""
            if self.dispatch == "lottery":
                return self._rng.choices(entries, weights=[entry.status.speed for entry in entries])[0].address
            entry = min(entries, key=lambda entry: entry.load)
            status = replace(entry.status, queue_length=entry.status.queue_length + 1)
            self._workers[entry.address] = replace(entry, status=status)
            return entry.address

    def leading_back(self, model: str, ids: Iterable[str]) -> list[str]:
        """The addresses of controllers that are one of `ids`, or have `model` through these alone."""
        passed = frozenset(ids)
        return [
            entry.address
            for entry in self.workers()
            if entry.status.controller
            and not any(
                model in route.model_names and passed.isdisjoint((entry.status.controller, *route.path))
                for route in entry.status.routes
            )
        ]

    def status(self) -> WorkerStatus:
        """All workers as one: what a controller says when it acts as a worker of another controller."""
        entries = self.workers()
        return WorkerStatus(
            tuple(sorted({name for entry in entries for name in entry.status.model_names})),
            sum(entry.status.speed for entry in entries),
            sum(entry.status.queue_length for entry in entries),
            self.id,
            merged([route for entry in entries for route in _routes(entry.status)]),
        )

    def _remember(self, names: Iterable[str]) -> None:
        """Lock held."""
        now = self._clock()
        for name in names:
            self._lately.pop(name, None)
            self._lately[name] = now
        kept = [(name, when) for name, when in self._lately.items() if now - when < LATELY_S]
        self._lately = dict(kept[-MAX_LATELY:])

    def _holder(self, name: str, address: str) -> str:
        """The address of a worker on another host that has `name` for itself; empty when it may be taken. Lock held."""
        host = host_of(address)
        for entry in self._known().values():
            other = host_of(entry.address)
            # One that never beats would hold its names for ever after its death.
            alive = entry.unanswered < PATIENCE or self._clock() - entry.last_heart_beat < self.expire_after
            shared = self.replica_hosts.has(host) and self.replica_hosts.has(other)
            if name in entry.status.model_names and other != host and alive and not shared:
                return entry.address
        return ""

    def _offered(self) -> list[WorkerEntry]:
        """Lock held."""
        return [entry for entry in self._known().values() if entry.unanswered < PATIENCE]

    def _known(self) -> dict[str, WorkerEntry]:
        """Drop the expired and give the rest. Lock held."""
        oldest = self._clock() - self.expire_after
        self._workers = {
            address: entry
            for address, entry in self._workers.items()
            if not entry.check_heart_beat or entry.last_heart_beat >= oldest
        }
        return self._workers


def _routes(status: WorkerStatus) -> list[Route]:
    """What a worker adds to its controller's status."""
    if not status.controller:
        return [Route((), status.model_names, status.speed, status.queue_length)]
    names = frozenset(status.model_names)  # of other hosts' names it has lost some
    return [
        replace(
            route,
            path=(status.controller, *route.path),
            model_names=tuple(name for name in route.model_names if name in names),
        )
        for route in status.routes
    ]


def merged(routes: list[Route]) -> tuple[Route, ...]:
    """One for each path, the shortest paths first, at most MAX_ROUTES."""
    by_path: dict[tuple[str, ...], Route] = {}
    for route in routes:
        known = by_path.get(route.path, Route(route.path, (), 0, 0))
        by_path[route.path] = Route(
            route.path,
            tuple(sorted({*known.model_names, *route.model_names})),
            known.speed + route.speed,
            known.queue_length + route.queue_length,
        )
    return tuple(sorted(by_path.values(), key=lambda route: len(route.path))[:MAX_ROUTES])


def _taken(name: str, address: str, holder: str) -> ServeError:
    return ServeError(
        f"the model {name!r} is served by the worker at {holder}, on another host",
        code=ErrorCode.NO_PERMISSION,
        where=address,
        next_step="Give it another name, or allow both hosts with the controller's --replica-hosts",
    )
