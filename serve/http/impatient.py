"""uvicorn's HTTP protocol, impatient with clients that send the head of a request, or take an answer, slowly or not at all.

uvicorn waits for ever for a first request, for the rest of a head (Slowloris) and for a reader: a few thousand such connections
are all that a server has. Bodies have a time limit of their own (`serve.http.guard.read_json`).
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 15.0
"""From the opening of a connection, or the end of an answer, to the end of the next request's head."""

READ_TIMEOUT_S = 60.0
"""A client that takes next to nothing for so long, with the buffers full (some 64 KB here, and the system's), has failed."""


class ImpatientProtocol(H11Protocol):
    """Ends a connection on which no whole head comes in time, or whose client does not read."""

    head_timeout = HEAD_TIMEOUT_S
    read_timeout = READ_TIMEOUT_S
    _head_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop_waiting()
        self._stop_reading_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The buffer is full: the client has to read now."""
        super().pause_writing()
        if self._read_timer is None:
            # Not `close`, which would wait until the buffer is empty. Whoever writes the answer hears of a disconnect.
            self._read_timer = self.loop.call_later(self.read_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._stop_reading_timer()

    def _stop_reading_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def data_received(self, data: bytes) -> None:
        """A whole head ends the waiting; a piece of one does not."""
        super().data_received(data)
        if self._answering():
            self._stop_waiting()
        elif self._head_timer is None:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """The next request may have come already; if not, it is waited for."""
        super().on_response_complete()
        if not self._answering() and self._head_timer is None:
            self._wait_for_head()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._answering() and not self.transport.is_closing():
            self.transport.close()
