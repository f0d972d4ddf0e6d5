"""ASGI middleware in front of every route: a request id, who calls, from where and how often. What it lets through is known."""

import re
import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llava_graph.errors import LlavaGraphError
from serve.api.errors import FAILED, ApiError, refusal_of
from serve.api.keys import KEYS_VARIABLE, caller
from serve.api.limits import KeyLimits, limit_headers
from serve.api.options import ApiOptions
from serve.http.metrics import Metrics

OPEN_ROUTES = ("/health",)
"""Without a key."""
ANYBODY = "anybody"
"""The caller where no key is asked for."""


class Gate:
    """Refuses with OpenAI's errors: 401 (no key, a wrong one), 403 (a web page), 429, 503 (too many at once)."""

    def __init__(self, app: ASGIApp, options: ApiOptions, limits: KeyLimits, metrics: Metrics) -> None:
        self.app = app
        self._options = options
        self._limits = limits
        self._metrics = metrics
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with `caller` in its state, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        added = {"x-request-id": request_id(headers)}
        try:
            added |= self._admit(scope, headers)
        except LlavaGraphError as error:
            refusal = refusal_of(error)
            self._metrics.errors.labels(refusal.code or str(refusal.status)).inc()
            return await refusal.response(added)(scope, receive, send)

        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(added)
            await send(message)

        self._inside += 1
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            if begun:
                raise
            # Not ours: its traceback goes to the log under a number that the client hears.
            await refusal_of(error).response(added)(scope, receive, send)
        finally:
            self._inside -= 1
        return None

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers of the answer. Raises ApiError."""
        origin = headers.get("origin")
        if origin and "*" not in self._options.allowed_origins and origin not in self._options.allowed_origins:
            # A key is a program's; without keys any page that somebody visits could use the model of their machine.
            raise ApiError(
                "web pages from this origin may not call",
                status=403,
                name="origin_not_allowed",
                next_step="The operator allows some: --cors-origin",
            )
        if scope["path"] in OPEN_ROUTES:
            return {}
        name = self._caller(headers)
        scope.setdefault("state", {})["caller"] = name
        if scope["method"] != "POST":
            return {}
        if self._inside >= self._options.max_requests:
            raise ApiError(
                f"the server has {self._inside} requests in hand",
                status=503,
                kind=FAILED,
                name="overloaded",
                retry_after=2,
                next_step="Try again in a moment",
            )
        return limit_headers(self._limits.admit(name))

    def _caller(self, headers: Mapping[str, str]) -> str:
        keys = self._options.keys
        if keys is None:
            return ANYBODY
        given = headers.get("authorization", "")
        if known := caller(given, keys):
            return known.name
        how = f"The operator sets {KEYS_VARIABLE} or --api-keys" if not keys else "Send it as Authorization: Bearer KEY"
        raise ApiError(
            "this API key is not known" if given else "an API key is needed",
            status=401,
            name="invalid_api_key",
            next_step=how,
        )


def request_id(headers: Mapping[str, str]) -> str:
    """The caller's own, if it is a plain word; otherwise a new one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.:-]{1,128}", given, re.ASCII) else f"req_{secrets.token_hex(12)}"
