"""Fetching in a thread of its own, a few papers ahead of the readers: papers in from `obtain`, one at a time out."""

import queue
import threading
from collections.abc import Iterator

from llava_graph.errors import InputError, LlavaGraphError
from scicap_builder.obtain import Obtained

AHEAD = 4
"""Papers that may lie fetched and unread: enough to keep workers busy, few enough to stop soon."""


class Ahead:
    """The papers of `source` as they come."""

    def __init__(self, source: Iterator[Obtained]) -> None:
        self.error: LlavaGraphError | None = None
        self.exhausted = False
        self._queue: queue.Queue[Obtained | BaseException | None] = queue.Queue(maxsize=AHEAD)
        self._stopping = threading.Event()
        # A daemon: Ctrl-C need not wait for a server that is slow to answer.
        threading.Thread(target=self._run, args=(source,), daemon=True).start()

    def take(self, patience_s: float) -> Obtained | None:
        """The next paper; None when there is none yet, or no more (`exhausted`). Raises what fetching raised,
        unless it is ours or the disk's (`error`)."""
        if self.exhausted:
            return None
        try:
            item = self._queue.get(timeout=patience_s) if patience_s else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, tuple):
            return item
        self.exhausted = True
        if isinstance(item, LlavaGraphError):
            self.error = item
        elif isinstance(item, OSError):
            self.error = InputError(
                f"what was fetched cannot be kept ({item.strerror or item})",
                where=str(item.filename or ""),
                next_step="Make room or give another --cache; the same command goes on where it stopped",
            )
        elif item is not None:
            raise item
        return None

    def stop(self) -> None:
        """Nothing more is wanted."""
        self._stopping.set()
        self.exhausted = True

    def _run(self, source: Iterator[Obtained]) -> None:
        last: BaseException | None = None
        try:
            for item in source:
                self._put(item)
                if self._stopping.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised again where it is taken)
            last = error
        self._put(last)

    def _put(self, item: Obtained | BaseException | None) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return
