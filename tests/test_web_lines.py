"""The lines of a figure as a visitor leaves them: what was changed comes from a browser, so nothing in it is believed."""

import pytest

from llava_graph.errors import InputError
from llava_graph.record import OcrLine
from serve.web.figure.lines import MAX_ADDED, MAX_LINE_CHARS, WHOLE_FIGURE, corrected, line_rows

LINES = (
    OcrLine(text="Loss", box=(0, 0, 0.1, 1), role="y-axis", panel="a", orientation=90, source="rapidocr"),
    OcrLine(text="Epoch", box=(0.4, 0.9, 0.6, 1), role="x-axis", source="rapidocr"),
    OcrLine(text="l0", box=(0.2, 0.8, 0.3, 0.9), role="other", confidence=0.6, source="rapidocr"),
)


def test_without_changes_the_lines_are_those_that_were_read():
    assert corrected(LINES, []) == LINES


def test_a_corrected_line_keeps_its_place_and_is_the_visitors():
    loss, epoch, ten = corrected(LINES, [{"line": 2, "text": " 10 ", "role": "x-tick"}])
    assert (loss, epoch) == LINES[:2]
    assert (ten.text, ten.role, ten.box) == ("10", "x-tick", LINES[2].box)
    assert (ten.confidence, ten.source, ten.value) == (1.0, "visitor", 10.0)
    assert corrected(LINES, [{"line": 0, "text": "Error"}])[0].panel == "a"


def test_a_role_alone_can_be_corrected():
    line = corrected(LINES, [{"line": 1, "role": "title"}])[1]
    assert (line.text, line.role, line.source) == ("Epoch", "title", "visitor")


@pytest.mark.parametrize("change", [{"on": False}, {"text": ""}, {"text": " \n"}, {"text": "Epochs", "on": False}])
def test_a_line_that_is_off_or_empty_is_left_out(change):
    assert corrected(LINES, [{"line": 1, **change}]) == (LINES[0], LINES[2])


def test_lines_can_be_added_with_and_without_a_place():
    added = corrected((), [{"line": None, "text": "ResNet", "role": "legend", "box": [0.1, 0.2, 0.3, 0.4], "on": True}])
    assert added == (OcrLine(text="ResNet", box=(0.1, 0.2, 0.3, 0.4), role="legend", confidence=1.0, source="visitor"),)
    assert corrected((), [{"line": None, "text": "ResNet", "role": "other", "box": None}])[0].box == WHOLE_FIGURE
    assert corrected((), [{"line": None, "text": "", "role": "other"}]) == ()


@pytest.mark.parametrize(
    "edits",
    [
        None,
        "lines",
        {"line": 0},
        [5],
        [{"line": 3}],
        [{"line": -1}],
        [{"line": True}],
        [{"line": "0"}],
        [{"line": 0, "text": "a"}, {"line": 0, "text": "b"}],
        [{"line": 0, "text": 5}],
        [{"line": 0, "role": "villain"}],
        [{"line": 0, "role": ["title"]}],
        [{"line": 0, "text": "x" * (MAX_LINE_CHARS + 1)}],
        [{"line": None, "text": "x", "box": [0, 0, 2, 1]}],
        [{"line": None, "text": "x", "box": [0.5, 0, 0.1, 1]}],
        [{"line": None, "text": "x", "box": [0, 0, 1]}],
        [{"line": None, "text": "x", "box": [0, 0, float("nan"), 1]}],
        [{"line": None, "text": "x", "box": "0011"}],
        [{"line": None, "text": "x"}] * (MAX_ADDED + 1),
    ],
)
def test_what_is_no_correction_is_refused(edits):
    with pytest.raises(InputError):
        corrected(LINES, edits)


def test_the_page_shows_everything_that_is_known_of_a_line():
    row = line_rows(LINES)[0]
    assert (row["text"], row["role"]) == ("Loss", "y-axis")
    assert {"box", "confidence", "source", "panel", "orientation"} <= set(row)
    assert line_rows([OcrLine(text="two\nlines", box=WHOLE_FIGURE)])[0]["text"] == "two lines"
