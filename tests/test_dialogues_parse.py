"""A teacher's words, good and bad, and what becomes of them; and that no words at all break the reading."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import SampleRefused
from llava_graph.evaluate.judge import read_rating
from scicap_builder.dialogues.kinds import KINDS
from scicap_builder.dialogues.parse import (
    MIN_CHARS,
    QUOTING_WORD,
    SOURCE_WORD,
    UNSEEN_WORD,
    about_a_graph,
    asked_aloud,
    read_clues,
    read_description,
    read_guide,
    read_pairs,
    read_student,
    spoken,
    unspoken,
)
from scicap_builder.dialogues.wording import load_wording


def anything(question, answer):
    return ""


def pairs(said, keep=anything):
    turns = [turn.text for turn in read_pairs(said, keep).turns]
    return list(zip(turns[::2], turns[1::2], strict=True))


def reason(read, *arguments):
    with pytest.raises(SampleRefused) as refused:
        read(*arguments)
    return refused.value.reason


ONE = [("What is shown?", "A curve that falls.")]


@pytest.mark.parametrize(
    "said",
    [
        "Question: What is shown?\nAnswer: A curve that falls.",
        "Question: What is shown? Answer: A curve that falls.",
        "**Question 1:** What is shown?\n\n**Answer 1:** A curve that falls.",
        "1. Question: What is shown?\n   Answer: A curve that falls.",
        "### Question: What is shown?\n- Answer: A curve that falls.\n---",
        "Sure, here it is:\n\nUser: What is shown?\nGPT: A curve that falls.",
        "human: What is shown?\nassistant: A curve that falls.",
        "Question:\nWhat is shown?\nAnswer:\nA curve that falls.",
        "```\nQuestion: What is shown?\nAnswer: A curve that falls.\n```",
        "Question: <image>\nWhat is shown?\nAnswer: A curve that falls.",
        "Q1: What is shown?\nA1: A curve that falls.",
        "**Q:** What is shown?\n\n**A:** A curve that falls.",
        "Question #1: What is shown?\nAnswer #1: A curve that falls.",
        "Question：What is shown?\nAnswer：A curve that falls.",
        "### Question 1\nWhat is shown?\n\n### Answer\nA curve that falls.",
        "**Question 1**\nWhat is shown?\n**Answer 1**\nA curve that falls.",
        '[{"question": "What is shown?", "answer": "A curve that falls."}]',
        'Here:\n```json\n{"dialogue": [{"Q": "What is shown?", "A": "A curve that falls."}]}\n```',
        '[{"role": "user", "content": "What is shown?"}, {"role": "assistant", "content": "A curve that falls."}]',
        '{"conversations": [{"from": "human", "value": "<image>\\nWhat is shown?"}, {"from": "gpt", "value": "A curve that falls."}]}',
        "Question: What is shown?\nAnswer: A curve that falls.\n\n(Note: the text gives no numbers.)",
        "Question: What is shown?\nAnswer: A curve that falls.\n\nLet me know if you want more!",
    ],
)
def test_pairs_as_models_write_them(said):
    assert pairs(said) == ONE


def test_a_list_of_pairs_keeps_its_order_and_no_number_of_the_next_sticks_to_an_answer():
    said = "1. Question: What is shown?\nAnswer: A curve.\n\n2. Question: Why does it fall?\nAnswer: It learns.\n3. Question: Is it?\nAnswer: It is."
    assert pairs(said) == [("What is shown?", "A curve."), ("Why does it fall?", "It learns."), ("Is it?", "It is.")]


def test_a_panel_named_a_is_no_answer():
    said = "User: What do the panels show?\nGPT: Two sections.\nA: The normal one.\nB: The tumor."
    assert pairs(said) == [("What do the panels show?", "Two sections.\nA: The normal one.\nB: The tumor.")]


def test_json_keeps_its_order_and_what_is_none_of_it_is_left_out():
    said = '[{"question": "What is shown?", "answer": "A curve.", "type": "x"}, 3, {"question": "Why?"}, [{"user": "Where?", "gpt": "Here."}]]'
    found = read_pairs(said, anything)
    assert [turn.text for turn in found.turns] == ["What is shown?", "A curve.", "Where?", "Here."]
    assert found.left_out == {"unanswered": 1}
    assert reason(read_pairs, '{"question": ["What is shown?"], "answer": null}', anything) == "no-question"
    assert reason(read_pairs, "[" * 10_000, anything) == "no-question"


def test_a_teacher_that_repeats_itself_or_gives_the_form_back():
    found = read_pairs("Question: What is shown?\nAnswer: A curve.\n" * 3, anything)
    assert [turn.text for turn in found.turns] == ["What is shown?", "A curve."]
    assert found.left_out == {"repeated": 2}
    assert reason(read_pairs, "Question: [Question about the figure]\nAnswer: [Answer]", anything) == "bad-form"
    assert reason(spoken, "Question: What?\nAnswer: " + "x" * 1000, "stop", 10) == "too-long"


def test_words_with_a_colon_inside_an_answer_are_no_label():
    said = "Question: Who answers?\nAnswer: The legend has two entries: user and system.\nThe answer is: both."
    assert pairs(said) == [("Who answers?", "The legend has two entries: user and system.\nThe answer is: both.")]


def test_a_piece_that_is_left_out_shifts_no_answer():
    """Published pairing is by place: without the answer `No.` every question would get the next one's answer."""
    said = "Question: Is it flat?\nAnswer: No.\nQuestion: What rises?\nAnswer: The accuracy.\nQuestion: And then?"
    found = read_pairs(said, anything)
    assert [turn.text for turn in found.turns] == ["What rises?", "The accuracy."]
    assert found.left_out == {"too-short": 1, "unanswered": 1}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("The figure shows a curve.", "no-question"),
        ("Answer: A curve that falls.", "no-question"),
        ("Question: What is shown?", "no-answer"),
        ("Question: Why?\nAnswer: No.", "too-short"),
        ("Question: What is shown?\nQuestion: Why so?\nAnswer: ", "unanswered"),
        ("Answer: A curve.\nQuestion: What is shown?", "unasked"),
    ],
)
def test_answers_without_a_pair_say_why(said, why):
    assert reason(read_pairs, said, anything) == why


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("What does the graph show?", True), ("Why do both plots agree?", True), ("What is illustrated?", True),
        ("Which bar of the histogram is highest?", True), ("What is on the x-axis?", True), ("Is the method stable?", False),
        ("What does the paragraph say?", False), ("Why is it faster?", False), ("What is in the subplot?", True), ("Is it suitable?", False),
    ],
)  # fmt: skip
def test_questions_name_a_graph(question, kept):
    assert about_a_graph(question, "") == ("" if kept else "no-graph-word")


