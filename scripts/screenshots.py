"""Takes the screenshots of the page: `python scripts/screenshots.py http://127.0.0.1:7860 docs/images` (a page must run there).

The page answers with the model it runs with and reads figures with its own engine, so what a picture shows is what they wrote.
"""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

Size = tuple[int, int, str]
"""(width, height, colour scheme)"""
READ_MS = 120_000
"""A loaded machine may need so long to read a figure and to explain it."""


def main(url: str, out: Path) -> None:
    """One PNG per entry of PICTURES."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, ((width, height, scheme), show) in PICTURES.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page = opened(context, url)
            show(page)
            page.wait_for_timeout(600)
            page.screenshot(path=out / f"{name}.png")
            context.close()
        browser.close()


def opened(context: Any, url: str) -> Any:
    """The page, when it knows its model."""
    context.set_default_timeout(READ_MS)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#model-line .model")
    return page


def explained(page: Any) -> None:
    """The last figure of the example paper, explained, with the evidence of a sentence lit up."""
    paper(page)
    page.click("#explain")
    page.wait_for_function("document.querySelector('#status').innerText.includes(' s')")
    page.evaluate("scrollTo(0, 0)")
    if sources := page.locator("#chat button.source:not(.none)").all():
        sources[0].hover()


def paper(page: Any) -> None:
    """The example paper, its last figure chosen."""
    page.click(".paper-bar .example")
    page.wait_for_selector(".paper-bar .thumb")
    page.wait_for_selector("#explain:not([disabled])")
    page.locator(".paper-bar .thumb").last.click()
    page.wait_for_function("document.querySelector('#caption textarea').value.startsWith('Share of charts')")
    page.wait_for_selector("#explain:not([disabled])")


def all_pages(page: Any) -> None:
    """The example paper page by page."""
    paper(page)
    page.click(".paper-bar .pages")
    page.wait_for_function("[...document.querySelectorAll('.sheet img')].some((image) => image.naturalWidth)")


def correct_four_panels(page: Any) -> None:
    """A figure of four panels, enlarged, some lines switched off and one corrected."""
    file = {"name": "panels.png", "mimeType": "image/png", "buffer": four_panels()}
    page.set_input_files("#figure input[type=file]", file)
    page.wait_for_selector("#explain:not([disabled])")
    page.get_by_role("button", name="Enlarge").click()
    page.locator("#viewer .chip", has_text="y-tick").click()
    page.locator("#viewer .box[aria-label^='ImageNet']").click()
    page.keyboard.press("End")
    page.keyboard.type(" (test set)")
    page.locator("#viewer .box[aria-label^='MNIST']").hover()


def four_panels() -> bytes:
    """A PNG of four line charts with letters."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    chance = np.random.default_rng(1)
    figure, axes = plt.subplots(2, 2, figsize=(8, 6.4), layout="constrained")
    titles = ("CIFAR-10", "ImageNet", "SVHN", "MNIST")
    for letter, title, name, axis in zip(
        "abcd", titles, ("accuracy (%)", "loss", "F1 score", "time (s)"), axes.flat, strict=True
    ):
        for curve in ("baseline", "ours"):
            axis.plot(np.linspace(0, 100, 40), np.cumsum(chance.random(40)), label=curve)
        axis.set(xlabel="epoch", ylabel=name, title=title)
        axis.set_title(f"({letter})", loc="left", fontweight="bold")
        axis.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


PICTURES: dict[str, tuple[Size, Callable[[Any], None]]] = {
    "page": ((1280, 900, "light"), explained),
    "page-dark": ((1280, 900, "dark"), explained),
    "page-phone": ((390, 844, "light"), explained),
    "page-pages": ((1280, 800, "light"), all_pages),
    "page-text": ((1280, 800, "light"), correct_four_panels),
}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
