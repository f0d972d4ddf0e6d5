"""pdffigures2's own output (Clark and Divvala 2016): a JSON list per paper with boxes in points, and a PNG per figure.

NAME.json            [{"name", "figType", "page", "caption", "imageText", "captionBoundary", "regionBoundary", …}]
NAME-Figure3-1.png   the picture
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from llava_graph.dataset import read_dataset
from llava_graph.errors import InputError, PaperError
from llava_graph.record import Box, Figure
from scicap_builder.exports.caption_place import find_caption
from scicap_builder.exports.contract import ExportOptions, Tally
from scicap_builder.exports.pictures import is_wanted, write_picture
from scicap_builder.exports.scicap_names import figure_name, figure_number, full_caption, paper_name
from scicap_builder.exports.writing import write_json
from scicap_builder.paper_pdfs import PaperPdfs
from scicap_builder.pdf import OpenPdf, open_pdf, shown_box

POINTS_PER_INCH = 72


def to_pdffigures2(folder: Path, out: Path, options: ExportOptions, tally: Tally) -> None:
    """Write the layout to the folder `out`, with the pages' sizes and the captions' places from `options.pdfs`.

    Left out and counted: figures whose PDF, page or caption is not found, or without a number. A box in points cannot be
    told without them, and none is invented.
    """
    if options.pdfs is None:
        raise InputError(
            "boxes are in points here, and the data set does not know how large its pages are",
            where=str(folder),
            next_step="Give --pdfs, the folder with the papers",
        )
    pdfs = PaperPdfs(options.pdfs)
    taken: set[str] = set()
    for paper_id, figures in groupby(read_dataset(folder), lambda figure: figure.paper.id):
        name = paper_name(paper_id)
        if name in taken:
            tally.left_out["same-name"] += sum(1 for _ in figures)
            continue
        taken.add(name)
        placed = _placed(list(figures), pdfs.find(paper_id), tally)
        write_json(out / f"{name}.json", [_row(item, out, options.images, tally) for item in placed])


@dataclass(frozen=True, slots=True)
class _Placed:
    """A figure whose place in points is known."""

    figure: Figure
    page: int
    """Counted from 0."""
    region: dict[str, float]
    caption: dict[str, float]


def _placed(figures: list[Figure], pdf: Path | None, tally: Tally) -> Iterator[_Placed]:
    """The figures of a paper with their places; those without one are counted."""
    if pdf is None:
        tally.left_out["no-pdf"] += len(figures)
        return
    try:
        with open_pdf(pdf) as document:
            for figure in figures:
                placed = _place(figure, document)
                if isinstance(placed, str):
                    tally.left_out[placed] += 1
                else:
                    yield placed
    except PaperError as error:  # the file cannot be opened, so that no figure has been seen
        tally.left_out[error.reason] += len(figures)


def _place(figure: Figure, document: OpenPdf) -> _Placed | str:
    """The figure with its places, or the reason why it has none."""
    number, box = figure.paper.page, figure.paper.box
    if not figure_name(figure):
        return "no-figure-number"
    if figure.image is None:
        return "no-image"
    if number is None or box is None or number > len(document):
        return "no-place"
    try:
        page = document.page(number)
    except PaperError as error:
        return error.reason
    caption = find_caption(page.words, figure.label, figure.caption)
    if caption is None:
        return "caption-not-found"
    size = (page.height, page.width) if page.turn in (90, 270) else (page.width, page.height)
    return _Placed(figure, number - 1, _points(box, size), _points(shown_box(caption, page), size))


def _row(placed: _Placed, out: Path, images: str, tally: Tally) -> dict[str, Any]:
    """One figure as pdffigures2 writes it; `renderURL` and `renderDpi` as it does with pictures."""
    figure, region = placed.figure, placed.region
    picture = out / f"{figure_name(figure)}.png"
    write_picture(figure, picture, images, tally, png=True)
    tally.figures += 1
    row: dict[str, Any] = {
        "caption": full_caption(figure),
        "captionBoundary": placed.caption,
        "figType": "Figure",
        "imageText": [word for line in figure.ocr for word in line.text.split()],
        "name": figure_number(figure),
        "page": placed.page,
        "regionBoundary": region,
    }
    if is_wanted(figure, images):
        inches = max(region["x2"] - region["x1"], 1) / POINTS_PER_INCH
        row |= {"renderDpi": round(figure.width / inches), "renderURL": picture.name}
    return row


def _points(box: Box, size: tuple[float, float]) -> dict[str, float]:
    """0..1 of a page of `size` in pt -> pdffigures2's box."""
    x0, y0, x1, y1 = box
    width, height = size
    return {"x1": x0 * width, "y1": y0 * height, "x2": x1 * width, "y2": y1 * height}
