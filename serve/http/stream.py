"""Answers that end with their client: a streamed response that closes its generator, and work that stops when nobody waits."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Send

T = TypeVar("T")


class Stream(StreamingResponse):
    """Bytes of an async generator. Starlette cancels a stream whose client disconnects; here the generator is closed then too.

    Without that a generator cancelled while it hands out a chunk is left to the garbage collector, and with it the
    computation behind it. `begun`: what `content` reads from, if it was begun before; a client that goes away before the
    first chunk ends `content` before it has begun, and then its own clean-up does not run.
    """

    def __init__(
        self,
        content: AsyncGenerator[bytes],
        media_type: str | None = None,
        *,
        begun: AsyncGenerator[Any] | None = None,
    ) -> None:
        super().__init__(content, media_type=media_type)
        self._generators = [content, *([begun] if begun else [])]

    async def stream_response(self, send: Send) -> None:
        """Send it all, close it in any case."""
        try:
            await super().stream_response(send)
        finally:
            for generator in self._generators:
                await generator.aclose()


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client disconnects. Raises ClientGone. The body must have been read."""
    task, gone = asyncio.ensure_future(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            # Its generators are closed, and the worker told, before we go on.
            await asyncio.wait({task})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
