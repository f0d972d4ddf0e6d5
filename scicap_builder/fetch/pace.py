"""One connection, and a pause between requests, over all processes of a machine: a lock file with the time of the next turn."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llava_graph.durable import try_lock
from llava_graph.errors import InputError

DELAY_S = 3.0
"""s between requests. arXiv's API terms of use (info.arxiv.org/help/api/tou): "make no more than one request every three
seconds, and limit requests to a single connection at a time", over all machines under one's control."""
MAX_WAIT_S = 600.0
"""s. Nobody waits longer than this for one turn; a server that asks for more is come back to in another run."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Time as an argument. `now` in s since the epoch: several processes must mean the same."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


SYSTEM_CLOCK = Clock()


class Pace:
    """Gives turns. Between two turns lie `delay_s` seconds, whichever process had the last one."""

    def __init__(self, lock_file: Path, *, delay_s: float = DELAY_S, clock: Clock = SYSTEM_CLOCK) -> None:
        self.lock_file = lock_file
        self.delay_s = delay_s
        self.clock = clock

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for our turn; whoever is inside has the one connection. The next turn comes `delay_s` after we leave."""
        with self._locked() as file:
            wait = _read_time(file) - self.clock.now()
            if wait > 0:
                # A time far ahead is not a promise but a clock that was set back.
                self.clock.sleep(min(wait, MAX_WAIT_S))
            try:
                yield
            finally:
                _write_time(file, self.clock.now() + self.delay_s)

    def postpone(self, seconds: float) -> None:
        """Nobody on this machine gets a turn for `seconds` from now on."""
        with self._locked() as file:
            _write_time(file, max(_read_time(file), self.clock.now() + min(seconds, MAX_WAIT_S)))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        try:
            self.lock_file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(
                f"the cache folder cannot be written ({error.strerror})",
                where=str(self.lock_file.parent),
                next_step="Give another one with --cache",
            ) from error
        with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
            try_lock(file, wait=True)
            yield file


def _read_time(file: IO[str]) -> float:
    file.seek(0)
    try:
        return float(file.read(64))
    except ValueError:  # a new file
        return 0.0


def _write_time(file: IO[str], value: float) -> None:
    file.seek(0)
    file.truncate()
    file.write(repr(value))
    file.flush()
