"""Scores of texts: ROUGE-L as its authors define it, numbers as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.evaluate import find_numbers, number_fidelity, rouge_l
from llava_graph.evaluate.rouge import common_length

WORDS = st.lists(st.sampled_from(["the", "accuracy", "of", "model", "rises", "a", "b", "c"]), max_size=8)


@pytest.mark.parametrize(
    ("text", "reference", "precision", "recall", "f1"),
    # What rouge-score 0.1.2 gives (RougeScorer(["rougeL"])); the two packages agreed on 3,000 random pairs.
    [
        (
            "The accuracy rises from 0.5 to 0.9 for model B.",
            "Accuracy of model B rises to 0.9 from 0.5, as Figure 3(a) shows.",
            0.4166666666666667,
            0.3125,
            0.35714285714285715,
        ),
        ("the cat was under the bed", "police killed the gunman", 1 / 6, 0.25, 0.2),
        ("Loss falls", "loss falls", 1.0, 1.0, 1.0),
        ("Café µm 12", "café 12 µm wide", 2 / 3, 0.5, 0.5714285714285715),
        ("", "x", 0.0, 0.0, 0.0),
        ("x", "", 0.0, 0.0, 0.0),
        ("loss", "gain", 0.0, 0.0, 0.0),
    ],
)
def test_rouge_l_as_published(text, reference, precision, recall, f1):
    found = rouge_l(text, reference)
    assert (found.precision, found.recall, found.f1) == pytest.approx((precision, recall, f1))


@given(WORDS, WORDS)
def test_common_subsequence_is_symmetric_bounded_and_grows_by_at_most_one(first, second):
    length = common_length(first, second)
    assert length == common_length(second, first) <= min(len(first), len(second))
    assert common_length(first, first) == len(first)
    assert length <= common_length([*first, "the"], second) <= length + 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rises from 0.5 to 1,234.5 and \N{MINUS SIGN}3.2", [0.5, 1234.5, -3.2]),
        ("3×10^-4, 1.2 × 10⁻³, 10⁻³, 10^4, 1e-5, 2.5E+3", [3e-4, 1.2e-3, 1e-3, 1e4, 1e-5, 2.5e3]),
        ("45% or 0,45", [45, 0.45]),
        ("1,2,3 but 1,234,567 and 1\N{THIN SPACE}234", [1, 2, 3, 1234567, 1234]),
        ("10–20 ms, 5-7, 3 - 4, (0.5, -0.7)", [10, 20, 5, 7, 3, 4, 0.5, -0.7]),
        ("5GHz, 10ms, 3x, $5, 7 per cent, p<0.05, 0.5±0.1, -40 °C", [5, 10, 3, 5, 7, 0.05, 0.5, 0.1, -40]),
        ("In Figure 3a, Fig. 2, Table 4, Eqs. (3) and 4 and [12] it is 7.", [7]),
        ("ResNet50, ResNet-50, top-5, 2nd, 3D, 20th, v1.2.3, m², cm⁻¹", []),
        ("CI [0.61, 0.73] at step 300 of Section 4.2", [0.61, 0.73, 300]),
        ("x-tick: 0 [12], 50 [50]; legend: ours [70 15 80 19]", [0, 50]),
        ("1e400 is too large", []),
        ("", []),
    ],
)
def test_numbers_of_a_text(text, values):
    found = find_numbers(text)
    assert [number.value for number in found] == pytest.approx(values)
    # Read by themselves where they stand, they are the same.
    assert [find_numbers(text[number.start : number.end])[0].value for number in found] == pytest.approx(values)


@given(st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3)))
def test_every_spelling_of_a_number_is_the_same_number(value):
    for written in (f"{value:.3f}", f"{value:,.3f}", f"{value:.12e}", f"{value:.3f}".replace("-", "\N{MINUS SIGN}")):
        [number] = find_numbers(f"It reaches {written} there.")
        assert number.value == pytest.approx(value)


@given(st.text(max_size=60))
def test_any_text_is_read(text):
    assert number_fidelity(text, [text]).unsupported == ()
    places = [place for number in find_numbers(text) for place in (number.start, number.end)]
    assert places == sorted(places)
    assert all(0 <= place <= len(text) for place in places)


def test_fidelity_names_what_nothing_bears_out():
    found = number_fidelity("It is 45% at 100, then 7.3, then 12 and -98.", ["0.45 and 98", "y-tick: 7 [12]"])
    assert [number.text for number in found.unsupported] == ["12", "-98"]
    assert found.share == pytest.approx(3 / 5)


def test_tolerance_is_relative_and_zero_is_exact():
    assert number_fidelity("104.9", ["100"]).share == 1
    assert number_fidelity("105.1", ["100"]).share == 0
    assert number_fidelity("105.1", ["100"], tolerance=0.1).share == 1
    assert number_fidelity("0.001", ["0"]).share == 0
    assert number_fidelity("0", ["0.0"]).share == 1


def test_an_answer_without_numbers_has_no_share():
    assert number_fidelity("It rises.", ["5"]).share is None
