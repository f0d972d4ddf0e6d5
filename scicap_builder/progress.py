"""What a long step is doing right now, for whoever listens: a page that shows it, a command's bar. Nobody does by default."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that is being done, `done` of `total` of it; `total` 0 where that is not known."""

    what: str
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"{self.what} {self.done} of {self.total}" if self.total else self.what


Listener = Callable[[Step], None]
"""What it raises ends the step: this is how it is cancelled."""
_listener: ContextVar[Listener | None] = ContextVar("progress listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Everything told inside, in this thread, goes to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(what: str, done: int = 0, total: int = 0) -> None:
    """Say what is being done."""
    if listener := _listener.get():
        listener(Step(what=what, done=done, total=total))
