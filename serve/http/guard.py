"""What stands in front of every endpoint: no browsers, bounded bodies, and who may register a worker.

FastChat's controller believes any registration (CVE-2024-10044, CVE-2024-9309, CVE-2026-85695): a stranger can make it call
any address, or take over a model's name and read every prompt. Here a registration needs the shared token; without a token
only workers on this machine may register, and only while the controller itself listens on this machine.
"""

import asyncio
import hmac
import ipaddress
import json
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llava_graph.errors import InputError, ServeError
from serve.protocol.codes import ErrorCode

TOKEN_VARIABLE = "LLAVA_GRAPH_WORKER_TOKEN"  # noqa: S105  (the name of the variable)
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


def worker_token() -> str:
    """The shared secret from the environment; empty when there is none."""
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def bearer(token: str) -> dict[str, str]:
    """The header that carries `token`."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def check_worker(headers: Mapping[str, str], address: str, token: str) -> None:
    """May this caller register the worker at `address`? Raises ServeError 40101 / 40102 / 40103."""
    if not token:
        if not is_loopback(urlsplit(address).hostname or ""):
            raise ServeError(
                "without a token only workers on this machine may register",
                code=ErrorCode.NO_PERMISSION,
                where=address,
                next_step=f"Set {TOKEN_VARIABLE} to the same secret for the controller and its workers",
            )
        return
    given = headers.get("authorization", "")
    if not given:
        raise ServeError(
            "a worker needs the token",
            code=ErrorCode.INVALID_AUTH_KEY,
            next_step=f"Set {TOKEN_VARIABLE} for the worker",
        )
    if not hmac.compare_digest(given.encode(), bearer(token)["Authorization"].encode()):
        raise ServeError(
            "the worker's token is not the controller's",
            code=ErrorCode.INCORRECT_AUTH_KEY,
            next_step=f"Set {TOKEN_VARIABLE} to the same secret for both",
        )


def require_token_off_loopback(host: str, token: str) -> None:
    """A controller that others can reach needs a token. Raises InputError."""
    if not token and not is_loopback(host):
        raise InputError(
            f"a controller on {host} can be reached from other machines, and then registering a worker needs a token",
            next_step=f"Set {TOKEN_VARIABLE} to a secret (the same for its workers), or listen on 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1, by name alone: nothing is resolved."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
