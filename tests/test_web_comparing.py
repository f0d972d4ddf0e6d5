"""Comparing on the page, in a headless Chromium: with and without the text in the figure, and two figures."""

import asyncio

import numpy as np
import pytest

from llava_graph.images import open_image
from llava_graph.record import OcrLine
from serve.engines.engine import Step
from serve.protocol.messages import Usage, image_bytes
from tests.browsing import choose, running_chromium, running_site, upload, visiting
from tests.serving import ScriptedEngine, eventually, png

pytestmark = pytest.mark.browser

EPOCH = OcrLine(text="Epoch <b>", box=(0.6, 0.85, 0.7, 0.95), role="x-axis", source="rapidocr")
WITH = "The loss falls from 0.93 to 0.1. It ends at epoch 90 <img src=x onerror=x>."
WITHOUT = "The loss falls from 0.9 to 0.1. No legend can be read here."


class TextEngine(ScriptedEngine):
    """Says another thing when it is given the text in the figure; begins when `together` requests are there."""

    together: int = 1
    begun: int = 0

    async def stream(self, request):
        self.begun += 1
        self.requests.append(request)
        while self.begun < self.together:
            await asyncio.sleep(0.01)
        self.running += 1
        try:
            words = (WITH if "Text in the figure" in asked(request) else WITHOUT).split()
            for count in range(len(words) + 1):
                yield Step(" ".join(words[:count]), Usage(7, count), "stop" if count == len(words) else None)
                await asyncio.sleep(self.pause)
        finally:
            self.running -= 1


def asked(request) -> str:
    return "".join(part.get("text", "<image>") for message in request.messages for part in message["content"])


@pytest.fixture(scope="module")
def engine():
    return TextEngine()


@pytest.fixture(scope="module")
def lines():
    """What is read in a figure; empty it for figures without text."""
    return [EPOCH]


@pytest.fixture(scope="module")
def visitor(engine, lines):
    with (
        running_chromium() as browser,
        running_site(engine, read=lambda data: tuple(lines)) as site,
        visiting(browser, site) as page,
    ):
        for name in ("without-text", "two-figures"):
            page.locator(f"#{name} button").first.click()
        yield page


@pytest.fixture
def page(visitor, engine, lines):
    visitor.set_viewport_size({"width": 1280, "height": 800})
    visitor.fill("#caption textarea", "to be cleared")
    visitor.click("#clear")
    eventually(lambda: not visitor.locator("#caption textarea").input_value())
    visitor.wait_for_selector("#explain[disabled]")
    engine.requests.clear()
    engine.together, engine.begun, engine.pause, engine.max_images = 1, 0, 0.0, 8
    lines[:] = [EPOCH]
    yield visitor
    assert visitor.browser_errors == []


def show(page, width: int = 200, height: int = 150) -> None:
    choose(page, upload(png(width, height)))
    page.wait_for_selector("#viewer .pixels", state="visible")
    eventually(
        lambda: (
            page.locator("#viewer .pixels").evaluate("(node, wide) => node.naturalWidth === wide", width)
            and "Reading" not in page.locator("#viewer .count").inner_text()
        )
    )
    page.wait_for_selector("#explain:not([disabled])")


def column(page, name: str, number: int):
    return page.locator(f"#{name}-answers .column").nth(number)


def compare(page, name: str, question: str = "") -> None:
    page.wait_for_selector(f"#{name}-ask:not([disabled])")
    page.fill(f"#{name}-question textarea", question)
    page.click(f"#{name}-ask")


def ended(page, name: str) -> None:
    eventually(lambda: page.locator(f"#{name}-answers .column[aria-busy=true]").count() == 0)
    eventually(lambda: page.locator(f"#{name}-answers .column").count() > 0)
    page.wait_for_selector(f"#{name}-ask:not([disabled])")


def test_both_answers_are_asked_for_at_once_and_what_differs_is_marked(page, engine):
    engine.together = 2
    show(page)
    compare(page, "text", "How does it end?")
    ended(page, "text")
    texts = sorted(asked(request) for request in engine.requests)
    assert texts == [
        "<image>How does it end?",
        "<image>Text in the figure: x-axis: Epoch <b> [60 85 70 95]\nHow does it end?",
    ]
    assert [request.temperature for request in engine.requests] == [0.0, 0.0]
    assert column(page, "text", 0).locator("h3").inner_text() == "With the text in the figure (1 line)"
    assert column(page, "text", 0).locator(".text").inner_text() == WITH
    assert column(page, "text", 0).locator("mark.number").all_inner_texts() == ["0.93", "90"]
    assert column(page, "text", 1).locator("mark.only").all_inner_texts() == ["No legend can be read here."]
    assert (
        "Only without it: 1 of 2 sentences and the number 0.9." in page.locator("#text-answers .verdict").inner_text()
    )
    assert page.locator("#text-answers img").count() == 0, "an answer is text"


