"""One visitor's session: what is shown, what is sent, and how corrected text keeps its place. No browser, no gradio."""

from PIL import Image

from llava_graph.record import OcrLine, Turn
from serve.web.session import MAX_SIDE_PX, Session, banner, edited_lines, figure_of, messages_for, shown, with_context

LINES = (
    OcrLine(text="Loss", box=(0, 0, 0.1, 1), role="y-axis"),
    OcrLine(text="Epoch", box=(0.4, 0.9, 0.6, 1), role="x-axis"),
    OcrLine(text="10", box=(0.2, 0.8, 0.3, 0.9), role="tick", confidence=0.6),
)


def test_untouched_text_is_the_lines_themselves():
    assert edited_lines(LINES, "Loss\nEpoch\n10") == LINES


def test_a_corrected_line_keeps_its_place_and_role():
    lines = edited_lines(LINES, "Loss (log)\nEpoch\n10")
    assert [line.text for line in lines] == ["Loss (log)", "Epoch", "10"]
    assert (lines[0].box, lines[0].role, lines[0].source) == (LINES[0].box, "y-axis", "visitor")


def test_lines_can_be_removed_and_added():
    assert [line.text for line in edited_lines(LINES, "Loss\n10")] == ["Loss", "10"]
    added = edited_lines(LINES, "Loss\nEpoch\n10\nResNet")
    assert (added[-1].text, added[-1].box) == ("ResNet", (0, 0, 1, 1))
    assert edited_lines(LINES, "") == ()
    assert [line.text for line in edited_lines((), "by hand")] == ["by hand"]


def test_a_follow_up_builds_only_on_questions_that_were_answered():
    figure = figure_of(Image.new("RGB", (40, 30), "white"))
    session = Session(figure).asked("first").answered("one").asked("second").answered("").asked("third")
    assert [turn.text for turn in session.history] == ["first", "one"]
    messages, asked = messages_for(session.answered(""), " third ")
    assert asked == "third"
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


def test_an_explanation_begins_anew():
    figure = with_context(figure_of(Image.new("RGB", (40, 30))), " A caption. ", "Loss", use_text=True)
    session = Session(figure, (Turn(role="user", text="old"), Turn(role="assistant", text="older")))
    messages, _ = messages_for(session, None)
    assert len(messages) == 1
    text = messages[0]["content"][1]["text"]
    assert "A caption." in text
    assert "Loss" in text
    assert (
        "Loss"
        not in messages_for(Session(with_context(figure, "", "Loss", use_text=False)), None)[0][0]["content"][1]["text"]
    )


def test_a_huge_figure_is_scaled_down_once():
    figure = figure_of(Image.new("RGB", (9000, 300), "white"))
    assert (figure.width, figure.height) == (MAX_SIDE_PX, round(300 * MAX_SIDE_PX / 9000))


def test_answers_are_text_whatever_they_contain():
    assert shown("a <script> b") == "a &lt;script> b"
    assert shown("![x](http://evil/y.png)") == "\\!\\[x](http://evil/y.png)"
    assert shown("**bold** and `a < b`") == "**bold** and `a < b`"
    assert shown("`open <b>") == "`open &lt;b>"
    assert "<" not in banner("<b>no", "<i>").replace('<div class="banner" role="alert"><strong>', "").replace(
        "</strong>", ""
    ).replace("</div>", "")
