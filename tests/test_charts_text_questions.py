"""Questions about the text in a figure: their answers are copies of the lines."""

import numpy as np
import pytest

from llava_graph.record import OcrLine
from scicap_builder.charts import CorpusOptions, make_figure
from scicap_builder.charts.text_questions import READ, ask_texts, read_all, text_at, ticks_of, where_text_stands

LINES = (
    OcrLine(text="Loss", box=(0.02, 0.3, 0.05, 0.6), role="y-axis"),
    OcrLine(text="0.1", box=(0.1, 0.75, 0.14, 0.79), role="y-tick"),
    OcrLine(text="0.9", box=(0.1, 0.11, 0.14, 0.15), role="y-tick"),
    OcrLine(text="10", box=(0.6, 0.9, 0.64, 0.94), role="x-tick"),
    OcrLine(text="0", box=(0.2, 0.9, 0.24, 0.94), role="x-tick"),
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_line_has_its_box_and_a_box_its_line():
    assert (where_text_stands(LINES, rng()).text, where_text_stands(LINES, rng()).answer) == (
        "Where does “Loss” stand?",
        "2 30 5 60.",
    )
    assert text_at(LINES, rng()).text == "What is written at 2 30 5 60?"
    assert text_at(LINES, rng()).answer == "Loss."


def test_a_text_that_stands_twice_is_not_asked_for():
    assert where_text_stands((LINES[0], LINES[0]), rng()) is None


def test_ticks_go_from_left_to_right_and_from_below():
    answers = {ticks_of(LINES, rng(seed)).answer for seed in range(20)}
    assert answers == {"0, 10.", "0: 22, 10: 62.", "0.1, 0.9.", "0.1: 77, 0.9: 13."}


def test_a_long_text_is_cut():
    many = [OcrLine(text=f"w{number}", box=(0, 0, 1, 1)) for number in range(30)]
    assert len(read_all(many, rng()).answer.split("; ")) == READ
    assert read_all((), rng()) is None


def test_no_text_no_questions():
    assert ask_texts((), rng(), 5) == []


@pytest.mark.parametrize("images", [True, False])
def test_texts_are_asked_for_with_and_without_images_and_readings_only_with(images):
    figures = [
        make_figure(5, index, CorpusOptions(images=images, library="own" if images else "mixed")) for index in range(25)
    ]
    asked = [turn.text for figure in figures for turn in figure.turns if turn.role == "user"]
    assert any("written" in text or "ticks of the" in text for text in asked)
    assert any(text.startswith(("Trace", "Follow", "List")) for text in asked) == images
