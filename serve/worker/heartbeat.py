"""How a worker stays known to its controller: it registers, beats, registers again when forgotten, and signs off when it ends.

All of it beside the requests: a controller that is down never holds up an answer (LLaVA's worker waits for it in the handler).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from llava_graph.errors import ServeError
from serve.http.tokens import bearer
from serve.protocol.workers import CONTROLLER, PENDING, WorkerStatus

log = logging.getLogger(__name__)

HEART_BEAT_INTERVAL_S = 45.0
"""FastChat's default; its controller forgets a worker after 90 s."""
RETRY_S = 3.0
"""Between two attempts to reach a controller that is down."""
CLOSELY_S = 3.0
"""Between two heartbeats to a controller of ours, which may have been restarted in between; FastChat's is spared."""
MAX_BACKOFF_S = 60.0
"""After errors that nobody thought of, the pause grows up to this."""
TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 1.0
"""A controller that is down holds no worker up that ends."""


class Heartbeat:
    """Knows the controller's and the worker's address. `run` goes on until it is cancelled or `leave` is called."""

    def __init__(
        self,
        controller: str,
        worker: str,
        *,
        token: str = "",
        interval: float = HEART_BEAT_INTERVAL_S,
        retry: float = RETRY_S,
        multimodal: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.controller = controller.rstrip("/")
        self.worker = worker.rstrip("/")
        self.interval = interval
        self.retry = retry
        self.multimodal = multimodal
        self._headers = bearer(token)
        self._transport = transport
        self._soon = asyncio.Event()
        self._known = False
        self._ours = False
        """The controller is one of ours: it says so."""
        self._left = False

    def nudge(self) -> None:
        """An answer has ended: let the controller know the new queue length soon."""
        self._soon.set()

    async def run(self, status: Callable[[], Awaitable[WorkerStatus]]) -> None:
        """Register, then beat every `interval` s (to a controller of ours every CLOSELY_S) and shortly after every answer.

        While `status` raises ServeError (the model is elsewhere and away) the controller hears nothing. Whatever else goes
        wrong is logged and tried again: a worker that nobody knows would serve for ever in silence.
        """
        pause = self.retry
        while not self._left:
            try:
                async with self._client() as client:
                    while not self._left:
                        self._known = await self._once(client, status)
                        pause = self.retry
                        await (self._pause() if self._known else asyncio.sleep(self.retry))
            except Exception:
                log.exception("the worker's heartbeat has failed; trying again in %.0f s", pause)
                self._known = False
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_BACKOFF_S)

    async def leave(self) -> None:
        """The worker ends: no client shall be sent to it any more. FastChat's controller does not know the word (404)."""
        self._left = True
        if self._known:
            async with self._client() as client:
                with suppress(httpx.HTTPError):
                    body = {"worker_name": self.worker}
                    await client.post(self.controller + "/unregister_worker", json=body, timeout=LEAVE_TIMEOUT_S)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, headers=self._headers, trust_env=False, timeout=TIMEOUT_S)

    async def _once(self, client: httpx.AsyncClient, status: Callable[[], Awaitable[WorkerStatus]]) -> bool:
        try:
            told = await status()
        except ServeError as error:
            log.warning("not registered: %s", error)
            return False
        if self._known and (exists := await self._beat(client, told)) is not False:
            return bool(exists)
        return await self._register(client, told)

    async def _pause(self) -> None:
        interval = min(self.interval, CLOSELY_S) if self._ours else self.interval
        # At most one heartbeat a second, however many answers end.
        await asyncio.sleep(min(1.0, interval))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._soon.wait(), max(0.0, interval - 1.0))
        self._soon.clear()

    async def _register(self, client: httpx.AsyncClient, status: WorkerStatus) -> bool:
        body = {
            "worker_name": self.worker,
            "check_heart_beat": True,
            "worker_status": status.to_json(),
            "multimodal": self.multimodal,
        }
        answer = await self._post(client, "/register_worker", body)
        if answer is None:
            return False
        if PENDING in answer.headers:
            # It has our word and asks again by itself; that it never gets through is the operator's to see.
            log.warning("the controller cannot reach this worker at %s yet; is --worker-address right?", self.worker)
        else:
            log.info("registered at %s as %s", self.controller, ", ".join(status.model_names))
        return True

    async def _beat(self, client: httpx.AsyncClient, status: WorkerStatus) -> bool | None:
        """True while the controller knows us, False when it does not (it was restarted), None when it cannot be asked."""
        body = {"worker_name": self.worker, "queue_length": status.queue_length}
        answer = await self._post(client, "/receive_heart_beat", body)
        with suppress(ValueError, AttributeError):
            return None if answer is None else bool(answer.json().get("exist"))
        return None

    async def _post(self, client: httpx.AsyncClient, path: str, body: dict) -> httpx.Response | None:
        try:
            response = await client.post(self.controller + path, json=body)
        except httpx.HTTPError as error:
            log.warning("the controller at %s cannot be reached (%s)", self.controller, error or type(error).__name__)
            return None
        self._ours = CONTROLLER in response.headers
        if response.status_code == httpx.codes.OK:
            return response
        log.error("the controller at %s refuses this worker: %s", self.controller, response.text[:500])
        return None
