"""Roles of figure text from its geometry, on the lines of drawn charts whose truth is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.record import OcrLine
from ocr.layout import by_panel
from ocr.numbers import parse_number
from ocr.roles import assign_roles


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-1.5", -1.5),
        ("−1.5", -1.5),
        ("10%", 10),
        ("1,000", 1000),
        ("12\u2009000", 12000),
        ("4 000", 4000),
        ("0,5", 0.5),
        ("10-3", 1e-3),
        ("10⁻³", 1e-3),
        ("10^{-3}", 1e-3),
        ("10³", 1000),
        ("3×10^4", 3e4),
        ("1e-3", 1e-3),
        ("50k", 5e4),
        ("$5", 5),
        ("103", 103),
        (".5", 0.5),
        ("< 5", 5),
    ],
)
def test_numbers_are_read_as_figures_write_them(text, value):
    assert parse_number(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "abc", "1-2", "1/2", "3D", "a1", "10:30", "0 10 20", "100 200", "Fig. 2", "1.2.3", "×10"]
)
def test_what_is_no_single_number_is_none(text):
    assert parse_number(text) is None


@given(st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-3))
def test_every_written_number_is_read_back(value):
    assert math.isclose(parse_number(f"{value:.4f}"), float(f"{value:.4f}"))
    assert math.isclose(parse_number(f"{value:.3e}"), float(f"{value:.3e}"))


def at(text: str, x: float, y: float, width: float = 0.05, turned: bool = False) -> OcrLine:
    """A line of height 0.03 with its middle at (x, y)."""
    w, h = (0.03, width) if turned else (width, 0.03)
    return OcrLine(
        text=text, box=(max(0, x - w / 2), y - h / 2, min(1, x + w / 2), y + h / 2), orientation=90 if turned else 0
    )


def plot(left: float, top: float, size: float = 0.4, names: tuple[str, ...] = ("time", "speed")) -> dict[OcrLine, str]:
    """The lines of a plot whose y-ticks stand at `left`, with their roles."""
    truth = {at(str(10 * n), left + 0.06 + size * n / 5, top + size + 0.04): "x-tick" for n in range(6)}
    truth |= {at(f"{0.2 * n:.1f}", left + 0.02, top + size - size * n / 5): "y-tick" for n in range(6)}
    truth[at(names[0], left + 0.06 + size / 2, top + size + 0.09)] = "x-axis"
    truth[at(names[1], left - 0.04, top + size / 2, turned=True)] = "y-axis"
    return truth


def roles(truth: dict[OcrLine, str], **more) -> dict[str, tuple[str, str]]:
    """text -> (found, true)"""
    return {
        line.text: (found.role, role)
        for (line, role), found in zip(truth.items(), assign_roles(list(truth), **more), strict=True)
    }


def wrong(truth: dict[OcrLine, str], **more) -> dict[str, tuple[str, str]]:
    return {text: pair for text, pair in roles(truth, **more).items() if pair[0] != pair[1]}


def test_a_single_plot_with_title_legend_and_annotation():
    truth = plot(0.1, 0.15, 0.6)
    truth[at("Speed over time", 0.46, 0.08, 0.3)] = "title"
    truth |= {at(name, 0.6, 0.2 + 0.04 * n, 0.1): "legend" for n, name in enumerate(("ours", "baseline", "oracle"))}
    truth[at("p < 0.05", 0.3, 0.5, 0.1)] = "annotation"
    samples = {line for line, role in truth.items() if role == "legend"}
    assert not wrong(truth, swatch=samples.__contains__)


def test_a_misread_tick_does_not_end_its_scale():
    truth = plot(0.1, 0.15, 0.6)
    lines = [
        at("2O", line.box[0] + 0.025, (line.box[1] + line.box[3]) / 2) if line.text == "20" else line for line in truth
    ]
    found = {line.text: line.role for line in assign_roles(lines)}
    assert found["30"] == found["40"] == "x-tick"
    lines = [
        at("80", line.box[0] + 0.025, (line.box[1] + line.box[3]) / 2) if line.text == "20" else line for line in truth
    ]
    assert {line.role for line in assign_roles(lines) if line.text == "80"} == {"x-tick"}


def test_logarithmic_ticks_are_a_scale():
    ticks = [at(f"10-{n}", 0.1, 0.1 + 0.15 * n) for n in range(1, 5)]
    found = assign_roles(ticks)
    assert {line.role for line in found} == {"y-tick"}
    assert [line.value for line in found] == pytest.approx([1e-1, 1e-2, 1e-3, 1e-4])


def test_words_below_a_plot_are_its_ticks():
    truth = {at(f"{20 * n}", 0.1, 0.8 - 0.1 * n): "y-tick" for n in range(5)}
    truth |= {
        at(name, 0.25 + 0.2 * n, 0.86, 0.12): "x-tick" for n, name in enumerate(("China", "India", "Brazil", "Japan"))
    }
    truth[at("Country", 0.5, 0.95, 0.15)] = "x-axis"
    assert not wrong(truth)


def test_four_plots_each_have_their_own_axes_and_panels_stay_together():
    truth: dict[OcrLine, str] = {}
    where: dict[str, str] = {}
    for n, letter in enumerate("abcd"):
        left, top = 0.08 + 0.5 * (n % 2), 0.05 + 0.5 * (n // 2)
        part = plot(left, top, 0.3, (f"time {letter}", f"speed {letter}"))
        part[at(f"({letter})", left, top - 0.02, 0.03)] = "panel"
        truth |= part
        where |= {line.text: letter for line, role in part.items() if role in ("x-axis", "y-axis", "panel")}
    found = assign_roles(list(truth))
    named = {line.text: (line.role, line.panel) for line in found if line.text in where}
    assert named == {line.text: (role, where[line.text]) for line, role in truth.items() if line.text in where}
    ticks = [line for line in found if line.role in ("x-tick", "y-tick")]
    assert len(ticks) == 48
    assert {letter: sum(line.panel == letter for line in ticks) for letter in "abcd"} == dict.fromkeys("abcd", 12)
    order = [line.panel for line in by_panel(found)]
    assert order == sorted(order)


def test_letters_below_their_plots_name_them_too():
    truth: dict[OcrLine, str] = {}
    for n, letter in enumerate("ab"):
        part = plot(0.08 + 0.5 * n, 0.05, 0.3, (f"time {letter}", f"speed {letter}"))
        part[at(f"({letter})", 0.28 + 0.5 * n, 0.6, 0.04)] = "panel"
        truth |= part
    panels = {line.text: line.panel for line in assign_roles(list(truth)) if line.text[:5] in ("time ", "speed")}
    assert panels == {"time a": "a", "speed a": "a", "time b": "b", "speed b": "b"}


def test_nodes_of_a_diagram_get_no_axes():
    lines = [at("Encoder", 0.5, 0.1, 0.2), at("Decoder", 0.5, 0.5, 0.2), at("x", 0.2, 0.5), at("Output", 0.5, 0.9, 0.2)]
    assert {line.role for line in assign_roles(lines)} == {"other"}


def test_a_lone_letter_is_no_panel():
    assert {line.panel for line in assign_roles([at("a", 0.1, 0.1), at("x", 0.5, 0.5)])} == {""}
