"""How a worker comes into the registry and leaves it: it is asked itself before it is believed, and again every few seconds."""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from llava_graph.errors import ServeError
from serve.controller.registry import Registry
from serve.http.guard import MAX_SMALL_BODY
from serve.protocol.codes import ErrorCode
from serve.protocol.workers import Registration, WorkerStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Probing:
    """How closely the workers are watched."""

    every_s: float = 5.0
    """A worker whose process has ended is offered for so long at most; FastChat's controller offers it for up to 180 s."""
    timeout_s: float = 3.0
    """A worker answers /worker_get_status from memory."""


FIRST_TIMEOUT_S = 2.0
"""At the registration. LLaVA's worker registers from its event loop and answers nobody until that is over."""
RETRIES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between the questions to a worker that has registered and does not answer yet: FastChat's registers first and
listens then, and a model loads in between."""
MAX_PENDING = 256
"""Workers that have registered and do not answer yet."""


class Unanswered(ServeError):
    """A worker gave no status. `gone`: nobody listens there, or it says itself that it cannot answer."""

    def __init__(self, address: str, reason: str, *, gone: bool = False) -> None:
        self.gone = gone
        super().__init__(
            f"the worker gives no status: {reason}", where=address, code=ErrorCode.CONTROLLER_WORKER_TIMEOUT
        )


class Itself(ServeError):
    """The address of a worker leads back to this controller."""

    def __init__(self, address: str) -> None:
        super().__init__("a controller is no worker of its own", where=address, code=ErrorCode.NO_PERMISSION)


class Membership:
    """Keeps `registry` true, over `client`."""

    def __init__(self, registry: Registry, client: httpx.AsyncClient, probing: Probing = Probing()) -> None:
        self.registry = registry
        self.client = client
        self.probing = probing
        self._pending: dict[str, asyncio.Task[None]] = {}
        self._round: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()

    async def register(self, registration: Registration) -> bool:
        """Take a worker in once it has said itself what it serves. False for one that does not answer yet; it is asked again
        for a minute.

        Raises ServeError 40103 (a name that another host serves; this controller itself), 40301 (it serves other names).
        """
        address = registration.worker_name
        self._give_up(address)
        try:
            self._take_in(registration, await self.ask(address, min(FIRST_TIMEOUT_S, self.probing.timeout_s)))
        except Unanswered as error:
            log.info("%s; asking again", error)
            if len(self._pending) < MAX_PENDING:
                self._pending[address] = asyncio.create_task(self._wait_for(registration))
            return False
        return True

    def is_pending(self, address: str) -> bool:
        """It has registered and has not answered yet."""
        return address in self._pending

    def unregister(self, address: str) -> bool:
        """Forget a worker that ends. False when it was not known."""
        self._give_up(address)
        log.info("worker %s has ended", address)
        return self.registry.remove(address)

    async def ask(self, address: str, timeout: float | None = None) -> WorkerStatus:
        """A worker's own word, without what it has from here. Raises Unanswered, and ServeError 40103 if it is ourselves."""
        timeout = timeout or self.probing.timeout_s
        try:
            async with asyncio.timeout(timeout):
                said = await self._post(address + "/worker_get_status")
            return self._from_here(address, json.loads(said))
        except Itself:
            raise
        except (httpx.ConnectError, httpx.HTTPStatusError) as error:
            raise Unanswered(address, str(error) or type(error).__name__, gone=True) from error
        except (TimeoutError, httpx.HTTPError, ValueError, RecursionError, ServeError) as error:
            raise Unanswered(address, str(error) or type(error).__name__) from error

    def _from_here(self, address: str, said: Any) -> WorkerStatus:
        # First of all: a controller that serves nothing yet has no status that counts.
        if isinstance(said, dict) and said.get("controller") == self.registry.id:
            raise Itself(address)
        return WorkerStatus.from_json(said).without(self.registry.id)

    async def _post(self, url: str) -> bytes:
        """A 200's body, which is small, or an error."""
        async with self.client.stream("POST", url) as response:
            response.raise_for_status()
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_SMALL_BODY:
                    raise ValueError("a status of more than a megabyte")
            return body

    async def refresh(self) -> None:
        """Ask every worker, all at once. Callers at the same time share one round."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask_all())
        await asyncio.shield(self._round)

    async def check(self, address: str) -> None:
        """Ask one worker; who does not answer is offered no more, at once if that is certain."""
        try:
            self.registry.answered(address, await self.ask(address))
        except Unanswered as error:
            if self.registry.unanswered(address, gone=error.gone):
                log.warning("%s; it is offered no more until it answers", error)
        except Itself as error:
            log.warning("%s; it is forgotten", error)
            self.registry.remove(address)

    def suspect(self, address: str) -> None:
        """Something went wrong with a worker: ask it soon, beside whatever else goes on."""
        task = asyncio.create_task(self.check(address))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def watch(self) -> None:
        """Ask everybody every few seconds, until cancelled."""
        try:
            while True:
                await asyncio.sleep(self.probing.every_s)
                await self.refresh()
        finally:
            for task in (*self._pending.values(), *self._checks, *filter(None, [self._round])):
                task.cancel()

    async def _ask_all(self) -> None:
        await asyncio.gather(*map(self.check, self.registry.known()))

    def _take_in(self, registration: Registration, status: WorkerStatus) -> None:
        told = registration.worker_status
        if told and set(told.model_names) != set(status.model_names):
            raise ServeError(
                f"the worker registers {', '.join(told.model_names)} and serves {', '.join(status.model_names)}",
                code=ErrorCode.INVALID_MODEL,
                where=registration.worker_name,
            )
        fresh = self.registry.register(registration, status)
        names = ", ".join(status.model_names)
        log.info("%s worker %s: %s", "new" if fresh else "known", registration.worker_name, names)

    async def _wait_for(self, registration: Registration) -> None:
        address = registration.worker_name
        try:
            for pause in RETRIES_S:
                await asyncio.sleep(pause)
                with suppress(Unanswered):
                    self._take_in(registration, await self.ask(address))
                    return
            log.warning("worker %s has registered and does not answer: it is forgotten", address)
        except ServeError as error:
            log.warning("worker %s is refused: %s", address, error)
        finally:
            if self._pending.get(address) is asyncio.current_task():
                del self._pending[address]

    def _give_up(self, address: str) -> None:
        if task := self._pending.pop(address, None):
            task.cancel()
