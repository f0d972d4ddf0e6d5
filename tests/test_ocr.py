import json
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from llava_graph.errors import ImageError, InputError
from llava_graph.images import encode_png, open_image
from llava_graph.record import OcrLine
from ocr import draw_overlay, engines, read_text
from ocr.cli import main
from ocr.engines import RawLine, get_engine
from ocr.layout import reading_order
from ocr.roles import assign_roles


def chart() -> Image.Image:
    """A line chart with a title, both axis labels (the y-axis turned) and ticks."""
    image = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(20)
    draw.text((240, 15), "Training accuracy", fill="black", font=font)
    draw.text((290, 445), "Epoch number", fill="black", font=font)
    side = Image.new("RGB", (180, 30), "white")
    ImageDraw.Draw(side).text((5, 2), "Accuracy (%)", fill="black", font=font)
    image.paste(side.rotate(90, expand=True), (10, 150))
    draw.rectangle((100, 60, 600, 400), outline="black")
    draw.line((100, 390, 350, 200, 600, 90), fill="blue", width=3)
    for index in range(5):
        draw.text((95 + 120 * index, 408), str(25 * index), fill="black", font=font)
        draw.text((62, 385 - 80 * index), str(20 * index), fill="black", font=font)
    return image


@pytest.fixture(scope="module")
def lines():
    return read_text(chart())


def test_the_default_engine_reads_a_chart_without_a_download(lines):
    found = {line.text: line for line in lines}
    assert {"Training accuracy", "Epoch number", "Accuracy (%)"} <= set(found)
    assert found["Training accuracy"].role == "title"
    assert found["Epoch number"].role == "x-axis"
    assert found["Accuracy (%)"].role == "y-axis"
    assert found["Accuracy (%)"].orientation == 90
    assert sum(line.role in ("x-tick", "y-tick") for line in lines) >= 8
    assert all(line.source == "rapidocr" for line in lines)
    x0, y0, _x1, y1 = found["Epoch number"].box
    assert abs(x0 - 290 / 640) < 0.02
    assert 445 / 480 - 0.02 < y0 < y1 <= 1


def test_an_empty_image_has_no_text():
    assert read_text(Image.new("RGB", (200, 100), "white")) == ()


@pytest.mark.skipif(not shutil.which("tesseract"), reason="tesseract is not installed")
def test_tesseract_reads_it_too():
    found = " ".join(line.text for line in read_text(chart(), "tesseract"))
    assert "Training accuracy" in found


def test_an_unknown_engine_lists_the_known():
    with pytest.raises(InputError, match="unknown OCR engine 'rapid'. Did you mean 'rapidocr'"):
        get_engine("rapid")
    assert engines()[0] == "rapidocr"


class Made:
    """An engine that answers with what it was given."""

    name = "made"

    def __init__(self, *raw: RawLine) -> None:
        self.raw = raw

    def __call__(self, image: Image.Image) -> list[RawLine]:
        return list(self.raw)


def test_any_engine_can_be_passed_and_its_boxes_are_kept_inside():
    raw = RawLine("  two   words ", ((-5, 10), (300, 10), (300, 30), (-5, 30)), 0.9)
    faint = RawLine("noise", ((0, 0), (9, 0), (9, 9), (0, 9)), 0.1)
    (line,) = read_text(Image.new("RGB", (200, 100)), Made(raw, faint))
    assert (line.text, line.box, line.source) == ("two words", (0.0, 0.1, 1.0, 0.3), "made")


def test_a_bad_image_is_an_image_error():
    with pytest.raises(ImageError):
        read_text(b"no image")


def at(text: str, x: float, y: float, size: float = 0.03, **more) -> OcrLine:
    return OcrLine(text=text, box=(x, y, x + 0.1, y + size), **more)


def test_reading_order_is_by_rows_even_when_they_are_uneven():
    shuffled = [at("d", 0.6, 0.5), at("b", 0.6, 0.105), at("a", 0.1, 0.1), at("c", 0.1, 0.5)]
    assert [line.text for line in reading_order(shuffled)] == ["a", "b", "c", "d"]


@given(st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.sampled_from([0, 90])), max_size=12))
def test_ordering_and_roles_lose_and_repeat_nothing(places):
    lines = [at(str(index), x, y, orientation=turn) for index, (x, y, turn) in enumerate(places)]
    after = assign_roles(reading_order(lines))
    assert sorted(line.text for line in after) == sorted(line.text for line in lines)
    assert {replace(line, role="other", panel="", value=None) for line in after} == set(lines)


def test_a_diagram_gets_no_axis_names():
    lines = [at("Encoder", 0.4, 0.1), at("Decoder", 0.4, 0.5), at("Output", 0.45, 0.9)]
    assert {line.role for line in assign_roles(lines)} == {"other"}


def test_the_overlay_draws_a_box_where_the_line_is():
    image = Image.new("RGB", (100, 100), "white")
    drawn = draw_overlay(image, [OcrLine(text="x", box=(0.2, 0.2, 0.8, 0.6))])
    assert drawn.getpixel((20, 40)) != (255, 255, 255)
    assert drawn.getpixel((50, 40)) == (255, 255, 255)
    assert image.getpixel((20, 40)) == (255, 255, 255)


def test_the_command_prints_json_and_draws(tmp_path, capsys, monkeypatch):
    (tmp_path / "chart.png").write_bytes(encode_png(chart()))
    monkeypatch.setattr(
        "sys.argv", ["figure-ocr", str(tmp_path / "chart.png"), "--json", "--draw", str(tmp_path / "out.png")]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["width"], answer["height"], answer["engine"]) == (640, 480, "rapidocr")
    assert "Epoch number" in [line["text"] for line in answer["lines"]]
    drawn = open_image(tmp_path / "out.png")
    assert drawn.width == 640
    assert drawn.height > 480  # the legend of the roles
