"""The picture that an image object of a page holds, in its own pixels. Beside `pdfium` the only module that touches pypdfium2.

A figure that is one photograph or one scan is better delivered as it was put into the PDF than drawn again at some dpi.
"""

import ctypes
import io
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pypdfium2
from PIL import Image, UnidentifiedImageError
from pypdfium2 import raw

from llava_graph.images import MAX_BYTES, MAX_PIXELS, MIN_SIDE_PX, to_rgb

MAX_INNER = 8
"""Objects of an included drawing that are looked at: a drawing that wraps one image holds hardly more."""
MAX_DEPTH = 3
SQUARE = 0.02
"""Share of a side by which an image may lean and still count as upright or turned by quarters."""
CHECK_PX = 48
"""px a side at which the image and its print on the page are compared."""
ALIKE = 7.0
"""Mean difference (0..255) up to which they are the same picture; resampling alone gives 1-4."""
PNG_LEVEL = 1
"""zlib level: 3 times faster than 6 and 10-20 % larger, and originals have many pixels."""

Matrix = tuple[float, float, float, float]


class Raster(NamedTuple):
    """An image object found alone."""

    thing: Any
    matrix: Matrix
    """(a, b, c, d) from the image's unit square to the page's user space."""
    width: int
    height: int


def lone_image(thing: Any, matrix: Matrix = (1.0, 0.0, 0.0, 1.0), depth: int = MAX_DEPTH) -> Raster | None:
    """The one image that a page object shows: itself, or the only thing drawn inside an included drawing."""
    kind = raw.FPDFPageObj_GetType(thing)
    own = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(thing, own):
        return None
    matrix = _times((own.a, own.b, own.c, own.d), matrix)
    if kind == raw.FPDF_PAGEOBJ_IMAGE:
        width, height = ctypes.c_uint(), ctypes.c_uint()
        if not raw.FPDFImageObj_GetImagePixelSize(thing, width, height):
            return None
        return Raster(thing, matrix, width.value, height.value)
    count = raw.FPDFFormObj_CountObjects(thing) if kind == raw.FPDF_PAGEOBJ_FORM and depth else 0
    if count != 1:
        return None
    return lone_image(raw.FPDFFormObj_GetObject(thing, 0), matrix, depth - 1)


def _times(inner: Matrix, outer: Matrix) -> Matrix:
    """First `inner`, then `outer`."""
    a, b, c, d = inner
    e, f, g, h = outer
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def fits(raster: Raster, least: tuple[int, int]) -> bool:
    """Whether an image has at least the pixels `least` (width, height, as it stands on the page) and respects our limits."""
    sides = sorted((raster.width, raster.height))
    enough = sides[0] >= 0.98 * min(least) and sides[1] >= 0.98 * max(least)
    return enough and sides[0] >= MIN_SIDE_PX and raster.width * raster.height <= MAX_PIXELS


def leans(matrix: Matrix) -> bool:
    """Whether an image stands askew, so that no quarter turn sets it upright."""
    a, b, c, d = (abs(value) for value in matrix)
    return max(b, c) > SQUARE * max(a, d) and max(a, d) > SQUARE * max(b, c)


