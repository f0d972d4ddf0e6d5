"""What is delivered of a figure on pages that the tests draw: the image's own pixels, or a tight crop."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from pdf_pages import PdfPage, write_pdf
from PIL import Image

from scicap_builder.pdf import read_pdf
from scicap_builder.reading import FoundFigure

WIDTH, HEIGHT = 640, 400
PLACE = (150, 160, 420, 329)
"""pt; at 100 dpi 375 x 234 px, fewer than the image has."""
TURNS = {
    "": None,
    "1 0 0 -1 0 1 cm": Image.Transpose.FLIP_TOP_BOTTOM,
    "-1 0 0 1 1 0 cm": Image.Transpose.FLIP_LEFT_RIGHT,
    "-1 0 0 -1 1 1 cm": Image.Transpose.ROTATE_180,
    "0 1 -1 0 1 0 cm": Image.Transpose.ROTATE_90,
    "0 -1 1 0 0 1 cm": Image.Transpose.ROTATE_270,
    "0 1 1 0 0 0 cm": Image.Transpose.TRANSVERSE,
    "0 -1 -1 0 1 1 cm": Image.Transpose.TRANSPOSE,
}


def photo() -> Image.Image:
    """A picture that looks different after any turn or flip."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    pixels = np.stack([220 * x, 200 * y, 90 + 60 * np.sin(9 * x * y)], axis=-1)
    pixels[20:120, 30:160] = (250, 240, 20)
    return Image.fromarray(pixels.astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def embedded(kind: str) -> tuple[tuple[str, bytes], Image.Image]:
    """(dictionary entries, stream) of the picture in one of PDF's ways, and the pixels it shows."""
    image = photo()
    size = f"/Width {WIDTH} /Height {HEIGHT} /BitsPerComponent 8"
    if kind == "jpeg":
        data = jpeg(image)
        return (f"{size} /ColorSpace /DeviceRGB /Filter /DCTDecode", data), Image.open(io.BytesIO(data))
    if kind == "grey":
        grey = image.convert("L")
        return (f"{size} /ColorSpace /DeviceGray /Filter /FlateDecode", zlib.compress(grey.tobytes())), grey
    if kind == "inverted":
        inverted = image.convert("L").point(lambda level: 255 - level)
        entries = f"{size} /ColorSpace /DeviceGray /Decode [1 0] /Filter /FlateDecode"
        return (entries, zlib.compress(inverted.tobytes())), image.convert("L")
    if kind == "indexed":
        indexed = image.quantize(64)
        palette = bytes(indexed.getpalette() or [])[: 64 * 3]
        space = f"[/Indexed /DeviceRGB 63 <{palette.hex()}>]"
        return (f"{size} /ColorSpace {space} /Filter /FlateDecode", zlib.compress(indexed.tobytes())), indexed
    return (f"{size} /ColorSpace /DeviceRGB /Filter /FlateDecode", zlib.compress(image.tobytes())), image


def page_of(image: tuple[str, bytes], turn: str = "", place=PLACE) -> PdfPage:
    page = PdfPage()
    page.body(70, 80, 450, 5, start="The result is shown in Figure 1.")
    page.picture(*place, image, turn=turn)
    page.text(150, place[3] + 18, "Figure 1. The garden from above.", 9)
    page.body(70, place[3] + 60, 450, 8)
    return page


def read_one(tmp_path: Path, page: PdfPage, dpi: int = 100) -> FoundFigure:
    (figure,) = read_pdf(write_pdf(tmp_path / "paper.pdf", page), dpi=dpi).figures
    assert figure.image is not None
    return figure


def opened(figure: FoundFigure) -> Image.Image:
    assert figure.image is not None
    return Image.open(io.BytesIO(figure.image))


def far(a: Image.Image, b: Image.Image) -> float:
    """The largest difference of two pictures of one size."""
    return float(np.abs(np.asarray(a.convert("RGB"), float) - np.asarray(b.convert("RGB"), float)).max())


def test_a_plain_jpeg_is_delivered_byte_for_byte(tmp_path: Path):
    image, _ = embedded("jpeg")
    assert read_one(tmp_path, page_of(image)).image == image[1]


@pytest.mark.parametrize("kind", ["rgb", "grey", "inverted", "indexed"])
def test_every_way_of_storing_pixels_gives_the_pixels_that_the_page_shows(tmp_path: Path, kind: str):
    image, shown = embedded(kind)
    found = opened(read_one(tmp_path, page_of(image)))
    assert found.size == (WIDTH, HEIGHT)
    assert far(found, shown) <= 1


@pytest.mark.parametrize("turn", list(TURNS))
@pytest.mark.parametrize("kind", ["rgb", "jpeg"])
def test_a_turned_or_flipped_image_is_delivered_as_it_stands_on_the_page(tmp_path: Path, kind: str, turn: str):
    image, shown = embedded(kind)
    found = opened(read_one(tmp_path, page_of(image, turn), dpi=72))
    how = TURNS[turn]
    upright = shown if how is None else shown.transpose(how)
    assert found.size == upright.size
    assert far(found, upright) <= 3


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_a_turned_page_gives_an_upright_image(tmp_path: Path, rotate: int):
    image, shown = embedded("rgb")
    page = page_of(image)
    page.rotate = rotate
    found = opened(read_one(tmp_path, page))
    assert found.size == shown.size
    assert far(found, shown) <= 1


def test_a_jpeg_that_its_own_tag_turns_stands_as_the_page_shows_it(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 3
    data = jpeg(photo(), exif=exif)
    size = f"/Width {WIDTH} /Height {HEIGHT} /BitsPerComponent 8 /ColorSpace /DeviceRGB /Filter /DCTDecode"
    figure = read_one(tmp_path, page_of((size, data)))
    assert opened(figure).getexif().get(0x0112, 1) == 1
    assert far(opened(figure), Image.open(io.BytesIO(data))) <= 3


@pytest.mark.parametrize("what", ["text", "line", "few pixels", "clipped"])
def test_anything_else_is_a_crop_of_the_page(tmp_path: Path, what: str):
    image, _ = embedded("rgb")
    page = page_of(image)
    dpi = 100
    if what == "text":
        page.text(200, 200, "a label", 9)
    elif what == "line":
        page.raw("160 560 m 400 600 l S")
    elif what == "few pixels":
        dpi = 300
    else:
        page.content = [f"q 150 540 200 142 re W n {piece} Q" if "/Im0" in piece else piece for piece in page.content]
    found = opened(read_one(tmp_path, page, dpi))
    assert found.size != (WIDTH, HEIGHT)


def test_a_crop_has_no_white_around_it_and_no_frame_that_holds_its_caption(tmp_path: Path):
    page = PdfPage()
    page.body(70, 80, 450, 5, start="The result is shown in Figure 1.")
    page.plot(200, 200, 400, 340)
    page.rectangle(90, 170, 510, 380)
    page.text(150, 360, "Figure 1. The garden from above.", 9)
    page.body(70, 420, 450, 8)
    figure = read_one(tmp_path, page)
    assert figure.box is not None
    left, top, right, bottom = figure.box
    assert left * page.width == pytest.approx(200, abs=6)
    assert right * page.width == pytest.approx(400, abs=6)
    assert top * page.height == pytest.approx(200, abs=6)
    assert bottom * page.height == pytest.approx(340, abs=6)
    rows = np.asarray(opened(figure).convert("L")).min(axis=1)
    assert (rows[:8] < 200).any()
    assert (rows[-8:] < 200).any()


def test_a_caption_beside_its_picture_does_not_cut_it(tmp_path: Path):
    page = PdfPage()
    image, _ = embedded("rgb")
    page.picture(200, 80, 520, 280, image)
    for place, line in enumerate(["Figure 1. The", "garden from", "above."]):
        page.text(70, 90 + 11 * place, line, 9)
    page.body(70, 320, 450, 25, start="The result is shown in Figure 1.")
    assert opened(read_one(tmp_path, page)).size == (WIDTH, HEIGHT)
