import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import InputError, SampleRefused
from llava_graph.prompt import (
    LLAVA_GRAPH_REQUESTS,
    MAX_QUESTION_CHARS,
    PromptOptions,
    about_tokens,
    build_messages,
    build_sample,
    explain_request,
    render_context,
)
from llava_graph.record import Figure, OcrLine, Paper, Table, Turn


def line(text: str, role: str = "other") -> OcrLine:
    return OcrLine(text=text, box=(0, 0, 1, 1), role=role)


FIGURE = Figure(
    id="arxiv:1801.01974v2#fig10",
    image=b"pixels",
    label="Figure 10",
    caption="IIPS over time.",
    ocr=(line("0.5", "tick"), line("time (s)", "x-axis"), line("peak")),
    mentions=("Figure 10 shows the rise.", "Later, Figure 10 falls."),
    paper=Paper(id="arxiv:1801.01974v2", title="On IIPS", abstract="We measure IIPS."),
    table=Table(header=("t", "IIPS"), rows=(("0", "1"), ("1", "2"))),
)
EVERYTHING = PromptOptions(title=True, abstract=True, mentions=True)


def text_of(messages) -> str:
    return "".join(part.get("text", "<image>") for message in messages for part in message["content"])


def test_the_prompt_shows_what_the_record_has_and_leaves_out_what_it_lacks():
    text = text_of(build_messages(FIGURE, "Why does it rise?", EVERYTHING))
    for piece in (
        "<image>",
        "Figure 10: IIPS over time.",
        "x-axis: time (s)",
        "On IIPS",
        "We measure",
        "t | IIPS",
        "shows the rise",
    ):
        assert piece in text
    assert text.endswith("Why does it rise?")
    assert text_of(build_messages(Figure(id="a", image=b"x"), "Why?")) == "<image>Why?"


def test_the_target_is_not_in_the_prompt_by_default():
    messages = build_sample(FIGURE)
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert "shows the rise" not in text_of(messages[:1])
    assert text_of(messages[1:]) == FIGURE.first_mention


@given(st.integers(0, 120))
def test_the_context_keeps_within_its_budget(budget):
    context = render_context(FIGURE, PromptOptions(title=True, abstract=True, mentions=True, max_context_tokens=budget))
    assert about_tokens(context) <= budget


def test_the_least_useful_goes_first_and_the_question_never():
    question = "What is the highest value of IIPS, and when is it reached? " * 20
    shown = []
    for budget in (100, 60, 40, 25, 15, 0):
        text = text_of(
            build_messages(
                FIGURE, question, PromptOptions(title=True, abstract=True, mentions=True, max_context_tokens=budget)
            )
        )
        assert text.endswith(question.strip())
        shown.append(
            [name for name in ("Paragraphs", "Abstract", "Text in", "Data table", "Paper:", "Caption") if name in text]
        )
    assert shown[0] == ["Paragraphs", "Abstract", "Text in", "Data table", "Paper:", "Caption"]
    for wider, narrower in itertools.pairwise(shown):
        assert wider[len(wider) - len(narrower) :] == narrower
    assert shown[-1] == []


def test_history_keeps_the_context_in_the_first_turn():
    history = (Turn(role="user", text="What is plotted?"), Turn(role="assistant", text="IIPS."))
    messages = build_messages(FIGURE, "And then?", history=history)
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "Caption" in text_of(messages[:1])
    assert text_of(messages[2:]) == "And then?"
    with pytest.raises(InputError, match="alternate"):
        build_messages(FIGURE, "And then?", history=history[:1])


@pytest.mark.parametrize(
    ("question", "said"), [("  ", "empty"), ("x" * 10_000, f"10000 characters, at most {MAX_QUESTION_CHARS}")]
)
def test_a_question_that_cannot_be_answered_whole_is_refused(question, said):
    with pytest.raises(InputError, match=said):
        build_messages(FIGURE, question)


def test_the_historic_prompt_is_byte_for_byte_the_published_one():
    messages = build_messages(FIGURE, None, PromptOptions(style="llava_graph"))
    request = explain_request(FIGURE.id, PromptOptions(style="llava_graph"))
    assert request in LLAVA_GRAPH_REQUESTS
    expected = (
        "OCR extracted text list, separated by ', ' : 0.5 time (s) peak, 0.5, time, (s), peak IIPS over time.<image>"
    )
    assert text_of(messages) == expected + request
    without = build_messages(FIGURE, None, PromptOptions(style="llava_graph", ocr=False))
    assert text_of(without) == "IIPS over time.<image>" + request


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        (Figure(id="a"), "no-target"),
        (Figure(id="a", turns=(Turn(role="user", text="q"),)), "bad-turns"),
        (Figure(id="a", turns=(Turn(role="assistant", text="q"), Turn(role="user", text="q"))), "bad-turns"),
        (Figure(id="a", turns=(Turn(role="user", text="q"), Turn(role="assistant", text=" "))), "no-target"),
    ],
)
def test_a_record_that_teaches_nothing_is_refused(figure, reason):
    with pytest.raises(SampleRefused) as caught:
        build_sample(figure)
    assert caught.value.reason == reason


def test_requests_vary_over_a_data_set_and_stay_the_same_for_a_figure():
    requests = {explain_request(f"arxiv:1801.0{n}v1#fig1") for n in range(1000, 1100)}
    assert len(requests) > 4
    assert explain_request("a") == explain_request("a")


def test_an_unknown_style_names_the_known():
    with pytest.raises(InputError, match="Did you mean 'llava_graph'"):
        PromptOptions(style="lava_graph")


def test_textvqa_is_asked_as_llava_is_byte_for_byte():
    """The form of llava_textvqa_val_v051_ocr.jsonl."""
    words = tuple(OcrLine(text=word, box=(0, 0, 1, 1)) for word in ("DAKOTA", "DIGITAL", "DAKOTA"))
    figure = Figure(id="t", caption="not shown", ocr=words)
    request = "what is the brand of this camera?\nAnswer the question using a single word or phrase."
    options = PromptOptions(style="textvqa")

    def asked(figure, options):
        return build_messages(figure, request, options)[0]["content"][-1]["text"]

    assert asked(figure, options) == (
        "what is the brand of this camera?\nReference OCR token: DAKOTA, DIGITAL, DAKOTA\n"
        "Answer the question using a single word or phrase."
    )
    assert asked(figure, replace(options, ocr=False)) == request
    assert "\nReference OCR token: \nAnswer" in asked(replace(figure, ocr=()), options), (
        "as the file has images without words"
    )
    many = replace(figure, ocr=words * 400)
    assert len(asked(many, options).split()) < 600
    assert asked(many, options).endswith("phrase.")
