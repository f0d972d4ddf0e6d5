"""Answers beside each other: what each was given, where they differ, and that both grow at once. Pure, without a browser."""

import asyncio
from dataclasses import replace

import pytest

from llava_graph.asking import Ask
from llava_graph.errors import InputError, ServeError
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure, OcrLine, Turn
from llava_graph.region import crop
from llava_graph.several_images import COMPARE_REQUEST, Part
from serve.client import ModelDetails, Reply, Sampling
from serve.web.at_once import at_once
from serve.web.compare.asking import answered, two_figures, with_and_without
from serve.web.compare.differences import marked, told
from serve.web.compare.pair import pair_view
from serve.web.context.shown import Shown
from serve.web.conversation.answering import Wish
from serve.web.session import Session

WITH = "The loss falls from 0.93 to 0.1. It reaches its lowest point after 90 epochs, as the axis says."
WITHOUT = "The loss falls from 0.9 to 0.1. No numbers can be read on this axis."


def flat(messages) -> str:
    return "".join("<image>" if part["type"] == "image" else part["text"] for m in messages for part in m["content"])


def only(side) -> str:
    return "".join(piece.text for piece in side.pieces if piece.only)


@pytest.fixture
def figure(png) -> Figure:
    lines = (OcrLine(text="Epoch", box=(0.4, 0.9, 0.6, 1.0), role="x-axis"),)
    return Figure(id="one", image=png, caption="Loss.", ocr=lines)


@pytest.fixture
def other(png) -> Figure:
    return Figure(id="two", image=png, caption="Accuracy.")


def test_a_sentence_that_only_one_answer_has_is_marked():
    left, right = marked(WITH, WITHOUT), marked(WITHOUT, WITH)
    assert only(left) == "It reaches its lowest point after 90 epochs, as the axis says."
    assert only(right) == "No numbers can be read on this axis."
    assert ["".join(piece.text for piece in side.pieces) for side in (left, right)] == [WITH, WITHOUT], (
        "nothing is lost"
    )


def test_a_number_that_only_one_answer_names_is_marked_wherever_it_stands():
    left = marked(WITH, WITHOUT)
    assert left.numbers == ("0.93", "90")
    assert [piece.text for piece in left.pieces if piece.number] == ["0.93", "90"]
    assert [piece.only for piece in left.pieces if piece.number] == [False, True]
    assert marked("It is 50 % there.", "It is 0.5 there.").numbers == (), "the same number, written otherwise"


def test_what_differs_is_told_in_words():
    names = ("with the text", "without it")
    assert told(names, (marked(WITH, WITHOUT), marked(WITHOUT, WITH))) == (
        "Only with the text: 1 of 2 sentences and the numbers 0.93, 90. Only without it: 1 of 2 sentences and the number 0.9."
    )
    assert told(names, (marked(WITH, WITH), marked(WITH, WITH))) == "Both answers are the same, word for word."
    one, same = "The loss falls steadily with the epochs.", "The loss falls with the epochs, steadily."
    assert told(names, (marked(one, same), marked(same, one))) == "Both answers say the same in other words."


def test_other_scripts_are_compared_too():
    assert only(marked("损失下降。", "损失下降。")) == ""
    assert only(marked("损失下降。", "准确率上升。")) == "损失下降。"


def test_with_and_without_differ_by_the_text_alone(figure):
    session = Session(figure, (Turn(role="user", text="Before?"), Turn(role="assistant", text="That.")))
    contrast = with_and_without(session, Wish(question="What is it?"), ModelDetails("m"))
    one, bare = (column.given for column in contrast.columns)
    assert flat(one.messages) == "<image>Caption: Loss.\nText in the figure: x-axis: Epoch [40 90 60 100]\nWhat is it?"
    assert flat(bare.messages) == "<image>Caption: Loss.\nWhat is it?"
    assert one.images == bare.images == [figure.image]
    assert [column.heading for column in contrast.columns] == [
        "With the text in the figure (1 line)",
        "Without the text in the figure",
    ]


