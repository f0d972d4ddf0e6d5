"""Captions of compound figures and the panels they tell of."""

import pytest

from scicap_builder.panels import split_caption


def parts(caption: str) -> dict[str, str]:
    return {panel.letter: panel.caption for panel in split_caption(caption)}


@pytest.mark.parametrize(
    "caption",
    [
        "Two gardens. (a) Growth in spring. (b) Decay in autumn.",
        "Two gardens: (a) Growth in spring; (b) Decay in autumn.",
        "a) Growth in spring. b) Decay in autumn.",
        "a, Growth in spring. b, Decay in autumn.",
        "a Growth in spring. b Decay in autumn.",
        "Two gardens. a. Growth in spring. b. Decay in autumn.",
        "Two gardens: a - Growth in spring; b - Decay in autumn.",
        "Two gardens. Panel (a) Growth in spring. Panel (b) Decay in autumn.",
        "Growth in spring (a) and Decay in autumn (b).",
        "Two gardens. Growth in spring (a), Decay in autumn (b). Bars are errors.",
    ],
)
def test_every_way_to_mark_panels_gives_each_its_own_words(caption: str):
    assert {letter: text.rstrip(".") for letter, text in parts(caption).items()} == {
        "a": "Growth in spring",
        "b": "Decay in autumn",
    }


def test_ranges_and_lists_of_letters_share_their_words():
    found = parts("(A–C) Three mice. (D, E) Two rats. (F and G) Cats. (H)–(J) Dogs.")
    assert "".join(found) == "ABCDEFGHIJ"
    assert found["B"] == "Three mice."
    assert found["E"] == "Two rats."
    assert found["I"] == "Dogs."


@pytest.mark.parametrize(
    "caption",
    [
        "Growth of the colony over time.",
        "(a) Growth of the colony.",
        "We ask whether (1) it grows and (2) it lives.",
        "Growth of time (s) and mass (g).",
        "The same data as in Fig. 2(a) and Fig. 2(b).",
        "Growth from point b to c.",
        "A plot of growth. B cells are blue.",
        "Values at (x) and (y).",
    ],
)
def test_no_panels_rather_than_wrong_ones(caption: str):
    assert split_caption(caption) == ()


def test_a_letter_that_is_named_again_opens_no_new_part():
    found = parts("(a) Growth. (b) Decay of what (a) shows. Bars in (a) and (b) are errors.")
    assert found == {"a": "Growth.", "b": "Decay of what (a) shows. Bars in (a) and (b) are errors."}


def test_the_last_part_of_a_list_within_a_sentence_ends_with_it():
    assert parts("Histograms of (a) age, (b) height and (c) weight. Bars are errors.") == {
        "a": "age",
        "b": "height",
        "c": "weight.",
    }


def test_capitals_and_small_letters_are_two_forms():
    assert list(parts("(A) Mice with (i) tails. (B) Rats. (C) Cats (a).")) == ["A", "B", "C"]
