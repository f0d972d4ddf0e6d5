"""Two ASGI apps on one port, told apart by the path: the API beside the page."""

from starlette.types import ASGIApp, Receive, Scope, Send


class ByPath:
    """Requests under `paths` go to `other`; all else, and the server's beginning and end, to `main`.

    `other` must not need to hear of the beginning and end. What stands around `main` (its middleware) does not touch `other`.
    """

    def __init__(self, main: ASGIApp, other: ASGIApp, paths: tuple[str, ...]) -> None:
        self.main = main
        self.other = other
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path = scope.get("path", "")
        theirs = scope["type"] == "http" and any(path == one or path.startswith(f"{one}/") for one in self.paths)
        await (self.other if theirs else self.main)(scope, receive, send)
