"""What of a figure's surroundings goes to the model: as it was trained, or as a visitor has switched. No browser."""

from dataclasses import replace

import pytest
from PIL import Image

from llava_graph.errors import AccessDenied, FetchError, InputError, PaperError
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped, Figure, Paper
from scicap_builder.one_paper import PaperRecords
from serve.client import ModelDetails, flat_text
from serve.web.context.shown import cites, surroundings
from serve.web.figure.opening import view_of
from serve.web.given import given_for
from serve.web.paper.view import check_figures, for_readers, paper_view
from serve.web.session import OnPage, Session

FIGURE = Figure(
    id="arxiv:2101.00001v2#fig1",
    image=b"png",
    label="Figure 1",
    caption="A curve.",
    mentions=("Figure 1 rises.", "It falls in Fig. 1b and Fig. 11."),
    paper=Paper(title="On Curves", abstract="We bend.", page=3),
)


def given(context: object, **trained: bool) -> str:
    """The words that a model trained with `trained` gets with an explain request."""
    session = OnPage(session=Session(FIGURE), caption=FIGURE.caption, context=context).now()
    return flat_text(given_for(session, None, ModelDetails("m", prompt=PromptOptions(**trained))).messages[0], "")


def chosen(paragraphs: object = None, **slots: bool) -> dict:
    return {"figure": FIGURE.id, "slots": slots, "paragraphs": paragraphs}


def test_without_a_choice_a_model_gets_what_it_was_trained_with():
    assert "rises" not in given(None)
    assert "On Curves" not in given(chosen())
    trained = given(None, mentions=True, title=True)
    assert "Figure 1 rises." in trained
    assert "On Curves" in trained
    assert given(chosen(), mentions=True, title=True) == trained


def test_what_a_visitor_switches_goes_to_the_model_word_for_word():
    off, on = {"number": 0, "on": False, "text": None}, {"number": 1, "on": True, "text": "  It   falls. "}
    words = given(chosen([off, on], abstract=True, caption=False))
    assert "Paragraphs that cite it: It falls." in words
    assert "Abstract: We bend." in words
    assert "rises" not in words
    assert "A curve" not in words
    none = given(chosen([off, {**on, "on": False}]), mentions=True)
    assert "Paragraphs" not in none, "what the model was trained with can be switched off"


def test_a_choice_for_another_figure_does_not_count():
    elsewhere = {**chosen(abstract=True), "figure": "another"}
    assert given(elsewhere) == given(None)


@pytest.mark.parametrize(
    "choice",
    [
        chosen(style=True),
        chosen(ocr="yes"),
        chosen("all"),
        chosen([{"number": 2, "on": True}]),
        chosen([{"number": True, "on": True}]),
        chosen([{"number": 0}]),
        chosen([{"number": 0, "on": True, "text": 5}]),
        chosen([{"number": 0, "on": True, "text": "x" * 10_001}]),
        chosen([None]),
        {**chosen(), "slots": [1]},
    ],
)
def test_a_choice_that_no_page_makes_is_refused(choice):
    with pytest.raises(InputError):
        given(choice)


def test_paragraphs_are_marked_where_they_speak_of_this_figure():
    view = surroundings(FIGURE, PromptOptions(title=True))
    marked = [[one["text"][start:end] for start, end in one["cites"]] for one in view["paragraphs"]]
    assert marked == [["Figure 1"], ["Fig. 1"]]
    assert view["trained"] == {"caption": True, "ocr": True, "title": True, "abstract": False, "mentions": False}
    assert cites("Figure 1", "") == []


def test_a_paper_without_figures_says_why():
    lost = [Dropped(item=f"upload:x Figure {n}", reason="no-region", detail="page 1") for n in (1, 2)]
    with pytest.raises(PaperError, match=r"2 captions have no picture .*\(Figure 1, Figure 2\)"):
        check_figures(PaperRecords(id="upload:x", dropped=tuple(lost)))
    nothing = Dropped(item="upload:x", reason="no-figures", detail="3 pages, no numbered figure")
    with pytest.raises(PaperError, match="no figure was found: 3 pages, no numbered figure"):
        check_figures(PaperRecords(id="upload:x", dropped=(nothing,)))


def test_what_was_left_out_of_a_paper_is_told_and_a_link_chooses_its_figure():
    second = replace(FIGURE, id="arxiv:2101.00001v2#fig2", label="")
    paper = PaperRecords(
        id="arxiv:2101.00001v2", figures=(FIGURE, second), dropped=(Dropped(item="x Figure 3", reason="no-region"),)
    )
    view = paper_view(paper, [b"", b""], second.id)
    assert view["pick"] == second.id
    assert [row["label"] for row in view["figures"]] == ["Figure 1", "Figure 2"]
    assert view["lost"] == ["Figure 3: its caption is there, but no picture was found for it"]
    assert paper_view(paper, [b"", b""], "unknown")["pick"] == FIGURE.id


def test_errors_tell_a_reader_what_to_do_and_not_a_command_line():
    away = for_readers(FetchError("no connection", reason="unreachable", next_step="Run the same command again later"))
    assert (away.what, "command" in away.next_step) == ("arXiv cannot be reached from here", False)
    assert "PDF" in for_readers(AccessDenied("403")).next_step
    assert "1706.03762" in for_readers(InputError("'x' is no arXiv id")).next_step


def test_a_figure_without_caption_is_named_without_a_colon():
    pixels = Image.new("RGB", (40, 30))
    assert view_of(FIGURE, pixels)["alt"] == "Figure 1: A curve."
    assert view_of(replace(FIGURE, caption=""), pixels)["alt"] == "Figure 1"
