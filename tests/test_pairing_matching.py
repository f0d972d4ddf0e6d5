"""Which figure of a paper a published figure is: numbers, captions, versions, parts, and what is not found."""

import pytest

from llava_graph.record import Figure, Panel
from scicap_builder.pairing.matching import Asked, asked_for, match, with_seen
from scicap_builder.reading import FoundFigure

LOSS = "Loss of the small model falls with the number of epochs on both data sets."
RECALL = "Recall of all methods against the number of neighbours that are looked at."
SPEED = "Seconds for one step of training on one card, with and without packing."


def read(*figures):
    return [
        FoundFigure(number=number, label=f"Figure {number}", caption=caption, route="latex")
        for number, caption in figures
    ]


def matched(asked, found):
    return [(one.figure.number if one.figure else "", one.by or one.reason) for one in match(asked, found)]


def test_number_and_caption_agree():
    found = read(("1", LOSS), ("2", RECALL))
    assert matched([Asked(number="2", caption=RECALL), Asked(number="1", caption=LOSS)], found) == [
        ("2", "number"),
        ("1", "number"),
    ]


@pytest.mark.parametrize(
    "published",
    [
        "L oss of the small model falls with the num-\nber of epochs on both data sets.",  # as PDFs are read
        "LOSS of the small model falls with the number of epochs",  # cut off
        "Loss of the small model fa11s with the numbr of epochs on both datasets",
        "Loss of the small model falls with the number of epochs on both data sets (a = 3.2 × 10−4, β = 7, γ 2 0.1 x y).",
    ],
)
def test_captions_may_be_read_differently(published):
    [one] = match([Asked(number="1", caption=published)], read(("1", LOSS), ("2", RECALL)))
    assert (one.figure.number, one.by) == ("1", "number")
    assert 0.6 <= one.likeness <= 1


def test_a_renumbered_figure_is_found_by_its_caption():
    """A figure was added before it in the version that was read."""
    found = read(("1", SPEED), ("2", LOSS), ("3", RECALL))
    assert matched([Asked(number="1", caption=LOSS), Asked(number="2", caption=RECALL)], found) == [
        ("2", "caption"),
        ("3", "caption"),
    ]


def test_the_same_words_under_another_number_are_more_than_the_number_with_like_words():
    found = read(("3", LOSS.replace("small", "large")), ("4", LOSS))
    assert matched([Asked(number="3", caption=LOSS)], found) == [("4", "caption")]
    assert matched([Asked(number="3", caption=LOSS)], found[:1]) == [("3", "number")]


def test_captions_that_several_figures_have_pair_by_number_only():
    found = read(("1", LOSS), ("2", LOSS))
    asked = [Asked(number="2", caption=LOSS), Asked(number="7", caption=LOSS)]
    assert matched(asked, found) == [("2", "number"), ("", "several-alike")]


def test_the_likeliest_caption_wins_where_it_is_likelier_by_more_than_chance():
    published = [Asked(number="7", caption=LOSS.replace("both", "b0th"))]
    assert matched(published, read(("3", LOSS.replace("small", "large")), ("4", LOSS))) == [("4", "caption")]
    assert matched(published, read(("3", LOSS.replace("both", "bofh")), ("4", LOSS))) == [("", "several-alike")]


def test_a_figure_that_has_its_published_one_is_no_other_ones():
    asked = [Asked(number="1", caption=LOSS), Asked(number="9", caption=LOSS), Asked(number="8", caption=LOSS + " b")]
    assert matched(asked, read(("1", LOSS)))[0] == ("1", "number")
    assert matched(asked, read(("1", LOSS)))[1:] == [("", "no-such-figure")] * 2


def test_short_captions_name_nothing():
    found = read(("1", "Results."), ("2", "Setup."))
    assert matched([Asked(number="5", caption="Results."), Asked(number="2", caption="Setup.")], found) == [
        ("", "no-such-figure"),
        ("2", "number"),
    ]


def test_without_any_caption_the_number_speaks():
    assert matched([Asked(number="1", caption="")], read(("1", LOSS))) == [("1", "number")]
    assert matched([Asked(number="1", caption=LOSS)], read(("1", ""))) == [("1", "number")]


def test_another_caption_under_the_number_is_another_figure():
    [one] = match([Asked(number="1", caption=SPEED)], read(("1", LOSS)))
    assert (one.figure, one.reason) == (None, "caption-differs")
    assert LOSS[:40] in one.detail
    assert matched([Asked(number="9", caption=SPEED)], read(("1", LOSS))) == [("", "no-such-figure")]
    assert matched([Asked(number="", caption=SPEED)], []) == [("", "no-such-figure")]


def test_parts_of_a_figure_share_it():
    whole = FoundFigure(
        number="2",
        label="Figure 2",
        caption="Both models.",
        panels=(Panel(letter="a", caption=LOSS), Panel(letter="b", caption=RECALL)),
        route="latex",
    )
    asked = [Asked(number="2", panel="b", caption=RECALL), Asked(number="2", panel="a", caption=LOSS)]
    assert matched(asked, [whole]) == [("2", "number"), ("2", "number")]


def test_the_second_figure_of_a_number_is_the_second():
    found = read(("1", LOSS), ("1", LOSS))
    found[1] = FoundFigure(number="1", label="Figure 1", caption=LOSS, page=9, route="pdf")
    asked = [Asked(number="1", name="fig1-2", caption=LOSS), Asked(number="1", name="fig1", caption=LOSS)]
    assert [one.figure.page for one in match(asked, found)] == [9, None]


@pytest.mark.parametrize(
    ("label", "number"), [("Figure A.1", "A1"), ("Fig. S2", "S2"), ("Supplementary Figure 2", "S2"), ("FIG. IV", "IV")]
)
def test_numbers_are_one_however_they_are_written(label, number):
    found = [FoundFigure(number=number, label=f"Figure {number}", caption=LOSS, route="pdf")]
    asked = asked_for(Figure(id="scicap:1001.0025v1#figx", label=label, caption=LOSS))
    assert matched([asked], found) == [(number, "number")]


def test_what_is_asked_for_is_in_the_record():
    figure = Figure(id="scicap:1001.0025v1#fig2-2~2", label="Figure 2a", caption=LOSS)
    assert asked_for(figure) == Asked(number="2", panel="a", name="fig2-2", caption=LOSS)
    assert asked_for(Figure(id="scicap-challenge:000000000001", caption=LOSS)) == Asked(caption=LOSS)


def test_a_figure_that_was_seen_and_lost_is_told():
    asked = [Asked(number="4", caption=SPEED), Asked(number="5", caption=SPEED)]
    told = list(with_seen(match(asked, read(("1", LOSS))), asked, ["Figure 4: no-region", "(its PDF): encrypted"]))
    assert [one.reason for one in told] == ["no-such-figure"] * 2
    assert "seen and left out (Figure 4: no-region)" in told[0].detail
    assert "no figure 5" in told[1].detail
