"""Takes the screenshots of the page: `python scripts/screenshots.py http://127.0.0.1:7860 docs/images` (a page must run there).

The page answers with the model it runs with and reads figures with its own engine, so what a picture shows is what they wrote.
"""

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

SIZES = {"page": (1280, 800, "light"), "page-dark": (1280, 800, "dark"), "page-phone": (390, 844, "light")}
READ_MS = 120_000
"""A loaded machine may need so long to read a figure and to explain it."""


def main(url: str, out: Path) -> None:
    """One PNG per entry of SIZES, and `page-text`: the lines of a figure of four panels, enlarged. With a log (--log-dir) also
    `page-feedback`, with two models `page-arena`."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme) in SIZES.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page = opened(context, url)
            explain_first_example(page)
            page.screenshot(path=out / f"{name}.png")
            context.close()
        page = opened(browser.new_context(viewport={"width": 1280, "height": 800}), url)
        correct_four_panels(page)
        page.screenshot(path=out / "page-text.png")
        page = opened(browser.new_context(viewport={"width": 1280, "height": 800}), url)
        explain_first_example(page)
        if page.locator("#sharing .log-state").is_visible():
            vote(page)
            page.locator("#right").screenshot(path=out / "page-feedback.png")
        if page.locator("#model").is_visible():
            compare_blind(page)
            page.locator("#arena").screenshot(path=out / "page-arena.png")
        browser.close()


def opened(context: Any, url: str) -> Any:
    """The page, when it knows its model."""
    context.set_default_timeout(READ_MS)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#model-line .model")
    return page


def explain_first_example(page: Any) -> None:
    """Pick the first example, wait for its explanation, and point at a line of its text."""
    page.locator("#examples button.thumbnail-item").first.click()
    page.wait_for_selector("#explain:not([disabled])")
    page.click("#explain")
    page.wait_for_function("document.querySelector('#status').innerText.includes(' s')")
    page.locator("#viewer .box[aria-label*=', x-axis,']").last.hover()
    page.wait_for_timeout(600)


def vote(page: Any) -> None:
    """Agree to the log and say what is wrong with the answer."""
    page.click("#sharing .log-state")
    page.check("#sharing .keep")
    page.click("#sharing .log-state")
    page.locator("#chat .thumb.downvote").last.click()
    page.check("#sharing .reasons input[value=wrong_number]")
    page.fill("#sharing .comment", "It levels off near 20, not near 50.")


def compare_blind(page: Any) -> None:
    """Two answers, before the vote."""
    if page.locator("#sharing .cancel").is_visible():
        page.click("#sharing .cancel")
    page.locator("#arena button").first.click()
    page.click("#compare:not([disabled])")
    page.wait_for_selector("#arena-tievote")
    page.wait_for_timeout(300)


def correct_four_panels(page: Any) -> None:
    """Read a figure of four panels, enlarge it, switch some lines off and correct one."""
    file = {"name": "panels.png", "mimeType": "image/png", "buffer": four_panels()}
    page.set_input_files("#figure input[type=file]", file)
    page.wait_for_selector("#explain:not([disabled])")
    page.get_by_role("button", name="Enlarge").click()
    page.locator("#viewer .chip", has_text="y-tick").click()
    page.locator("#viewer .box[aria-label^='ImageNet']").click()
    page.keyboard.press("End")
    page.keyboard.type(" (test set)")
    page.locator("#viewer .box[aria-label^='MNIST']").hover()
    page.wait_for_timeout(300)


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


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
