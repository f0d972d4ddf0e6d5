"""The worker: one model behind FastChat's endpoints (`fastchat/serve/base_model_worker.py`), streaming, bounded, stoppable.

Our extension for pages that should not guess templates: a request may carry `messages` instead of `prompt`, and
/model_details also says `name`, `about` and `chat_template`.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from llava_graph.errors import LlavaGraphError, ServeError
from serve.engines.engine import (
    Engine,
    Estimate,
    RemoteEngine,
    is_out_of_memory,
    out_of_memory,
)
from serve.http.guard import MAX_SMALL_BODY, NoBrowsers, read_json, refusal
from serve.http.stream import Stream
from serve.protocol.codes import ErrorCode
from serve.protocol.conversation import Conversation, conversation_of
from serve.protocol.fields import mapping, text
from serve.protocol.messages import (
    GenerateRequest,
    WorkerStatus,
    chunk,
    count_placeholders,
    error_chunk,
    frame,
)
from serve.worker.heartbeat import Heartbeat

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How a worker presents itself."""

    model_names: tuple[str, ...] = ()
    """Names that clients ask for; empty: the model's own."""
    conv_template: str = ""
    """Name under which /worker_get_conv_template gives the conversation; empty: the first model name."""


class Worker:
    """The model and its names."""

    def __init__(self, engine: Engine, options: WorkerOptions) -> None:
        self.engine = engine
        self.model_names = options.model_names or (engine.name,)
        self._conversation_name = options.conv_template or self.model_names[0]

    def status(self) -> WorkerStatus:
        """For the controller."""
        return WorkerStatus(self.model_names, 1, self.engine.queue_length)

    async def checked_status(self) -> WorkerStatus:
        """The same. Raises ServeError 50006 while a model that is elsewhere cannot be reached."""
        if isinstance(self.engine, RemoteEngine):
            await self.engine.check()
        return self.status()

    def conversation(self) -> Conversation:
        """The model's chat template in FastChat's terms. Raises ServeError when it cannot be said in them."""
        if isinstance(self.engine, RemoteEngine):
            return replace(self.engine.conversation, name=self._conversation_name)
        return conversation_of(self.engine.render, self._conversation_name)

    async def answer(self, data: Any) -> AsyncGenerator[dict[str, Any]]:
        """The chunks that answer a request; the last one may be an error, with its real reason."""
        try:
            request = self._checked(GenerateRequest.from_json(data))
            head = request.prompt if request.echo else ""
            async with aclosing(self.engine.stream(request)) as steps:
                async for step in steps:
                    yield chunk(head + step.text, step.usage, step.finish_reason, step.timings)
        except LlavaGraphError as error:
            log.info("refused: %s", error)
            yield error_chunk(error)
        except Exception as error:  # noqa: BLE001  (whatever the model does, the client hears of it and the worker lives)
            yield error_chunk(_failure(error))

    def _checked(self, request: GenerateRequest) -> GenerateRequest:
        if request.model and request.model not in self.model_names:
            raise ServeError(
                f"this worker serves {', '.join(self.model_names)}, not {request.model!r}", code=ErrorCode.INVALID_MODEL
            )
        if (places := count_placeholders(request)) != len(request.images):
            raise ServeError(
                f"the prompt has {places} image placeholder(s) for {len(request.images)} image(s)",
                code=ErrorCode.VALIDATION_TYPE_ERROR,
                next_step="Send one image for each <image>",
            )
        return request


def _failure(error: Exception) -> ServeError:
    """An error that is not ours: its traceback goes to the log, the client hears its kind and where to look."""
    if is_out_of_memory(error):
        log.exception("out of memory", exc_info=error)
        return out_of_memory()
    number = secrets.token_hex(4)
    log.error("request %s failed", number, exc_info=error)
    return ServeError(
        f"the model failed on this request ({type(error).__name__})",
        code=ErrorCode.INTERNAL_ERROR,
        next_step=f"The worker's log tells more under {number}",
    )


def create_worker(
    engine: Engine,
    options: WorkerOptions = WorkerOptions(),
    *,
    heartbeat: Heartbeat | None = None,
) -> FastAPI:
    """The worker as an ASGI app; with `heartbeat` it registers at a controller as soon as it runs, and keeps at it."""
    worker = Worker(engine, options)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001  (FastAPI's signature)
        beating = asyncio.create_task(heartbeat.run(worker.checked_status)) if heartbeat else None
        yield
        if beating:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
        await asyncio.to_thread(engine.close)

    app = FastAPI(title="LLaVA-Graph worker", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(NoBrowsers)
    app.state.worker = worker

    @app.exception_handler(ServeError)
    async def refuse(request: Request, error: ServeError) -> JSONResponse:  # noqa: ARG001  (FastAPI's signature)
        return refusal(error)

    _add_generation(app, worker, heartbeat)
    _add_questions(app, worker)
    return app


def _add_generation(app: FastAPI, worker: Worker, heartbeat: Heartbeat | None) -> None:
    @app.post("/worker_generate_stream")
    async def worker_generate_stream(request: Request) -> Stream:
        data = await read_json(request)

        async def frames() -> AsyncGenerator[bytes]:
            async with aclosing(worker.answer(data)) as chunks:
                async for step in chunks:
                    yield frame(step)
            if heartbeat:
                heartbeat.nudge()

        return Stream(frames())

    @app.post("/worker_generate")
    async def worker_generate(request: Request) -> JSONResponse:
        answer = asyncio.create_task(_last(worker.answer(await read_json(request))))
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            return JSONResponse(answer.result() if answer.done() else {})
        finally:
            answer.cancel()
            gone.cancel()


def _add_questions(app: FastAPI, worker: Worker) -> None:
    @app.post("/worker_get_status")
    async def worker_get_status() -> dict[str, Any]:
        return (await worker.checked_status()).to_json()

    @app.post("/count_token")
    async def count_token(request: Request) -> dict[str, Any]:
        prompt = text(mapping(await read_json(request, MAX_SMALL_BODY), "the request"), "prompt")
        count = await asyncio.to_thread(worker.engine.count_tokens, prompt)
        return {"count": count, "error_code": 0} | ({"estimated": True} if isinstance(count, Estimate) else {})

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


async def _last(chunks: AsyncGenerator[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    async with aclosing(chunks):
        async for step in chunks:
            last = step
    return last


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