def test_an_explanation_is_asked_for_as_the_page_has_it_set(figure):
    wish = Wish(ask=Ask(level="expert", length="short"))
    contrast = with_and_without(Session(figure), wish, ModelDetails("m"))
    texts = [flat(column.given.messages) for column in contrast.columns]
    assert texts[0].replace("Text in the figure: x-axis: Epoch [40 90 60 100]\n", "") == texts[1]
    assert "expert" in texts[1].lower()
    assert contrast.columns[0].given.max_new_tokens is not None, "and as long as it is wanted"


def test_without_the_text_regions_have_none_either(figure):
    box = (0.2, 0.5, 1.0, 1.0)
    part = Part("A", box, crop(figure, box))
    for images in (1, 8):
        contrast = with_and_without(
            Session(figure), Wish(question="Q?", regions=[part]), ModelDetails("m", max_images=images)
        )
        texts = [flat(column.given.messages) for column in contrast.columns]
        assert ["Epoch" in text for text in texts] == [True, False]


def test_nothing_to_leave_out_is_said(figure, other):
    with pytest.raises(InputError, match="no text of the figure"):
        with_and_without(Session(other), Wish(), ModelDetails("m"))
    with pytest.raises(InputError, match="is not given to the model"):
        with_and_without(Session(figure), Wish(), ModelDetails("m", prompt=PromptOptions(ocr=False)))


def test_a_model_of_several_images_is_asked_about_both_figures_at_once(figure, other):
    contrast = two_figures(
        (Session(figure), Session(other)), Wish(question="Which is higher?"), ModelDetails("m", max_images=2)
    )
    (column,) = contrast.columns
    assert flat(column.given.messages) == (
        "Figure A:\n<image>Caption: Loss.\nText in the figure: x-axis: Epoch [40 90 60 100]\n\n"
        "Figure B:\n<image>Caption: Accuracy.\n\nWhich is higher?"
    )
    assert len(column.given.images) == 2
    assert (
        two_figures((Session(figure), Session(other)), Wish(), ModelDetails("m", max_images=2)).question
        == COMPARE_REQUEST
    )
    history = (Turn(role="user", text="Before?"), Turn(role="assistant", text="That."))
    later = two_figures(
        (Session(figure), Session(other)), Wish(question="And now?"), ModelDetails("m", max_images=2), history
    )
    assert [message["role"] for message in later.columns[0].given.messages] == ["user", "assistant", "user"]


def test_each_figure_keeps_what_was_switched_for_it(figure, other):
    figure = replace(figure, mentions=("Figure 1 shows the loss.",))
    sessions = Session(figure, shown=Shown(paragraphs=("As left.",))), Session(other, shown=Shown(caption=False))
    (column,) = two_figures(sessions, Wish(question="Q?"), ModelDetails("m", max_images=2)).columns
    assert flat(column.given.messages) == (
        "Figure A:\n<image>Caption: Loss.\nText in the figure: x-axis: Epoch [40 90 60 100]\n"
        "Paragraphs that cite it: As left.\n\nFigure B:\n<image>\nQ?"
    )
    bare = Session(figure, shown=Shown(ocr=False)), Session(other)
    assert "Epoch" not in flat(
        two_figures(bare, Wish(question="Q?"), ModelDetails("m", max_images=2)).columns[0].given.messages
    )
    with pytest.raises(InputError, match="is not given"):
        with_and_without(bare[0], Wish(question="Q?"), ModelDetails("m"))


def test_a_model_of_one_image_is_asked_about_each_figure_and_the_page_says_so(figure, other):
    contrast = two_figures(
        (Session(figure), Session(other)), Wish(question="Which is higher?"), ModelDetails("m", max_images=1)
    )
    assert [flat(column.given.messages).count("<image>") for column in contrast.columns] == [1, 1]
    assert ["Loss." in flat(column.given.messages) for column in contrast.columns] == [True, False]
    assert "m takes one image, so it cannot see both figures at once" in contrast.note
    assert contrast.turns == (), "there is no conversation about both to go on with"


