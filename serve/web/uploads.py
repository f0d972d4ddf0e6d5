"""What stands between visitors and gradio's file handling: an event may name a file only if it is that visitor's upload.

gradio turns a file's `path` in an event into a file it copies or a URL it downloads; in an app that is mounted (and not
launched by gradio itself) it checks neither (6.31, `processing_utils._check_allowed`). Here such an event never arrives.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_EVENT = 4 * 2**20
"""Bytes of one event: a question, a caption, the text of a figure. Uploads go another way."""


class UploadsOnly:
    """ASGI middleware around the page: POST bodies are bounded, JSON, and name no files but those under `folder`."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self.app = app
        self.folder = folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 or 413."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].rstrip("/").endswith("/upload"):
            return await self.app(scope, receive, send)
        body = await _body(receive)
        if body is None:
            return await JSONResponse({"detail": "The request is too large."}, 413)(scope, receive, send)
        if any(not self._is_upload(path) for path in named_files(body)):
            return await JSONResponse({"detail": "Only files that were uploaded here."}, 403)(scope, receive, send)
        return await self.app(scope, _replayed(body, receive), send)

    def _is_upload(self, path: Any) -> bool:
        return isinstance(path, str) and "\0" not in path and Path(path).resolve().is_relative_to(self.folder)


def named_files(body: bytes) -> Iterator[Any]:
    """Every value under the key `path`, at any depth of a JSON body; nothing if it is no JSON."""
    try:
        pending = [json.loads(body)]
    except (ValueError, RecursionError):
        return
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
