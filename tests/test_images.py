import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from llava_graph.errors import ImageError
from llava_graph.images import encode_png, is_there, open_image, upright_size


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (png_header(30_000, 30_000), "more than 64 megapixels"),
        (png_header(9_000, 9_000), "9000 x 9000 px, more than 64 megapixels"),
        (encode_png(Image.new("RGB", (1, 1))), "1 x 1 px, at least 8"),
        (encode_png(Image.new("RGB", (400, 300), "red"))[:200], "broken or cut off"),
        (b"", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"%PDF-1.4", "not an image"),
    ],
)
def test_a_bad_image_is_refused_with_its_reason(data, said):
    with pytest.raises(ImageError, match=said) as caught:
        open_image(data, where="fig.png")
    assert str(caught.value).startswith("fig.png: ")


def test_a_missing_file_is_named(tmp_path):
    for look in (open_image, upright_size):
        with pytest.raises(ImageError, match="nowhere.png: no such file"):
            look(tmp_path / "nowhere.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "a\ud800.png", "file/b.png", "."], ids=ascii)
def test_a_name_that_no_file_can_have_is_an_error_of_ours(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    assert not is_there(tmp_path / name)
    for look in (open_image, upright_size):
        with pytest.raises(ImageError, match="no such file|cannot be read"):
            look(tmp_path / name)


@settings(max_examples=60)
@given(st.binary(max_size=60), st.integers(0, 500))
def test_damaged_bytes_never_raise_anything_else(noise, at):
    data = bytearray(encode_png(Image.new("RGB", (30, 20), "red")))
    data[at : at + len(noise)] = noise
    try:
        image = open_image(bytes(data))
    except ImageError:
        return
    assert image.mode == "RGB"


def test_transparency_becomes_white_and_sixteen_bit_keeps_its_range():
    clear = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    assert open_image(encode_png(clear)).getpixel((0, 0)) == (255, 255, 255)
    radiograph = Image.fromarray(np.linspace(1000, 3000, 100, dtype=np.uint16).reshape(10, 10))
    grey = np.asarray(open_image(encode_png(radiograph)))[:, :, 0]
    assert (grey.min(), grey.max()) == (0, 255)
    assert len(np.unique(grey)) > 50


def test_a_photo_is_turned_upright():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    Image.new("RGB", (40, 20)).save(buffer, "JPEG", exif=exif)
    assert open_image(buffer.getvalue()).size == upright_size(buffer.getvalue()) == (20, 40)


def test_the_size_is_known_without_the_pixels():
    cut = encode_png(Image.new("RGB", (400, 300), "red"))[:200]
    assert upright_size(cut) == (400, 300)
    for data, said in ((png_header(30_000, 30_000), "more than 64 megapixels"), (b"%PDF-1.4", "not an image")):
        with pytest.raises(ImageError, match=said):
            upright_size(data)
