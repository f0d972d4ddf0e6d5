"""A headless Chromium for the tests of the page, and what a visitor does and sees there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from llava_graph.images import encode_png
from serve.http.servers import Server, bind
from serve.web import create_web
from tests.serving import HTTP, eventually, running_controller, running_worker

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
LAUNCH = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def running_chromium() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=list(LAUNCH))
        yield browser
        browser.close()


@contextmanager
def running_site(engine, **parts):
    """A page before a controller and a worker that answers with `engine`; `parts` are those of `create_web`."""
    with running_controller() as controller, running_worker(engine, controller.url):
        eventually(lambda: models(controller))
        with Server(create_web(controller.url, **parts), bind("127.0.0.1", 0), "web page") as site:
            yield site


@contextmanager
def visiting(chromium, site, width=1280, height=800):
    """A visitor of their own, when the page knows which model there is."""
    context = chromium.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.browser_errors = []
    page.on("pageerror", lambda error: page.browser_errors.append(str(error)))
    page.goto(site.url)
    page.wait_for_selector("#model-line .model")
    yield page
    context.close()


def figure() -> dict:
    image = Image.new("RGB", (480, 320), "white")
    draw = ImageDraw.Draw(image)
    draw.line((60, 280, 460, 280), fill="black", width=2)
    draw.line((60, 20, 60, 280), fill="black", width=2)
    draw.line((60, 260, 460, 60), fill="teal", width=3)
    draw.text((200, 285), "Epoch", fill="black", font=ImageFont.load_default(22))
    return upload(encode_png(image))


def models(controller) -> list[str]:
    return HTTP.post(controller.url + "/list_models").json()["models"]


def upload(data: bytes, name: str = "figure.png", kind: str = "image/png") -> dict:
    return {"name": name, "mimeType": kind, "buffer": data}


def choose(page, file: dict) -> None:
    page.set_input_files("#figure input[type=file]", file)


def choose_and_wait(page) -> None:
    choose(page, figure())
    page.wait_for_selector("#explain:not([disabled])")


def answers(page) -> list[str]:
    """The texts of the answers, without the sources behind their sentences."""
    runs = "[...found.querySelectorAll('.run')].map(run => run.textContent).join('')"
    return page.evaluate(f"[...document.querySelectorAll('#chat .answer')].map(found => {runs}).filter(Boolean)")


def answer(page) -> str:
    return (answers(page) or [""])[-1]


def told(page) -> str:
    return page.locator("#banner .banner").inner_text()


def begin_anew(page, engine) -> None:
    """The one visitor of several tests has no paper, no figure and no caption before them, and nothing was asked."""
    if page.locator(".paper-bar .shut").is_visible():
        page.click(".paper-bar .shut")
    page.fill("#caption textarea", "to be cleared")
    page.click("#clear")
    eventually(lambda: not page.locator("#caption textarea").input_value())
    eventually(lambda: page.locator("#explain").is_disabled())
    engine.requests.clear()
