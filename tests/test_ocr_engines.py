"""The engines behind their protocol, and the parts of the default one, each by its property."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from llava_graph.errors import InputError, MissingExtra
from ocr import read_text, read_texts
from ocr.engines import RawLine, engines, get_engine
from ocr.engines.paddle import PaddleOcr, lines_of, local_models
from ocr.engines.rapid import THREADS, threads
from ocr.ppocr.crops import Slant, cut, ink, lie, tight
from ocr.ppocr.detector import OVERLAP_PX, STRIDE, TILE_PX, TextBox, find_boxes, mark_text, not_in
from ocr.ppocr.lines import Line, believable, once
from ocr.ppocr.parting import part_reading
from ocr.ppocr.reader import MOST_PX, directions
from ocr.ppocr.recognizer import Reading, recognize


def drawn(text: str, size: int = 20, *, wide: int = 0) -> np.ndarray:
    """Black text on white, BGR. `wide`: px of white between the words."""
    font = ImageFont.load_default(size)
    words = text.split(" ") if wide else [text]
    image = Image.new("RGB", (int(font.getlength(text)) + wide * len(words) + 40, 2 * size), "white")
    x = 10.0
    for word in words:
        ImageDraw.Draw(image).text((x, size // 3), word, fill="black", font=font)
        x += font.getlength(word) + wide
    return np.asarray(image)[:, :, ::-1]


def reading(picture: np.ndarray, text: str) -> Reading:
    """As the recognizer gives it: each letter in the middle of its ink (one run of columns a letter)."""
    filled = np.concatenate(([False], ink(picture).any(axis=0), [False]))
    starts, ends = np.flatnonzero(filled[1:] & ~filled[:-1]), np.flatnonzero(filled[:-1] & ~filled[1:])
    assert len(starts) == len(text)
    places = tuple((a + b) / 2 / picture.shape[1] for a, b in zip(starts, ends, strict=True))
    return Reading(text, (0.9,) * len(text), places)


def test_names_are_known_and_each_missing_package_names_its_extra(monkeypatch):
    assert engines() == ("rapidocr", "rapidocr-fast", "paddleocr", "tesseract")
    for package, name, extra in (("paddleocr", "paddleocr", "paddle"), ("pytesseract", "tesseract", "tesseract")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setattr(sys.modules["ocr.engines"], "_made", {})  # another test may have opened it
        with pytest.raises(MissingExtra, match=rf"llava-graph\[{extra}\]"):
            get_engine(name)


def test_one_session_a_process_and_folders_are_checked(tmp_path):
    assert get_engine("rapidocr") is get_engine("rapidocr")
    assert get_engine("rapidocr")._reader is get_engine("rapidocr-fast")._reader
    with pytest.raises(InputError, match=r"no model \*_det_\*.onnx"):
        get_engine("rapidocr", tmp_path)
    with pytest.raises(InputError, match="takes no folder of models"):
        get_engine("tesseract", tmp_path)


def test_threads_are_one_unless_told(monkeypatch):
    monkeypatch.delenv(THREADS, raising=False)
    assert threads() == 1
    monkeypatch.setenv(THREADS, "4")
    assert threads() == 4
    monkeypatch.setenv(THREADS, "many")
    with pytest.raises(InputError, match=THREADS):
        threads()


# What paddleocr 3.7.0 answered for a picture with two lines (arrays shortened to what is read of it).
PADDLE_PAGE = {
    "input_path": None,
    "page_index": None,
    "model_settings": {"use_doc_preprocessor": False, "use_textline_orientation": False},
    "dt_polys": [np.array([[181, 480], [419, 480], [419, 498], [181, 498]], np.int16)],
    "text_type": "general",
    "textline_orientation_angles": [-1, -1],
    "rec_texts": ["(a) Fine-grained quantization", ""],
    "rec_scores": [0.9979, 0.0],
    "rec_polys": [
        np.array([[181, 480], [419, 480], [419, 498], [181, 498]], np.int16),
        np.array([[1, 1], [9, 1], [9, 9], [1, 9]], np.int16),
    ],
    "rec_boxes": np.array([[181, 480, 419, 498], [1, 1, 9, 9]], np.int16),
}


def test_paddles_result_becomes_lines():
    (line,) = lines_of(PADDLE_PAGE)
    assert line == RawLine(
        "(a) Fine-grained quantization", ((181.0, 480.0), (419.0, 480.0), (419.0, 498.0), (181.0, 498.0)), 0.9979
    )


class FakePaddle:
    """Stands where the package would: keeps what it was made with, answers with the recorded page."""

    made: dict = {}  # noqa: RUF012

    def __init__(self, **settings):
        FakePaddle.made = settings

    def predict(self, pixels):
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        return [PADDLE_PAGE]


def test_paddle_reads_with_local_folders(tmp_path, monkeypatch):
    import types

    monkeypatch.setitem(sys.modules, "paddleocr", types.SimpleNamespace(PaddleOCR=FakePaddle))
    with pytest.raises(InputError, match="inference.yml"):
        PaddleOcr(tmp_path)
    for kind in ("det", "rec"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "inference.yml").write_text(
            f"Global:\n  model_name: PP-OCRv6_small_{kind}\n", encoding="utf-8"
        )
        (tmp_path / kind / "inference.onnx").touch()
    monkeypatch.setenv("LLAVA_GRAPH_PADDLE_MODELS", str(tmp_path))
    (line,) = read_text(Image.new("RGB", (600, 600), "white"), PaddleOcr())
    assert (line.text, line.source) == ("(a) Fine-grained quantization", "paddleocr")
    assert FakePaddle.made["engine"] == "onnxruntime"
    assert FakePaddle.made["text_recognition_model_name"] == "PP-OCRv6_small_rec"
    assert FakePaddle.made["cpu_threads"] == 1
    assert local_models(tmp_path)["text_detection_model_dir"] == str(tmp_path / "det")


class Breaks:
    """An engine that breaks on every second image."""

    name = "breaks"
    calls = 0

    def __call__(self, image):
        self.calls += 1
        if self.calls % 2 == 0:
            raise RuntimeError("CUDA out of memory")
        return [RawLine("word", ((1, 1), (40, 1), (40, 9), (1, 9)), 0.9)]


def test_a_broken_image_costs_only_itself():
    image = Image.new("RGB", (50, 20), "white")
    first, second, third = read_texts([image, image, image], Breaks())
    assert isinstance(second, RuntimeError)
    assert [line.text for line in (*first, *third)] == ["word", "word"]
    with pytest.raises(InputError):
        read_texts([image], "no such engine")


@given(st.floats(100, 400), st.floats(100, 400), st.sampled_from([0.0, -90.0, 90.0, 37.0, -60.0, 180.0]))
def test_a_line_lies_where_its_box_is(x, y, angle):
    box = TextBox(x, y, 120.0, 20.0, angle if -90 < angle <= 90 else angle - 180, 0.9)
    corners = np.array(lie(box, angle).corners())
    assert np.allclose(corners.mean(axis=0), (x, y), atol=0.01)
    top = corners[1] - corners[0]
    assert abs(np.hypot(*top) - 120) < 0.01
    assert np.allclose(np.degrees(np.arctan2(top[1], top[0])) % 360, angle % 360, atol=0.1)


def test_a_turned_line_is_cut_out_upright():
    flat = drawn("Accuracy")
    turned = np.ascontiguousarray(np.rot90(flat))
    height, width = turned.shape[:2]
    back = cut(turned, lie(TextBox(width / 2, height / 2, height, width, 90.0, 1.0), -90.0))
    assert np.array_equal(back, flat)


def test_the_ink_is_measured_on_any_paper():
    picture = np.full((40, 100, 3), 60, np.uint8)
    picture[10:20, 30:50] = 250
    assert tight(ink(picture)) == (0.3, 0.25, 0.5, 0.5)
    assert tight(ink(np.full((40, 100, 3), 60, np.uint8))) == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "wide", "parts"),
    [
        ("500 600 700", 8, ["500", "600", "700"]),
        ("11 12 13 14", 8, ["11", "12", "13", "14"]),
        ("0.25 0.50", 7, ["0.25", "0.50"]),
        ("1000", 0, ["1000"]),
        ("111", 0, ["111"]),
        ("2.5", 0, ["2.5"]),
    ],
)
def test_numbers_that_stand_apart_are_parted_and_others_are_not(text, wide, parts):
    picture = drawn(text, wide=wide)
    pieces = part_reading(reading(picture, text.replace(" ", "")), ink(picture))
    assert [piece.text for piece in pieces] == parts
    edges = [x for piece in pieces for x in (piece.box[0], piece.box[2])]
    assert edges == sorted(edges)


def test_words_get_their_spaces_back():
    picture = drawn("n = 9", wide=8)
    (piece,) = part_reading(reading(picture, "n=9"), ink(picture))
    assert piece.text == "n = 9"


def line(text: str, x: float, confidence: float = 0.99, height: float = 20.0) -> Line:
    return Line(text, Slant(x, 0.0, 12.0 * len(text), height, 0.0), (0.0, 0.0, 1.0, 1.0), confidence)


def test_doubles_are_told_once_and_markers_not_at_all():
    both = [line("(%)", 96), line("Share (%)", 24), line("80", 300)]
    assert [one.text for one in once(both)] == ["Share (%)", "80"]
    marks = [line("米", 0), line("O", 50, 0.8), line("7", 90, 0.8), line("A", 130), line("W", 200, height=90.0)]
    assert [one.text for one in believable(marks)] == ["7", "A"]
    assert [one.text for one in believable([line("数据集", 0), line("量", 50)])] == ["数据集", "量"]
    assert [one.text for one in believable([line("3.25米", 0), line("油米", 90)])] == ["3.25"]


def dark(pixels: np.ndarray) -> np.ndarray:
    """A network that marks what is dark."""
    assert pixels.shape[2] % STRIDE == 0
    assert pixels.shape[3] % STRIDE == 0
    assert max(pixels.shape[2:]) <= TILE_PX + OVERLAP_PX
    return (pixels[:, :1] < 0).astype(np.float32)


def test_tiles_find_a_line_once_and_memory_is_that_of_a_tile():
    picture = np.full((400, 4000, 3), 255, np.uint8)
    picture[100:110, 1000:1500] = 0  # across the border of two tiles
    picture[300:310, 3900:3960] = 0
    boxes = find_boxes(mark_text(picture, 1.0, dark), (4000, 400))
    assert sorted(round(box.x / 10) for box in boxes) == [125, 393]
    assert find_boxes(mark_text(np.full((64, 64, 3), 255, np.uint8), 1.0, dark), (64, 64)) == []


def test_boxes_of_two_looks_are_taken_once():
    one, inside = TextBox(100, 50, 80, 20, 0.0, 0.9), TextBox(80, 50, 20, 18, 0.0, 0.9)
    beside = TextBox(100, 90, 80, 20, 0.0, 0.9)
    assert not_in([one], [inside, beside]) == [beside]
    assert not_in([], [one]) == [one]


def test_only_upright_boxes_have_one_direction():
    assert directions(TextBox(0, 0, 100, 20, 0.0, 1)) == [0.0]
    assert directions(TextBox(0, 0, 100, 20, 45.0, 1)) == [45.0]
    assert directions(TextBox(0, 0, 100, 20, 90.0, 1)) == [-90.0, 90.0]
    assert set(directions(TextBox(0, 0, 22, 20, 0.0, 1))) == {0.0, 90.0, -90.0}


def test_lines_come_back_in_their_order_whatever_their_width():
    def network(pixels):
        """Two columns; the first says how dark the line is."""
        out = np.zeros((len(pixels), 2, 4), np.float32)
        for row, picture in enumerate(pixels):
            out[row, 0, 1 + int(round((picture[0, 0, 0] + 1) * 127.5) // 100)] = 1
            out[row, 1, 0] = 1
        return out

    pictures = [
        np.full((20, width, 3), level, np.uint8) for width, level in ((300, 0), (20, 100), (5000, 200), (60, 0))
    ]
    assert [reading.text for reading in recognize(pictures, network, "abc")] == ["a", "b", "c", "a"]


def test_no_image_is_looked_at_larger_than_the_bound():
    """10,000 x 6,000 px: what the network sees is counted."""
    from ocr.ppocr.reader import Reader

    seen: list[int] = []

    def detect(pixels):
        seen.append(pixels.shape[2] * pixels.shape[3])
        return np.zeros((1, 1, *pixels.shape[2:]), np.float32)

    picture = np.full((6000, 10000, 3), 255, np.uint8)
    picture[::50] = 0
    Reader(detect, lambda pixels: pixels, "").read(Image.fromarray(picture))
    assert max(seen) <= (TILE_PX + OVERLAP_PX) ** 2
    assert sum(seen) < 1.3 * MOST_PX + 1.6e6 * 1.2
