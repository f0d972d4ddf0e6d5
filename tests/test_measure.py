"""Intervals and paired tests: of means and of scores that are no means."""

import math
import random
from dataclasses import replace
from functools import partial

import pytest

from llava_graph.evaluate.answered import CHOICE, CLOSED, LABEL, OPEN, Item, Pair
from llava_graph.evaluate.bleu import bleu_counts, corpus_bleu
from llava_graph.evaluate.measure import STRICT, Measure, compare, interval, intervals, mean, ratio
from llava_graph.evaluate.measures import BY_KIND, labels, measure_all
from llava_graph.record import Figure


def test_a_measure_is_a_function_of_sums_and_bleu_of_a_corpus_is_no_mean():
    rows = {
        "a": bleu_counts(["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        "b": bleu_counts(["a", "b", "c"], ["x", "y", "z"]),
    }
    one = Measure(name="BLEU-1", flavour=STRICT, rows=rows, of_sums=partial(corpus_bleu, order=1))
    assert one.value == pytest.approx(4 / 7)
    assert interval(one, {"a": "f", "b": "g"}).low < 4 / 7 < interval(one, {"a": "f", "b": "g"}).high


def test_nothing_to_score_is_none_and_no_zero():
    assert mean("x", STRICT, {}).value is None
    assert interval(mean("x", STRICT, {}), {}) is None
    assert compare(mean("x", STRICT, {"a": 1}), mean("x", STRICT, {"b": 1}), {"a": "a", "b": "b"}) is None


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Of 200 samples of 60 coin throws, 95 % intervals hold 0.5 in nine of ten and more."""
    throw = random.Random(3)
    held = 0
    for _ in range(200):
        values = {str(number): float(throw.random() < 0.5) for number in range(60)}
        ends = interval(mean("x", STRICT, values), {name: name for name in values}, resamples=200)
        held += ends.low <= 0.5 <= ends.high
    assert 0.90 <= held / 200 <= 0.99


def test_questions_of_one_figure_do_not_make_an_interval_narrower():
    values = {f"{figure}/{turn}": float(figure % 2) for figure in range(20) for turn in range(5)}
    single = interval(mean("x", STRICT, values), {name: name for name in values})
    grouped = interval(mean("x", STRICT, values), {name: name.partition("/")[0] for name in values})
    assert grouped.high - grouped.low > 1.8 * (single.high - single.low)


def test_paired_test_sees_what_intervals_of_each_run_do_not():
    throw = random.Random(4)
    first = {str(number): throw.random() for number in range(50)}
    second = {name: value + 0.02 + 0.01 * throw.random() for name, value in first.items()}
    groups = {name: name for name in first}
    one, other = mean("x", STRICT, first), mean("x", STRICT, second)
    assert interval(one, groups).high > interval(other, groups).low
    told = compare(one, other, groups)
    assert told.p_value < 0.01
    assert told.interval.low > 0
    assert told.items == 50


def test_scores_that_share_their_draws_have_the_intervals_they_have_alone():
    groups = {str(n): str(n // 2) for n in range(12)}
    some = [
        mean("a", STRICT, {str(n): n % 3 for n in range(12)}),
        ratio("b", STRICT, {str(n): (n, n + 1) for n in range(12)}),
        mean("of fewer groups", STRICT, {str(n): n for n in range(7)}),
        mean("of one", STRICT, {"0": 1, "1": 2}),
        mean("of none", STRICT, {}),
    ]
    alone = [interval(one, groups, resamples=100) for one in some]
    assert alone[3:] == [None, None]
    for one, other in zip(alone[:3], intervals(some, groups, resamples=100)[:3], strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_equal_runs_do_not_differ():
    same = mean("x", STRICT, {str(number): number % 3 / 2 for number in range(30)})
    told = compare(same, same, {name: name for name in same.rows})
    assert (told.value, told.p_value) == (0, 1)


def item(name, reference, kind, question="What?"):
    return Item(id=name, figure=Figure(id=name), question=question, reference=reference, kind=kind)


def test_macro_f1_by_hand():
    """normal: 1 of 2 found, 1 said; tumour: 1 of 1 found, 1 said; one answer names nothing."""
    pairs = [
        Pair(item=item("a", "normal", LABEL), text="It is normal."),
        Pair(item=item("b", "normal", LABEL), text="cannot say"),
        Pair(item=item("c", "tumour", LABEL), text="tumour"),
    ]
    scores = {one.key: one.value for one in labels(pairs)}
    assert scores["strict/accuracy"] == pytest.approx(2 / 3)
    assert scores["strict/macro F1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["strict/micro F1"] == pytest.approx(2 * 2 / (2 + 3))
    assert scores["strict/label not read"] == pytest.approx(1 / 3)
    assert [scores[f"strict/{name}: normal"] for name in ("precision", "recall", "F1")] == pytest.approx(
        [1, 1 / 2, 2 / 3]
    )
    assert scores["published/accuracy"] == pytest.approx(1 / 3)
    assert scores["published/micro F1"] == pytest.approx(2 * 1 / (1 + 3))
    assert scores["published/macro F1"] == pytest.approx((0 + 1) / 2)
    assert scores["published/answers on which the script stops"] == pytest.approx(2 / 3)


def test_a_class_that_no_answer_names_has_no_precision():
    """It is none, not 0; recall and F1 are 0, and the macro F1 counts them."""
    pairs = [Pair(item=item("a", "normal", LABEL), text="tumour"), Pair(item=item("b", "tumour", LABEL), text="tumour")]
    scores = {one.key: one.value for one in labels(pairs)}
    assert scores["strict/precision: normal"] is None
    assert (scores["strict/recall: normal"], scores["strict/F1: normal"]) == (0, 0)
    assert scores["strict/macro F1"] == pytest.approx((0 + 2 / 3) / 2)


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("text", ["", " \n", "…"])
def test_answers_without_a_word_are_scored_in_every_kind_and_are_never_better_than_the_reference(kind, text):
    reference = "B: the left lung" if kind == CHOICE else "yes" if kind == CLOSED else "the left lung, 12 mm"
    question = "Where?\nA: the heart\nB: the left lung"
    pairs = [Pair(item=item(name, reference, kind, question), text=text) for name in ("a", "b")]
    right = [replace(pair, text=reference) for pair in pairs]
    empty, best = ({one.key: one for one in measure_all(some)} for some in (pairs, right))
    assert set(empty) == set(best)
    for key, one in empty.items():
        assert all(math.isfinite(number) for row in one.rows.values() for number in row), key
        if not key.endswith(TOLD_APART):
            assert (one.value or 0) <= (1e-9 if key not in FAVOURS_NOTHING else 1), key


TOLD_APART = ("not read", "without yes or no", "the script stops")
"""Shares of answers that say nothing."""
FAVOURS_NOTHING = ("published/closed accuracy, Quilt",)
"""To Quilt-LLaVA's script the empty answer says yes."""


def test_an_empty_answer_scores_and_counts():
    pairs = [
        Pair(item=item("a", "left lung", OPEN), text="left lung"),
        Pair(item=item("b", "left lung", OPEN), text=""),
    ]
    scores = {one.key: (one.value, len(one.rows)) for one in measure_all(pairs)}
    assert scores["strict/open exact match"] == (0.5, 2)
    assert scores["published/open recall"] == (0.5, 2)
    assert replace(pairs[0].item).mark == pairs[0].item.mark
