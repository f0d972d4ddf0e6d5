"""Images as people have them, and the command line over several of them."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from llava_graph.errors import ImageError
from llava_graph.images import open_image
from llava_graph.record import OcrLine
from ocr import draw_overlay, read_text
from ocr.cli import main

FAST = "rapidocr-fast"
TEXT = "Dose 250 mg"


def label(size: tuple[int, int] = (220, 70), text: str = TEXT) -> Image.Image:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text((20, 20), text, fill="black", font=ImageFont.load_default(26))
    return image


def saved(image: Image.Image, kind: str, **more) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def sixteen_bit() -> bytes:
    grey = np.asarray(label().convert("L"), np.uint16) * 200 + 1000
    return saved(Image.fromarray(grey), "PNG")


def turned_by_camera() -> bytes:
    image = label().rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image, "JPEG", exif=exif, quality=95)


def see_through() -> bytes:
    image = Image.new("RGBA", (220, 70), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((20, 20), TEXT, fill=(0, 0, 0, 255), font=ImageFont.load_default(26))
    return saved(image, "PNG")


def animated() -> bytes:
    return saved(label(), "GIF", save_all=True, append_images=[label(text="other"), label(text="third")])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: saved(label().convert("CMYK"), "JPEG", quality=95), id="CMYK"),
        pytest.param(sixteen_bit, id="16 bit"),
        pytest.param(lambda: saved(label().convert("P"), "PNG"), id="palette"),
        pytest.param(lambda: saved(label().convert("1"), "TIFF"), id="black and white"),
        pytest.param(see_through, id="alpha"),
        pytest.param(turned_by_camera, id="EXIF"),
        pytest.param(animated, id="animation"),
    ],
)
def test_every_kind_of_file_is_read_upright(data):
    (line,) = read_text(data(), FAST)
    assert (line.text, line.orientation, line.role) == (TEXT, 0, "other")


def test_images_without_text_have_none():
    y, x = np.mgrid[0:240, 0:320]
    landscape = np.stack([y * 255 // 240, 120 + 60 * np.sin(x / 40.0), 200 - y // 2], axis=-1).astype(np.uint8)
    assert read_text(Image.fromarray(landscape), FAST) == ()
    for image in (Image.new("RGB", (50, 20)), Image.new("L", (8, 8), 255), Image.new("RGB", (700, 500), "white")):
        assert read_text(image) == ()


def test_a_small_image_with_a_word_is_read():
    image = Image.new("RGB", (50, 20), "white")
    ImageDraw.Draw(image).text((8, 3), "Oak", fill="black", font=ImageFont.load_default(12))
    assert [line.text for line in read_text(image)] == ["Oak"]


def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(ImageError, match="10000 x 10000 px, more than"):
        read_text(saved(Image.new("1", (10_000, 10_000)), "PNG"))


def test_other_scripts_break_nothing():
    matplotlib = pytest.importorskip("matplotlib")
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 26)
    image = Image.new("RGB", (400, 160), "white")
    for row, text in enumerate(("Температура", "سرعة", "θ ≤ 30°")):
        ImageDraw.Draw(image).text((20, 10 + 48 * row), text, fill="black", font=font)
    lines = read_text(image, FAST)
    assert any("30" in line.text for line in lines)


def test_turned_labels_tell_which_way():
    sheet = Image.new("RGB", (400, 400), "white")
    sheet.paste(label().rotate(90, expand=True), (10, 100))
    sheet.paste(label(text="Frequency").rotate(-90, expand=True), (300, 100))
    found = {line.text: line.orientation for line in read_text(sheet)}
    assert found == {TEXT: 90, "Frequency": 270}


def test_boxes_stand_close_around_the_ink():
    (line,) = read_text(label())
    marked = np.asarray(label().convert("L")) < 128
    ys, xs = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    true = (xs[0] / 220, ys[0] / 70, (xs[-1] + 1) / 220, (ys[-1] + 1) / 70)
    assert np.allclose(line.box, true, atol=0.03)


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["figure-ocr", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_a_folder_is_read_image_by_image(tmp_path, capsys, monkeypatch):
    (tmp_path / "b.png").write_bytes(saved(label(text="second"), "PNG"))
    (tmp_path / "a.png").write_bytes(saved(label(text="first"), "PNG"))
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    assert call(monkeypatch, tmp_path, "--fast", "--json", "--draw", tmp_path / "out") == 0
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [row["lines"][0]["text"] for row in rows] == ["first", "second"]
    assert {row["engine"] for row in rows} == {FAST}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert open_image(tmp_path / "out" / "a.png").height > 70  # its legend below


def test_a_broken_file_costs_only_itself_and_the_exit_code_tells(tmp_path, capsys, monkeypatch):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(saved(label(), "PNG"))
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert call(monkeypatch, bad, good, "--fast", "--json") == 1
    captured = capsys.readouterr()
    assert "bad.png" in captured.err
    assert TEXT in captured.out
    assert call(monkeypatch, bad, "--fast") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fast", "--engine", "tesseract"), "--fast is a setting of rapidocr"),
        (("--engine", "rapid"), "unknown OCR engine"),
        (("--engine", "tesseract", "--model-dir", "."), "takes no folder of models"),
        (("--draw", "IMAGE"), "would replace an image"),
    ],
)
def test_wrong_calls_say_what_to_do(tmp_path, capsys, monkeypatch, words, said):
    path = tmp_path / "x.png"
    path.write_bytes(saved(label(), "PNG"))
    assert call(monkeypatch, path, *(path if word == "IMAGE" else word for word in words)) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_overlay_names_roles_and_marks_turn_and_doubt():
    image = Image.new("RGB", (200, 100), "white")
    sure = OcrLine(text="x", box=(0.2, 0.2, 0.8, 0.4), role="title")
    plain = draw_overlay(image, [sure], legend=True)
    assert plain.width == 200
    assert plain.height > 100
    turned = OcrLine(text="y", box=(0.1, 0.3, 0.2, 0.9), role="title", orientation=90)
    doubtful = OcrLine(text="x", box=(0.2, 0.2, 0.8, 0.4), role="title", confidence=0.6)
    for other in ([sure, turned], [doubtful]):
        drawn = draw_overlay(image, other, legend=True).crop((0, 0, 200, 100))
        assert drawn.tobytes() != plain.crop((0, 0, 200, 100)).tobytes()
    assert draw_overlay(image, [], legend=True).height > 100
