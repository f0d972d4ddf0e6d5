"""What stands in front of every endpoint: no browsers, and bodies that are bounded in size and time."""

import asyncio
import json
import time
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llava_graph.errors import ServeError
from serve.protocol.codes import ErrorCode

MAX_BODY = 96 * 2**20
"""Bytes: one 64 MB image as base64 and some text."""
MAX_SMALL_BODY = 2**20
"""Bytes of a registration or a question about a model."""
BODY_GRACE_S = 20.0
MIN_BYTES_PER_S = 32 * 2**10
"""A quarter of a megabit: slower than any line that images are sent over. It keeps a thousand dripping clients from holding a
thousand half bodies in memory."""


class NoBrowsers:
    """ASGI middleware: the controller and the workers are called by programs.

    A browser marks what it sends with `Origin` or `Sec-Fetch-Site`; refusing those keeps a web page that somebody visits
    from registering a worker at a controller on their own machine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        names = {name.lower() for name, _ in scope.get("headers", ())}
        if scope["type"] == "http" and scope["method"] != "GET" and names & {b"origin", b"sec-fetch-site"}:
            error = ServeError("requests from a web page are refused", code=ErrorCode.NO_PERMISSION)
            return await refusal(error)(scope, receive, send)
        return await self.app(scope, receive, send)


def refusal(error: ServeError) -> JSONResponse:
    """FastChat's error body, with the HTTP status that its code begins with."""
    return JSONResponse({"text": str(error), "error_code": int(error.code)}, status_code=int(error.code) // 100)


class BodyTooLarge(ServeError):
    """A request beyond its limit."""


class BodyTooSlow(ServeError):
    """A request whose body does not arrive."""


async def read_json(request: Request, limit: int = MAX_BODY) -> Any:
    """The body as JSON. Raises ServeError 40001.

    BodyTooLarge: over `limit` bytes (it is not read to its end). BodyTooSlow: after BODY_GRACE_S it must have come at
    MIN_BYTES_PER_S. Otherwise it is no JSON, or the client has gone.
    """
    try:
        async with asyncio.timeout(BODY_GRACE_S) as patience:
            body = await _body(request, limit, patience)
    except TimeoutError as error:
        raise BodyTooSlow("the request did not arrive in time", code=ErrorCode.VALIDATION_TYPE_ERROR) from error
    except ClientDisconnect as error:
        raise ServeError("the client has gone", code=ErrorCode.VALIDATION_TYPE_ERROR) from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ServeError("the request is not JSON", code=ErrorCode.VALIDATION_TYPE_ERROR) from error


def paced(receive: Receive) -> Receive:
    """`receive` for an app that reads bodies itself: a body that does not keep `read_json`'s pace ends in a disconnect."""
    patience, complete = time.monotonic() + BODY_GRACE_S, False

    async def in_time() -> Message:
        nonlocal patience, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout(patience - time.monotonic()):
                message = await receive()
        except TimeoutError:
            complete = True
            return {"type": "http.disconnect"}
        patience += len(message.get("body", b"")) / MIN_BYTES_PER_S
        complete = not message.get("more_body")
        return message

    return in_time


async def _body(request: Request, limit: int, patience: asyncio.Timeout) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        patience.reschedule((patience.when() or 0) + len(piece) / MIN_BYTES_PER_S)
        if len(body) > limit:
            raise BodyTooLarge(
                f"the request has more than {limit / 2**20:g} MB",
                code=ErrorCode.VALIDATION_TYPE_ERROR,
                next_step="Send fewer or smaller images",
            )
    return bytes(body)
