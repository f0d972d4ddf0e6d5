"""The page as an ASGI app: gradio under our headers, with bounded uploads and queue, and nothing from anywhere else."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType

import httpx
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llava_graph.errors import MissingExtra
from ocr import read_text
from serve.client import ModelClient
from serve.papers import PaperShelf
from serve.web.figure.opening import ReadText
from serve.web.options import WebOptions
from serve.web.paper.pictures import page_pictures
from serve.web.uploads import UploadsOnly

CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        # gradio's own page starts with inline scripts and styles and compiles templates.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""Nothing is loaded from or sent to another server, whatever an answer contains."""


SWEEP_S = 1800.0
"""s between two looks at what may leave the papers' shelf."""


class ContentPolicy:
    """ASGI middleware: the security headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers on the way out."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self.app(scope, receive, send_with_headers)


def create_web(
    controller_url: str,
    options: WebOptions = WebOptions(),
    *,
    read: ReadText = read_text,
    papers: PaperShelf | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> FastAPI:
    """The page as an ASGI app that asks the controller at `controller_url`. `read`: what reads the text in figures. `papers`: a
    shelf that others use too; None makes one of its own.

    Raises MissingExtra without gradio.
    """
    gradio = _gradio()

    def build() -> FastAPI:
        from serve.web.page import build_page
        from serve.web.sharing.recording import recorder_for
        from serve.web.theme import theme

        shelf = papers or PaperShelf(options.papers)
        page = build_page(ModelClient(controller_url, transport=transport), options, read, recorder_for(options), shelf)
        page.queue(max_size=options.max_queue, api_open=False)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=partial(_keeping_room, shelf))
        app.include_router(page_pictures(shelf))
        app.add_middleware(UploadsOnly, folder=Path(gradio.utils.get_upload_folder()))
        app.add_middleware(ContentPolicy)
        app = gradio.mount_gradio_app(
            app,
            page,
            path="/",
            theme=theme(),
            css_paths=_styles(),
            head_paths=[Path(__file__).parent / "page_head.html"],
            footer_links=["settings"],
            max_file_size=options.max_file_bytes,
            show_error=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            # What the page calls is no interface for programs: /v1 is.
            app_kwargs={"openapi_url": None},
        )
        # Only for a launched page does gradio check the files that events name; ours is launched, by us.
        page.has_launched = True
        return app

    return _in_a_loop(build)


def _in_a_loop(build: Callable[[], FastAPI]) -> FastAPI:
    """Outside of a running event loop gradio makes a new one for each of its locks and closes none of them."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def building() -> FastAPI:
            return build()

        return asyncio.run(building())
    return build()


@asynccontextmanager
async def _keeping_room(shelf: PaperShelf, _: FastAPI) -> AsyncIterator[None]:
    """Uploaded papers go when their time is over, also while nobody opens another one."""

    async def sweep() -> None:
        while True:
            await asyncio.to_thread(shelf.make_room)
            await asyncio.sleep(SWEEP_S)

    sweeping = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping


def _styles() -> list[Path]:
    """The page's own look, then each panel's."""
    folder = Path(__file__).parent
    return [folder / "page.css", *sorted(folder.glob("*/*.css"))]


def _gradio() -> ModuleType:
    # gradio reads these when it is imported: no usage statistics, no look at the newest version.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError as error:
        raise MissingExtra("gradio", "serve", needed_for="the web page") from error
    return gradio
