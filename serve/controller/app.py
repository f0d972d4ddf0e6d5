"""The controller: workers register, clients ask who serves a model, and it can relay a stream itself (hierarchies).

FastChat's endpoints, byte for byte (`fastchat/serve/controller.py`); no handler waits for anything but the network, and
asking all workers again never empties the table.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from llava_graph.errors import ServeError
from serve.controller.registry import Registry
from serve.http.guard import MAX_SMALL_BODY, NoBrowsers, check_worker, read_json, refusal
from serve.http.stream import Stream
from serve.protocol.codes import ErrorCode
from serve.protocol.fields import mapping, text, whole
from serve.protocol.messages import END, Registration, Unframer, WorkerStatus, error_chunk, frame, worker_address

log = logging.getLogger(__name__)

STATUS_TIMEOUT_S = 5.0
"""A worker answers /worker_get_status from memory; FastChat waits as long."""
RELAY_TIMEOUT_S = 100.0
"""Silence of a worker in the middle of a stream, FastChat's WORKER_API_TIMEOUT."""


class Controller:
    """The registry and the network around it."""

    def __init__(self, registry: Registry, client: httpx.AsyncClient) -> None:
        self.registry = registry
        self.client = client
        self._refreshing: asyncio.Task[None] | None = None

    async def register(self, registration: Registration) -> None:
        """Take a worker in, asking it for its status if it did not send one. A worker that does not answer stays out."""
        status = registration.worker_status or await self.ask_status(registration.worker_name)
        if status is None:
            log.warning("worker %s does not answer and was not registered", registration.worker_name)
            return
        fresh = self.registry.register(registration, status)
        log.info(
            "%s worker %s: %s", "new" if fresh else "known", registration.worker_name, ", ".join(status.model_names)
        )

    async def ask_status(self, address: str) -> WorkerStatus | None:
        """A worker's own word; None when it gives none."""
        try:
            response = await self.client.post(address + "/worker_get_status", timeout=STATUS_TIMEOUT_S)
            response.raise_for_status()
            return WorkerStatus.from_json(response.json())
        except (httpx.HTTPError, ValueError, ServeError) as error:
            log.warning("worker %s gives no status: %s", address, error or type(error).__name__)
            return None

    async def refresh(self) -> None:
        """Ask every worker again, all at once; who does not answer is dropped. Callers at the same time share one round."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        addresses = [entry.address for entry in self.registry.workers()]
        for address, status in zip(addresses, await asyncio.gather(*map(self.ask_status, addresses)), strict=True):
            if status is None:
                self.registry.remove(address)
            else:
                self.registry.update(address, status)

    async def relay(self, params: dict[str, Any]) -> AsyncGenerator[bytes]:
        """A worker's stream, chunk by chunk. A worker that cannot be reached is dropped and the next one is asked."""
        model = text(params, "model")
        tried: list[str] = []
        while address := self.registry.address_of(model, without=tried):
            tried.append(address)
            try:
                async with aclosing(self._relay_from(address, params)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except httpx.ConnectError:
                log.warning("worker %s cannot be reached and is dropped", address)
                self.registry.remove(address)
            except (httpx.HTTPError, ServeError) as error:
                log.warning("worker %s failed in the middle of an answer: %s", address, error or type(error).__name__)
                yield frame(error_chunk(_broken_off(model)))
                return
        yield frame(error_chunk(no_worker(model, self.registry.models())))

    async def _relay_from(self, address: str, params: dict[str, Any]) -> AsyncGenerator[bytes]:
        timeout = httpx.Timeout(RELAY_TIMEOUT_S, connect=STATUS_TIMEOUT_S)
        async with self.client.stream(
            "POST", address + "/worker_generate_stream", json=params, timeout=timeout
        ) as response:
            if response.status_code != httpx.codes.OK:
                # A refusal (a body too large, no JSON) is one chunk without its end mark.
                yield await response.aread() + END
                return
            unframer = Unframer()
            async for data in response.aiter_bytes():
                for piece in unframer.feed(data):
                    yield piece + END
            if unframer.rest:
                raise ServeError("the stream ends in the middle of a chunk")


def no_worker(model: str, known: list[str]) -> ServeError:
    """Nobody serves `model`."""
    return ServeError(
        f"no worker serves the model {model!r}",
        code=ErrorCode.CONTROLLER_NO_WORKER,
        next_step=f"Models here: {', '.join(known)}" if known else "Start one: llava-graph-serve worker",
    )


def _broken_off(model: str) -> ServeError:
    return ServeError(
        f"the worker of {model!r} stopped in the middle of the answer",
        code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
        next_step="Ask again; its log says why",
    )


def create_controller(
    registry: Registry | None = None, *, token: str = "", transport: httpx.AsyncBaseTransport | None = None
) -> FastAPI:
    """The controller as an ASGI app. With `token` a worker must send it; without, only workers on this machine register.

    `transport` is how workers are reached; tests pass another.
    """
    registry = registry or Registry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # No redirects and no proxy from the environment: a worker's address means that worker.
        async with httpx.AsyncClient(transport=transport, trust_env=False, limits=_LIMITS) as client:
            app.state.controller = Controller(registry, client)
            yield

    app = FastAPI(title="LLaVA-Graph controller", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(NoBrowsers)
    app.state.registry = registry
    app.add_exception_handler(ServeError, _refuse)
    _add_worker_routes(app, registry, token)
    _add_client_routes(app, registry)
    return app


_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


async def _refuse(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  (FastAPI's signature)
    return refusal(error if isinstance(error, ServeError) else ServeError("internal error"))


def _add_worker_routes(app: FastAPI, registry: Registry, token: str) -> None:
    """What workers call."""

    @app.post("/register_worker")
    async def register_worker(request: Request) -> None:
        registration = Registration.from_json(await read_json(request, MAX_SMALL_BODY))
        check_worker(request.headers, registration.worker_name, token)
        await app.state.controller.register(registration)

    @app.post("/receive_heart_beat")
    async def receive_heart_beat(request: Request) -> dict[str, bool]:
        data = mapping(await read_json(request, MAX_SMALL_BODY), "the heartbeat")
        address = worker_address(data.get("worker_name"))
        check_worker(request.headers, address, token)
        return {"exist": registry.heart_beat(address, whole(data, "queue_length", 0))}


def _add_client_routes(app: FastAPI, registry: Registry) -> None:
    """What clients and higher controllers call."""

    @app.post("/refresh_all_workers")
    async def refresh_all_workers() -> None:
        await app.state.controller.refresh()

    @app.post("/list_models")
    async def list_models() -> dict[str, list[str]]:
        return {"models": registry.models()}

    @app.post("/list_multimodal_models")
    async def list_multimodal_models() -> dict[str, list[str]]:
        return {"models": registry.models(multimodal=True)}

    @app.post("/list_language_models")
    async def list_language_models() -> dict[str, list[str]]:
        return {"models": registry.models(multimodal=False)}

    @app.post("/get_worker_address")
    async def get_worker_address(request: Request) -> dict[str, str]:
        data = mapping(await read_json(request, MAX_SMALL_BODY), "the request")
        return {"address": registry.address_of(text(data, "model"))}

    @app.post("/worker_generate_stream")
    async def worker_generate_stream(request: Request) -> Stream:
        params = dict(mapping(await read_json(request), "the request"))
        return Stream(app.state.controller.relay(params))

    @app.post("/worker_get_status")
    async def worker_get_status() -> dict[str, Any]:
        return registry.status().to_json()

    @app.get("/test_connection")
    async def test_connection() -> str:
        return "success"
