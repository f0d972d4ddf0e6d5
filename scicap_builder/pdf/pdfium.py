"""The only module that touches pdfium: an open PDF gives the content of its pages and pictures of parts of them.

pdfium is not thread-safe: use one process per worker.
"""

import ctypes
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pypdfium2
from pypdfium2 import raw

from llava_graph.errors import PaperError
from scicap_builder.pdf import embedded, rasters
from scicap_builder.pdf.bounds import clip_paths, clipped_bounds, form_bounds
from scicap_builder.pdf.mathsigns import big_sign, has_big_signs
from scicap_builder.pdf.page import Frame, Graphic, Page, Rect, Word, turn_box, upright
from scicap_builder.pdf.words import NO_STYLE, Style, WordBuilder

MAX_FILE_BYTES = 300_000_000
"""pdfium reads the file into memory; the largest arXiv PDFs are about 100 MB."""
MAX_PAGES = 1500
"""Longer files are books or proceedings, which one worker must not chew on for minutes."""
MAX_CHARS = 60_000
"""Per page. A dense page has 8,000 characters; a plot whose points are letters may have more, and none of them is prose."""
MAX_OBJECTS = 60_000
"""Per page. About 0.1 s of work; the outline of a larger drawing is known long before."""
WHITE = 253
"""Level (0..255) of red, green and blue from which on text is white."""
SLANT = 10.0
"""Degrees from the nearest quarter turn from which on text is slanted."""
MAX_SIDE = 14_400.0
"""pt; the largest page that PDF 1.7 allows (Annex C)."""
MAX_PIXELS = 40_000_000
"""Of one rendered crop: 120 MB as RGB. A larger crop is rendered at a lower dpi."""
UNREADABLE = frozenset((0, 0xFFFE, 0xFFFF, 0xFFFD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))


@contextmanager
def open_pdf(path: Path) -> Iterator["OpenPdf"]:
    """An open PDF. Raises PaperError (`encrypted`, `no-pages`, `too-large`, `broken-pdf`)."""
    if not path.is_file():
        raise PaperError("there is no such file", reason="missing-file", where=str(path))
    if path.stat().st_size > MAX_FILE_BYTES:
        raise PaperError(
            f"the PDF is larger than {MAX_FILE_BYTES // 1_000_000} MB", reason="too-large", where=str(path)
        )
    try:
        document = pypdfium2.PdfDocument(path)
    except (pypdfium2.PdfiumError, OSError, ValueError) as error:
        raise _unreadable(path) from error
    with closing(document):
        count = len(document)
        if count < 1:
            raise PaperError("the PDF has no pages", reason="no-pages", where=str(path))
        if count > MAX_PAGES:
            raise PaperError(f"the PDF has {count} pages, more than {MAX_PAGES}", reason="too-large", where=str(path))
        yield OpenPdf(document, str(path))


def _unreadable(path: Path) -> PaperError:
    """Why pdfium refused a file, read off the file: pdfium's own error code may be left over from the file before."""
    data = path.read_bytes()
    if b"/Encrypt" in data:
        next_step = "Save it without the password first."
        return PaperError("the PDF is encrypted", reason="encrypted", where=str(path), next_step=next_step)
    if re.search(rb"/Count\s+0\b", data) and b"%%EOF" in data:
        return PaperError("the PDF has no pages", reason="no-pages", where=str(path))
    next_step = "It may be cut off: download or save it again."
    return PaperError("not a readable PDF", reason="broken-pdf", where=str(path), next_step=next_step)


