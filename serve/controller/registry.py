"""Which workers there are, which models they serve and who is asked next: pure state behind one lock.

In: registrations, heartbeats, a clock. Out: names of models and addresses of workers. No network here.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from llava_graph.errors import InputError, did_you_mean
from serve.protocol.messages import Registration, WorkerStatus

Dispatch = Literal["lottery", "shortest_queue"]
HEART_BEAT_EXPIRATION_S = 90.0
"""FastChat's default: two of its 45 s heartbeats."""


@dataclass(frozen=True)
class WorkerEntry:
    """One registered worker."""

    address: str
    status: WorkerStatus
    check_heart_beat: bool
    multimodal: bool
    last_heart_beat: float
    """Seconds of the registry's clock."""

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
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        if dispatch not in get_args(Dispatch):
            raise InputError(
                f"unknown dispatch method {dispatch!r}", next_step=did_you_mean(dispatch, get_args(Dispatch))
            )
        self.dispatch = dispatch
        self.expire_after = expire_after
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  (it draws a worker, not a secret)
        self._lock = threading.Lock()
        self._workers: dict[str, WorkerEntry] = {}

    def register(self, registration: Registration, status: WorkerStatus) -> bool:
        """Add or renew a worker. True when it was not known."""
        with self._lock:
            fresh = registration.worker_name not in self._alive()
            self._workers[registration.worker_name] = WorkerEntry(
                registration.worker_name,
                status,
                registration.check_heart_beat,
                registration.multimodal,
                self._clock(),
            )
            return fresh

    def heart_beat(self, address: str, queue_length: int) -> bool:
        """Renew a worker. False when it is unknown and must register again."""
        with self._lock:
            entry = self._alive().get(address)
            if entry is None:
                return False
            status = replace(entry.status, queue_length=queue_length)
            self._workers[address] = replace(entry, status=status, last_heart_beat=self._clock())
            return True

    def update(self, address: str, status: WorkerStatus) -> None:
        """A known worker was asked and has answered; an unknown one stays unknown."""
        with self._lock:
            if entry := self._alive().get(address):
                self._workers[address] = replace(entry, status=status, last_heart_beat=self._clock())

    def remove(self, address: str) -> None:
        """Forget a worker, known or not."""
        with self._lock:
            self._workers.pop(address, None)

    def workers(self) -> tuple[WorkerEntry, ...]:
        """Everybody alive, in the order of registration."""
        with self._lock:
            return tuple(self._alive().values())

    def models(self, multimodal: bool | None = None) -> list[str]:
        """Sorted names; with `multimodal` only those of such workers."""
        chosen = (entry for entry in self.workers() if multimodal is None or entry.multimodal == multimodal)
        return sorted({name for entry in chosen for name in entry.status.model_names})

    def address_of(self, model: str, without: Iterable[str] = ()) -> str:
        """The worker to ask for `model`, never one of `without`; empty when there is none.

        shortest_queue counts the request at once, so that a burst before the next heartbeat is spread.
        """
        tried = frozenset(without)
        with self._lock:
            entries = [e for e in self._alive().values() if model in e.status.model_names and e.address not in tried]
            if not entries:
                return ""
            if self.dispatch == "lottery":
                return self._rng.choices(entries, weights=[entry.status.speed for entry in entries])[0].address
            entry = min(entries, key=lambda entry: entry.load)
            status = replace(entry.status, queue_length=entry.status.queue_length + 1)
            self._workers[entry.address] = replace(entry, status=status)
            return entry.address

    def status(self) -> WorkerStatus:
        """All workers as one: what a controller says when it acts as a worker of another controller."""
        entries = self.workers()
        return WorkerStatus(
            tuple(sorted({name for entry in entries for name in entry.status.model_names})),
            sum(entry.status.speed for entry in entries),
            sum(entry.status.queue_length for entry in entries),
        )

    def _alive(self) -> dict[str, WorkerEntry]:
        """Drop the expired and give the rest. Call it with the lock held."""
        oldest = self._clock() - self.expire_after
        self._workers = {
            address: entry
            for address, entry in self._workers.items()
            if not entry.check_heart_beat or entry.last_heart_beat >= oldest
        }
        return self._workers