@pytest.mark.parametrize(
    ("words", "pattern", "found"),
    [
        ("The caption says so.", SOURCE_WORD, True), ("As the narrator explains", SOURCE_WORD, True), ("at [0.1, 0.2, 0.5, 0.9]", SOURCE_WORD, True),
        ("Its coordinates are given.", SOURCE_WORD, True), ("A captive zebra, 0.5 mm [1]", SOURCE_WORD, False),
        ("in the given text", UNSEEN_WORD, True), ("The text beside the arrow", UNSEEN_WORD, False),
        ("As the speaker says in this video", SOURCE_WORD, True), ("The loudspeaker", SOURCE_WORD, False),
        ("According to the caption, it falls.", QUOTING_WORD, True), ("The citing paragraph says so.", QUOTING_WORD, True),
        ("as mentioned in the abstract", QUOTING_WORD, True), ("The scores of generated captions rise.", QUOTING_WORD, False),
        ("The paragraph encoder reads the text in the box.", QUOTING_WORD, False),
    ],
)  # fmt: skip
def test_what_only_the_teacher_sees_is_not_spoken_of(words, pattern, found):
    assert bool(unspoken(pattern)("What is it?", words)) is found


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("I'm sorry, but I cannot help with that.", "stop", "refused"), ("As an AI, I see no image.", "stop", "refused"),
        ("Unfortunately, I cannot see it.", "stop", "refused"), ("Question: …", "content_filter", "refused"),
        ("Question: What", "length", "cut-at-length"), ("  \n", "stop", "empty-answer"), ("<think>hm</think>", "stop", "empty-answer"),
        ("word " * 11, "stop", "too-long"),
    ],
)  # fmt: skip
def test_answers_that_are_none(text, finish, why):
    assert reason(spoken, text, finish, 10) == why


def test_of_an_answer_that_was_cut_whole_pairs_are_kept():
    said = "Question: What is shown?\nAnswer: A curve.\nQuestion: Why does it fall?\nAnswer: It lear"
    found = read_pairs(spoken(said, "length", 99, whole=False), anything, cut=True)
    assert [turn.text for turn in found.turns] == ["What is shown?", "A curve."]
    assert found.left_out == {"cut-at-length": 1}
    for half in (
        "Question: What is shown?\nAnswer: A cur",
        "Question: Wh",
        '[{"question": "What is shown?", "answer": "A cu',
    ):
        with pytest.raises(SampleRefused) as refused:
            read_pairs(half, anything, cut=True)
        assert refused.value.reason == "cut-at-length"


@pytest.mark.parametrize(("finish", "why"), [("length", "cut-at-length"), ("stop", "empty-answer")])
def test_a_thought_that_does_not_end_is_no_answer(finish, why):
    said = "<think>Question: What may be shown?\nAnswer: Perhaps a curve.\nQuestion: And"
    with pytest.raises(SampleRefused) as refused:
        spoken(said, finish, 99, whole=False)
    assert refused.value.reason == why


def test_thoughts_are_no_part_of_an_answer():
    assert spoken("<think>Question: no?\nAnswer: no.</think>\n\nYes it is.", "stop", 10) == "Yes it is."
    assert spoken("thought without a beginning</think>Yes.", "stop", 10) == "Yes."
    assert spoken("I can see it.", "stop", 10) == "I can see it."


