"""The conversation in a headless Chromium: sections, evidence, retry, suggestions, and text that stays text."""

import pytest

from llava_graph.record import OcrLine
from serve.http.servers import Server, bind
from serve.web import create_web
from tests.browsing import answer, answers, choose, choose_and_wait, models, running_chromium, upload, visiting
from tests.serving import ScriptedEngine, eventually, png, running_controller, running_worker

pytestmark = pytest.mark.browser

CAPTION = "Loss of ours and the baseline over 50 epochs of training."
LINES = (
    OcrLine(text="Epoch", box=(0.4, 0.9, 0.6, 0.97), role="x-axis", source="rapidocr"),
    OcrLine(text="Loss", box=(0.02, 0.3, 0.08, 0.6), role="y-axis", source="rapidocr"),
    OcrLine(text="ours", box=(0.7, 0.1, 0.9, 0.15), role="legend", source="rapidocr"),
    OcrLine(text="<b>base</b>", box=(0.7, 0.2, 0.9, 0.25), role="legend", source="rapidocr"),
    OcrLine(text="0", box=(0.1, 0.85, 0.12, 0.88), role="x-tick", value=0, source="rapidocr"),
    OcrLine(text="50", box=(0.9, 0.85, 0.95, 0.88), role="x-tick", value=50, source="rapidocr"),
)
EXPLANATION = """## What is plotted
The loss of **ours** and the baseline is drawn over 50 epochs of training. The y-axis is Loss.

## Caveats
- At the end it is 0.773 for the baseline.
- Violet snow covers distant hills."""


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine()


@pytest.fixture(scope="module")
def site(engine):
    with running_controller() as controller, running_worker(engine, controller.url):
        eventually(lambda: models(controller))
        page = create_web(controller.url, read=lambda data: LINES)
        with Server(page, bind("127.0.0.1", 0), "web page") as server:
            yield server


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def visitor(chromium, site):
    with visiting(chromium, site) as page:
        page.evaluate("document.addEventListener('llava:light', (event) => { window.light = event.detail; })")
        yield page


@pytest.fixture
def page(visitor, engine):
    """One visitor for all tests, who begins each with the figure, its caption and nothing said yet."""
    engine.words, engine.pause, engine.instructions = EXPLANATION.split(" "), 0.0, True
    visitor.fill("#caption textarea", "to be cleared")
    visitor.click("#clear")
    eventually(lambda: not visitor.locator("#caption textarea").input_value())
    eventually(lambda: not answers(visitor) and visitor.locator("#explain").is_disabled())
    choose_and_wait(visitor)
    visitor.fill("#caption textarea", CAPTION)
    engine.requests.clear()
    yield visitor
    assert visitor.browser_errors == []


def finished(page, answers_so_far: int = 1) -> None:
    eventually(lambda: len(answers(page)) == answers_so_far and "tokens in" in page.locator("#status").inner_text())
    page.wait_for_selector("#ask:not([disabled])")


def explained(page) -> None:
    page.click("#explain")
    finished(page)
    eventually(lambda: page.locator("#chat .answer button.source").count())


def text_of(request, message: int = -1) -> str:
    return request.messages[message]["content"][-1]["text"]


def versions(page) -> str:
    return page.locator("#chat .count").inner_text() if page.locator("#chat .count").count() else ""


def test_a_figure_is_explained_in_sections_for_a_reader_and_in_a_length(page, engine):
    page.locator("#level label", has_text="Expert").click()
    page.locator("#answer-length label", has_text="Short").click()
    explained(page)
    asked = text_of(engine.requests[-1])
    assert "Write for an expert" in asked
    assert "## What the paper claims" in asked
    assert engine.requests[-1].max_new_tokens == 192
    assert page.locator("#chat .asked").inner_text() == "Explain this figure to an expert (short)."
    assert page.locator("#chat h3.section").all_inner_texts() == ["What is plotted", "Caveats"]
    assert page.locator("#chat .answer strong").inner_text() == "ours"
    assert page.locator("#chat .answer li").count() == 2
    page.locator("#level label", has_text="Student").click()
    page.locator("#answer-length label", has_text="Medium").click()


def test_a_model_that_follows_no_instructions_is_asked_as_it_was_trained(chromium, site, engine):
    engine.instructions, engine.words = False, EXPLANATION.split(" ")
    with visiting(chromium, site) as page:
        page.wait_for_selector("#asking-note p")
        assert "not trained to follow a level" in page.locator("#asking-note").inner_text()
        assert page.locator("#level input").first.is_disabled()
        choose_and_wait(page)
        page.click("#explain")
        finished(page)
    assert "Write for" not in text_of(engine.requests[-1])
    assert "##" not in text_of(engine.requests[-1])
    engine.instructions = True