class OpenPdf:
    """Pages by number (from 1) of an open PDF, and crops of them."""

    def __init__(self, document: pypdfium2.PdfDocument, where: str) -> None:
        self._document = document
        self._where = where
        self._fonts: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._document)

    def page(self, number: int) -> Page:
        """The words and graphics of one page. Raises PaperError (`broken-page`, `too-large`)."""
        with self._page(number) as page:
            left, bottom, right, top = page.get_bbox()
            rotation = page.get_rotation()
            width, height = right - left, top - bottom
            frame = Frame(left, bottom, width, height, rotation)
            text = page.get_textpage()
            with closing(text):
                words, cut = _words(text.raw, frame, self._fonts)
            graphics, cut_graphics = _graphics(page.raw, frame)
        shown = (height, width) if rotation in (90, 270) else (width, height)
        return upright(number, shown, words, graphics, cut or cut_graphics)

    def crop(self, page: Page, box: Rect, dpi: int) -> bytes:
        """The part `box` (pt, as read) of `page` as PNG, upright, at `dpi` (lower if it would exceed MAX_PIXELS)."""
        image = self.render(page, box, dpi)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=False, compress_level=6)
        return buffer.getvalue()

    def render(self, page: Page, box: Rect, dpi: float) -> Any:
        """The part `box` (pt, as read) of `page` as an upright RGB PIL image."""
        shown = turn_box(box, (360 - page.turn) % 360, page.width, page.height)
        width, height = (page.height, page.width) if page.turn in (90, 270) else (page.width, page.height)
        scale = dpi / 72
        area = max(1.0, (shown[2] - shown[0]) * (shown[3] - shown[1]))
        scale = min(scale, math.sqrt(MAX_PIXELS / area))
        margins = (shown[0], height - shown[3], width - shown[2], shown[1])
        with self._page(page.number) as handle:
            bitmap = handle.render(scale=scale, crop=tuple(max(0.0, m) for m in margins), rev_byteorder=True)
            image = bitmap.to_pil().convert("RGB")
        return image.rotate(-page.turn, expand=True) if page.turn else image

    def images(self, page: Page) -> tuple[Rect, ...]:
        """Where pixel images stand on a page (pt, as read), those inside included drawings too."""
        with self._page(page.number) as handle:
            left, bottom, right, top = handle.get_bbox()
            frame = Frame(left, bottom, right - left, top - bottom, handle.get_rotation())
            shown = [frame.box(*box) for box in embedded.image_boxes(handle.raw)]
        width, height = (page.height, page.width) if page.turn in (90, 270) else (page.width, page.height)
        return tuple(turn_box(box, page.turn, width, height) for box in shown)

    def own_pixels(self, page: Page, box: Rect, look: Any) -> bytes | None:
        """The one image that stands in `box` (pt, as read) in its own pixels, PNG or JPEG, upright.

        None if it has fewer pixels than `look`, its print on the page, or does not look like it.
        """
        with self._page(page.number) as handle:
            left, bottom, right, top = handle.get_bbox()
            rotation = handle.get_rotation()
            frame = Frame(left, bottom, right - left, top - bottom, rotation)
            shown = turn_box(box, (360 - page.turn) % 360, page.width, page.height)
            for index in range(min(raw.FPDFPage_CountObjects(handle.raw), MAX_OBJECTS)):
                thing = raw.FPDFPage_GetObject(handle.raw, index)
                if raw.FPDFPageObj_GetType(thing) not in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM):
                    continue
                bounds_ = clipped_bounds(thing, clip=False)
                if bounds_ is None or not _same_box(frame.box(*bounds_), shown):
                    continue
                raster = rasters.lone_image(thing)
                if raster is not None and rasters.fits(raster, look.size):
                    turn = (rotation + page.turn) % 360
                    return rasters.own_pixels(self._document.raw, handle.raw, raster, turn, look)
        return None

    @contextmanager
    def _page(self, number: int) -> Iterator[Any]:
        where = f"{self._where} page {number}"
        try:
            with closing(self._document[number - 1]) as page:
                width, height = page.get_size()
                if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
                    raise PaperError(
                        f"the page measures {width:.0f} x {height:.0f} pt", reason="page-size", where=where
                    )
                yield page
        except (pypdfium2.PdfiumError, ValueError, MemoryError) as error:
            # ValueError: pypdfium2 refuses a crop of nothing
            raise PaperError(f"the page cannot be read ({error})", reason="broken-page", where=where) from error


def _same_box(a: Rect, b: Rect) -> bool:
    return all(abs(x - y) < 1 for x, y in zip(a, b, strict=True))


def _style(text: Any, index: int, rotation: int, fonts: dict[int, str], last: Style) -> Style:
    """The style of a character; `last` itself if it comes from the same text object."""
    thing = raw.FPDFText_GetTextObject(text, index)
    source = ctypes.addressof(thing.contents) if thing else 0
    if source and source == last.source:
        return last
    matrix = raw.FS_MATRIX()
    size = raw.FPDFText_GetFontSize(text, index)
    turned = float(-rotation)
    if raw.FPDFText_GetMatrix(text, index, matrix):
        size *= math.hypot(matrix.c, matrix.d)
        turned += math.degrees(math.atan2(matrix.b, matrix.a))
    angle = round(turned / 90) * 90 % 360
    font = _font_name(thing, fonts)
    style = Style(source, font, abs(size), angle, hidden=_is_hidden(thing), white=_is_white(text, index))
    style.slanted = abs((turned - angle + 180) % 360 - 180) > SLANT
    style.big_signs = has_big_signs(font)
    return style


def _is_white(text: Any, index: int) -> bool:
    parts = [ctypes.c_uint() for _ in range(4)]
    return bool(raw.FPDFText_GetFillColor(text, index, *parts)) and min(part.value for part in parts[:3]) >= WHITE