def test_an_answer_of_before_is_not_shown_under_another_figure(page, engine):
    show(page)
    compare(page, "text")
    ended(page, "text")
    show(page, 210)
    eventually(lambda: page.locator("#text-answers .contrast").is_hidden())
    engine.pause = 0.1
    compare(page, "text")
    eventually(lambda: "The loss" in page.locator("#text-answers").inner_text())
    show(page, 220)
    eventually(lambda: engine.running == 0)
    eventually(lambda: page.locator("#text-answers .contrast").is_hidden())
    page.wait_for_selector("#text-ask", state="visible")


def test_stop_keeps_what_was_written(page, engine):
    engine.pause = 0.3
    show(page)
    compare(page, "text")
    eventually(lambda: "falls" in column(page, "text", 0).locator(".text").inner_text())
    page.click("#text-stop")
    eventually(lambda: column(page, "text", 1).locator(".facts").last.inner_text() == "Stopped.")
    assert "falls" in column(page, "text", 0).locator(".text").inner_text()
    eventually(lambda: engine.running == 0)
    page.wait_for_selector("#text-ask", state="visible")


def test_without_text_there_is_nothing_to_compare_and_the_page_says_so(page, lines):
    lines.clear()
    show(page)
    eventually(lambda: "nothing to leave out" in page.locator("#text-note").inner_text())
    assert page.locator("#text-ask").is_disabled()
    show_lines = page.locator("#viewer summary")
    show_lines.click()
    page.get_by_role("button", name="Add a line").click()
    page.keyboard.type("Loss")
    page.wait_for_selector("#text-ask:not([disabled])")
    show_lines.click()


def keep(page) -> None:
    page.wait_for_selector("#pin:not([disabled])")
    page.click("#pin")
    eventually(lambda: "choose the other figure" in page.locator("#pair-note").inner_text())


def test_two_figures_are_asked_about_together_and_the_talk_goes_on(page, engine):
    show(page, 200)
    page.fill("#caption textarea", "The <i>first</i>.")
    keep(page)
    assert page.locator("#pair-ask").is_disabled()
    show(page, 300)
    page.fill("#caption textarea", "The second.")
    eventually(lambda: page.locator("#pair .other figcaption").inner_text() == "Figure B. The second.")
    assert page.locator("#pair .one figcaption").inner_text() == "Figure A. The <i>first</i>."
    assert page.locator("#pair .one img").get_attribute("alt") == "Figure A: The <i>first</i>."
    compare(page, "pair", "Which is higher?")
    ended(page, "pair")
    (request,) = engine.requests
    text = asked(request)
    assert text.index("Figure A:\n<image>Caption: The <i>first</i>.") < text.index(
        "Figure B:\n<image>Caption: The second."
    )
    assert text.endswith("Which is higher?")
    assert [np.asarray(open_image(image_bytes(image, 0))).shape[1] for image in request.images] == [200, 300]
    compare(page, "pair", "And wider?")
    eventually(lambda: len(engine.requests) == 2)
    ended(page, "pair")
    assert [message["role"] for message in engine.requests[1].messages] == ["user", "assistant", "user"]
    assert page.locator("#pair-answers .earlier .user").inner_text() == "Which is higher?"
    page.click("#unpin")
    eventually(lambda: page.locator("#pair-answers .contrast").is_hidden())
    assert page.locator("#pair-ask").is_disabled()


def test_a_model_of_one_image_answers_about_each_figure_and_the_page_says_so(page, engine):
    engine.max_images = 1
    show(page, 200)
    keep(page)
    show(page, 300)
    compare(page, "pair", "What is it?")
    ended(page, "pair")
    assert "takes one image, so it cannot see both" in page.locator("#pair-answers .how").inner_text()
    assert [column(page, "pair", number).locator("h3").inner_text() for number in (0, 1)] == ["Figure A", "Figure B"]
    widths = [np.asarray(open_image(image_bytes(request.images[0], 0))).shape[1] for request in engine.requests]
    assert sorted(widths) == [200, 300]


def test_the_same_figure_is_not_compared_with_itself(page):
    show(page, 200)
    keep(page)
    show(page, 200)
    eventually(lambda: "choose the other figure" in page.locator("#pair-note").inner_text())
    assert page.locator("#pair-ask").is_disabled()


def test_side_by_side_becomes_one_below_the_other_on_a_phone(page):
    show(page)
    compare(page, "text")
    ended(page, "text")
    page.set_viewport_size({"width": 390, "height": 844})
    one, other = (column(page, "text", number).bounding_box() for number in (0, 1))
    assert other["y"] >= one["y"] + one["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
