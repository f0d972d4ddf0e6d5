"""One paper as it lies on the shelf: a folder with its records as JSON, a picture and a thumbnail a figure, its PDF and pages.

Files are named by number, by us: nothing that a paper says becomes a path.
"""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from llava_graph.durable import read_json, write_json
from llava_graph.errors import DatasetError, RecordError
from llava_graph.images import open_image
from llava_graph.record import Dropped, Figure, OcrLine, parse, plain
from scicap_builder.one_paper import PaperRecords
from serve.papers.pages import draw_pages
from serve.papers.places import mention_pages

FORMAT = 1
"""Goes up when what is written changes; a paper in another format is read again."""
RECORDS, PDF = "paper.json", "paper.pdf"
THUMB_PX = (320, 220)
"""Twice the size in which the page shows it."""


def write_entry(folder: Path, records: PaperRecords, pdf: Path | None = None) -> None:
    """Write a paper into an empty folder."""
    for number, figure in enumerate(records.figures, 1):
        if not isinstance(figure.image, bytes):
            raise TypeError(f"{figure.id} has no pixels")
        (folder / _picture(number)).write_bytes(figure.image)
        (folder / _thumb(number)).write_bytes(_small(figure.image))
    pages: list[tuple[int, int]] = []
    places: dict[str, list[int]] = {}
    if pdf is not None:
        shutil.copyfile(pdf, folder / PDF)
        pages, places = draw_pages(pdf, folder), mention_pages(pdf, records.figures)
    figures = [replace(figure, image=None) for figure in records.figures]
    write_json(
        folder / RECORDS,
        {
            "format": FORMAT,
            "id": records.id,
            "title": records.title,
            "abstract": records.abstract,
            "figures": [figure.to_row() for figure in figures],
            "dropped": [plain(dropped) for dropped in records.dropped],
            "pages": pages,
            "mention_pages": places,
            "unread": {name: [list(box) for box in boxes] for name, boxes in records.unread.items()},
        },
    )


def read_entry(folder: Path) -> PaperRecords | None:
    """The paper in a folder, its images as paths; None if there is none that this version understands."""
    try:
        told = read_json(folder / RECORDS)
        if told["format"] != FORMAT:
            return None
        figures = [Figure.from_row({**row, "image": None}) for row in told["figures"]]
        unread = {name: tuple(tuple(box) for box in boxes) for name, boxes in told["unread"].items()}
        texts = {
            number: text for number in range(1, len(figures) + 1) if (text := _read_text(folder, number)) is not None
        }
        for number, figure in enumerate(figures, 1):
            figures[number - 1] = replace(figure, image=folder / _picture(number), ocr=texts.get(number, figure.ocr))
            if number in texts:
                unread.pop(figure.id, None)
        dropped = tuple(parse(Dropped, row) for row in told["dropped"])
        return PaperRecords(
            id=told["id"],
            figures=tuple(figures),
            dropped=dropped,
            title=told["title"],
            abstract=told["abstract"],
            unread=unread,
        )
    except (DatasetError, RecordError, KeyError, TypeError, AttributeError):
        return None


def keep_text(folder: Path, number: int, lines: tuple[OcrLine, ...]) -> None:
    """Remember what an engine has read in a figure (counted from 1), for the next reader."""
    write_json(folder / _text(number), [plain(line) for line in lines])


def thumbnail(folder: Path, number: int) -> bytes:
    """A figure, small, as WebP; empty if it has gone."""
    try:
        return (folder / _thumb(number)).read_bytes()
    except OSError:
        return b""


def pages_of(folder: Path) -> list[tuple[int, int]]:
    """(width, height) in px of each page's picture; (0, 0) for one that could not be drawn. Empty without a PDF."""
    try:
        return [(int(width), int(height)) for width, height in read_json(folder / RECORDS)["pages"]]
    except (DatasetError, KeyError, TypeError, ValueError):
        return []


def mention_pages_of(folder: Path, figure_id: str) -> list[int]:
    """The page of each mention of a figure, 0 where it is not known; empty without a PDF."""
    try:
        return [int(page) for page in read_json(folder / RECORDS)["mention_pages"].get(figure_id, [])]
    except (DatasetError, KeyError, TypeError, ValueError, AttributeError):
        return []


def pdf_of(folder: Path) -> Path | None:
    """The paper's PDF, if there is one."""
    file = folder / PDF
    return file if file.is_file() else None


def _read_text(folder: Path, number: int) -> tuple[OcrLine, ...] | None:
    file = folder / _text(number)
    if not file.is_file():
        return None
    rows: list[Mapping[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return tuple(parse(OcrLine, row) for row in rows)


def _small(data: bytes) -> bytes:
    image, buffer = open_image(data), io.BytesIO()
    image.thumbnail(THUMB_PX, Image.Resampling.LANCZOS, reducing_gap=2)
    image.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def _picture(number: int) -> str:
    return f"{number}.image"


def _thumb(number: int) -> str:
    return f"{number}.webp"


def _text(number: int) -> str:
    return f"{number}.text.json"
