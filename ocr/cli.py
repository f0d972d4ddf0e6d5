"""`figure-ocr`: the text in an image, on the terminal, as JSON, or drawn onto the image."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llava_graph.command import run
from llava_graph.images import encode_png, open_image
from ocr import draw_overlay, engines, read_text

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=f"""Read the text inside a figure: lines with boxes, confidence and role.

Engines: {", ".join(engines())}.

Examples:

    figure-ocr chart.png

    figure-ocr chart.png --json > chart.json

    figure-ocr chart.png --draw overlay.png --engine tesseract"""
)
def figure_ocr(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG, WebP, GIF, BMP or TIFF.")],
    engine: Annotated[str, typer.Option(help="The OCR engine by name.")] = engines()[0],
    min_confidence: Annotated[float, typer.Option(help="Leave out lines below this confidence, 0..1.")] = 0.5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one object with the size and the lines.")
    ] = False,
    draw: Annotated[Path | None, typer.Option(help="Write the image with its boxes as PNG.")] = None,
) -> None:
    """See `help` above (typer shows it)."""
    picture = open_image(image)
    lines = read_text(picture, engine, min_confidence=min_confidence)
    if draw is not None:
        draw.write_bytes(encode_png(draw_overlay(picture, lines)))
    if as_json:
        size = {"image": str(image), "width": picture.width, "height": picture.height, "engine": engine}
        print(json.dumps({**size, "lines": [asdict(line) for line in lines]}, ensure_ascii=False, indent=2))
        return
    table = Table("text", "role", "box (x0 y0 x1 y1)", "conf", title=f"{image.name}: {len(lines)} lines ({engine})")
    for line in lines:
        table.add_row(
            escape(line.text), line.role, " ".join(f"{value:.3f}" for value in line.box), f"{line.confidence:.2f}"
        )
    Console().print(table)


def main() -> None:
    """Entry point of the console script."""
    run(app)