def test_clues_in_json_however_wrapped():
    found = read_clues('Here:\n```json\n{"diagnosis": ["SCC", " "], "clues": "keratin  pearls"}\n``` {}')
    assert (found.diagnosis, found.clues) == (("SCC",), ("keratin pearls",))
    assert read_clues('{"x": {"diagnosis": [], "clues": [3, null]}}').clues == ()
    assert reason(read_clues, "diagnosis: SCC") == "clues-not-read"
    assert reason(read_clues, "[" * 100_000 + "{" * 3) == "clues-not-read"


def test_student_and_guide():
    assert read_student("Abduction: A tumor.\nFacts used: Nests in the dermis.") == "A tumor. Nests in the dermis."
    assert read_student("[{Abduction: A tumor.}, {Facts Used: Nests.}]") == "A tumor. Nests."
    assert (
        read_student("**Abduction:** A tumor.\n\n**Facts used:** Nests,\nand pearls.") == "A tumor. Nests, and pearls."
    )
    assert reason(read_student, "It is a tumor.") == "bad-form"
    assert reason(read_student, "Abduction: As the narrator says.\nFacts used: Nests.") == "mentions-source"
    assert read_guide("Comments: Right.\nHint: Look at the keratin.") == ("Right. Look at the keratin.", False)
    assert read_guide("Comments: CORRECT!!! It is a carcinoma.\nHint: none") == ("Correct! It is a carcinoma.", True)
    assert read_guide("Comments: It is a carcinoma.\nHint: (none) [End of Guidance]") == ("It is a carcinoma.", True)
    assert reason(read_guide, "Comments: Go on.\nHint: none") == "bad-form"


def test_a_description_gets_our_question():
    assert read_description("Description: Skin with nests.", "What is it?").turns[1].text == "Skin with nests."
    assert reason(read_description, "The caption says skin.", "What is it?") == "mentions-source"


def test_questions_asked_aloud_come_with_their_surroundings():
    said = "One. Two. What is this? Keratin! Five. Six. Seven. Eight. Nine. Is it? Yes."
    assert asked_aloud(said) == "One. Two. What is this? Keratin! Five.\n\nEight. Nine. Is it? Yes."
    assert asked_aloud("Nobody asks. Nothing.") == ""


@pytest.mark.parametrize("name", sorted({name for kind in KINDS.values() for name in kind.wordings} | {"rating"}))
def test_our_own_examples_pass_our_own_reading(name):
    wording = load_wording(name)
    readers = {"quilt-student": read_student, "quilt-guide": read_guide, "clues": read_clues, "rating": read_rating}
    keep = {"scigraphqa": about_a_graph, "llava-med": unspoken(UNSEEN_WORD)}.get(name, unspoken(SOURCE_WORD))
    assert wording.examples or name == "rating"
    for example in wording.examples:
        said = spoken(example.answer, "stop", wording.max_words)
        if name in readers:
            assert readers[name](said)
        elif name == "quilt-description":
            assert read_description(said, wording.questions[0]).turns[1].text == said
        else:
            found = read_pairs(said, keep)
            assert not found.left_out
            assert len(found.turns) == 2 * len(re.findall(r"^(?:Question|User):", said, re.M))


words = st.text(max_size=300)
labelled = st.lists(
    st.tuples(st.sampled_from(["Question: ", "Answer:", "**User:** ", "GPT: ", "Abduction: ", "Hint: ", "{", "\n", ""]), words), max_size=8
).map(lambda parts: "\n".join(label + text for label, text in parts))  # fmt: skip


READERS = (
    lambda said: read_pairs(said, about_a_graph), read_clues, read_student, read_guide, lambda said: read_description(said, "What?"),
)  # fmt: skip


@given(st.one_of(words, labelled), st.sampled_from(READERS))
def test_no_words_break_the_reading(said, read):
    why = "fine"
    try:
        read(spoken(said, "stop", 10_000))
    except SampleRefused as refused:
        why = refused.reason
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", why)


@given(st.one_of(words, labelled))
def test_turns_alternate_say_something_and_are_the_teachers_words(said):
    try:
        turns = read_pairs(said, anything).turns
    except SampleRefused:
        return
    assert [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
    for turn in turns:
        assert len(turn.text) >= MIN_CHARS
        assert all(word in said for word in turn.text.split())


@given(words)
def test_surroundings_are_sentences_of_the_narration_and_hold_every_question(said):
    shown = asked_aloud(said)
    assert all(word in said for word in shown.split())
    assert bool(shown) == any(one.rstrip("\"')”’ ").endswith("?") for one in re.split(r"(?<=[?.!])\s+", said.strip()))


plain = st.text(st.characters(categories=("Lu", "Ll", "Nd")), min_size=1, max_size=8)
sentence = st.lists(plain, min_size=3, max_size=12).map(" ".join)


@given(st.lists(st.tuples(sentence, sentence), min_size=1, max_size=6, unique_by=lambda pair: pair[0].casefold()))
def test_what_is_written_in_the_asked_form_is_read_back(given_pairs):
    said = "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in given_pairs)
    assert pairs(said) == given_pairs
