"""Figures of a paper in the order of their numbers."""

import random

import pytest

from scicap_builder.figure_order import by_number


def order(*numbers: str) -> list[str]:
    return by_number(numbers, numbers)


@pytest.mark.parametrize(
    "numbers",
    [
        [str(number) for number in range(1, 13)],
        ["1.1", "1.2", "1.10", "2.1", "10.1"],
        ["I", "II", "III", "IV", "V", "IX", "X", "XI"],
        ["1", "2", "2-S1", "2-S2", "3", "3-S1", "10"],
        ["1", "2", "10", "ED1", "ED2", "A.1", "A.2", "B.1", "S1", "S2", "S10"],
    ],
)
def test_numbers_of_every_spelling_are_ordered(numbers: list[str]):
    for seed in range(20):
        mixed = numbers.copy()
        random.Random(seed).shuffle(mixed)
        assert order(*mixed) == numbers


def test_figures_without_a_number_stay_where_they_are():
    assert order("3", "", "1", "?", "2") == ["1", "", "2", "?", "3"]


def test_schemes_are_counted_on_their_own():
    assert order("2", "Scheme 2", "1", "Scheme 1") == ["1", "Scheme 1", "2", "Scheme 2"]


def test_a_supplement_that_counts_from_1_again_stays_behind():
    items = ["main 1", "main 3", "main 2", "more 1", "more 3", "more 2", "more 4"]
    ordered = by_number(items, [item.split()[1] for item in items])
    assert ordered == ["main 1", "main 2", "main 3", "more 1", "more 2", "more 3", "more 4"]


def test_figures_of_one_number_keep_their_order():
    items = ["1", "3 first", "3 second", "2"]
    assert by_number(items, [item.split()[0] for item in items]) == ["1", "2", "3 first", "3 second"]
