"""The worker: one model behind FastChat's endpoints (`fastchat/serve/base_model_worker.py`), streaming, bounded, stoppable.

Our extensions: a request may carry `messages` instead of `prompt`, for pages that should not guess templates; /model_details
also says what the model is; /health and /metrics for those who watch.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from llava_graph.errors import LlavaGraphError, ServeError
from serve.engines.engine import Engine, Estimate
from serve.http.guard import MAX_SMALL_BODY, NoBrowsers, read_json, refusal
from serve.http.metrics import Measured, Metrics
from serve.http.stream import ClientGone, Stream, unless_gone
from serve.protocol.codes import ErrorCode
from serve.protocol.fields import mapping, text
from serve.protocol.messages import error_chunk, frame
from serve.worker.answering import Worker, WorkerOptions
from serve.worker.heartbeat import Heartbeat


def create_worker(
    engine: Engine,
    options: WorkerOptions = WorkerOptions(),
    *,
    heartbeat: Heartbeat | None = None,
) -> FastAPI:
    """The worker as an ASGI app; with `heartbeat` it registers at a controller as soon as it runs, and keeps at it."""
    worker = Worker(engine, options)
    metrics = Metrics("worker")
    metrics.watch(lambda: engine.queue_length - engine.waiting, lambda: engine.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001  (FastAPI's signature)
        beating = asyncio.create_task(heartbeat.run(worker.status)) if heartbeat else None
        yield
        if beating:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
        await asyncio.to_thread(engine.close)

    app = FastAPI(title="LLaVA-Graph worker", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.worker = worker
    if heartbeat:
        app.state.leaving = heartbeat.leave

    @app.exception_handler(LlavaGraphError)
    async def refuse(request: Request, error: LlavaGraphError) -> JSONResponse:  # noqa: ARG001  (FastAPI's signature)
        told = error_chunk(error)
        return refusal(error) if isinstance(error, ServeError) else JSONResponse(told, told["error_code"] // 100)

    _add_generation(app, worker, metrics, heartbeat)
    _add_questions(app, worker)
    _add_operator_routes(app, worker, metrics)
    app.add_middleware(NoBrowsers)
    app.add_middleware(Measured, metrics=metrics, routes=frozenset(str(getattr(r, "path", "")) for r in app.routes))
    return app


def _add_generation(app: FastAPI, worker: Worker, metrics: Metrics, heartbeat: Heartbeat | None) -> None:
    async def answer(data: Any) -> AsyncGenerator[dict[str, Any]]:
        """Counted; and the controller hears soon that the queue is shorter, however the answer ended."""
        begun, step = time.monotonic(), dict[str, Any]()
        try:
            async with aclosing(worker.answer(data)) as chunks:
                async for step in chunks:
                    if begun and step["text"] and not step["error_code"]:
                        metrics.first_token.labels(worker.model_names[0]).observe(time.monotonic() - begun)
                        begun = 0.0
                    yield step
        finally:
            _count(metrics, worker.model_names[0], step)
            if heartbeat:
                heartbeat.nudge()

    @app.post("/worker_generate_stream")
    async def worker_generate_stream(request: Request) -> Stream:
        data = await read_json(request)

        async def frames() -> AsyncGenerator[bytes]:
            async with aclosing(answer(data)) as chunks:
                async for step in chunks:
                    yield frame(step)

        return Stream(frames())

    @app.post("/worker_generate")
    async def worker_generate(request: Request) -> Response:
        data = await read_json(request)
        try:
            return JSONResponse(await unless_gone(request, _last(answer(data))))
        except ClientGone:
            return Response()


def _count(metrics: Metrics, model: str, last: Mapping[str, Any]) -> None:
    if code := last.get("error_code"):
        metrics.errors.labels(str(code)).inc()
    if usage := last.get("usage"):
        metrics.prompt_tokens.labels(model).inc(usage["prompt_tokens"])
        metrics.completion_tokens.labels(model).inc(usage["completion_tokens"])


async def _last(chunks: AsyncGenerator[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    async with aclosing(chunks):
        async for step in chunks:
            last = step
    return last


def _add_questions(app: FastAPI, worker: Worker) -> None:
    @app.post("/worker_get_status")
    async def worker_get_status() -> dict[str, Any]:
        return (await worker.status()).to_json()

    @app.post("/count_token")
    async def count_token(request: Request) -> dict[str, Any]:
        prompt = text(mapping(await read_json(request, MAX_SMALL_BODY), "the request"), "prompt")
        count = await asyncio.to_thread(worker.engine.count_tokens, prompt)
        return {"count": count, "error_code": 0} | ({"estimated": True} if isinstance(count, Estimate) else {})

    @app.post("/worker_get_embeddings")
    async def worker_get_embeddings() -> dict[str, Any]:
        # 200, as all answers of this shape: FastChat's server throws away what another status says.
        return {
            "text": "this model explains figures; it gives no embeddings",
            "error_code": int(ErrorCode.INVALID_MODEL),
        }

    @app.post("/worker_get_conv_template")
    async def worker_get_conv_template() -> dict[str, Any]:
        return {"conv": asdict(worker.conversation())}

    @app.post("/model_details")
    async def model_details() -> dict[str, Any]:
        engine = worker.engine
        return {
            "context_length": engine.context_length,
            "name": worker.model_names[0],
            "about": engine.about,
            "chat_template": engine.chat_template,
            "prompt": asdict(engine.prompt),
            "instructions": engine.instructions,
            "max_images": engine.max_images,
        }


def _add_operator_routes(app: FastAPI, worker: Worker, metrics: Metrics) -> None:
    """What people and their monitors call."""

    @app.get("/health")
    async def health() -> dict[str, Any]:
        status = await worker.status()
        return {"status": "ok", "models": list(status.model_names), "queue_length": status.queue_length}

    @app.get("/metrics")
    async def measured() -> Response:
        return metrics.response()