def _is_hidden(thing: Any) -> bool:
    """Whether a clip path hides an object: figures that are cut out of whole pages bring the text of those pages along."""
    clips = list(clip_paths(thing)) if thing else []
    if not clips:
        return False
    box = clipped_bounds(thing, clip=False)
    if box is None:
        return False
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(not (c[0] - 1 <= x <= c[2] + 1 and c[1] - 1 <= y <= c[3] + 1) for c in clips)


def _font_name(text_object: Any, fonts: dict[int, str]) -> str:
    font = raw.FPDFTextObj_GetFont(text_object) if text_object else None
    if not font:
        return ""
    key = ctypes.addressof(font.contents)
    if key not in fonts:
        length = raw.FPDFFont_GetBaseFontName(font, None, 0)
        buffer = ctypes.create_string_buffer(max(1, length))
        raw.FPDFFont_GetBaseFontName(font, buffer, length)
        fonts[key] = buffer.value.decode("latin-1")
    return fonts[key]


def _words(text: Any, frame: Frame, fonts: dict[int, str]) -> tuple[list[Word], bool]:
    """All words of a page in content order, and whether the page holds more than MAX_CHARS."""
    total = raw.FPDFText_CountChars(text)
    codes = _codes(text, min(total, MAX_CHARS))
    builder = WordBuilder(frame)
    rect, x, y = raw.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    get_box, place = raw.FPDFText_GetLooseCharBox, ctypes.byref(rect)
    style = NO_STYLE
    height = -1.0
    fresh = True
    for index, code in enumerate(codes):
        if code in (10, 13, 32, 160) or code in UNREADABLE:
            # pdfium's own guess at a space says nothing that the gap does not say; a real space always parts two words
            # on a slant it is all that we have
            if code in (32, 160) and (style.slanted or raw.FPDFText_IsGenerated(text, index) != 1):
                builder.space()
            fresh = True
            continue
        get_box(text, index, place)
        x0, y0, x1, y1 = rect.left, rect.bottom, rect.right, rect.top
        if fresh or abs(y1 - y0 - height) > 0.01:
            style = _style(text, index, frame.rotation, fonts, style)
            height = y1 - y0
            fresh = False
        if style.hidden:
            continue
        if 0xD800 <= code < 0xE000:
            letter = _astral(code, codes[index + 1]) if index + 1 < len(codes) else ""
            if not letter:
                continue
        else:
            letter = "-" if code in (2, 0xAD) else chr(code)
            if style.big_signs and raw.FPDFText_HasUnicodeMapError(text, index) == 1:
                letter = big_sign(code)
        if builder.add(letter, x0, y0, x1, y1, style):
            raw.FPDFText_GetCharOrigin(text, index, x, y)
            builder.origin = (x.value, y.value)
    return builder.done(), total > MAX_CHARS


def _codes(text: Any, count: int) -> Sequence[int]:
    """The UTF-16 units of the first `count` characters: in one call where pdfium leaves none out of it, else one by one."""
    buffer = (ctypes.c_ushort * (count + 1))()
    if raw.FPDFText_GetText(text, 0, count, buffer) == count + 1:
        # it calls the hyphen at the end of a line a non-character
        return [raw.FPDFText_GetUnicode(text, i) if code == 0xFFFE else code for i, code in enumerate(buffer[:count])]
    return [raw.FPDFText_GetUnicode(text, index) for index in range(count)]


def _astral(high: int, low: int) -> str:
    """A UTF-16 surrogate pair -> its character ("" if it is none): mathematical letters stand beyond U+FFFF."""
    if not (high < 0xDC00 <= low < 0xE000):
        return ""
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


_KINDS = {
    raw.FPDF_PAGEOBJ_PATH: "path",
    raw.FPDF_PAGEOBJ_IMAGE: "image",
    raw.FPDF_PAGEOBJ_SHADING: "shading",
    raw.FPDF_PAGEOBJ_FORM: "form",
}


def _graphics(page: Any, frame: Frame) -> tuple[list[Graphic], bool]:
    """All drawn objects of a page in content order, and whether there are more than MAX_OBJECTS."""
    found: list[Graphic] = []
    count = raw.FPDFPage_CountObjects(page)
    for index in range(min(count, MAX_OBJECTS)):
        thing = raw.FPDFPage_GetObject(page, index)
        kind = _KINDS.get(raw.FPDFPageObj_GetType(thing))
        if kind is None:
            continue
        box = form_bounds(thing) if kind == "form" else clipped_bounds(thing, clip=kind != "path")
        if box is not None:
            found.append(Graphic(frame.box(*box), kind))
    return found, count > MAX_OBJECTS