class Client:
    """Answers word by word; both requests have to be there before either goes on."""

    def __init__(self, texts: list[str | ServeError]) -> None:
        self.texts, self.asked, self.both = texts, [], asyncio.Event()

    async def answer(self, model, messages, images, sampling):
        text = self.texts[len(self.asked)]
        self.asked.append(flat(messages))
        if len(self.asked) == len(self.texts):
            self.both.set()
        await asyncio.wait_for(self.both.wait(), 5)
        if isinstance(text, ServeError):
            raise text
        words = text.split()
        for count in range(1, len(words) + 1):
            yield Reply(" ".join(words[:count]), None, count)


def last_of(contrast, texts):
    async def run():
        steps = [step async for step in answered(Client(texts), contrast, "m", Sampling())]
        return steps[-1]

    return asyncio.run(run())


def test_both_answers_are_written_at_once_and_compared_when_both_are_there(figure):
    contrast = with_and_without(Session(figure), Wish(question="What is it?"), ModelDetails("m"))
    view = contrast.view()
    assert [column["seconds"] for column in view["columns"]] == [None, None]
    view = last_of(contrast, [WITH, WITHOUT]).view()
    assert [column["text"] for column in view["columns"]] == [WITH, WITHOUT]
    assert [column["tokens"] for column in view["columns"]] == [len(WITH.split()), len(WITHOUT.split())]
    assert view["verdict"].startswith("Only with the text: 1 of 2 sentences")
    assert "0.93" in [piece["text"] for piece in view["columns"][0]["pieces"] if piece["number"]]


def test_an_error_ends_its_own_answer_alone(figure):
    contrast = with_and_without(Session(figure), Wish(question="What is it?"), ModelDetails("m"))
    view = last_of(contrast, [ServeError("the worker has gone", next_step="Ask again"), WITHOUT]).view()
    assert view["columns"][0]["error"] == "The worker has gone. Ask again"
    assert view["columns"][1]["text"] == WITHOUT
    assert view["verdict"] == "", "there is nothing to compare it with"


def test_an_answer_about_both_figures_can_be_built_upon(figure, other):
    done = last_of(
        two_figures((Session(figure), Session(other)), Wish(question="Which?"), ModelDetails("m", max_images=2)),
        ["The first."],
    )
    assert [turn.text for turn in done.turns] == ["Which?", "The first."]
    assert "pieces" not in done.view()["columns"][0]


def test_following_several_streams_ends_them_all_when_it_is_closed():
    ended = []

    async def endless(name: str):
        try:
            for count in range(10**6):
                yield f"{name}{count}"
                await asyncio.sleep(0)
        finally:
            ended.append(name)

    async def run():
        steps = at_once([endless("a"), endless("b")], ["", ""])
        async for newest in steps:
            if all(newest):
                break
        await steps.aclose()

    asyncio.run(run())
    assert sorted(ended) == ["a", "b"]


def test_an_error_of_one_stream_is_raised_and_ends_the_other():
    ended = []

    async def waiting():
        try:
            await asyncio.sleep(60)
            yield 1
        finally:
            ended.append("waiting")

    async def failing():
        yield 1
        raise ServeError("gone")

    async def run():
        async for _ in at_once([waiting(), failing()], [0, 0]):
            pass

    with pytest.raises(ServeError, match="gone"):
        asyncio.run(run())
    assert ended == ["waiting"]


def test_the_pair_shows_both_figures_with_their_captions(figure, other):
    view = pair_view(figure, other)
    assert (view["one"]["name"], view["one"]["caption"]) == ("Figure A", "Loss.")
    assert view["other"]["image"].startswith("data:image/webp;base64,")
    assert pair_view(None, None) == {"one": None, "other": None}
