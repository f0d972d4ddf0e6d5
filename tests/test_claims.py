"""What a paper claims of a figure, put to a model without the paper's words, and the verdicts read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.claims import MAX_CLAIMS, Claim, alone, checked_in, claims_of, claims_request, numbers_inside
from llava_graph.errors import InputError
from llava_graph.record import Figure, OcrLine, Table

FIGURE = Figure(
    id="a",
    caption="Error of both models.",
    mentions=(
        "We thank nobody at all here. As Figure 1 shows, the error of ours falls to 12.5 % within 40 epochs. Smith et al. found 3.",
        "The baseline has a higher error at the end.",
    ),
    ocr=(OcrLine(text="40", box=(0, 0, 1, 1), role="x-tick", value=40),),
    table=Table(header=("model", "error"), rows=(("ours", "7"),)),
)


def test_claims_are_sentences_with_numbers_or_comparisons_and_say_where_they_stand():
    assert claims_of(FIGURE) == (
        Claim("As Figure 1 shows, the error of ours falls to 12.5 % within 40 epochs.", 0),
        Claim("The baseline has a higher error at the end.", 1),
    )
    assert claims_of(Figure(id="b", caption="Growth of the colony in a garden.")) == ()


def test_of_many_claims_those_that_cite_the_figure_stay():
    many = (
        " ".join(f"The number {n} of ants in garden {n} grows." for n in range(30))
        + " Figure 1 shows that the colony rises by 70 ants."
    )
    claims = claims_of(Figure(id="a", mentions=(many,)))
    assert len(claims) == MAX_CLAIMS
    assert claims[-1].text == "Figure 1 shows that the colony rises by 70 ants."


def test_the_model_is_asked_without_what_the_paper_says_around_the_figure():
    asked, tokens = claims_request(claims_of(FIGURE))
    assert "1. As Figure 1 shows" in asked
    assert "2. The baseline" in asked
    assert tokens > 100
    assert (alone(FIGURE).caption, alone(FIGURE).mentions, alone(FIGURE).ocr) == ("", (), FIGURE.ocr)
    with pytest.raises(InputError, match="makes a claim"):
        claims_request(())


@pytest.mark.parametrize(
    "line",
    [
        "1. shown - it **falls**",
        "1) **Shown** – it falls",
        "**1.** shown: it falls",
        '1: "shown", it falls',
        "- 1. Yes, it falls",
    ],
)
def test_verdicts_are_read_in_every_dress(line):
    [checked] = checked_in(f"Here they are:\n{line}\n", 1)
    assert (checked.number, checked.verdict, checked.reason) == (0, "shown", "it falls")


def test_each_claim_has_one_verdict_and_other_lines_none():
    answer = (
        "1. not shown - no such axis\n2. contradicted - it rises\n2. shown\n7. shown\nThe 3 curves.\n4. cannot tell"
    )
    assert [(one.number, one.verdict) for one in checked_in(answer, 5)] == [
        (0, "not shown"),
        (1, "contradicted"),
        (3, "not shown"),
    ]


@given(st.text(alphabet="123.) *shownyeot-\n", max_size=60), st.integers(0, 9))
def test_any_answer_is_read(answer, count):
    found = checked_in(answer, count)
    assert [one.number for one in found] == sorted({one.number for one in found})
    assert all(0 <= one.number < count for one in found)


def test_numbers_of_a_claim_are_looked_for_in_the_figure_alone():
    claim = Claim("It falls from 40 to 12.5 and then to 7.0, about 41.", 0)
    assert numbers_inside(claim, FIGURE) == (("40", "7.0"), ("12.5", "41"))
