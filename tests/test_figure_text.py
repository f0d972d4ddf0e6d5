import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import InputError
from llava_graph.figure_text import distinct, rank, write
from llava_graph.misreading import misread
from llava_graph.prompt import PromptOptions, about_tokens, render_context
from llava_graph.record import OCR_ROLES, Figure, OcrLine


def line(text: str, role: str = "other", box=(0.1, 0.1, 0.3, 0.2), **more) -> OcrLine:
    return OcrLine(text=text, role=role, box=box, **more)


X_TICKS = [line(str(n), "x-tick", (n / 100, 0.9, n / 100 + 0.02, 0.94)) for n in range(0, 100, 10)]
Y_TICKS = [line(str(n), "y-tick", (0.02, 0.8 - n / 100, 0.06, 0.84 - n / 100)) for n in range(0, 80, 20)]
CHART = [
    line("Accuracy over time", "title", (0.3, 0.0, 0.7, 0.06)),
    line("accuracy", "y-axis", (0.0, 0.4, 0.03, 0.6), orientation=90),
    *Y_TICKS,
    line("ours", "legend", (0.8, 0.1, 0.9, 0.14)),
    *X_TICKS,
    line("epoch", "x-axis", (0.45, 0.95, 0.55, 0.99)),
    line("smudge", "annotation", confidence=0.3),
]
lines_of_any_kind = st.lists(
    st.builds(
        line,
        st.text("ab1 ", min_size=1, max_size=6),
        st.sampled_from(OCR_ROLES),
        confidence=st.floats(0, 1),
        panel=st.sampled_from(["", "a", "b"]),
    ),
    max_size=12,
)


def test_boxes_are_written_by_role_with_places_in_per_cent():
    assert write(CHART, "boxes").splitlines() == [
        "title: Accuracy over time [30 0 70 6]",
        "x-axis: epoch [45 95 55 99]",
        "x-tick: 0 [1], 10 [11], 20 [21], 30 [31], 40 [41], 50 [51], 60 [61], 70 [71], 80 [81], 90 [91]",
        "y-axis: accuracy [0 40 3 60]",
        "y-tick: 0 [82], 20 [62], 40 [42], 60 [22]",
        "legend: ours [80 10 90 14]",
        "annotation: smudge [10 10 30 20]",
    ]


def test_panels_are_written_one_after_the_other():
    text = write([line("t", "x-axis", panel="b"), line("v", "x-axis", panel="a"), line("Both", "title")], "boxes")
    assert [row.split(":")[0] for row in text.splitlines()] == ["title", "(a) x-axis", "(b) x-axis"]


def test_the_words_style_is_what_the_first_models_were_trained_with():
    assert write([line("0", "tick"), line("epoch", "x-axis"), line("peak"), line("5", "y-tick")], "words") == (
        "x-axis: epoch | peak | 0 | 5"
    )


def test_names_are_worth_most_then_words_then_the_ends_of_scales_and_unsure_lines_least():
    ranked = [item.text for item in rank(CHART)]
    assert ranked[:4] == ["Accuracy over time", "epoch", "accuracy", "ours"]
    assert set(ranked[4:8]) == {"0", "60", "90"}
    assert ranked[-1] == "smudge"


def test_a_short_budget_keeps_scales_readable():
    figure = Figure(id="a", ocr=tuple(CHART))
    whole = render_context(figure, PromptOptions())
    shorter = render_context(figure, PromptOptions(max_context_tokens=about_tokens(whole) - 25))
    for kept in ("epoch", "accuracy", "ours", " 0 [1]", " 90 [91]", " 0 [82]", " 60 [22]"):
        assert kept in shorter
    assert "smudge" not in shorter
    assert len(shorter) < len(whole)


@given(lines_of_any_kind)
def test_ranking_and_writing_lose_and_invent_nothing(lines):
    kept = distinct(lines)
    assert sorted(map(id, rank(kept))) == sorted(map(id, kept))
    text = write(kept, "boxes")
    assert text.count("[") == len(kept)
    for item in kept:
        assert " ".join(item.text.split()) in text


@given(lines_of_any_kind, st.integers(0, 60), st.sampled_from(["boxes", "words"]))
def test_the_budget_holds_in_every_style(lines, budget, style):
    options = PromptOptions(ocr_style=style, max_context_tokens=budget)
    assert about_tokens(render_context(Figure(id="a", ocr=tuple(lines)), options)) <= budget


def test_the_same_text_is_told_once():
    twice = [line("ours", "legend"), line("ours ", "legend", (0.5, 0.5, 0.6, 0.6)), line("ours", "annotation")]
    assert [item.role for item in distinct(twice)] == ["legend", "annotation"]


def test_an_unknown_style_names_the_known():
    with pytest.raises(InputError, match="Did you mean 'boxes'"):
        PromptOptions(ocr_style="boxs")


def test_misread_text_is_a_function_of_its_seed_and_loses_about_its_rate():
    lines = [line(f"value {n}.50", "annotation") for n in range(2000)]
    once, again = (misread(lines, 0.3, random.Random("7/0/fig")) for _ in range(2))
    assert once == again
    assert once != misread(lines, 0.3, random.Random("7/1/fig"))
    assert misread(lines, 0.0, random.Random(1)) == tuple(lines)
    texts = {item.text for item in lines}
    wrong = [item for item in once if item.text not in texts]
    lost = len(lines) - len(once)
    assert 0.10 < lost / len(lines) < 0.20
    assert 0.08 < len(wrong) / len(lines) < 0.20
    assert all(item.value is None and item.confidence <= 0.95 for item in wrong)
