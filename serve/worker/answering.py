"""One model and its names: a request as JSON in, the chunks of its answer out; the last one may be an error with its reason."""

import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from llava_graph.errors import LlavaGraphError, ServeError
from serve.engines.engine import Engine, RemoteEngine, is_out_of_memory, out_of_memory
from serve.protocol.codes import ErrorCode
from serve.protocol.conversation import Conversation, conversation_of
from serve.protocol.messages import GenerateRequest, chunk, count_placeholders, error_chunk
from serve.protocol.workers import WorkerStatus, checked_names

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How a worker presents itself."""

    model_names: tuple[str, ...] = ()
    """Names that clients ask for; empty: the model's own."""
    conv_template: str = ""
    """Name under which /worker_get_conv_template gives the conversation; empty: the first model name."""

    def __post_init__(self) -> None:
        checked_names(self.model_names)


class Worker:
    """The model and its names."""

    def __init__(self, engine: Engine, options: WorkerOptions) -> None:
        self.engine = engine
        self.model_names = checked_names(options.model_names or (engine.name,))
        self._conversation_name = options.conv_template or self.model_names[0]

    async def status(self) -> WorkerStatus:
        """For the controller. Raises ServeError 50006 while a model that is elsewhere cannot be reached."""
        if isinstance(self.engine, RemoteEngine):
            await self.engine.check()
        return WorkerStatus(self.model_names, 1, self.engine.queue_length)

    def conversation(self) -> Conversation:
        """The model's chat template in FastChat's terms. Raises ServeError when it cannot be said in them."""
        if isinstance(self.engine, RemoteEngine):
            return replace(self.engine.conversation, name=self._conversation_name)
        return conversation_of(self.engine.render, self._conversation_name)

    async def answer(self, data: Any) -> AsyncGenerator[dict[str, Any]]:
        """The chunks that answer a request; the last one may be an error."""
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
        if len(request.images) > (most := self.engine.max_images):
            raise ServeError(
                f"{len(request.images)} images in one conversation, this model takes {most}",
                code=ErrorCode.VALIDATION_TYPE_ERROR,
                next_step="Send fewer images",
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
