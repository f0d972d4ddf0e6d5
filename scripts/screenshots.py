"""Takes the screenshots of the page: `python scripts/screenshots.py http://127.0.0.1:7860 docs/images` (a page must run there).

The page answers with the model it runs with, so what a picture shows is what that model wrote.
"""

import os
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

SIZES = {"page": (1280, 800, "light"), "page-dark": (1280, 800, "dark"), "page-phone": (390, 844, "light")}


def main(url: str, out: Path) -> None:
    """One PNG per entry of SIZES."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme) in SIZES.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(url)
            explain_first_example(page)
            page.screenshot(path=out / f"{name}.png")
            context.close()
        browser.close()


def explain_first_example(page: Any) -> None:
    """Pick the first example and wait for its explanation."""
    page.wait_for_selector("#model-line .model")
    page.locator("#examples button.thumbnail-item").first.click()
    page.wait_for_selector("#explain:not([disabled])")
    page.click("#explain")
    page.wait_for_function("document.querySelector('#status').innerText.includes(' s')", timeout=120_000)
    page.wait_for_timeout(600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