def test_pointing_at_a_source_lights_up_what_it_names(page):
    explained(page)
    page.locator("#chat .answer button.source", has_text="caption").first.hover()
    page.wait_for_selector("#caption.evidence-lit")
    assert page.locator("#viewer .box.shown").count() == 0
    page.locator("#chat .said", has_text="The y-axis is").hover()
    eventually(lambda: page.locator("#viewer .box.shown").count() == 1)
    assert page.evaluate("window.light.lines") == [1]
    assert page.locator("#chat .said.lit").all_inner_texts() == ["The y-axis is Loss."]
    page.mouse.move(2, 2)
    eventually(lambda: page.locator("#viewer .box.shown").count() == 0)
    assert page.locator("#caption.evidence-lit").count() == 0


def test_sources_are_reached_by_keys_one_tab_stop_an_answer(page):
    explained(page)
    assert page.locator("#chat .answer button.source[tabindex='0']").count() == 1
    page.locator("#chat .answer button.source[tabindex='0']").focus()
    assert page.evaluate("window.light.caption")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent").startswith("text in figure")
    assert page.evaluate("window.light.lines") == [0, 1, 2]
    page.keyboard.press("Enter")
    assert page.evaluate("window.light.show")


def test_what_nothing_bears_out_is_marked_and_says_why(page):
    explained(page)
    assert page.locator("#chat .answer .unborne .run").all_inner_texts() == ["0.773"]
    assert "check it" in page.locator("#chat .answer .unborne").get_attribute("title")
    assert "Violet snow covers distant hills." in page.locator("#chat .answer .unfound").all_inner_texts()
    page.uncheck("#chat .evidence")
    assert not page.locator("#chat .answer .source").first.is_visible()
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#chat .answer .unborne')).textDecorationLine") == "none"
    )
    page.check("#chat .evidence")


def test_evidence_follows_a_corrected_caption(page):
    explained(page)
    assert page.locator("#chat .answer .unborne").count() == 1
    page.fill("#caption textarea", CAPTION + " At the end it is 0.773 for the baseline.")
    eventually(lambda: page.locator("#chat .answer .unborne").count() == 0)


def test_retry_keeps_the_answer_before_and_the_one_shown_is_built_on(page, engine):
    explained(page)
    first = answer(page)
    engine.words = ("Another", "answer.")
    page.click("#chat .retry")
    eventually(lambda: answer(page) == "Another answer." and versions(page) == "2/2")
    assert text_of(engine.requests[0]) == text_of(engine.requests[1]), "the same was asked again"
    page.click("#chat .step >> nth=0")
    eventually(lambda: versions(page) == "1/2")
    assert answer(page) == first
    page.fill("#question textarea", "And then?")
    page.click("#ask")
    finished(page, 2)
    assert text_of(engine.requests[-1], 1) == EXPLANATION


def test_a_stopped_retry_leaves_both(page, engine):
    explained(page)
    engine.words, engine.pause = ("word",) * 3000, 0.02
    page.click("#chat .retry")
    eventually(lambda: answer(page).startswith("word word"))
    page.click("#stop")
    page.wait_for_selector("#stop", state="hidden")
    eventually(lambda: versions(page) == "2/2")
    assert "Stopped" in page.locator("#status").inner_text()
    page.click("#chat .step >> nth=0")
    eventually(lambda: "What is plotted" in page.locator("#chat .answer").inner_text())


def test_a_suggested_question_is_asked_and_the_field_is_left_alone(page, engine):
    page.fill("#question textarea", "half a thought")
    asked = page.locator("#chat .suggestion").all_inner_texts()
    assert "Which of “ours” and “<b>base</b>” is highest at the end?" in asked, "a tag in a figure is text"
    page.locator("#chat .suggestion", has_text="Which of").click()
    finished(page)
    assert text_of(engine.requests[-1]).endswith("Which of “ours” and “<b>base</b>” is highest at the end?")
    assert page.locator("#question textarea").input_value() == "half a thought"
    assert "Which of" not in " ".join(page.locator("#chat .suggestion").all_inner_texts())
    page.fill("#question textarea", "")


def test_markup_in_an_answer_stays_text(page, engine, site):
    nasty = (
        "<img src=x onerror=alert(1)> **<script>alert(2)</script>** ![x](http://evil.example/y.png) "
        "[link](javascript:alert(3)) $\\href{javascript:alert(4)}{x}$ `<b>`\n\n| <i>a</i> | b |\n|---|---|\n| ${alert(5)} | {{b}} |"
    )
    engine.words = nasty.split(" ")
    page.click("#explain")
    finished(page)
    assert page.locator("#chat .turns :is(img, a, script, iframe, i, b)").count() == 0
    for piece in ("<img src=x onerror=alert(1)>", "<script>alert(2)</script>", "![x](http://evil.example/y.png)"):
        assert piece in answer(page)
    assert "${alert(5)}" in answer(page)
    assert [url for url in page.requested if not url.startswith((site.url, "data:", "blob:"))] == []


