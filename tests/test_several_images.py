"""Prompts with several images: every image has its name and context before the question, and every template says so."""

import pytest

from llava_graph.chat import count_images, load_template, render, template_names
from llava_graph.errors import InputError
from llava_graph.prompt import PromptOptions, build_messages
from llava_graph.record import Figure, OcrLine, Turn
from llava_graph.region import crop
from llava_graph.several_images import COMPARE_REQUEST, Part, build_comparison, build_region_question

HISTORY = (Turn(role="user", text="What is it?"), Turn(role="assistant", text="A curve."))


def figure(name: str, png: bytes, *lines: OcrLine) -> Figure:
    return Figure(id=name, image=png, label="Figure 3", caption=f"The caption of {name}.", ocr=lines)


def flat(messages) -> str:
    return "".join("<image>" if part["type"] == "image" else part["text"] for m in messages for part in m["content"])


@pytest.fixture
def pair(png):
    line = OcrLine(text="Epoch", box=(0.4, 0.9, 0.6, 1.0), role="x-axis")
    return figure("one", png, line), figure("two", png)


@pytest.fixture
def parts(pair):
    boxes = ((0.2, 0.5, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5))
    return [Part(name, box, crop(pair[0], box)) for name, box in zip("AB", boxes, strict=True)]


def test_each_figure_has_its_name_its_image_and_its_context_before_the_question(pair):
    (message,) = build_comparison(pair, "Which is steeper?")
    assert flat([message]) == (
        "Figure A:\n<image>Caption: Figure 3: The caption of one.\nText in the figure: x-axis: Epoch [40 90 60 100]\n\n"
        "Figure B:\n<image>Caption: Figure 3: The caption of two.\n\nWhich is steeper?"
    )
    assert flat(build_comparison(pair)).endswith(COMPARE_REQUEST)


def test_a_comparison_goes_on(pair):
    messages = build_comparison(pair, "And the colours?", history=HISTORY)
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert count_images(messages) == count_images(messages[:1]) == 2
    assert flat(messages[:1]).endswith("What is it?")
    assert flat(messages[-1:]) == "And the colours?"


def test_each_context_has_the_whole_budget(pair):
    assert flat(build_comparison(pair, "Q?", PromptOptions(max_context_tokens=0))) == (
        "Figure A:\n<image>\nFigure B:\n<image>\nQ?"
    )


def test_a_region_comes_with_its_place_and_the_text_in_it(pair, parts):
    (message,) = build_region_question(pair[0], parts, "What is here?")
    assert flat([message]) == (
        "<image>Caption: Figure 3: The caption of one.\nText in the figure: x-axis: Epoch [40 90 60 100]\n\n"
        "Region A of the figure [20 50 100 100], larger:\n<image>"
        "Text in region A:\nx-axis: Epoch [25 80 50 100]\n\n"
        "Region B of the figure [0 0 50 50], larger:\n<image>\n"
        "What is here?"
    )


def test_in_a_conversation_the_regions_come_with_their_question(pair, parts):
    messages = build_region_question(pair[0], parts[:1], "What is here?", history=HISTORY)
    assert messages[:2] == build_messages(pair[0], "Later.", history=HISTORY)[:2], "what was said stays as it was said"
    assert flat(messages[2:]).startswith("Region A of the figure")
    assert flat(messages).count("<image>") == 2


def test_without_the_text_of_figures_regions_have_none(pair, parts):
    assert "Epoch" not in flat(build_region_question(pair[0], parts, "Q?", PromptOptions(ocr=False)))


@pytest.mark.parametrize("template", [name for name in template_names() if name != "plain"])
def test_every_template_says_every_image_in_its_order(pair, parts, template):
    for messages, names in (
        (build_comparison(pair, "Q?"), ("Figure A", "Figure B")),
        (build_region_question(pair[0], parts, "Q?"), ("Text in the figure", "Region A", "Region B")),
    ):
        text = render(messages, load_template(template), add_generation_prompt=True, bos_token="", eos_token="")
        assert text.count("<image>") == count_images(messages)
        places = [text.index(name) for name in names]
        assert places == sorted(places)


def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(InputError, match="2 to 26 figures, got 1"):
        build_comparison(pair[:1])
    with pytest.raises(InputError, match="without an image"):
        build_comparison((pair[0], Figure(id="none")))
    with pytest.raises(InputError, match="empty"):
        build_comparison(pair, " ")
    with pytest.raises(InputError, match="alternate"):
        build_comparison(pair, "Q?", history=HISTORY[:1])
