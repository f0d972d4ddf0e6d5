"""Drawn charts: reproducible, true to their data, and records like any other."""

import io

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from llava_graph.dataset import read_dataset
from llava_graph.errors import DatasetError
from llava_graph.prompt import build_sample
from scicap_builder.charts import make_figure, write_charts
from scicap_builder.charts.data import KINDS, Chart, Series, make_chart
from scicap_builder.charts.draw import draw_chart, plain_text
from scicap_builder.charts.facts import always_above, crossings, highest, lowest, read_x, read_y, readable
from scicap_builder.charts.invent import invent_names, invent_quantity
from scicap_builder.charts.questions import ask
from scicap_builder.charts.text import listed, quantity, write_caption, write_paragraph
from scicap_builder.charts.vocabulary import FIELDS, Quantity
from scicap_builder.cli import app


def rng(seed=0):
    return np.random.default_rng(seed)


def chart_of_kind(kind):
    return next(chart for seed in range(200) if (chart := make_chart(rng(seed))).kind == kind)


@pytest.fixture
def two_lines():
    """A falls from 10 to 0, B rises from 0 to 10; they cross in the middle."""
    x = (0.0, 1.0, 2.0, 3.0)
    series = (
        Series(name="A", x=x, y=(10.0, 8.0, 2.0, 0.0), shape="fall"),
        Series(name="B", x=x, y=(0.0, 2.0, 8.0, 10.0), shape="rise"),
    )
    return Chart(
        kind="line", field="f", x=Quantity("Time", "s", 0, 3), y=Quantity("Signal", "mV", 0, 10), series=series
    )


def test_a_chart_depends_on_seed_and_number_alone():
    first = make_figure(3, 11)
    make_figure(3, 12)
    assert make_figure(3, 11) == first
    assert make_figure(4, 11).image != first.image


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_drawn_text_is_where_its_box_says(kind, seed):
    chart = chart_of_kind(kind)
    drawing = draw_chart(chart, rng(seed))
    grey = np.asarray(Image.open(io.BytesIO(drawing.image)).convert("L"))
    assert grey.shape == (drawing.height, drawing.width)
    assert chart.y.label in {line.text for line in drawing.ocr}
    for line in drawing.ocr:
        x0, y0, x1, y1 = line.box
        rows = slice(int(y0 * drawing.height), int(np.ceil(y1 * drawing.height)))
        columns = slice(int(x0 * drawing.width), int(np.ceil(x1 * drawing.width)))
        box = grey[rows, columns]
        assert box.min() < 160, f"{line.text!r} is not drawn at {line.box}"


def test_axis_labels_and_series_are_in_the_text():
    chart = next(
        chart for seed in range(200) if len((chart := make_chart(rng(seed))).series) == 3 and chart.kind == "line"
    )
    by_role = {}
    for line in draw_chart(chart, rng(1)).ocr:
        by_role.setdefault(line.role, set()).add(line.text)
    assert by_role["x-axis"] == {chart.x.label}
    assert by_role["y-axis"] == {chart.y.label}
    assert by_role["legend"] == {series.name for series in chart.series}
    assert len(by_role["x-tick"]) + len(by_role["y-tick"]) >= 4


def test_paragraph_names_what_is_plotted():
    for seed in range(60):
        chart = make_chart(rng(seed))
        paragraph = write_paragraph(chart, rng(seed))
        plotted = chart.x if chart.kind == "histogram" else chart.y
        assert quantity(plotted) in paragraph or plotted.label in paragraph
        if len(chart.series) > 1:
            assert all(series.name in paragraph for series in chart.series)
        assert "  " not in paragraph
        assert paragraph.endswith(".")


def test_subject_is_only_told_when_the_context_tells_it():
    for seed in range(60):
        chart = make_chart(rng(seed))
        assert chart.subject not in write_paragraph(chart, rng(seed), context=False)


