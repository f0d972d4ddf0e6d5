"""What a reader can ask for: requests in sections, answers read back, questions that suit the figure."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.asking import (
    LENGTHS,
    LEVELS,
    MAX_SUGGESTIONS,
    TITLES,
    Ask,
    headings,
    is_medical,
    request,
    sections_of,
    suggested_questions,
)
from llava_graph.errors import InputError
from llava_graph.prompt import EXPLAIN_REQUESTS, LLAVA_GRAPH_REQUESTS, MAX_QUESTION_CHARS, PromptOptions
from llava_graph.record import Figure, OcrLine, Panel

CHART = Figure(id="a", kind="chart", caption="Loss of IIPS over training.", mentions=("As Figure 1 shows, it falls.",))


def line(text: str, role: str, value: float | None = None) -> OcrLine:
    return OcrLine(text=text, role=role, box=(0, 0, 0.1, 0.1), value=value)


def parts(answer: str, **options) -> list[tuple[str, str]]:
    return [(part.title, answer[part.start : part.end].strip()) for part in sections_of(answer, **options)]


def test_every_choice_is_a_request_of_its_own_that_a_model_takes():
    asked = {
        request(Ask(level=level, length=length, sections=sections), CHART)
        for level in LEVELS
        for length in LENGTHS
        for sections in (True, False)
    }
    assert len(asked) == len(LEVELS) * len(LENGTHS) * 2
    assert all(len(text) < MAX_QUESTION_CHARS / 4 for text, _ in asked)
    assert [Ask(length=length).max_new_tokens for length in LENGTHS] == sorted(
        Ask(length=length).max_new_tokens for length in LENGTHS
    )


def test_what_the_paper_claims_is_asked_only_where_a_word_of_the_paper_is_given():
    titles = [heading.title for heading in headings(CHART)]
    assert titles == ["What is plotted", "How to read it", "What the paper claims", "Caveats"]
    bare = Figure(id="a", kind="chart")
    hidden = PromptOptions(caption=False)
    for figure, options in ((bare, PromptOptions()), (CHART, hidden)):
        assert "claims" not in [heading.key for heading in headings(figure, options)]
        assert "What the paper claims" not in request(Ask(), figure, options)[0]
    assert "claims" in [heading.key for heading in headings(CHART, PromptOptions(caption=False, mentions=True))]


def test_an_image_of_a_patient_is_described_and_never_judged():
    scan = Figure(id="a", kind="radiograph", caption="Axial CT.")
    text, _ = request(Ask(level="lay"), scan)
    assert is_medical(scan)
    assert "do not diagnose" in text
    assert "How to read it" not in text
    assert [heading.title for heading in headings(scan)] == ["What is shown", "What the text says", "Limits"]


def test_a_model_that_follows_no_instructions_gets_a_request_of_its_training():
    for level in LEVELS:
        text, tokens = request(Ask(level=level), CHART, instructions=False)
        assert text in EXPLAIN_REQUESTS
        assert tokens is None
        historic = PromptOptions(style="llava_graph")
        assert request(Ask(level=level), CHART, historic)[0] in LLAVA_GRAPH_REQUESTS


def test_a_wrong_level_or_length_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="expert"):
        Ask(level="experts")
    with pytest.raises(InputError, match="unknown length"):
        Ask(length="9")


@pytest.mark.parametrize(
    "written",
    [
        "## {}\nText.",
        "#{}\nText.",
        "### 1. {}\n\nText.",
        "**{}**\nText.",
        "**{}:** Text.",
        "**{}**: Text.",
        "__{}__\n\nText.",
        "1. **{}** – Text.",
        "- **{}:** Text.",
        "{}:\nText.",
        "{}\nText.",
        "  {} — Text.",
        "### **{}**\nText.",
    ],
)
def test_titles_are_known_in_every_dress(written):
    titles = ["What is plotted", "How to read it", "Caveats"]
    for case in (str, str.upper, str.capitalize):
        answer = "\n\n".join(written.format(case(title)) for title in titles)
        assert parts(answer) == [(title, "Text.") for title in titles]


@pytest.mark.parametrize(
    "answer",
    [
        "It shows a line.",
        "What is plotted here is the loss.\nCaveats apply.",
        "How to read it depends.",
        "",
        "**Caveats** are few.",
    ],
)
def test_a_sentence_that_begins_like_a_title_is_none(answer):
    assert parts(answer) == ([("", answer)] if answer else [])


PIECES = st.lists(
    st.one_of(
        st.sampled_from([*TITLES, "What is", "Caveats apply.", "The loss falls to 0.5.", "- a\n- b", "word"]).flatmap(
            lambda text: st.sampled_from(["{}", "## {}", "**{}**", "**{}:** x", "{}:", "1. {}", "# {} too"]).map(
                lambda dress: dress.format(text)
            )
        ),
        st.text(alphabet="aW#*:-–. \n", max_size=6),
    ),
    max_size=6,
)


@given(PIECES, st.sampled_from(["\n", "\n\n", " "]))
def test_a_growing_answer_only_ever_grows(pieces, between):
    answer = between.join(pieces)
    whole = [(part.title, answer[part.start : part.end]) for part in sections_of(answer)]
    before = 0
    for length in range(len(answer) + 1):
        sofar = sections_of(answer[:length], complete=False)
        shown = [(part.title, answer[part.start : part.end]) for part in sofar]
        assert [title for title, _ in shown] == [title for title, _ in whole][: len(shown)]
        assert all(text.startswith(part) for (_, part), (_, text) in zip(shown, whole, strict=False))
        assert len(shown) >= before
        before = len(shown)


def test_questions_name_what_stands_in_the_figure():
    ocr = (line("ours", "legend"), line("baseline", "legend"), line("0", "x-tick", 0), line("50", "x-tick", 50))
    figure = Figure(
        id="a",
        kind="chart",
        caption="Loss of IIPS (a) early and (b) late.",
        ocr=(*ocr, line("Loss", "y-axis")),
        panels=(Panel(letter="a"), Panel(letter="b")),
        mentions=("The iterated image prior search (IIPS) falls.",),
    )
    asked = suggested_questions(figure)
    assert "Which of “ours” and “baseline” is highest at the end?" in asked
    assert "What is the difference between panels (a) and (b)?" in asked
    assert "What does “Loss” on the y-axis mean?" in asked
    assert len(asked) == MAX_SUGGESTIONS
    assert suggested_questions(figure) == asked
    assert asked[0] not in suggested_questions(figure, [f"  {asked[0].upper()} "])


@pytest.mark.parametrize(
    "bad", ["alpha = 1, beta = 2", "(mean)", "10 20 30 a", "0.5 / 1.5 / 2.5 s", "ours, then theirs"]
)
def test_a_name_that_cannot_be_read_in_a_question_is_left_out(bad):
    asked = suggested_questions(
        Figure(id="a", kind="chart", ocr=tuple(line(text, "legend") for text in ("ours", bad, "base")))
    )
    assert not [question for question in asked if bad in question]
    assert "Which of the series is highest?" in asked
    assert "How do “ours” and “base” differ?" in asked


def test_at_most_four_names_stand_in_a_question():
    def first(count: int) -> str:
        ocr = tuple(line(f"Model-{number}", "legend") for number in range(count))
        return suggested_questions(Figure(id="a", kind="chart", ocr=ocr))[0]

    assert first(4) == "Which of “Model-0”, “Model-1”, “Model-2” and “Model-3” is highest?"
    assert first(5) == "Which of the series is highest?"


def test_an_abbreviation_is_asked_for_unless_the_caption_explains_it():
    def about(caption: str, *mentions: str) -> str:
        return " ".join(suggested_questions(Figure(id="a", caption=caption, mentions=mentions)))

    assert "What does IIPS mean here?" in about("Loss of IIPS.")
    assert "IIPS mean" not in about("Loss of the iterated prior search (IIPS).")
    assert "QRS mean" in about("Loss of ABC and QRS.", "The quick risk score (QRS) is low.")
    assert "DNA mean" not in about("Yield of DNA.")


@given(
    st.text(max_size=40),
    st.lists(st.text(max_size=20), max_size=6),
    st.sampled_from(["", "chart", "diagram", "pathology"]),
)
def test_any_figure_has_some_questions_and_none_twice(caption, texts, kind):
    roles = ("legend", "y-axis", "x-axis", "panel", "other")
    ocr = tuple(line(text, roles[number % len(roles)]) for number, text in enumerate(texts))
    asked = suggested_questions(Figure(id="a", caption=caption, ocr=ocr, kind=kind))
    assert 1 <= len(asked) <= MAX_SUGGESTIONS
    assert len(set(asked)) == len(asked)
    assert not any(re.search(r"\n", question) for question in asked)