def transposition(matrix: Matrix, turn: int) -> Image.Transpose | None:
    """How an image must be turned or flipped (None: not) to stand as on the page, turned clockwise by `turn` degrees."""
    a, b, c, d = matrix
    for _ in range(turn // 90):
        a, b, c, d = b, -a, d, -c
    if abs(a) + abs(d) > abs(b) + abs(c):
        return {
            (True, True): None,
            (True, False): Image.Transpose.FLIP_TOP_BOTTOM,
            (False, True): Image.Transpose.FLIP_LEFT_RIGHT,
            (False, False): Image.Transpose.ROTATE_180,
        }[a > 0, d > 0]
    return {
        (True, False): Image.Transpose.ROTATE_90,
        (False, True): Image.Transpose.ROTATE_270,
        (True, True): Image.Transpose.TRANSVERSE,
        (False, False): Image.Transpose.TRANSPOSE,
    }[b > 0, c > 0]


def own_pixels(document: Any, page: Any, raster: Raster, turn: int, shown: Image.Image) -> bytes | None:
    """The image as PNG or JPEG bytes, upright; None if no way of decoding it gives what the page shows (`shown`, RGB).

    A JPEG in grey or RGB that stands upright keeps its bytes. Everything else becomes PNG: what is transparent on white,
    indexed and CMYK colours as pdfium prints them.
    """
    if leans(raster.matrix):
        return None
    turned = transposition(raster.matrix, turn)
    data = _plain_jpeg(raster.thing) if turned is None else None
    if data is not None and alike(_small_jpeg(data), shown):
        return data
    for image in _decoded(document, page, raster):
        upright = image if turned is None else image.transpose(turned)
        if alike(upright, shown):
            buffer = io.BytesIO()
            upright.save(buffer, "PNG", compress_level=PNG_LEVEL)
            return buffer.getvalue() if len(buffer.getvalue()) <= MAX_BYTES else None
    return None


def alike(image: Image.Image, shown: Image.Image) -> bool:
    """Whether two RGB pictures of different size show the same."""
    size = (CHECK_PX, CHECK_PX)
    small = [np.asarray(_shrunk(picture).resize(size, Image.Resampling.BOX), np.float32) for picture in (image, shown)]
    return float(np.abs(small[0] - small[1]).mean()) <= ALIKE


def _shrunk(image: Image.Image) -> Image.Image:
    """A large picture made smaller by whole steps first, which is many times faster."""
    step = min(image.size) // (4 * CHECK_PX)
    return (image.reduce(step) if step > 1 else image).convert("RGB")


def _plain_jpeg(thing: Any) -> bytes | None:
    """The bytes of a baseline JPEG in grey or RGB without a turn of its own."""
    if raw.FPDFImageObj_GetImageFilterCount(thing) < 1:
        return None
    size = raw.FPDFImageObj_GetImageDataDecoded(thing, None, 0)
    if not 4 < size <= MAX_BYTES:
        return None
    buffer = (ctypes.c_ubyte * size)()
    raw.FPDFImageObj_GetImageDataDecoded(thing, buffer, size)
    data = bytes(buffer)
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            turned = image.getexif().get(0x0112, 1) != 1
            plain = image.mode in ("RGB", "L") and not image.info.get("progressive") and not turned
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
    return data if plain else None


def _small_jpeg(data: bytes) -> Image.Image:
    """A JPEG decoded at an eighth of its size, where it is large."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.draft("RGB", (4 * CHECK_PX, 4 * CHECK_PX))
        try:
            return image.convert("RGB")
        except OSError:
            return Image.new("RGB", (1, 1))


def _decoded(document: Any, page: Any, raster: Raster) -> Iterator[Image.Image]:
    """The pixels of an image object: bare, then with its mask and matte applied, on white."""
    bare = raw.FPDFImageObj_GetBitmap(raster.thing)
    if bare:
        image = _image(bare)
        if image.size == (raster.width, raster.height):
            yield image
    own = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(raster.thing, own):
        return
    flat = raw.FS_MATRIX(raster.width, 0, 0, raster.height, 0, 0)
    raw.FPDFPageObj_SetMatrix(raster.thing, flat)
    try:
        masked = raw.FPDFImageObj_GetRenderedBitmap(document, page, raster.thing)
    finally:
        raw.FPDFPageObj_SetMatrix(raster.thing, own)
    if masked:
        image = _image(masked)
        if math.isclose(image.width, raster.width, abs_tol=1) and math.isclose(image.height, raster.height, abs_tol=1):
            yield image


def _image(bitmap: Any) -> Image.Image:
    """A pdfium bitmap as a PIL image in grey or RGB, copied out of pdfium's memory, which goes with the wrapper."""
    image = pypdfium2.PdfBitmap.from_raw(bitmap).to_pil()
    return image.copy() if image.mode == "L" else to_rgb(image)
