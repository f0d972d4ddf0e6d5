"""A streamed response that ends its generator at once when the client has gone."""

from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Send


class Stream(StreamingResponse):
    """Bytes of an async generator. Starlette cancels a stream whose client disconnects; here the generator is closed then too.

    Without that a generator cancelled while it hands out a chunk is left to the garbage collector, and with it the
    computation behind it.
    """

    def __init__(self, content: AsyncGenerator[bytes]) -> None:
        super().__init__(content)
        self._generator = content

    async def stream_response(self, send: Send) -> None:
        """Send it all, close it in any case."""
        try:
            await super().stream_response(send)
        finally:
            await self._generator.aclose()
