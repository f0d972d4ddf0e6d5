"""One visitor's session: what is shown, what is sent, and what a figure looks like on the page. No browser, no gradio."""

import asyncio
import base64
from dataclasses import replace

import pytest
from PIL import Image

from llava_graph.asking import Ask
from llava_graph.errors import InputError
from llava_graph.images import open_image
from llava_graph.prompt import PromptOptions
from llava_graph.record import OcrLine, Turn
from serve.client import ModelDetails, flat_text
from serve.web.banner import banner
from serve.web.context.preview import Preview, preview
from serve.web.figure.choosing import Choices, Wanted
from serve.web.figure.formats import format_of
from serve.web.figure.opening import MAX_SIDE_PX, SHOWN_SIDE_PX, figure_of, view_of
from serve.web.figure.reading import RegionReader
from serve.web.given import given_for
from serve.web.medical import note_for
from serve.web.session import OnPage, Session, messages_for
from serve.web.writing import REFUSED, Writing


def on_the_page(session: Session, caption: str, changes: object) -> Session:
    return OnPage(session=session, caption=caption, changes=changes).now()


def test_a_follow_up_builds_only_on_questions_that_were_answered():
    figure = figure_of(Image.new("RGB", (40, 30), "white"))
    session = Session(figure).asked("first").answered("one").asked("second").answered("").asked("third")
    assert [turn.text for turn in session.history] == ["first", "one"]
    messages, asked = messages_for(session.answered(""), " third ")
    assert asked == "third"
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        ((8, 6000), (8, 6000)),
        ((9000, 12), (6000, 8)),
        ((20_000, 8), (20_000, 8)),
        ((8192, 4000), (4096, 2000)),
        ((16, 4096), (16, 4096)),
    ],
)
def test_a_long_thin_figure_stays_an_image_when_it_is_scaled_down(size, sent):
    figure = figure_of(Image.new("RGB", size))
    assert (figure.width, figure.height) == sent
    assert open_image(figure.image).size == sent, "a worker opens it"
    assert view_of(figure, open_image(figure.image))["image"].startswith("data:image/")


def with_lines(*texts: str) -> Session:
    figure = figure_of(Image.new("RGB", (40, 30)))
    return Session(replace(figure, ocr=tuple(OcrLine(text=text, box=(0, 0, 0.5, 0.5)) for text in texts)))


def asked_for(session: Session) -> str:
    messages, _ = messages_for(session, None)
    assert len(messages) == 1
    return messages[0]["content"][1]["text"]


def test_an_explanation_begins_anew_with_what_stands_on_the_page():
    session = replace(with_lines("Loss"), turns=(Turn(role="user", text="old"), Turn(role="assistant", text="older")))
    text = asked_for(on_the_page(session, " A caption. ", None))
    assert "A caption." in text
    assert "Loss" in text
    off = {"figure": session.figure.id, "edits": [{"line": 0, "on": False}]}
    assert "Loss" not in asked_for(on_the_page(session, "", off))


def test_changes_of_the_figure_before_do_not_count():
    session = with_lines("Loss")
    assert on_the_page(session, "", {"figure": "upload:another", "edits": [{"line": 0, "on": False}]}) == session
    assert on_the_page(Session(), "", {"figure": None, "edits": "?"}) == Session()
    with pytest.raises(InputError):
        on_the_page(session, "", {"figure": session.figure.id, "edits": "?"})


def previewed(session: Session, caption: str = "", changes: object = None, **options) -> Preview:
    class Client:
        async def details(self, model: str) -> ModelDetails:
            return ModelDetails(model, prompt=PromptOptions(**options))

    return asyncio.run(
        preview(
            Client(),
            OnPage(session=session, caption=caption, changes=changes, model="m"),
            RegionReader(lambda image: ()),
        )
    )


def test_the_preview_is_what_explain_sends_word_for_word():
    session = with_lines("Loss", "Epoch")
    changes = {"figure": session.figure.id, "edits": [{"line": 0, "text": "Error"}, {"line": 1, "on": False}]}
    for options in ({}, {"ocr_style": "words"}, {"style": "llava_graph"}):
        details = ModelDetails("m", prompt=PromptOptions(**options))
        (message,) = given_for(on_the_page(session, "A caption.", changes), None, details, ask=Ask()).messages
        shown = previewed(session, "A caption.", changes, **options)
        assert shown.prompt == flat_text(message, "<image>\n")
        assert "Error" in shown.prompt
        assert "Epoch" not in shown.prompt
        assert not shown.note
    assert previewed(Session()) == Preview()