def test_a_reader_who_has_scrolled_up_stays_there_and_hears_when_it_is_done(page, engine):
    engine.words, engine.pause = ("word ", "and\n\n") * 150, 0.01
    page.click("#explain")
    log = page.locator("#chat .log")
    eventually(lambda: log.evaluate("log => log.scrollHeight - log.clientHeight > 300 && log.scrollTop > 200"))
    assert page.locator("#chat .announced").inner_text() == "The model is writing."
    log.evaluate("log => { log.scrollTop = 10; }")
    finished(page)
    assert log.evaluate("log => log.scrollTop") == 10
    assert page.locator("#chat .announced").inner_text().startswith("The answer is there")


ASK_AT_ONCE = """() => {
  const field = document.querySelector("#question textarea");
  document.querySelector("#explain").click();
  field.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
  field.dispatchEvent(new KeyboardEvent("keypress", {key: "Enter", bubbles: true}));
}"""


def test_a_second_answer_is_refused_while_one_is_written_and_nothing_is_lost(page, engine):
    engine.words, engine.pause = ["word"] * 30, 0.1
    page.fill("#question textarea", "And why?")
    # Both within one moment: no button is off yet, so the server has to refuse. Which of two requests comes first is chance: the
    # question is held back until the explanation has begun.
    held = []
    page.route("**/queue/join*", lambda route: held.append(route))  # noqa: PLW0108  (playwright keeps its own mark on the function)
    page.evaluate(ASK_AT_ONCE)
    eventually(lambda: page.evaluate("true") and len(held) == 2)
    explanation, question = sorted(held, key=lambda route: "And why?" in route.request.post_data)
    explanation.continue_()
    eventually(lambda: page.evaluate("true") and engine.requests)
    question.continue_()
    page.unroute("**/queue/join*")
    eventually(lambda: "stop it first" in page.locator("#status").inner_text())
    assert page.locator("#question textarea").input_value() == "And why?"
    eventually(lambda: answers(page))
    page.press("#question textarea", "Enter")
    finished(page)
    assert len(engine.requests) == 1
    assert page.locator("#chat .asked").count() == 1
    assert page.locator("#question textarea").input_value() == "And why?"
    engine.pause = 0.0
    page.press("#question textarea", "Enter")
    finished(page, 2)
    assert page.locator("#chat .asked").last.inner_text() == "And why?"
    assert "Explain" not in text_of(engine.requests[-1])


def test_after_a_stop_one_may_ask_at_once(page, engine):
    engine.words, engine.pause = ["word"] * 100, 0.1
    for _ in range(2):
        page.click("#explain")
        page.wait_for_selector("#stop:visible")
        page.click("#stop")
        eventually(lambda: page.locator("#status").inner_text() == "Stopped.")
        page.wait_for_selector("#explain:not([disabled])")
    engine.words, engine.pause = ["word"] * 3, 0.0
    page.click("#explain")
    finished(page)
    assert answer(page) == "word word word"


def test_level_and_length_are_named_groups_with_one_tab_stop_each(page):
    for name, chosen, next_one in (("Explain for", "Student", "Expert"), ("Length", "Medium", "Long")):
        group = page.get_by_role("radiogroup", name=name)
        group.get_by_role("radio", name=chosen).focus()
        page.keyboard.press("ArrowRight")
        eventually(lambda group=group, label=next_one: group.get_by_role("radio", name=label).is_checked())
        eventually(lambda group=group: group.evaluate("group => group.contains(document.activeElement)"))
        page.keyboard.press("ArrowLeft")
        eventually(lambda group=group, label=chosen: group.get_by_role("radio", name=label).is_checked())
        eventually(lambda group=group: group.locator("input[tabindex='0']:checked").count() == 1)
        assert group.locator("input[tabindex='0']").count() == 1
        page.keyboard.press("Tab")
        eventually(
            lambda name=name: page.evaluate("document.activeElement.closest('[role=radiogroup]')?.ariaLabel") != name
        )


def test_a_question_typed_for_one_figure_is_not_asked_about_the_next(page):
    page.fill("#question textarea", "What is at the left?")
    choose(page, upload(png(300, 200)))
    eventually(lambda: page.locator("#question textarea").input_value() == "")


def test_on_a_phone_a_tapped_source_leads_back_to_its_sentence(chromium, site, engine):
    engine.words, engine.pause = EXPLANATION.split(" "), 0.0
    with visiting(chromium, site, 390, 844) as page:
        choose_and_wait(page)
        page.fill("#caption textarea", CAPTION)
        page.click("#explain")
        finished(page)
        chip = page.locator("#chat .answer button.source", has_text="caption").first
        assert chip.bounding_box()["height"] >= 24
        chip.click()
        eventually(lambda: page.evaluate("document.querySelector('#caption').getBoundingClientRect().bottom > 0"))
        page.click("#chat .back")
        eventually(lambda: 0 <= chip.bounding_box()["y"] <= 844)
        assert page.locator("#chat .back").is_hidden()
        assert chip.evaluate("chip => chip === document.activeElement")
