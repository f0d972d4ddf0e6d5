"""What the conversation shows of a session: blocks of runs, sources and marks, versions of an answer. No browser, no gradio."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from llava_graph.claims import Claim
from llava_graph.record import Figure, OcrLine
from serve.web.conversation.answering import again
from serve.web.conversation.view import conversation_view
from serve.web.session import AnswerFacts, Session

FIGURE = Figure(
    id="a",
    caption="Loss of ours and the baseline over epochs.",
    mentions=("Unrelated words first. As Figure 1 shows, the loss of ours falls to 0.25 after 50 epochs.",),
    ocr=(OcrLine(text="Epoch", box=(0, 0, 1, 1), role="x-axis"), OcrLine(text="ours", box=(0, 0, 1, 1), role="legend")),
)


def facts(name: str, **more) -> AnswerFacts:
    return AnswerFacts(id=name, started=float(ord(name)), **more)


def talk(answer: str, *, busy: bool = False, figure: Figure = FIGURE) -> dict:
    session = Session(figure).asked("What?", facts("a")).answered(answer)
    return conversation_view(session, figure, busy=busy)


def turn(answer: str, **options) -> dict:
    [only] = talk(answer, **options)["turns"]
    return only


def runs(view: dict) -> list[list]:
    return [run for block in view["answer"]["blocks"] for cell in block.get("cells", []) for run in cell]


def test_every_sentence_says_what_bears_it_out():
    view = turn("## What is plotted\nThe loss of **ours** falls to 0.25 after 50 epochs. Snow covers distant hills.")
    assert view["answer"]["blocks"][0] == {"kind": "section", "title": "What is plotted"}
    first, second = view["answer"]["sentences"]
    assert [chip["label"] for chip in first["chips"]] == ["¶ 1", "text in figure: 2"]
    start, end = first["chips"][0]["spans"][0]
    assert FIGURE.mentions[0][start:end].startswith("As Figure 1 shows")
    assert first["chips"][1]["lines"] == [0, 1]
    assert (second["verdict"], second["chips"]) == ("not found", [])
    by_sentence = ["".join(run[0] for run in runs(view) if run[2] == number) for number in (0, 1)]
    assert by_sentence == ["The loss of ours falls to 0.25 after 50 epochs.", "Snow covers distant hills."]


def test_a_number_that_stands_nowhere_is_a_run_of_its_own():
    view = turn("The loss of ours falls to 0.77 after 50 epochs.")
    [marked] = [run for run in runs(view) if run[3] >= 0]
    assert marked[0] == "0.77"
    assert "stands nowhere" in view["answer"]["marks"][marked[3]]["note"]


def test_the_sentence_that_is_being_written_is_not_judged_yet():
    text = "The loss of ours falls to 0.25. The loss of the base"
    assert len(turn(text, busy=True)["answer"]["sentences"]) == 1
    assert len(turn(text)["answer"]["sentences"]) == 2
    assert talk(text, busy=True)["suggestions"] == []


def test_nothing_is_marked_where_nothing_was_given():
    bare = Figure(id="b")
    view = turn("It rises to 5 in ResNet.", figure=bare)
    assert view["answer"]["marks"] == []
    assert not talk("x", figure=bare)["given"]


@given(st.text(alphabet="aB.! \n#*-|`$(“”[]0123456789%\\_<>&ü", max_size=80) | st.text(max_size=40))
def test_any_answer_keeps_its_words_in_their_order_and_is_plain_json(answer):
    view = turn(answer)
    assert json.loads(json.dumps(view)) == view
    place = 0
    for run in runs(view):
        found = answer.find(run[0], place)
        assert found >= 0
        place = found + len(run[0])
    kept = sum(letter.isalnum() for run in runs(view) for letter in run[0])
    titles = sum(letter.isalnum() for block in view["answer"]["blocks"] for letter in block.get("title", ""))
    assert kept + titles <= sum(letter.isalnum() for letter in answer)


def test_a_retry_keeps_the_answer_before_and_a_follow_up_builds_on_the_one_that_is_shown():
    session = Session(FIGURE).asked("What?", facts("a", question="What?")).answered("First.")
    assert again(session).question == "What?"
    session = session.retried(facts("b", question="What?")).answered("Second.")
    assert [version.text for version in session.versions(0)] == ["First.", "Second."]
    assert conversation_view(session, FIGURE)["turns"][0]["version"] == 1
    back = session.with_version(0, 0)
    assert [one.text for one in back.history] == ["What?", "First."]
    assert conversation_view(back, FIGURE)["turns"][0]["version"] == 0
    assert back.with_version(0, 1) == session
    third = back.retried(facts("c")).answered("Third.")
    assert [version.text for version in third.versions(0)] == ["First.", "Second.", "Third."]


def test_a_version_that_is_not_there_changes_nothing():
    session = Session(FIGURE).asked("What?", facts("a")).answered("First.")
    for number, version in ((0, 1), (1, 0), (-1, 0), (0, -1), (5, 5)):
        assert session.with_version(number, version) == session
    assert Session().with_version(0, 0) == Session()


def test_a_retry_that_was_stopped_before_its_first_word_gives_the_answer_back():
    session = Session(FIGURE).asked("What?", facts("a")).answered("First.")
    assert session.retried(facts("b")).settled() == session
    begun = session.retried(facts("b")).answered("Sec")
    assert begun.settled() == begun
    assert Session().settled() == Session()


def test_suggestions_leave_out_what_was_asked():
    figure = replace(FIGURE, ocr=(), caption="Loss.")
    session = Session(figure)
    before = conversation_view(session, figure)["suggestions"]
    session = session.asked(before[0], facts("a")).answered("So.")
    assert before[0] not in conversation_view(session, figure)["suggestions"]


def test_answers_about_medical_pictures_carry_a_note():
    scan = replace(FIGURE, kind="radiograph")
    assert "no medical advice" in talk("An axial view.", figure=scan)["note"]
    assert talk("A chart.")["note"] == ""


def test_a_check_shows_the_papers_words_the_models_verdicts_and_the_figures_numbers():
    claims = (Claim("It falls to 0.25 after 50 epochs.", 0), Claim("Ours is lower.", None))
    session = (
        Session(FIGURE).asked("(long)", facts("a", claims=claims)).answered("1. shown - the curve falls\n2. not sh")
    )
    assert again(session).check == claims

    def shown(session: Session, *, busy: bool = False) -> dict:
        [turn] = conversation_view(session, FIGURE, busy=busy)["turns"]
        return turn

    growing = shown(session, busy=True)
    assert "claims against the figure" in growing["question"]
    [block] = growing["answer"]["blocks"]
    first, second = block["claims"]
    assert (first["text"], first["verdict"], first["reason"]) == (claims[0].text, "shown", "the curve falls")
    assert first["numbers"] == "Its numbers: not written in it: 0.25, 50."
    assert (first["chip"]["paragraph"], second["chip"]["label"], second["verdict"]) == (0, "caption", "")
    other = shown(session.answered("I cannot check this."))
    assert other["answer"]["blocks"][0]["kind"] == "paragraph", "an answer in another form is shown as it is"
