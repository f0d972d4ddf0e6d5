"""How much of a page object shows: its box within its clip paths, an included drawing's by its parts.

pdfium's handles in, boxes (left, bottom, right, top in user space) out.
"""

import ctypes
from collections.abc import Iterator
from typing import Any

from pypdfium2 import raw

from scicap_builder.pdf.boxes import bounds, meet
from scicap_builder.pdf.page import Rect

MAX_PARTS = 3000
"""Parts of one included drawing that are looked at to know what it shows; of larger drawings the outer box is taken."""
MAX_DEPTH = 4
"""Drawings within drawings that are followed."""
MAX_CLIP_POINTS = 200
"""Points of a clip path that are looked at; nearly all are rectangles."""


def clipped_bounds(thing: Any, *, clip: bool = True) -> Rect | None:
    """(left, bottom, right, top) of a page object within its clip path, None if nothing of it shows."""
    edges = [ctypes.c_float() for _ in range(4)]
    if not raw.FPDFPageObj_GetBounds(thing, *edges):
        return None
    box = (edges[0].value, edges[1].value, edges[2].value, edges[3].value)
    for path in clip_paths(thing) if clip else ():
        box = meet(box, path)
    return box if box[0] <= box[2] and box[1] <= box[3] else None


def clip_paths(thing: Any) -> Iterator[Rect]:
    """The bounding boxes of the paths that clip a page object."""
    clip = raw.FPDFPageObj_GetClipPath(thing)
    if not clip:
        return
    x, y = ctypes.c_float(), ctypes.c_float()
    for path in range(max(0, raw.FPDFClipPath_CountPaths(clip))):
        points = []
        for place in range(min(MAX_CLIP_POINTS, raw.FPDFClipPath_CountPathSegments(clip, path))):
            segment = raw.FPDFClipPath_GetPathSegment(clip, path, place)
            if segment and raw.FPDFPathSegment_GetPoint(segment, x, y):
                points.append((x.value, y.value))
        if points:
            xs, ys = zip(*points, strict=True)
            yield min(xs), min(ys), max(xs), max(ys)


def form_bounds(form: Any, depth: int = MAX_DEPTH) -> Rect | None:
    """The box of an included drawing: of what its parts show within their clip paths, in the coordinates around it."""
    outer = clipped_bounds(form)
    count = raw.FPDFFormObj_CountObjects(form)
    matrix = raw.FS_MATRIX()
    if outer is None or depth == 0 or not 0 < count <= MAX_PARTS or not raw.FPDFPageObj_GetMatrix(form, matrix):
        return outer
    boxes = []
    for index in range(count):
        part = raw.FPDFFormObj_GetObject(form, index)
        inner = raw.FPDFPageObj_GetType(part) == raw.FPDF_PAGEOBJ_FORM
        box = form_bounds(part, depth - 1) if inner else clipped_bounds(part)
        if box is not None:
            boxes.append(box)
    return meet(outer, transformed(bounds(boxes), matrix)) if boxes else None


def transformed(box: Rect, matrix: Any) -> Rect:
    """A box in the coordinates around it, after `matrix` (a, b, c, d, e, f)."""
    corners = [(x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    xs = [matrix.a * x + matrix.c * y + matrix.e for x, y in corners]
    ys = [matrix.b * x + matrix.d * y + matrix.f for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
