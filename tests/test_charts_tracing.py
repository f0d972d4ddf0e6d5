"""Series traced and listed: places are where ink is, values are those of the data, nothing is traced that is not seen."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from llava_graph.errors import InputError
from scicap_builder.charts import CorpusOptions, make_figure, make_sheet, plotting, pyplot
from scicap_builder.charts.chart import Chart, Plate, Series
from scicap_builder.charts.looking import ask_looks
from scicap_builder.charts.questions import ask_readings
from scicap_builder.charts.tracing import TRACED, ask_list, ask_totals, ask_trace, data_points, evenly
from scicap_builder.charts.vocabulary import Quantity
from scicap_builder.charts.wording import compared

X = tuple(float(x) for x in range(9))
LINE = Chart(
    kind="line", field="f", x=Quantity("Time", "s", 0, 8), y=Quantity("Signal", "mV", 0, 10),
    series=(Series(name="A", x=X, y=(1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 4.0, 6.0, 0.0), shape="peak"),),
)  # fmt: skip
BARS = Chart(
    kind="bar", field="f", x=Quantity("Group", "", 0, 1), y=Quantity("Signal", "mV", 0, 10),
    categories=("P", "Q", "R"),
    series=(Series(name="A", x=(0.0, 1.0, 2.0), y=(2.0, 8.0, 5.0)), Series(name="B", x=(0.0, 1.0, 2.0), y=(1.0, 1.0, 4.0))),
)  # fmt: skip
STACKED = replace(BARS, stacked=True)


def pixels(drawing):
    return np.asarray(Image.open(io.BytesIO(drawing.image)).convert("L"), dtype=float)


def background(grey, x, y):
    """Whether all of the 5 x 5 pixels around a place have one and the same shade."""
    row, column = round(y * grey.shape[0]), round(x * grey.shape[1])
    patch = grey[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
    return np.ptp(patch) < 24


@pytest.mark.parametrize("draw", [plotting.draw_plate, pyplot.draw_plate])
@pytest.mark.parametrize("chart", [LINE, replace(BARS, series=BARS.series[:1]), STACKED])
def test_values_stand_where_ink_is(draw, chart):
    on_ink = beside = seen = 0
    for seed in range(6):
        drawing = draw(Plate(panels=(chart,)), np.random.default_rng(seed))
        grey = pixels(drawing)
        assert len(drawing.places) == 1
        for points in drawing.places[0]:
            assert ((points > 0) & (points < 1)).all()
            for x, y in points:
                seen += 1
                on_ink += not background(grey, x, y)
                beside += not background(grey, x + 0.04, y - 0.05)
    assert on_ink > 0.9 * seen
    assert beside < 0.6 * seen


def test_stacked_bars_stand_upon_each_other_and_lying_ones_are_turned():
    assert data_points(STACKED)[1].tolist() == [[0, 3], [1, 9], [2, 9]]
    assert data_points(replace(BARS, sideways=True))[0].tolist() == [[2, 0], [8, 1], [5, 2]]


def test_a_trace_tells_places_in_per_cent_from_first_to_last():
    points = np.stack([np.linspace(0.1, 0.9, 30), np.linspace(0.8, 0.2, 30)], axis=1)
    question = ask_trace(
        replace(LINE, series=(replace(LINE.series[0], x=tuple(range(30)), y=(0.0,) * 30),)),
        [points],
        np.random.default_rng(0),
    )
    told = [tuple(map(int, place.split())) for place in question.answer.rstrip(".").split(", ")]
    assert len(told) == TRACED
    assert told[0] == (10, 80)
    assert told[-1] == (90, 20)
    assert re.fullmatch(r"(Trace|Follow) the curve\.", question.text)


def test_nothing_is_traced_without_places():
    assert ask_trace(LINE, (), np.random.default_rng(0)) is None
    assert ask_trace(LINE, (np.zeros((0, 2)),), np.random.default_rng(0)) is None
    texts = [turn.text for index in range(40) for turn in make_figure(4, index, CorpusOptions(images=False)).turns]
    assert texts
    assert not [text for text in texts if re.fullmatch(r"\d+ \d+(, \d+ \d+)*\.", text)]


def test_listed_values_are_those_of_the_series():
    question = ask_list(replace(BARS, series=BARS.series[:1]), np.random.default_rng(0))
    assert question.answer == "P: 2.0, Q: 8.0, R: 5.0."
    assert ask_totals(STACKED, np.random.default_rng(0)).answer == "P: 3.0, Q: 9.0, R: 9.0."
    assert ask_totals(BARS, np.random.default_rng(0)) is None


def test_a_panel_is_named_where_there_are_several():
    plate = Plate(panels=(LINE, BARS), letters=("a", "b"), columns=2)
    places = [data_points(LINE), data_points(BARS)]
    found = ask_readings(plate, np.random.default_rng(1), places)
    assert found
    assert all(re.search(r"\((a|b)\)|Panel (a|b)", question.text) for question in found)


@pytest.mark.parametrize(("count", "wanted", "chosen"), [(3, 7, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 2, [0])])
def test_evenly(count, wanted, chosen):
    assert evenly(count, wanted) == chosen


def test_what_the_pixels_alone_answer_names_nothing_that_is_written():
    for index in range(60):
        sheet = make_sheet(6, index, CorpusOptions(looking=True))
        if sheet.plate is None:
            continue
        said = " ".join(turn.text for turn in sheet.figure.turns)
        written = {name for chart in sheet.plate.panels for name in (chart.y.name, *chart.categories, *compared(chart))}
        assert not [name for name in written if len(name) > 6 and name in said]
        assert f"There {'is one' if len(sheet.plate.panels) == 1 else 'are'}" in sheet.figure.turns[1].text


def test_looks_are_true():
    answers = {
        question.text: question.answer
        for seed in range(8)
        for chart in (
            replace(BARS, series=BARS.series[:1]),
            LINE,
            replace(LINE, series=(LINE.series[0], replace(LINE.series[0], name="B", y=(5.0,) * 9))),
        )
        for question in ask_looks(Plate(panels=(chart,)), [data_points(chart)], np.random.default_rng(seed))
    }
    assert answers["Which one is highest, from the left?"] == "The second."
    assert answers["Which one is lowest, from the left?"] == "The first."
    assert answers["How often do the curves cross?"] == "Often."
    assert answers["How many groups are there?"] == "There are three."
    assert answers["How many panels are there?"] == "There is one."


@pytest.mark.parametrize("more", [{"library": "vega"}, {"images": False}])
def test_looking_needs_images_with_places(more):
    with pytest.raises(InputError, match="where the values stand"):
        CorpusOptions(looking=True, **more)
