"""pdffigures2's own output (Clark and Divvala 2016): a JSON list per paper with boxes in points, and a PNG per figure.

NAME.json            [{"name", "figType", "page", "caption", "imageText", "captionBoundary", "regionBoundary", …}]
NAME-Figure3-1.png   the picture
"""

from collections.abc import Iterator
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
from scicap_builder.pdf import open_pdf
from scicap_builder.pdf.page import Page, Rect, shown_box

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


def _placed(figures: list[Figure], pdf: Path | None, tally: Tally) -> Iterator[tuple[Figure, Page, Rect]]:
    """The figures with their page and the caption's box in pt; the others are counted."""
    if pdf is None:
        tally.left_out["no-pdf"] += len(figures)
        return
    try:
        with open_pdf(pdf) as document:
            for figure in figures:
                number, box = figure.paper.page, figure.paper.box
                if not figure_name(figure) or figure.image is None:
                    tally.left_out["no-figure-number" if figure.image is not None else "no-image"] += 1
                elif number is None or box is None or number > len(document):
                    tally.left_out["no-place"] += 1
                else:
                    page = document.page(number)
                    caption = find_caption(page.words, figure.label, figure.caption)
                    if caption is None:
                        tally.left_out["caption-not-found"] += 1
                    else:
                        yield figure, page, caption
    except PaperError as error:
        tally.left_out[error.reason] += 1


def _row(placed: tuple[Figure, Page, Rect], out: Path, images: str, tally: Tally) -> dict[str, Any]:
    """One figure as pdffigures2 writes it; `renderURL` and `renderDpi` as it does with pictures."""
    figure, page, caption = placed
    assert figure.paper.box is not None and figure.paper.page is not None  # noqa: PT018, S101
    size = (page.height, page.width) if page.turn in (90, 270) else (page.width, page.height)
    region = _points(figure.paper.box, size)
    picture = out / f"{figure_name(figure)}.png"
    write_picture(figure, picture, images, tally, png=True)
    tally.figures += 1
    row: dict[str, Any] = {
        "caption": full_caption(figure),
        "captionBoundary": _points(shown_box(caption, page), size),
        "figType": "Figure",
        "imageText": [word for line in figure.ocr for word in line.text.split()],
        "name": figure_number(figure),
        "page": figure.paper.page - 1,
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
