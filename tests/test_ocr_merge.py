"""The text of a figure from its file and from an engine, merged."""

import pytest
from PIL import Image

from llava_graph.record import OcrLine
from ocr.engines import RawLine
from ocr.merge import rasters_to_read, read_figure_text

IMAGE = Image.new("RGB", (400, 200), "white")


class Made:
    """An engine that finds one line in the middle of whatever it is given, and remembers what that was."""

    name = "made"

    def __init__(self, text: str = "read") -> None:
        self.text, self.seen = text, []

    def __call__(self, image):
        self.seen.append(image.size)
        w, h = image.size
        quad = ((0.25 * w, 0.4 * h), (0.75 * w, 0.4 * h), (0.75 * w, 0.6 * h), (0.25 * w, 0.6 * h))
        return [RawLine(self.text, quad, 0.9)]


def own(text: str, box) -> OcrLine:
    return OcrLine(text=text, box=box, source="pdf")


def test_vector_text_needs_no_engine():
    engine = Made()
    lines = read_figure_text(IMAGE, [own("epoch", (0.4, 0.9, 0.6, 1.0))], [], engine)
    assert [(line.text, line.source) for line in lines] == [("epoch", "pdf")]
    assert engine.seen == []


def test_only_pictures_are_read_and_each_line_says_where_it_comes_from():
    engine = Made()
    lines = read_figure_text(IMAGE, [own("epoch", (0.4, 0.9, 0.6, 1.0))], [(0.5, 0.0, 1.0, 0.5)], engine)
    assert engine.seen == [(200, 101)] or engine.seen == [(200, 100)]
    read = next(line for line in lines if line.source == "made")
    assert {line.source for line in lines} == {"pdf", "made"}
    assert abs(read.box[0] - 0.625) < 0.01
    assert abs(read.box[1] - 0.2) < 0.01


def test_text_that_the_file_knows_is_not_told_twice():
    engine = Made("epoch")
    lines = read_figure_text(IMAGE, [own("epoch", (0.26, 0.41, 0.74, 0.59))], [(0.0, 0.0, 1.0, 1.0)], engine)
    assert [(line.text, line.source) for line in lines] == [("epoch", "pdf")]


def test_without_own_text_the_whole_figure_is_read():
    engine = Made()
    lines = read_figure_text(IMAGE, [], [(0.0, 0.0, 0.1, 0.1)], engine)
    assert engine.seen == [(400, 200)]
    assert [line.source for line in lines] == ["made"]


def test_tiles_are_read_as_one_picture_and_specks_not_at_all():
    tiles = [(0.0, 0.1 * n, 1.0, 0.1 * (n + 1)) for n in range(5)]
    assert [tuple(round(v, 3) for v in box) for box in rasters_to_read(tiles, (400, 200))] == [(0.0, 0.0, 1.0, 0.5)]
    assert rasters_to_read([(0.9, 0.9, 0.91, 0.91)], (400, 200)) == []


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("-+- Ours", "Ours"),
        ("—- Ours w/o attention", "Ours w/o attention"),
        ("● Smith et al.", "Smith et al."),
        ("+ dropout", "+ dropout"),
        ("- 5", "- 5"),
        ("p-value", "p-value"),
        ("μ = 3", "μ = 3"),
    ],
)
def test_a_legends_line_sample_is_no_text(read, text):
    [line] = read_figure_text(IMAGE, [], [], Made(read))
    assert line.text == text
    assert (line.box[0] > 0.25) == (read != text)


def test_markers_are_no_text():
    assert read_figure_text(IMAGE, [], [], Made("●")) == ()
    assert [line.text for line in read_figure_text(IMAGE, [], [], Made("50 %"))] == ["50 %"]
