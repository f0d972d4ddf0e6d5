"""Draws six small papers with charts, builds and reports on them, and takes the docs' pictures of the report:
`python -m scripts.report_screenshots docs/images`. Everything in the pictures is drawn here, so that they can be published."""

import io
import json
import os
import random
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from scicap_builder.charts.corpus import make_figure
from tests.pdf_pages import PdfPage, write_pdf

SEED = 11
TITLES = (
    "Yields of Small Gardens in Dry Years",
    "How Long Do Models Have to Learn?",
    "A Survey of Bridges by Age and Load",
    "Sleep and Reaction Time of Night Workers",
    "Rivers that Run Warm: Ten Years of Measurements",
    "Batteries in the Cold",
)
LICENCES = ("CC-BY-4.0", "CC-BY-4.0", "CC-BY-NC-4.0", "")
VIEWS = {
    "report-totals": (1280, 800, "light", ""),
    "report-paper": (1280, 900, "light", ".paper"),
    "report-dark": (1280, 800, "dark", ".figure"),
    "report-phone": (390, 844, "light", ".figure"),
}


def main(out: Path) -> None:
    """Papers, data set, report, pictures."""
    with tempfile.TemporaryDirectory() as folder:
        papers = Path(folder) / "papers"
        rng = random.Random(SEED)
        for place, title in enumerate(TITLES):
            home = papers / title.split()[0].lower()
            home.mkdir(parents=True)
            write_pdf(home / "paper.pdf", *paper(title, place, rng.randint(2, 5)))
            (home / "meta.json").write_text(json.dumps({"licence": LICENCES[place % len(LICENCES)]}))
        (papers / "torn").mkdir()
        (papers / "torn" / "paper.pdf").write_bytes(b"%PDF-1.4 the rest is missing")
        data, page = Path(folder) / "figures", Path(folder) / "report.html"
        command = [sys.executable, "-m", "scicap_builder.cli"]
        subprocess.run([*command, "build", "--papers", str(papers), "--out", str(data)], check=True)
        subprocess.run([*command, "report", str(data), "--pdfs", str(papers), "--out", str(page)], check=True)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for name, (width, height, scheme, target) in VIEWS.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
                tab = context.new_page()
                tab.goto(page.as_uri())
                show(tab, target)
                save(tab.screenshot(), out / f"{name}.png")
                context.close()
            browser.close()


def show(page: Page, target: str) -> None:
    """Scroll to the first `target` and let its pictures load."""
    if target:
        page.locator(target).first.evaluate("element => element.scrollIntoView({behavior: 'instant'})")
    page.wait_for_timeout(800)


def save(png: bytes, path: Path) -> None:
    """A picture of the docs in 128 colours: a third of the size, and nobody sees it."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128).save(path, optimize=True)


def paper(title: str, place: int, count: int) -> list[PdfPage]:
    """A page of title and text, and `count` charts with captions, two a page, each cited by a paragraph."""
    pages = [PdfPage()]
    pages[0].text(70, 90, title, 15, "bold")
    pages[0].text(70, 120, "A. Nobody and B. Someone", 10)
    pages[0].text(70, 150, "Abstract", 11, "bold")
    y = pages[0].body(70, 168, 455, 7, start="We look at what happens.")
    y = pages[0].body(70, y + 18, 455, 9)
    for number in range(1, count + 1):
        if y > 420:
            pages.append(PdfPage())
            y = 80.0
        y = chart(pages[-1], y, number, index=place * 10 + number)
    pages[-1].body(70, y + 10, 455, 5)
    return pages


def chart(page: PdfPage, y: float, number: int, index: int) -> float:
    """A paragraph that cites the chart, the chart and its caption; gives the next free y."""
    figure = make_figure(SEED, index)
    caption = latin(figure.caption) or "The measurements."
    y = page.paragraph(70, y + 6, 455, f"Figure {number} shows the result. {latin(figure.mentions[0])}", 9)
    image = Image.open(io.BytesIO(figure.image if isinstance(figure.image, bytes) else b"")).convert("RGB")
    height = min(190.0, 300 * image.height / image.width)
    width = height * image.width / image.height
    entries = (
        f"/Width {image.width} /Height {image.height} /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode"
    )
    left = (595 - width) / 2
    page.picture(left, y + 6, left + width, y + 6 + height, (entries, zlib.compress(image.tobytes())))
    return page.paragraph(110, y + height + 22, 375, f"Figure {number}: {caption}", 8) + 10


def latin(text: str) -> str:
    """What the PDF's standard fonts can show."""
    return text.encode("latin-1", "ignore").decode("latin-1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
