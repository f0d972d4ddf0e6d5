"""`figure-ocr`: the text in images, on the terminal, as JSON, or drawn onto them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llava_graph.command import complain, run
from llava_graph.errors import ImageError, InputError, MissingExtra
from llava_graph.images import encode_png, open_image
from llava_graph.record import OcrLine
from ocr import draw_overlay, engines, read_text
from ocr.engines import Engine, get_engine

app = typer.Typer(add_completion=False, rich_markup_mode="rich")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""What is read of a folder."""


@app.command(
    help=f"""Read the text inside figures: lines with boxes, confidence and role.

Engines: {", ".join(engines())}.

Exit codes: 0 all images were read (also where there is no text in one), 1 some were not, 2 none was or the call is wrong.

Examples:

    figure-ocr chart.png

    figure-ocr chart.png --json > chart.json

    figure-ocr chart.png --draw overlay.png --fast

    figure-ocr figures/ --json --draw overlays/"""
)
def figure_ocr(
    images: Annotated[
        list[Path], typer.Argument(help="PNG, JPEG, WebP, GIF (its first picture), BMP, TIFF; or folders.")
    ],
    engine: Annotated[str, typer.Option(help="The OCR engine by name.")] = engines()[0],
    fast: Annotated[bool, typer.Option("--fast", help="The default engine with one coarse look at the image.")] = False,
    model_dir: Annotated[
        Path | None, typer.Option(help="Folder of models (docs/ocr.md), for rapidocr and paddleocr.")
    ] = None,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Leave out lines below this confidence.")] = 0.5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one object an image, one a line where there are several.")
    ] = False,
    draw: Annotated[
        Path | None, typer.Option(help="Write the image with its boxes as PNG; for several images: a folder.")
    ] = None,
) -> None:
    """See `help` above (typer shows it)."""
    if fast:
        if engine not in ("rapidocr", "rapidocr-fast"):
            raise InputError(f"--fast is a setting of rapidocr, not of {engine}")
        engine = "rapidocr-fast"
    several = len(images) > 1 or images[0].is_dir()
    paths = list(_files(images))
    overlays = _overlays(draw, paths, several=several)
    reader = get_engine(engine, model_dir)
    if draw is not None and several:
        draw.mkdir(parents=True, exist_ok=True)
    lost = 0
    for path, overlay in zip(paths, overlays, strict=True):
        try:
            size, lines = _read(path, reader, min_confidence, overlay)
        except MissingExtra:
            raise
        except Exception as error:  # noqa: BLE001  (engines are foreign code; one image costs itself only)
            complain(str(error) if isinstance(error, ImageError) else f"{path}: {type(error).__name__}: {error}")
            lost += 1
            continue
        answer = {"image": str(path), "width": size[0], "height": size[1], "engine": engine}
        if as_json:
            print(json.dumps({**answer, **_as_row(lines)}, ensure_ascii=False, indent=None if several else 2))
        else:
            Console().print(_table(path, engine, lines))
    if lost:
        raise typer.Exit(2 if lost == len(paths) else 1)


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """The images themselves; of folders all images in them, by name. Raises InputError for a folder without any."""
    for path in images:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(
                "there is no image in this folder", where=str(path), next_step=f"Read: {', '.join(sorted(SUFFIXES))}"
            )
        yield from found


def _overlays(draw: Path | None, paths: Sequence[Path], *, several: bool) -> list[Path | None]:
    """Where each overlay goes: a name of its own, and never an image that is read. Raises InputError."""
    if draw is None:
        return [None] * len(paths)
    places: list[Path] = []
    for path in paths:
        place, copy = (draw / f"{path.stem}.png" if several else draw), 1
        while place in places:
            copy += 1
            place = draw / f"{path.stem}-{copy}.png"
        places.append(place)
    clash = {place.resolve() for place in places} & {path.resolve() for path in paths}
    if clash:
        raise InputError("the overlay would replace an image", where=str(min(clash)), next_step="Name another --draw")
    return list(places)


def _read(
    path: Path, reader: Engine, min_confidence: float, overlay: Path | None
) -> tuple[tuple[int, int], tuple[OcrLine, ...]]:
    picture = open_image(path)
    lines = read_text(picture, reader, min_confidence=min_confidence)
    if overlay is not None:
        overlay.write_bytes(encode_png(draw_overlay(picture, lines, legend=True)))
    return picture.size, lines


def _as_row(lines: Sequence[OcrLine]) -> dict[str, Any]:
    return {"lines": [asdict(line) for line in lines]}


def _table(path: Path, engine: str, lines: Sequence[OcrLine]) -> Table:
    table = Table(
        "text", "role", "turned", "box (x0 y0 x1 y1)", "conf", title=f"{path.name}: {len(lines)} lines ({engine})"
    )
    for line in lines:
        box = " ".join(f"{value:.3f}" for value in line.box)
        turned = f"{line.orientation}°" if line.orientation else ""
        table.add_row(escape(line.text), line.role, turned, box, f"{line.confidence:.2f}")
    return table


def main() -> None:
    """Entry point of the console script."""
    run(app)
