"""One paper that is being opened, by a thread of its own, for all who wait for it."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from llava_graph.errors import LlavaGraphError
from scicap_builder.one_paper import PaperRecords
from scicap_builder.progress import Step

_log = logging.getLogger(__name__)
BEGUN = Step(what="looking on the shelf")


class Abandoned(Exception):
    """Nobody waits for this paper any more."""


class Opening:
    """Thread-safe. `with shelf.opening(source) as opening:` is one who waits; when the last has left, the work ends."""

    def __init__(self, work: Callable[["Opening"], PaperRecords], forget: Callable[["Opening"], None]) -> None:
        self._work, self._forget = work, forget
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._records: PaperRecords | None = None
        self._error: BaseException | None = None
        self.step = BEGUN

    @classmethod
    def finished(cls, records: PaperRecords) -> "Opening":
        """One that has nothing to do: the paper is there."""
        opening = cls(lambda _: records, lambda _: None)
        opening._records = records
        return opening

    def join(self) -> bool:
        """One more waits; False if it is too late because all have left."""
        with self._changed:
            if self._thread is not None and self._waiting == 0 and not self.done:
                return False
            self._waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="paper", daemon=True)
                self._thread.start()
            return True

    def __enter__(self) -> "Opening":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it."""
        return self._waiting == 0

    @property
    def done(self) -> bool:
        """Whether there is a paper, or a reason why there is none."""
        return self._records is not None or self._error is not None

    def wait(self, seconds: float) -> bool:
        """Whether it is done, after at most `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.done, seconds)

    def result(self) -> PaperRecords:
        """The paper. Raises what the opening has raised."""
        self.wait(threading.TIMEOUT_MAX)
        if self._records is not None:
            return self._records
        raise _fresh(self._error)

    def tell(self, step: Step) -> None:
        """For the thread that works: say what is being done. Raises Abandoned when nobody waits."""
        with self._changed:
            if self._waiting == 0:
                raise Abandoned
            self.step = step
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """For the thread that works: wait, but not for a paper that nobody waits for. Raises Abandoned."""
        with self._changed:
            if self._changed.wait_for(lambda: self._waiting == 0, seconds):
                raise Abandoned

    def _run(self) -> None:
        records, error = None, None
        try:
            records = self._work(self)
        except BaseException as raised:  # noqa: BLE001  (it belongs to those who wait, whatever it is)
            error = raised
            if not isinstance(raised, LlavaGraphError | Abandoned):
                _log.exception("opening a paper failed")
        self._forget(self)
        with self._changed:
            self._records, self._error = records, error
            self._changed.notify_all()


def _fresh(error: BaseException | None) -> BaseException:
    """The same error for each who waits: raising one object in several threads would mix up its tracebacks."""
    if isinstance(error, LlavaGraphError):
        kind, state = error.__reduce__()
        return kind(*state)
    if isinstance(error, Abandoned):
        return Abandoned()
    return LlavaGraphError(
        "opening the paper failed on this server",
        # Which file or address failed is for those who run it: `_run` has logged it.
        next_step="The server's log has the details",
    )
