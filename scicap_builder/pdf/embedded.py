"""Where the pixel images of a page stand, at any depth: the parts of a figure whose text only an OCR engine can read."""

from collections.abc import Iterable, Iterator
from typing import Any

from pypdfium2 import raw

from scicap_builder.pdf.bounds import MAX_DEPTH, clipped_bounds, transformed
from scicap_builder.pdf.boxes import meet
from scicap_builder.pdf.page import Rect

MAX_LOOKED_AT = 20_000
"""Objects of a page that are looked at, those inside included drawings too: about 20 ms."""


def image_boxes(page: Any) -> list[Rect]:
    """The boxes (left, bottom, right, top in user space) of what shows of each image of a page. `page`: pdfium's handle."""
    parts = (raw.FPDFPage_GetObject(page, index) for index in range(raw.FPDFPage_CountObjects(page)))
    return list(_images(parts, MAX_DEPTH, [MAX_LOOKED_AT]))


def _images(things: Iterator[Any], depth: int, budget: list[int]) -> Iterator[Rect]:
    for thing in things:
        budget[0] -= 1
        if budget[0] < 0:
            return
        kind = raw.FPDFPageObj_GetType(thing)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            box = clipped_bounds(thing)
            if box is not None:
                yield box
        elif kind == raw.FPDF_PAGEOBJ_FORM and depth:
            yield from _inside(thing, depth, budget)


def _inside(form: Any, depth: int, budget: list[int]) -> Iterator[Rect]:
    """The images of an included drawing, in the coordinates around it."""
    matrix = raw.FS_MATRIX()
    outer = clipped_bounds(form)
    if outer is None or not raw.FPDFPageObj_GetMatrix(form, matrix):
        return
    parts = (raw.FPDFFormObj_GetObject(form, index) for index in range(max(0, raw.FPDFFormObj_CountObjects(form))))
    for box in _images(parts, depth - 1, budget):
        shown = meet(outer, transformed(box, matrix))
        if shown[0] < shown[2] and shown[1] < shown[3]:
            yield shown


def shares_of(images: Iterable[Rect], box: Rect) -> tuple[Rect, ...]:
    """The parts of `box` (pt) that images cover, in 0..1 of it."""
    width, height = box[2] - box[0], box[3] - box[1]
    parts = (meet(image, box) for image in images)
    return tuple(
        ((p[0] - box[0]) / width, (p[1] - box[1]) / height, (p[2] - box[0]) / width, (p[3] - box[1]) / height)
        for p in parts
        if p[0] < p[2] and p[1] < p[3]
    )
