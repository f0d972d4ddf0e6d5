"""The questions that the page suggests are among those that are learnt, and their answers are those of the data."""

import numpy as np
import pytest

from llava_graph.asking import suggested_questions
from scicap_builder.charts import make_sheet
from scicap_builder.charts.chart import Chart, Plate, Series
from scicap_builder.charts.questions import ask
from scicap_builder.charts.reader_questions import ask_caveat, ask_difference, ask_end, ask_main_trend, ask_meaning
from scicap_builder.charts.vocabulary import Quantity

X = (0.0, 1.0, 2.0, 3.0)


def chart(*ends, shapes=("rise", "rise"), **more):
    series = tuple(
        Series(name=name, x=X, y=(0.0, 1.0, 2.0, end), shape=shape)
        for name, end, shape in zip("AB", ends, shapes, strict=False)
    )
    return Chart(
        kind="line", field="f", x=Quantity("Time", "s", 0, 3), y=Quantity("Signal", "mV", 0, 10), series=series, **more
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def test_who_is_highest_at_the_end():
    question = ask_end(chart(4.0, 9.0), rng())
    assert question.text == "Which of “A” and “B” is highest at the end?"
    assert question.key == ("B",)
    assert "about 9.0 mV" in question.answer


def test_nobody_is_asked_for_a_difference_that_is_not_seen():
    assert ask_end(chart(9.0, 9.01), rng()) is None
    assert ask_difference(chart(9.0, 9.01), rng()).answer == "They are about equal on average."


def test_a_difference_names_the_higher_first_and_both_values():
    question = ask_difference(chart(4.0, 9.0), rng())
    assert question.text in ("How do “A” and “B” differ?", "How do “B” and “A” differ?")
    assert question.answer.startswith("B is higher on average")
    assert "9.0 mV" in question.answer
    assert question.answer.endswith("A about 4.0 mV.")


def test_a_main_trend_is_one_that_all_share():
    assert ask_main_trend(chart(4.0, 9.0, shapes=("rise", "fall")), rng()) is None
    assert ask_main_trend(chart(4.0, 9.0), rng()).key == ("rise",)


def test_an_axis_is_not_explained_beyond_its_words():
    question = ask_meaning(chart(4.0), rng())
    assert "“" in question.text
    assert "does not explain it further" in question.answer


def test_what_not_to_conclude_tells_what_is_drawn():
    answer = ask_caveat(chart(4.0, log_y=True), rng()).answer
    assert "does not show why" in answer
    assert "logarithmic" in answer or "log scale" in answer


@pytest.mark.parametrize(
    "start", ["Which of “", "How do “", "What is the main trend", "What should a reader not conclude"]
)
def test_what_the_page_suggests_is_learnt(start):
    sheets = [make_sheet(3, index) for index in range(40)]
    suggested = {question for sheet in sheets for question in suggested_questions(sheet.figure)}
    assert any(question.startswith(start) for question in suggested)
    asked = [
        q.text
        for sheet in sheets
        if sheet.plate
        for q in ask(Plate(panels=sheet.plate.panels[:1], letters=("",), columns=1), rng(), 30)
    ]
    assert any(question.startswith(start) for question in asked)
