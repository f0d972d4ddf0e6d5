"""What in a figure's texts bears out an answer: sentences, supports, numbers and names that stand nowhere."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.evidence import Mark, Sentence, Support, evidence
from llava_graph.evidence.found import MARKS, SOURCES, VERDICTS
from llava_graph.evidence.sentences import sentences
from llava_graph.evidence.words import stem
from llava_graph.markdown import blocks_of
from llava_graph.record import Figure, OcrLine, Table

FIRST = "Training was run on two clusters. As Figure 2 shows, the error of ours falls to 12.5 % after 40 epochs, Ångström et al. say."
SECOND = "The baseline converges slowly and stays at 0.31, which confirms earlier work."
FIGURE = Figure(
    id="a",
    label="Figure 2",
    caption="Validation error over the number of training epochs for ours and the baseline.",
    mentions=(FIRST, SECOND),
    ocr=(
        OcrLine(text="Validation error (%)", box=(0, 0, 0.1, 1), role="y-axis"),
        OcrLine(text="epoch", box=(0, 0.9, 1, 1), role="x-axis"),
        OcrLine(text="IIPS-Net", box=(0.5, 0, 0.9, 0.1), role="legend"),
        OcrLine(text="60", box=(0, 0.5, 0.1, 0.6), role="y-tick", value=60),
    ),
    table=Table(header=("model", "memory"), rows=(("ours", "7.25"), ("baseline", "9.5"))),
)


def judged(text: str, figure: Figure = FIGURE) -> Sentence:
    [sentence] = evidence(text, figure)
    return sentence


def told(text: str, figure: Figure = FIGURE) -> list[tuple[str, str]]:
    return [(text[mark.start : mark.end], mark.kind) for one in evidence(text, figure) for mark in one.marks]


def split(text: str, **options) -> list[str]:
    return [text[start:end] for start, end in sentences(text, **options)]


def test_a_sentence_in_other_words_is_supported_by_the_place_that_says_it():
    sentence = judged("After 40 epochs ours has an error that decreased to 12.5%.")
    assert sentence.verdict == "supported"
    [support] = [one for one in sentence.supports if one.source == "paragraph"]
    assert support.index == 0
    assert FIRST[support.start : support.end].startswith("As Figure 2 shows")
    assert judged("It compares the validation error of the baseline with ours.").supports[0].source == "caption"


def test_what_stands_in_the_figure_is_found_by_its_line():
    sentence = judged("The y-axis shows the validation error and the x-axis the epoch.")
    assert sentence.verdict == "supported"
    assert {one.index for one in sentence.supports if one.source == "figure text"} == {0, 1}
    assert judged("The x-axis is the epoch.").supports == (Support("figure text", 1),)
    assert Support("figure text", 2) in judged("The curve of IIPS-Net is drawn, too.").supports


def test_a_tick_bears_out_its_number_as_it_was_read_and_no_value_near_it():
    tick = OcrLine(text="4 000", box=(0, 0, 0.1, 0.1), role="x-tick", value=4000)
    figure = replace(FIGURE, ocr=(*FIGURE.ocr, tick))
    assert told("The x-axis runs to 4000 and the y-axis to 60.", figure) == []
    assert told("It ends at about 4100, near 62, or at about 61.", figure) == [
        ("4100", "number"),
        ("62", "number"),
        ("61", "number"),
    ]


def test_a_row_of_the_table_bears_out_its_numbers():
    assert not told("The memory of ours is 7.25.")
    assert Support("table", 1) in judged("The memory of ours is 7.25.").supports


def test_what_the_text_does_not_speak_of_is_not_found():
    sentence = judged("Dashed vertical rules separate winter measurements from summer ones.")
    assert (sentence.verdict, sentence.supports) == ("not found", ())


@pytest.mark.parametrize("text", ["Certainly!", "Here it is.", "The figure shows a chart."])
def test_where_nothing_is_claimed_nothing_is_judged(text):
    assert judged(text).verdict == "no claim"


@pytest.mark.parametrize(
    ("written", "stands"),
    [
        ("12.5 %", True),
        ("12.50%", True),
        ("0.125", True),
        ("13 %", False),
        ("about 13 %", True),
        ("12.9 %", False),
        ("about 17 %", False),
        ("1.25 × 10⁻¹", True),
    ],
)
def test_numbers_are_equal_as_far_as_their_digits_tell(written, stands):
    text = f"After 40 epochs the error of ours falls to {written} there."
    assert told(text) == ([] if stands else [(written.removeprefix("about "), "number")])
    assert (judged(text).verdict == "supported") == stands


def test_a_number_that_stands_in_another_matter_does_not_count():
    assert told("The baseline converges slowly and stays at 12.5.") == [("12.5", "number")]


def test_a_name_that_stands_nowhere_is_marked_and_spellings_do_not_matter():
    assert told("The validation error of ResNet over training epochs is shown.") == [("ResNet", "name")]
    assert not told("The validation error of IIPSNet over training epochs is shown.")
    assert told("In the legend O. sanctum stands for ours and the baseline.") == [("sanctum", "name")]
    assert told("They call this “graceful forgetting” of the baseline.") == [("graceful forgetting", "name")]


def test_an_opposite_is_no_support():
    [sentence] = evidence("The error of ours rises to 12.5 % after 40 epochs.", FIGURE)
    assert sentence.verdict == "partly"
    assert [(sentence.text[mark.start : mark.end], mark.kind, mark.note) for mark in sentence.marks] == [
        ("rises", "opposite", "falls")
    ]


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("At lower load the error is lower, with fewer lost packets.", ["lower", "lower", "fewer"]),
        ("At higher load the error is higher, with more lost packets.", []),
        ("More packets are lost and the error is higher at higher load.", []),
        ("With fewer lost packets the error is higher at higher load.", ["fewer"]),
        ("Lower load has a lower error.", ["Lower"]),
    ],
)
def test_a_direction_is_compared_with_that_of_the_same_word(said, marked):
    figure = Figure(id="b", caption="At higher load the error is higher, with more lost packets and lower memory.")
    assert [text for text, _ in told(said, figure)] == marked


def test_a_denied_claim_is_no_support():
    assert judged("The error of ours does not fall to 12.5 % after 40 epochs.").verdict == "partly"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("See Fig. 3 and Eq. 2. It is e.g. 3.5 %!", ["See Fig. 3 and Eq. 2.", "It is e.g. 3.5 %!"]),
        ("Smith et al. (2010) say so. J. Smith agrees.", ["Smith et al. (2010) say so.", "J. Smith agrees."]),
        ("It is shown by Smith et al. The line falls.", ["It is shown by Smith et al.", "The line falls."]),
        ("In panel A. The rest.", ["In panel A.", "The rest."]),
        ("It ends.[12,13] The rest.3 And more.", ["It ends.[12,13]", "The rest.3", "And more."]),
        ("- one. Two\n- three\n  goes on\n\n1. four", ["one.", "Two", "three\n  goes on", "four"]),
        ("## What. Is\n**Bold:**\nText.\n---\n```\nCode. Code.\n```\n", ["Text."]),
        ("| a. B | c |\n|---|---|\n| 1 | 2 |", ["| a. B | c |", "| 1 | 2 |"]),
        ("With $a. B$ and `x. Y` it ends. “So.” It is.", ["With $a. B$ and `x. Y` it ends.", "“So.”", "It is."]),
        ("wrapped\nlines. end", ["wrapped\nlines. end"]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, parts):
    assert split(text) == parts


def test_titles_of_sections_are_no_sentences_and_places_are_those_of_the_answer():
    text = "## What is plotted\nThe validation error.\n\n**Caveats:** It stays at 0.99."
    found = evidence(text, FIGURE)
    assert [sentence.text for sentence in found] == ["The validation error.", "It stays at 0.99."]
    assert told(text) == [("0.99", "number")]


LIVELY = st.text(alphabet="aB.! \n#*-|`$(“”[]0123456789%ü–", max_size=60)


@given(LIVELY | st.text(max_size=60), LIVELY)
def test_any_answer_over_any_text_gives_places_inside_it(answer, caption):
    figure = replace(FIGURE, caption=caption, mentions=(answer,))
    last = 0
    for sentence in evidence(answer, figure):
        assert last <= sentence.start < sentence.end <= len(answer)
        assert answer[sentence.start : sentence.end] == sentence.text
        assert sentence.verdict in VERDICTS
        last = sentence.end
        for mark in sentence.marks:
            assert sentence.start <= mark.start < mark.end <= sentence.end
            assert mark.kind in MARKS
        for support in sentence.supports:
            assert support.source in SOURCES
            source = {"caption": caption, "paragraph": answer}.get(support.source, "")
            assert 0 <= support.start <= support.end <= len(source)


WORDY = st.lists(
    st.sampled_from(
        [
            "It falls.",
            "As Fig. 3",
            "shows",
            "12.5 %.",
            "\n\n",
            "\n- item",
            "et al.",
            "The error",
            "## Caveats\n",
            "stays at 0.31.",
        ]
    ),
    max_size=10,
).map(" ".join)


@given(WORDY)
def test_what_was_judged_while_an_answer_grows_stays(answer):
    whole = evidence(answer, FIGURE)
    for length in range(len(answer) + 1):
        assert set(evidence(answer[:length], FIGURE, complete=False)) <= set(whole)


@given(WORDY)
def test_a_text_bears_itself_out(answer):
    figure = replace(FIGURE, caption="", ocr=(), table=None, mentions=(answer,))
    assert {one.verdict for one in evidence(answer, figure)} <= {"supported", "no claim"}
    assert not told(answer, figure)


def test_nothing_given_supports_nothing():
    assert told("It rises to 5.", Figure(id="b")) == [("5", "number")]
    assert judged("Accuracy rises with training epochs.", Figure(id="b")) == Sentence(
        0, 36, "Accuracy rises with training epochs.", "not found"
    )
    assert isinstance(evidence("It is 5.", Figure(id="b"))[0].marks[0], Mark)


def test_stems_join_forms_and_keep_words_apart():
    for forms in (
        ("cluster", "clusters", "clustered", "clustering"),
        ("study", "studies"),
        ("cell", "cells"),
        ("stable", "stabled"),
    ):
        assert len({stem(form) for form in forms}) == 1
    assert len({stem(word) for word in ("thing", "thesis", "species", "gas", "red", "bus", "ring")}) == 7


@pytest.mark.parametrize(
    "piece", ["-", "--", "1", "1,", "A. ", "| -", "*", "**", "$", "(", "`", "“", "⁻", "a.", "\n-", " "]
)
@pytest.mark.parametrize("end", ["", "x", "\n"])
def test_no_answer_takes_long(piece, end):
    """Models repeat themselves, and a page waits for this: no pattern may look back over the whole text again and again."""
    text = piece * (6000 // len(piece)) + end
    begun = time.perf_counter()
    evidence(text, replace(FIGURE, caption=text))
    blocks_of(text)
    assert time.perf_counter() - begun < 3  # 0.1 s on a quiet machine; a pattern that backtracks takes minutes


def test_an_answer_is_judged_while_it_streams():
    paragraphs = tuple(f"{FIRST} {SECOND} Run {number} repeats it with seed {number * 7}. " * 4 for number in range(10))
    answer = " ".join([FIRST, SECOND, "The validation error is stable over epochs."] * 7)
    figure = replace(FIGURE, mentions=paragraphs)
    evidence(answer, figure)
    begun = time.perf_counter()
    for _ in range(5):
        evidence(answer, figure)
    assert (time.perf_counter() - begun) / 5 < 0.05  # 1 ms on a quiet machine
