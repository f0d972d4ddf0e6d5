"""ASGI apps on sockets: bind first and say plainly when a port is busy, run in threads, stop all of them together."""

import signal
import socket
import threading
import time
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from llava_graph.errors import InputError, ServeError
from serve.http.impatient import ImpatientProtocol
from serve.http.origin_form import OriginForm

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 3.0
"""Answers that are being written when the server stops may take this long."""

MAX_HEAD = 32 * 2**10
"""Bytes of a request's line and headers; other servers take 8 to 64 KB."""


def bind(host: str, port: int, other: str = "--port {}") -> socket.socket:
    """A listening socket; port 0 takes a free one. `other`: how the command is told another port.

    Raises InputError when the port is busy or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in (48, 98, 10048):  # EADDRINUSE on macOS, Linux, Windows
            raise InputError(
                f"port {port} is busy on {host}",
                next_step=f"Choose another one: {other.format(port + 1 if port < 65535 else port - 1)}",
            ) from error
        raise InputError(f"cannot listen on {host} port {port} ({reason})") from error
    return sock


def address_of(sock: socket.socket) -> str:
    """http://host:port of a bound socket, as this machine reaches it."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"


class _SigningOff(uvicorn.Server):
    """Awaits `app.state.leaving()`, where there is such a thing, before it stops to listen: a worker signs off."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        leaving = getattr(getattr(self.config.app, "state", None), "leaving", None)
        if leaving is not None:
            await leaving()
        await super().shutdown(sockets)


class Server:
    """One app on one socket, in a thread of its own."""

    def __init__(self, app: ASGIApp, sock: socket.socket, name: str) -> None:
        self.name = name
        self.url = address_of(sock)
        self._sock = sock
        # No websockets: nothing here speaks them. No log config: the command sets up logging once. No X-Forwarded-For: a
        # client's address is that of its connection, and nobody writes himself another.
        config = uvicorn.Config(
            OriginForm(app),
            log_config=None,
            access_log=False,
            http=ImpatientProtocol,
            h11_max_incomplete_event_size=MAX_HEAD,
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=round(STOP_TIMEOUT_S),
        )
        self._uvicorn = _SigningOff(config)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when requests are answered. Raises ServeError when the app does not come up."""
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._uvicorn.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ServeError(f"the {self.name} did not start", next_step="Its log says why")
            time.sleep(0.01)

    def end(self) -> None:
        """Ask it to end; `stop` also waits."""
        self._uvicorn.should_exit = True

    def stop(self) -> None:
        """End it and wait for that."""
        self.end()
        self._thread.join(STOP_TIMEOUT_S + 2)

    @property
    def running(self) -> bool:
        """False once the thread has ended, asked or not."""
        return self._thread.is_alive()

    def _run(self) -> None:
        self._uvicorn.run(sockets=[self._sock])


def wait_for_signal(servers: Sequence[Server]) -> None:
    """Until Ctrl-C or SIGTERM; then every server stops. Call it in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        while not stopping.wait(0.5):
            if ended := [server.name for server in servers if not server.running]:
                raise ServeError(f"the {ended[0]} has ended by itself", next_step="Its log says why")
    finally:
        for server in servers:
            server.end()
        for server in reversed(servers):
            server.stop()
