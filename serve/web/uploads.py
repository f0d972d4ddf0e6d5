"""What stands between visitors and gradio's file handling: an event may name a file only if it is that visitor's upload.

gradio turns a file's `path` in an event into a file it copies or a URL it downloads; in an app that is mounted (and not
launched by gradio itself) it checks neither (6.31, `processing_utils._check_allowed`). Here such an event never arrives.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.http.guard import paced

MAX_EVENT = 4 * 2**20
"""Bytes of one event: a question, a caption, the text of a figure. Uploads go another way."""
MIN_FREE = 512 * 2**20
"""Bytes on the disk of the uploads. They go after an hour; until then strangers must not fill the disk for everything else."""
UPLOAD = "/gradio_api/upload"
"""Word for word: /gradio_api/call/upload is an event."""
EVENTS = (
    "/gradio_api/queue/join",
    "/gradio_api/run/",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/component_server",
)
"""What the page's own script calls. gradio has more (/call, /api, /stream, /process_recording, /login, …)."""


class UploadsOnly:
    """ASGI middleware around the page: what is not GET is one of the page's own calls, bounded, JSON, and names no files but
    those under `folder`."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self.app = app
        self.folder = folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400, 403 or 413."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            return await self.app(scope, receive, send)
        receive, path = paced(receive), scope["path"].rstrip("/")
        if path == UPLOAD and scope["method"] == "POST":
            full = JSONResponse({"detail": "There is no room for uploads now."}, 507) if self._full() else None
            return await (full or self.app)(scope, receive, send)
        if scope["method"] != "POST" or not path.startswith(EVENTS):
            return await JSONResponse({"detail": "The page does not use this."}, 403)(scope, receive, send)
        body = await _body(receive)
        if refusal := self._refusal(body):
            return await refusal(scope, receive, send)
        return await self.app(scope, _replayed(body or b"", receive), send)

    def _refusal(self, body: bytes | None) -> JSONResponse | None:
        """Why an event is not passed on; None if it is."""
        if body is None:
            return JSONResponse({"detail": "The request is too large."}, 413)
        try:
            files = list(named_files(body))
        except (ValueError, RecursionError):
            return JSONResponse({"detail": "The request is not JSON."}, 400)
        theirs = all(map(self._is_upload, files))
        return None if theirs else JSONResponse({"detail": "Only files that were uploaded here."}, 403)

    def _full(self) -> bool:
        place = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        return shutil.disk_usage(place).free < MIN_FREE

    def _is_upload(self, path: Any) -> bool:
        return isinstance(path, str) and "\0" not in path and Path(path).resolve().is_relative_to(self.folder)


def named_files(body: bytes) -> Iterator[Any]:
    """Every value under the key `path`, at any depth of a JSON body. Raises ValueError, RecursionError for what is no JSON."""
    pending = [json.loads(body)] if body.strip() else []
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if value.get("path") is not None:
                yield value["path"]
            pending += value.values()
        elif isinstance(value, list):
            pending += value


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is longer than MAX_EVENT."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_EVENT:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes after it (the client going away)."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