def test_the_preview_says_when_not_everything_fits():
    session = with_lines(*(f"line number {number}" for number in range(300)))
    assert "512 tokens" in previewed(session).note
    assert not previewed(session, max_context_tokens=10_000).note
    assert previewed(session, changes={"figure": session.figure.id, "edits": [{"line": 999}]}).note


def test_what_is_shown_of_a_figure_is_never_too_large():
    large, small = Image.linear_gradient("L").resize((3000, 1000)).convert("RGB"), Image.new("RGB", (40, 30))
    view = view_of(figure_of(large), large)
    head, data = view["image"].split(",")
    assert (head, view["reading"], view["lines"]) == ("data:image/webp;base64", True, [])
    assert open_image(base64.b64decode(data)).size == (SHOWN_SIDE_PX, round(SHOWN_SIDE_PX / 3))
    figure = figure_of(small)
    assert base64.b64decode(view_of(figure, small)["image"].split(",")[1]) == figure.image


def test_a_huge_figure_is_scaled_down_once():
    figure = figure_of(Image.new("RGB", (9000, 300), "white"))
    assert (figure.width, figure.height) == (MAX_SIDE_PX, round(300 * MAX_SIDE_PX / 9000))


def test_a_banner_is_text_whatever_it_says():
    assert "<" not in banner("<b>no", "<i>").replace('<div class="banner" role="alert"><strong>', "").replace(
        "</strong>", ""
    ).replace("</div>", "")


def test_what_was_inside_a_body_comes_with_a_warning():
    figure = figure_of(Image.new("RGB", (40, 30)))
    assert note_for(Session()) == note_for(Session(replace(figure, kind="chart"))) == ""
    assert "Not a medical device" in note_for(Session(replace(figure, kind="radiograph")))


def test_a_figure_that_a_visitor_comes_back_to_has_its_conversation_again():
    one, other = (Session(replace(figure_of(Image.new("RGB", (40, 30))), id=f"arxiv:1#fig{n}")) for n in (1, 2))
    talked = one.asked("first").answered("one").asked("second").answered(" ")
    elsewhere = other.coming_after(talked)
    assert elsewhere.turns == ()
    back = one.coming_after(elsewhere.asked("there?").answered("yes"))
    assert [turn.text for turn in back.turns] == ["first", "one"], "what was not answered does not come back"
    assert len(back.facts) == 1
    assert [turn.text for turn in other.coming_after(back).turns] == ["there?", "yes"]
    upload = with_lines("Loss").asked("about an upload").answered("so")
    assert with_lines("Loss").coming_after(other.coming_after(upload)).turns == (), "an upload begins anew"
    assert one.coming_after(Session()).turns == (), "Clear forgets all"


def test_one_answer_is_written_at_a_time_and_an_ended_one_cannot_end_the_next():
    writing = Writing()
    first = writing.begin()
    assert first is not None
    assert writing.said("Writing …") == "Writing …"
    assert writing.begin() is None
    assert writing.said("Writing …") == f"Writing … {REFUSED}"
    assert writing.holds(first)
    writing.end()
    second = writing.begin()
    assert second is not None
    writing.end(first)
    assert writing.holds(second)
    assert not writing.holds(first)
    assert writing.said("Writing …") == "Writing …"
    # A figure that has come meanwhile is asked about at once, and what was written about the other one is drawn no more.
    assert writing.begin("of-a-paper#fig2") is not None
    assert not writing.holds(second)


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"PK\3\4...", "draft.docx", "a Word document"),
        (b"PK\3\4...%PDF-1.5", "paper.zip", "a ZIP archive"),
        (b"\0\0\0\x18ftypheic", "IMG_1.heic", "a HEIC picture"),
        (b"hello", "notes.TXT", "a text file"),
        (b"\0\0\1\0", "favicon", "an icon"),
        (b"\x89PNG\r\n", "figure.svg", ""),
        (b"\x17\x2a", "figure", ""),
    ],
)
def test_a_format_that_is_not_taken_is_named(data, name, said):
    assert format_of(data, name) == said


def test_the_last_choice_counts_in_whatever_order_choices_arrive():
    choices = Choices()
    third, second = Wanted(upload="third", number=(3, 0)), Wanted(upload="second", number=(2, 0))
    choices.take(third)
    choices.take(second)
    assert choices.begin() is third
    assert choices.begin() is None, "one step opens it"
    gallery = Wanted(example=1, number=choices.behind())
    choices.take(gallery)
    assert choices.begin() is gallery
    choices.take(replace(third, number=(4, 0)))
    assert choices.newest.number == (4, 0), "what the browser counts comes after what it does not count"
