"""A request line may name the whole address, as to a proxy (RFC 9112, 3.2.2): the apps see the path alone."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_ADDRESS = re.compile(r"https?://[^/]*", re.IGNORECASE)


class OriginForm:
    """ASGI middleware in front of everything that looks at a path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.state = getattr(app, "state", None)
        """The app's own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; GET http://host/v1/models asks for /v1/models."""
        if scope["type"] == "http" and (found := _ADDRESS.match(scope["path"])):
            raw = scope["raw_path"].decode("latin-1")
            scope = {
                **scope,
                "path": scope["path"][found.end() :] or "/",
                "raw_path": (_ADDRESS.sub("", raw, count=1) or "/").encode("latin-1"),
            }
        await self.app(scope, receive, send)
