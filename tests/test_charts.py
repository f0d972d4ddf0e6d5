"""Drawn charts: reproducible, true to their data, varied, and records like any other."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from llava_graph.dataset import read_dataset
from llava_graph.errors import DatasetError, InputError
from llava_graph.prompt import build_sample
from scicap_builder.charts import CorpusOptions, make_figure, make_sheet, plotting, pyplot, write_charts
from scicap_builder.charts.captions import write_caption
from scicap_builder.charts.chart import KINDS, Chart, Plate, Series
from scicap_builder.charts.data import make_chart, make_plate
from scicap_builder.charts.facts import always_above, crossings, highest, lowest, read_x, read_y, readable, two_digits
from scicap_builder.charts.invent import invent_names, invent_quantity
from scicap_builder.charts.others import make_other
from scicap_builder.charts.paragraphs import write_paragraph
from scicap_builder.charts.pyplot import plain_text
from scicap_builder.charts.questions import ask
from scicap_builder.charts.scale import Scale
from scicap_builder.charts.vocabulary import Quantity, load_fields
from scicap_builder.charts.wording import compared, listed, quantity, say
from scicap_builder.cli import app

TEXTS_ALONE = CorpusOptions(images=False)


def rng(seed=0):
    return np.random.default_rng(seed)


def chart_of_kind(kind, seed=0):
    return make_chart(rng(seed), load_fields()[seed % 8], subject="a subject", kind=kind)


def plate_of(*charts):
    return Plate(panels=charts, letters=tuple("abcd"[: len(charts)]) if len(charts) > 1 else ("",), columns=len(charts))


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


@pytest.mark.parametrize("options", [CorpusOptions(library="own"), CorpusOptions(library="matplotlib"), TEXTS_ALONE])
def test_a_figure_depends_on_seed_and_number_alone(options):
    first = make_figure(3, 11, options)
    make_figure(3, 12, options)
    assert make_figure(3, 11, options) == first
    assert make_figure(4, 11, options) != first


@pytest.mark.parametrize("draw", [plotting.draw_plate, pyplot.draw_plate], ids=["own", "matplotlib"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_drawn_text_is_where_its_box_says(kind, draw):
    for seed in (1, 2):
        chart = chart_of_kind(kind, seed)
        drawing = draw(plate_of(chart), rng(seed))
        grey = np.asarray(Image.open(io.BytesIO(drawing.image)).convert("L")).astype(int)
        assert grey.shape == (drawing.height, drawing.width)
        assert chart.y.label in {line.text for line in drawing.ocr}
        for line in drawing.ocr:
            x0, y0, x1, y1 = line.box
            rows = slice(int(y0 * drawing.height), int(np.ceil(y1 * drawing.height)))
            columns = slice(int(x0 * drawing.width), int(np.ceil(x1 * drawing.width)))
            box = grey[rows, columns]
            assert box.max() - box.min() > 60, f"{line.text!r} is not drawn at {line.box}"


@pytest.mark.parametrize("draw", [plotting.draw_plate, pyplot.draw_plate], ids=["own", "matplotlib"])
def test_axes_series_and_panels_have_their_roles(draw):
    line = next(chart for seed in range(90) if len((chart := chart_of_kind("line", seed)).series) == 3)
    drawing = draw(plate_of(line, chart_of_kind("bar", 4)), rng(1))
    by_role = {}
    for read in drawing.ocr:
        by_role.setdefault((read.panel, read.role), set()).add(read.text)
    assert by_role["a", "x-axis"] == {line.x.label}
    assert by_role["a", "y-axis"] == {line.y.label}
    assert by_role["a", "legend"] == {series.name for series in line.series}
    assert set(by_role) >= {("a", "panel"), ("b", "panel"), ("b", "x-tick"), ("b", "y-tick")}
    ticks = [read for read in drawing.ocr if read.role in ("x-tick", "y-tick") and read.panel == "a"]
    assert sum(tick.value is not None for tick in ticks) >= 4


def test_a_layout_without_a_picture_has_the_texts_of_the_picture():
    plate = make_plate(rng(5))
    drawn, laid_out = (plotting.draw_plate(plate, rng(7), raster=raster) for raster in (True, False))
    assert laid_out.image is None
    assert {line.text for line in laid_out.ocr} == {line.text for line in drawn.ocr}


def test_paragraphs_name_what_is_plotted():
    for seed in range(120):
        plate = make_plate(rng(seed))
        paragraph = write_paragraph(plate, rng(seed))
        for chart in plate.panels:
            plotted = chart.x if chart.kind == "histogram" else chart.y
            assert quantity(plotted) in paragraph or plotted.label in paragraph or chart.x.name == "Predicted"
        assert "  " not in paragraph
        assert paragraph.endswith(".")
        assert not set("[]{}|") & set(paragraph)


def test_the_subject_is_only_told_when_the_context_tells_it():
    for seed in range(60):
        plate = make_plate(rng(seed))
        assert plate.subject not in write_paragraph(plate, rng(seed), context=False)


def test_wording_varies_for_the_same_data(two_lines):
    plate = plate_of(two_lines)
    paragraphs = [write_paragraph(plate, rng(seed)) for seed in range(100)]
    assert len(set(paragraphs)) == 100
    assert len({paragraph.split(".")[0] for paragraph in paragraphs}) > 50
    assert len({question.text for seed in range(60) for question in ask(plate, rng(seed), 20)}) > 50


def test_alternatives_are_chosen_before_the_slots_are_filled():
    assert say(rng(), "{a} [is|is] [near [b|b]|near b] , {a}.", a="[x|y]") == "[x|y] is near b, [x|y]."


def test_facts_are_those_of_the_data(two_lines):
    first, second = two_lines.series
    assert crossings(first, second) == [1.5]
    assert not always_above(first, second)
    assert (highest(two_lines).series, highest(two_lines).at, highest(two_lines).value) == ("A", 0.0, 10.0)
    assert (lowest(two_lines).series, lowest(two_lines).at) == ("A", 3.0)
    assert read_y(two_lines, 7.96) == "8.0 mV"
    assert read_x(two_lines, 1.5) == "1.50 s"


@pytest.mark.parametrize(
    ("value", "span", "text"),
    [
        (0.1234, 1, "0.12"),
        (1234, 10_000, "1200"),
        (5, 0, "5"),
        (-0.5, 2, "-0.50"),
        (2.13, 2, "2.15"),
        (70.29, 40, "70"),
    ],
)
def test_values_are_read_at_the_precision_of_the_axis(value, span, text):
    assert readable(value, span) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0321, "0.032"), (1532, "1500"), (2.04, "2.0"), (12, "12"), (2.3e-6, "2.3e-6"), (3e8, "3.0e8")],
)
def test_values_of_logarithmic_axes_have_two_digits(value, text):
    assert two_digits(value) == text


@pytest.mark.parametrize("kind", KINDS)
def test_read_values_are_near_the_true_ones(kind):
    for seed in range(12):
        chart = chart_of_kind(kind, seed)
        for question in ask(plate_of(chart), rng(seed), 20):
            numbers = [word.strip(".,%$") for word in question.answer.split()]
            if question.kind in ("value", "highest", "lowest") and question.value is not None and not chart.log_y:
                low, high = chart.y_range
                span = high - min(low, 0)
                read = [float(word) for word in numbers if word.replace(".", "", 1).lstrip("-").isdigit()]
                assert any(abs(number - question.value) <= span / 40 for number in read), question


@pytest.mark.parametrize(
    ("gap", "places"), [((2, 0, -2), [1.0]), ((2, 0, 2), []), ((0, 1, 2), []), ((1, -1, 1), [0.5, 1.5])]
)
def test_lines_cross_where_they_change_places(gap, places):
    x = (0.0, 1.0, 2.0)
    one, other = (Series(name="", x=x, y=tuple(map(float, y))) for y in (gap, (0, 0, 0)))
    assert crossings(one, other) == places


def test_only_what_a_reader_can_tell_apart_is_asked(two_lines):
    equal = (Series(name="A", x=(0.0, 1.0), y=(5.0, 1.0)), Series(name="B", x=(0.0, 1.0), y=(4.99, 1.0)))
    chart = replace(two_lines, kind="bar", categories=("p", "q"), series=equal)
    asked = {question.kind for seed in range(10) for question in ask(plate_of(chart), rng(seed), 20)}
    assert "value" in asked
    assert not asked & {"highest", "lowest", "best"}


def test_answers_of_the_crossing_chart(two_lines):
    asked = [question for seed in range(20) for question in ask(plate_of(two_lines), rng(seed), 20)]
    by_kind = {}
    for question in asked:
        by_kind.setdefault(question.kind, []).append(question)
    assert all("1.50 s" in question.answer for question in by_kind["crossing"])
    assert all("Time (s)" in question.answer for question in by_kind["x-axis"])
    assert all("A and B" in question.answer for question in by_kind["names"])
    assert all("not" in question.answer for question in by_kind["absent"])
    assert {question.key for question in by_kind["trend"]} == {("rise",), ("fall",)}


def test_stacked_bars_are_judged_by_their_totals():
    chart = Chart(
        kind="bar", field="f", x=Quantity("", "", 0, 1), y=Quantity("Mass", "kg", 0, 9), categories=("p", "q"), stacked=True,
        series=(Series(name="A", x=(0.0, 1.0), y=(5.0, 4.0)), Series(name="B", x=(0.0, 1.0), y=(1.0, 3.0))),
    )  # fmt: skip
    assert highest(chart).value == 7.0
    assert read_x(chart, highest(chart).at) == "q"


def test_captions_run_from_none_to_full():
    captions = [write_caption(make_plate(rng(seed)), rng(seed)) for seed in range(150)]
    lengths = {len(caption.split()) for caption in captions}
    assert 0 in lengths
    assert 1 in lengths
    assert max(lengths) >= 15
    assert not any(set("[]{}|") & set(caption) for caption in captions)


def test_all_kinds_and_panels_come_up():
    plates = [make_plate(rng(seed)) for seed in range(300)]
    charts = [chart for plate in plates for chart in plate.panels]
    assert {chart.kind for chart in charts} == set(KINDS)
    assert {len(plate.panels) for plate in plates} == {1, 2, 3, 4}
    for trait in ("stacked", "sideways", "log_x", "log_y", "interval", "printed"):
        assert any(getattr(chart, trait) for chart in charts), trait


def test_the_vocabulary_gives_thousands_of_different_charts():
    pairs = sum(len(field.across) * len(field.measured) * len(field.subjects) for field in load_fields())
    assert pairs > 8000
    assert len({invent_names(rng(seed), 3) for seed in range(300)}) > 200
    like = load_fields()[0].measured[0]
    invented = [invent_quantity(rng(seed), like) for seed in range(300)]
    assert len({quantity.name for quantity in invented}) > 250
    assert {(quantity.low, quantity.high) for quantity in invented} == {(like.low, like.high)}


def test_training_knows_no_word_of_the_test_vocabulary():
    def names(vocabulary):
        for field in load_fields(vocabulary):
            yield from (quantity.name.lower() for quantity in (*field.across, *field.measured))
            yield from (name.lower() for family in (*field.series, *field.categories) for name in family)
            yield from field.subjects

    assert not set(names("known")) & set(names("unseen"))


def test_names_of_one_chart_differ():
    for seed in range(100):
        chart = make_plate(rng(seed)).panels[0]
        assert len(set(compared(chart))) == len(compared(chart))
        assert len(set(chart.categories)) == len(chart.categories)


@pytest.mark.parametrize(
    ("names", "text"), [((), ""), (("A",), "A"), (("A", "B"), "A and B"), (("A", "B", "C"), "A, B and C")]
)
def test_listed(names, text):
    assert listed(names) == text


def test_mathtext_becomes_text_and_dollars_stay():
    assert plain_text("$\\mathdefault{10^{-2}}$") == "10^-2"
    assert plain_text("Exports (bn $)") == "Exports (bn $)"
    assert plain_text("−5") == "-5"


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (-3, 250, False), (0.001, 80, True), (1960, 2020, False)]
)
def test_ticks_stand_for_their_values(low, high, log):
    scale = Scale(low=low, high=high, log=log)
    ticks = scale.ticks(5, "plain")
    assert 2 <= len(ticks) <= 12
    assert all(-1e-6 <= float(scale.place(value)) <= 1 + 1e-6 for value, _ in ticks)
    if not log:
        assert [float(text) for _, text in ticks] == pytest.approx([value for value, _ in ticks])


def test_figures_that_are_no_charts_are_declined():
    others = [make_other(rng(seed)) for seed in range(40)]
    assert {other.kind for other in others} == {"diagram", "photo", "blank"}
    for other in others:
        assert "chart" in other.paragraph
        assert bool(other.drawing.ocr) == (other.kind == "diagram")


def test_figures_are_records_with_something_to_learn():
    for index in range(30):
        sheet = make_sheet(0, index, TEXTS_ALONE)
        messages = build_sample(sheet.figure)
        assert messages[-1]["role"] == "assistant"
        assert (sheet.plate is None) == (sheet.figure.kind != "chart")
        assert sheet.figure.split == make_figure(0, index, TEXTS_ALONE).split


def test_unknown_options_are_named():
    with pytest.raises(InputError, match="matplotlip"):
        CorpusOptions(library="matplotlip")
    with pytest.raises(InputError, match="without images"):
        CorpusOptions(library="vega", images=False)


def test_the_library_for_testing_draws_what_the_others_draw():
    pytest.importorskip("vl_convert")
    from scicap_builder.charts import vega

    for kind in KINDS:
        chart = chart_of_kind(kind, 2)
        drawing = vega.draw_plate(plate_of(chart), rng(2))
        texts = {line.text for line in drawing.ocr}
        wanted = {chart.y.label, *chart.categories}
        assert wanted <= texts, kind
        grey = np.asarray(Image.open(io.BytesIO(drawing.image)).convert("L")).astype(int)
        for line in drawing.ocr:
            x0, y0, x1, y1 = line.box
            box = grey[
                int(y0 * drawing.height) : int(y1 * drawing.height) + 1,
                int(x0 * drawing.width) : int(x1 * drawing.width) + 1,
            ]
            assert box.max() - box.min() > 60, line


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("scicap_builder.charts.corpus.SHARD", 3)
    run = write_charts(tmp_path / "charts", count=7, seed=2, options=TEXTS_ALONE)
    assert next(run) == 0
    assert next(run) == 3
    run.close()  # killed
    assert list(write_charts(tmp_path / "charts", count=7, seed=2, options=TEXTS_ALONE)) == [3, 6, 7]
    found = {figure.id: figure for figure in read_dataset(tmp_path / "charts")}
    assert sorted(found) == [f"charts:2-{index:06d}" for index in range(7)]
    assert found["charts:2-000005"].mentions == make_figure(2, 5, TEXTS_ALONE).mentions
    with pytest.raises(DatasetError, match="seed"):
        next(write_charts(tmp_path / "charts", count=7, seed=3, options=TEXTS_ALONE))


def test_the_command_draws_a_data_set_and_goes_on_with_it(tmp_path):
    for count in (3, 5):
        result = CliRunner().invoke(
            app, ["charts", "--count", str(count), "--seed", "6", "--out", str(tmp_path / "out")]
        )
        assert result.exit_code == 0, result.output
        assert f"{count} charts" in result.output
        assert len(list(read_dataset(tmp_path / "out"))) == count
