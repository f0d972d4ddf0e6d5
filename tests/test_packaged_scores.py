"""The packaged model's evaluation: a reader who answers as the charts were made is right everywhere, others are not."""

import pytest

from benchmarks import packaged_items
from benchmarks.overlap import bleu, cider
from benchmarks.packaged_baselines import BASELINES
from benchmarks.packaged_items import drawn_items
from benchmarks.packaged_scores import merged, names_f1, plain_name, said_course, said_kind, score_item
from scicap_builder.charts import CorpusOptions

WRONG_WHEN_HIGH = ("unsupported numbers", "refuses wrongly", "declines charts")


@pytest.fixture(scope="module")
def items():
    packaged_items.SETS["texts"] = CorpusOptions(images=False)  # the same questions, no drawing
    try:
        return drawn_items("texts", 80)
    finally:
        del packaged_items.SETS["texts"]


def perfect(item):
    return [item.figure.first_mention, *(question.answer for question in item.questions[1:])]


def shares(items, answer):
    found = merged(score_item(item, answer(item)) for item in items)
    return {name: sum(values) / len(values) for name, values in found.items()}


def test_true_answers_are_right(items):
    scores = shares(items, perfect)
    for name, share in scores.items():
        if name in WRONG_WHEN_HIGH:
            assert share == 0, name
        elif not name.startswith("value"):  # values are told at the precision of the axis
            assert share >= 0.95, name
    assert scores["value 10 %"] > 0.9


def test_silence_is_right_nowhere(items):
    scores = shares(items, lambda item: [""] * len(item.questions))
    assert all(share == 0 for share in scores.values())


def test_other_charts_answers_are_mostly_wrong(items):
    charts = [item for item in items if item.plate is not None]
    answers = {one.figure.id: perfect(other) for one, other in zip(charts, charts[1:] + charts[:1], strict=True)}

    def answer(item):
        return (answers[item.figure.id] * 20)[: len(item.questions)]

    scores = shares(charts, answer)
    for name in ("axes F1", "series F1", "trend", "highest, lowest", "value 10 %", "crossing"):
        assert scores[name] < 0.4, name


def test_baselines_answer_every_question(items):
    for name, answer in BASELINES.items():
        assert all(len(answer(item)) == len(item.questions) for item in items), name
    assert shares(items, BASELINES["template of names"])["axes F1"] > 0.5


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("This is a grouped bar chart.", "bar"), ("A box-and-whisker plot of x.", "box"), ("a plot of ROC curves", "roc"),
        ("a line chart with error bars", "line"), ("precision-recall curves", "pr"), ("I do not know.", ""),
    ],
)  # fmt: skip
def test_said_kind(answer, kind):
    assert said_kind(answer) == kind


@pytest.mark.parametrize(
    ("answer", "course"),
    [
        ("It rises to a peak and then falls.", "peak"), ("It drops quickly and then levels off.", "down"),
        ("No trend of y with x can be seen.", "none"), ("It stays nearly constant.", "flat"), ("Hm.", ""),
    ],
)  # fmt: skip
def test_said_course(answer, course):
    assert said_course(answer) == course


def test_names_are_compared_without_units_and_case():
    assert plain_name("Flow rate (mL/min).") == "flow rate"
    assert names_f1("The x-axis shows flow rate (mL/min).", ["Flow rate"]) == 1
    assert names_f1("The chart compares A, B and C.", ["A", "B"]) == pytest.approx(0.8)
    assert names_f1("The chart compares D.", ["A", "B"]) == 0


def test_overlap_is_full_for_the_same_text_and_none_for_another():
    texts = ["the mean rises with time for the two groups", "a bar chart of costs in four cities"]
    assert [bleu(text, text) for text in texts] == pytest.approx([1, 1])
    assert bleu(texts[0], texts[1]) == 0
    assert cider(texts, texts) == pytest.approx([10, 10])
    assert cider(texts[::-1], texts) == [0, 0]
