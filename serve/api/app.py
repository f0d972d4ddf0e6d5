"""The OpenAI-compatible API as an ASGI app in front of a controller. Every model that a worker serves is one of its models."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from llava_graph.errors import LlavaGraphError, ServeError
from ocr import read_text
from serve.api.chat import Chat, missing
from serve.api.context import Kitchen
from serve.api.desk import Desk
from serve.api.documents import Documents
from serve.api.errors import ApiError, refusal_of
from serve.api.gate import Gate
from serve.api.limits import LIMIT_HEADERS, KeyLimits
from serve.api.options import ApiOptions
from serve.api.paper_figures import ReadText
from serve.api.pictures import Pictures
from serve.client import ModelClient
from serve.http.fetch import Fetcher
from serve.http.metrics import Measured, Metrics
from serve.http.stream import ClientGone
from serve.papers import PaperShelf

ROUTES = frozenset(
    {
        "/v1/chat/completions",
        "/v1/figures/explain",
        "/v1/figures/report",
        "/v1/models",
        "/v1/papers",
        "/health",
        "/metrics",
    }
)
LOOKING = ["GET", "HEAD"]
"""Load balancers look with HEAD; the server leaves the body out."""
HEALTH_KEPT_S = 1.0
"""/health asks for no key: however often it is called, the workers are asked once a second."""


def create_api(
    controller_url: str,
    options: ApiOptions = ApiOptions(),
    *,
    read: ReadText = read_text,
    shelf: PaperShelf | None = None,
    fetcher: Fetcher | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> FastAPI:
    """The API of the models behind the controller at `controller_url`.

    `read`: what reads the text in figures. `shelf`: where papers are opened; None: they are not. `fetcher`: how image URLs are
    fetched, usually from `options.fetch`. `transport`: how the controller and workers are reached; tests pass another.
    """
    client = ModelClient(controller_url, transport=transport)
    metrics = Metrics("api")
    limits = KeyLimits(options.requests_per_minute, options.tokens_per_minute)
    images, reading = Desk("decoding images", 2, 64), Desk("reading figures", 1, 16)
    pictures = Pictures(fetcher or (Fetcher(options.fetch) if options.fetch else None), images)
    chat = Chat(client, Kitchen(pictures, images, reading, read, shelf), metrics, options, limits.charge)

    app = FastAPI(title="LLaVA-Graph API", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, options=options, limits=limits, metrics=metrics)
    if options.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["x-request-id", "retry-after", *LIMIT_HEADERS],
        )
    app.add_middleware(Measured, metrics=metrics, routes=ROUTES)
    _add_errors(app, metrics)
    _add_models(app, client)
    _add_health(app, client, metrics)

    _add_answers(app, chat)
    return app


def _add_answers(app: FastAPI, chat: Chat) -> None:
    documents = Documents(chat)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await chat.answer(request, request.state.caller)

    @app.post("/v1/papers")
    async def papers(request: Request) -> Response:
        return await documents.open_paper(request)

    @app.post("/v1/figures/explain")
    async def explain(request: Request) -> Response:
        return await documents.explain(request, request.state.caller)

    @app.post("/v1/figures/report")
    async def report(request: Request) -> Response:
        return await documents.report(request, request.state.caller)


def _add_errors(app: FastAPI, metrics: Metrics) -> None:
    async def refuse(request: Request, error: Exception) -> Response:  # noqa: ARG001  (FastAPI's signature)
        refusal = refusal_of(error)
        metrics.errors.labels(refusal.code or str(refusal.status)).inc()
        return refusal.response()

    async def no_route(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        what = f"{request.method[:20]} {request.url.path[:200]!r} is not known here"
        next_step = "POST /v1/chat/completions, GET /v1/models"
        return await refuse(request, ApiError(what, status=status, name="unknown_url", next_step=next_step))

    async def gone(request: Request, error: Exception) -> Response:  # noqa: ARG001  (FastAPI's signature)
        metrics.errors.labels("client_gone").inc()
        return Response(status_code=499)

    app.add_exception_handler(ClientGone, gone)
    app.add_exception_handler(HTTPException, no_route)
    app.add_exception_handler(LlavaGraphError, refuse)


def _add_models(app: FastAPI, client: ModelClient) -> None:
    started = int(time.time())

    def entry(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "llava-graph"}

    @app.api_route("/v1/models", methods=LOOKING)
    @app.api_route("/v1/models/", methods=LOOKING)
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [entry(name) for name in await client.models()]}

    @app.api_route("/v1/models/{model:path}", methods=LOOKING)
    async def one_model(model: str) -> dict[str, Any]:
        known = await client.models()
        if model not in known:
            raise await missing(client, model, known)
        details = await client.details(model)
        about = {"about": details.about, "context_length": details.context_length, "instructions": details.instructions}
        return {**entry(model), **about, "max_images": details.max_images, "prompt": asdict(details.prompt)}


def _add_health(app: FastAPI, client: ModelClient, metrics: Metrics) -> None:
    healthy = kept_for(HEALTH_KEPT_S, lambda: answers_at_all(client))

    @app.api_route("/health", methods=LOOKING)
    async def health() -> JSONResponse:
        if await healthy():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unavailable", "reason": "no worker answers"}, 503)

    @app.api_route("/metrics", methods=LOOKING)
    async def show_metrics() -> Response:
        return metrics.response()


async def answers_at_all(client: ModelClient) -> bool:
    """Whether a worker of any model answers."""
    try:
        for model in await client.models():
            try:
                await client.details(model)
            except ServeError:
                continue
            return True
    except ServeError:
        pass
    return False


def kept_for(seconds: float, ask: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """`ask`, whose answer counts for some seconds; callers at the same time share one."""
    lock, kept = asyncio.Lock(), (False, float("-inf"))

    async def known() -> bool:
        nonlocal kept
        async with lock:
            if time.monotonic() - kept[1] > seconds:
                kept = (await ask(), time.monotonic())
            return kept[0]

    return known
