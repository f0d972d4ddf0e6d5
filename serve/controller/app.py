"""The controller: workers register, clients ask who serves a model, and it can relay a request itself (hierarchies).

FastChat's endpoints, byte for byte (`fastchat/serve/controller.py`); no handler waits for anything but the network, and
asking all workers again never empties the table. Our extensions: `/unregister_worker`, `/list_recent_models`, the worker's
questions relayed (`RELAYED`), `/health`, `/metrics`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from llava_graph.errors import ServeError
from serve.controller.admission import Admission, WorkerTransport
from serve.controller.membership import Membership, Probing
from serve.controller.registry import Registry
from serve.controller.relay import Relay, hops_of
from serve.http.guard import MAX_SMALL_BODY, NoBrowsers, read_json, refusal
from serve.http.metrics import Measured, Metrics
from serve.http.stream import ClientGone, Stream, unless_gone
from serve.protocol.fields import mapping, text, whole
from serve.protocol.workers import CONTROLLER, PENDING, Registration, worker_address

RELAYED = (
    "/worker_generate",
    "/worker_get_embeddings",
    "/count_token",
    "/worker_get_conv_template",
    "/model_details",
)
"""What FastChat's controller does not pass on, and a client needs of what it believes to be a worker."""


def create_controller(
    registry: Registry | None = None,
    *,
    admission: Admission = Admission(),
    probing: Probing = Probing(),
    transport: httpx.AsyncBaseTransport | None = None,
) -> FastAPI:
    """The controller as an ASGI app. Without a token in `admission` only workers on this machine register.

    `transport` is how workers are reached; tests pass another.
    """
    registry = registry or Registry()
    metrics = Metrics("controller")
    metrics.watch(lambda: registry.status().queue_length, lambda: 0)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # No redirects and no proxy from the environment: a worker's address means that worker.
        async with httpx.AsyncClient(transport=transport or WorkerTransport(admission), trust_env=False) as client:
            app.state.members = Membership(registry, client, probing)
            app.state.relay = Relay(app.state.members)
            watching = asyncio.create_task(app.state.members.watch())
            yield
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    app = FastAPI(title="LLaVA-Graph controller", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.registry = registry
    app.add_exception_handler(ServeError, _refuse)
    _add_worker_routes(app, registry, admission)
    _add_client_routes(app, registry)
    _add_relay_routes(app, registry)
    _add_operator_routes(app, registry, metrics)
    app.add_middleware(NoBrowsers)
    app.add_middleware(
        Measured, metrics=metrics, routes=frozenset(str(getattr(route, "path", "")) for route in app.routes)
    )
    return app


async def _refuse(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  (FastAPI's signature)
    return refusal(error if isinstance(error, ServeError) else ServeError("internal error"))


def _add_worker_routes(app: FastAPI, registry: Registry, admission: Admission) -> None:
    """What workers call."""

    def check(request: Request, address: str) -> None:
        admission.check(request.headers, request.client.host if request.client else "", address)

    @app.post("/register_worker")
    async def register_worker(request: Request, response: Response) -> None:
        registration = Registration.from_json(await read_json(request, MAX_SMALL_BODY))
        check(request, registration.worker_name)
        await admission.check_resolved(registration.worker_name)
        if not await app.state.members.register(registration):
            response.headers[PENDING] = "1"
        response.headers[CONTROLLER] = registry.id

    @app.post("/unregister_worker")
    async def unregister_worker(request: Request) -> dict[str, bool]:
        data = mapping(await read_json(request, MAX_SMALL_BODY), "the request")
        address = worker_address(data.get("worker_name"))
        check(request, address)
        return {"existed": app.state.members.unregister(address)}

    @app.post("/receive_heart_beat")
    async def receive_heart_beat(request: Request, response: Response) -> dict[str, bool]:
        response.headers[CONTROLLER] = registry.id
        data = mapping(await read_json(request, MAX_SMALL_BODY), "the heartbeat")
        address = worker_address(data.get("worker_name"))
        check(request, address)
        known = registry.heart_beat(address, whole(data, "queue_length", 0))
        return {"exist": known or app.state.members.is_pending(address)}


def _add_client_routes(app: FastAPI, registry: Registry) -> None:
    """What clients call."""

    @app.post("/refresh_all_workers")
    async def refresh_all_workers() -> None:
        await app.state.members.refresh()

    @app.post("/list_models")
    async def list_models() -> dict[str, list[str]]:
        return {"models": registry.models()}

    @app.post("/list_recent_models")
    async def list_recent_models() -> dict[str, list[str]]:
        return {"models": registry.lately()}

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


def _add_relay_routes(app: FastAPI, registry: Registry) -> None:
    """What higher controllers, and clients that they send here, call."""

    @app.post("/worker_generate_stream")
    async def worker_generate_stream(request: Request) -> Stream:
        params = dict(mapping(await read_json(request), "the request"))
        return Stream(app.state.relay.stream(params, hops_of(request.headers)))

    @app.post("/worker_get_status")
    async def worker_get_status() -> dict[str, Any]:
        return registry.status().to_json()

    async def relayed(request: Request) -> Response:
        params = mapping(await read_json(request), "the request")
        asking = app.state.relay.ask(request.url.path, params, hops_of(request.headers))
        try:
            answer = await unless_gone(request, asking)
        except ClientGone:
            return Response()
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    for path in RELAYED:
        app.add_api_route(path, relayed, methods=["POST"])


def _add_operator_routes(app: FastAPI, registry: Registry, metrics: Metrics) -> None:
    """What people and their monitors call."""

    @app.get("/test_connection")
    async def test_connection() -> str:
        return "success"

    @app.get("/health")
    async def health() -> dict[str, Any]:
        workers = registry.workers()
        return {
            "status": "ok",
            "workers": len(workers),
            "unreachable": len(registry.known()) - len(workers),
            "models": registry.models(),
        }

    @app.get("/metrics")
    async def measured() -> Response:
        return metrics.response()
