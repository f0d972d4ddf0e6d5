"""The images of a request: data URIs and guarded URLs in, decoded pixels out. Only pixels travel on to a worker, never a file.

What a client sends is opened under limits (`llava_graph.images.open_image`) and written anew as PNG: whatever stood in the file
beside the pixels (a second format, scripts, EXIF with a place) ends here.
"""

import asyncio
from collections.abc import Sequence

from PIL import Image

from llava_graph.errors import FetchError, ImageError, ServeError
from llava_graph.images import open_image
from serve.api.chat_request import ImageSource
from serve.api.desk import Desk
from serve.api.errors import ApiError, image_not_fetched
from serve.http.fetch import Fetcher
from serve.protocol.messages import image_bytes

FETCHES_AT_ONCE = 8
"""For all requests together; each holds at most one image's bytes."""


class Pictures:
    """Opens images. `fetcher` None: URLs are refused."""

    def __init__(self, fetcher: Fetcher | None, desk: Desk) -> None:
        self._fetcher = fetcher
        self._desk = desk
        self._fetching = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def open(self, sources: Sequence[ImageSource]) -> list[Image.Image]:
        """RGB images, upright, in their order. Raises ApiError that names the part of the request."""
        return await asyncio.gather(*map(self._open, sources))

    async def _open(self, source: ImageSource) -> Image.Image:
        try:
            if source.url[:5].lower() == "data:":
                return await self._desk.do(lambda: open_image(image_bytes(source.url, 0)))
            data = await self._fetched(source)
            return await self._desk.do(lambda: open_image(data))
        except ApiError:
            raise
        except FetchError as error:
            raise image_not_fetched(error, source.param) from error
        except (ImageError, ServeError) as error:
            raise ApiError(
                f"{source.param}: {error.what}", param=source.param, name="invalid_image", next_step=error.next_step
            ) from error

    async def _fetched(self, source: ImageSource) -> bytes:
        if self._fetcher is None:
            raise ApiError(
                "image URLs are not fetched here",
                status=403,
                name="image_url_refused",
                param=source.param,
                next_step="Send the image itself, as a data URI",
            )
        async with self._fetching:
            return await self._fetcher.fetch(source.url)