def test_facts_are_those_of_the_data(two_lines):
    first, second = two_lines.series
    assert crossings(first, second) == [1.5]
    assert not always_above(first, second)
    assert (highest(two_lines).series, highest(two_lines).at, highest(two_lines).value) == ("A", 0.0, 10.0)
    assert (lowest(two_lines).series, lowest(two_lines).at) == ("A", 3.0)
    assert read_y(two_lines, 7.96) == "8.0 mV"
    assert read_x(two_lines, 1.5) == "1.50 s"


@pytest.mark.parametrize(
    ("value", "span", "text"), [(0.1234, 1, "0.12"), (1234, 10_000, "1200"), (5, 0, "5"), (-0.5, 2, "-0.50")]
)
def test_values_are_read_at_the_precision_of_the_axis(value, span, text):
    assert readable(value, span) == text


def test_answers_of_the_crossing_chart(two_lines):
    answers = [answer for seed in range(12) for _, answer in ask(two_lines, rng(seed), 10)]
    assert "A and B cross near 1.50 s." in answers
    assert "It is a line chart." in answers
    assert "The x-axis shows Time (s)." in answers
    assert any(answer.startswith("The figure does not show") for answer in answers)


def test_captions_run_from_none_to_full():
    lengths = {len(write_caption(make_chart(rng(seed)), rng(seed)).split()) for seed in range(150)}
    assert 0 in lengths
    assert min(lengths - {0}) <= 2
    assert max(lengths) >= 12


def test_vocabulary_gives_thousands_of_different_charts():
    pairs = sum(len(field.across) * len(field.measured) * len(field.subjects) for field in FIELDS)
    assert pairs > 5000
    assert len({invent_names(rng(seed), 3) for seed in range(300)}) > 200
    like = FIELDS[0].measured[0]
    invented = [invent_quantity(rng(seed), like) for seed in range(300)]
    assert len({quantity.name for quantity in invented}) > 250
    assert {(quantity.low, quantity.high) for quantity in invented} == {(like.low, like.high)}


def test_names_of_one_chart_differ():
    for seed in range(100):
        names = invent_names(rng(seed), 4)
        assert len(set(names)) == 4


@pytest.mark.parametrize(
    ("names", "text"), [((), ""), (("A",), "A"), (("A", "B"), "A and B"), (("A", "B", "C"), "A, B and C")]
)
def test_listed(names, text):
    assert listed(names) == text


def test_mathtext_becomes_text_and_dollars_stay():
    assert plain_text("$\\mathdefault{10^{-2}}$") == "10^-2"
    assert plain_text("Exports (bn $)") == "Exports (bn $)"
    assert plain_text("−5") == "-5"


def test_charts_are_records_with_something_to_learn():
    for index in range(8):
        figure = make_figure(0, index)
        messages = build_sample(figure)
        assert messages[-1]["role"] == "assistant"
        assert figure.table is not None
        assert figure.split == make_figure(0, index).split


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("scicap_builder.charts.corpus.SHARD", 3)
    run = write_charts(tmp_path / "charts", count=7, seed=2)
    assert next(run) == 0
    assert next(run) == 3
    run.close()  # killed
    assert list(write_charts(tmp_path / "charts", count=7, seed=2)) == [3, 6, 7]
    found = {figure.id: figure for figure in read_dataset(tmp_path / "charts")}
    assert sorted(found) == [f"charts:2-{index:06d}" for index in range(7)]
    assert found["charts:2-000005"].mentions == make_figure(2, 5).mentions
    with pytest.raises(DatasetError, match="seed"):
        next(write_charts(tmp_path / "charts", count=7, seed=3))


def test_the_command_draws_a_data_set_and_goes_on_with_it(tmp_path):
    for count in (3, 5):
        result = CliRunner().invoke(
            app, ["charts", "--count", str(count), "--seed", "6", "--out", str(tmp_path / "out")]
        )
        assert result.exit_code == 0, result.output
        assert f"{count} charts" in result.output
        assert len(list(read_dataset(tmp_path / "out"))) == count
