"""The text in a figure on the page, in a headless Chromium: boxes and rows, corrections, and what the model is given then."""

import pytest

from llava_graph.record import OcrLine
from ocr.draw import COLOURS
from serve.protocol.messages import data_uri
from tests.browsing import choose, running_chromium, running_site, told, upload, visiting
from tests.serving import ScriptedEngine, eventually, png

pytestmark = pytest.mark.browser

EPOCH = OcrLine(text="Epooh", box=(0.4, 0.85, 0.6, 0.95), role="x-axis", confidence=0.83, source="rapidocr", panel="a")
LOSS = OcrLine(text="Loss", box=(0.02, 0.3, 0.08, 0.6), role="y-axis", orientation=90, source="pdf")
TEN = OcrLine(text="10", box=(0.2, 0.75, 0.25, 0.8), role="x-tick", confidence=0.4, source="rapidocr")
HOSTILE = (
    '<img src=x onerror="document.title=1">',
    '"><script>document.title=2</script>',
    "${document.title=3} {{value}} `",
    "</textarea></select>&lt;b&gt;",
)


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine(words=("So.",))


@pytest.fixture(scope="module")
def reader():
    """What reads a figure here: it finds `reader.lines`."""

    class Reader:
        lines: tuple[OcrLine, ...] = ()

        def __call__(self, image: bytes) -> tuple[OcrLine, ...]:
            return self.lines

    return Reader()


@pytest.fixture(scope="module")
def visitor(engine, reader):
    with running_chromium() as browser, running_site(engine, read=reader) as site, visiting(browser, site) as page:
        yield page


@pytest.fixture
def reading(visitor, engine, reader):
    """Call it with lines: the visitor has a figure in which these were read."""
    sizes = iter(range(200, 300))

    def read(*lines: OcrLine):
        reader.lines = lines
        choose(visitor, upload(png(next(sizes), 150)))
        wanted = f"{len(lines)} line" if lines else "No text was found"
        eventually(lambda: visitor.locator("#viewer .count").inner_text().startswith(wanted))
        visitor.wait_for_selector("#explain:not([disabled])")
        return visitor

    visitor.set_viewport_size({"width": 1280, "height": 800})
    visitor.fill("#caption textarea", "to be cleared")
    visitor.click("#clear")
    eventually(lambda: not visitor.locator("#caption textarea").input_value())
    visitor.wait_for_selector("#viewer .pixels", state="hidden")
    visitor.wait_for_selector("#explain[disabled]")
    engine.requests.clear()
    yield read
    assert visitor.browser_errors == []


def box(page, number: int):
    return page.locator(f"#viewer .box[aria-label^='{(EPOCH, LOSS, TEN)[number].text}']")


def row(page, number: int):
    return page.locator("#viewer .line").nth(number)


def opened(page):
    if not page.locator("#viewer .list").is_visible():
        page.click("#viewer summary")
    return page


def explained(page, engine) -> str:
    """The prompt of the explanation that is asked for now."""
    asked = len(engine.requests)

    def taken() -> bool:
        # gradio drops a click while the answer before it is still ending, after its last word was drawn.
        page.wait_for_selector("#explain:not([disabled])")
        page.click("#explain")
        try:
            return eventually(lambda: len(engine.requests) > asked, 2)
        except AssertionError:
            return False

    eventually(taken)
    return engine.requests[-1].messages[0]["content"][1]["text"]


def test_pointing_at_a_box_tells_text_role_confidence_and_source(reading):
    page = reading(EPOCH, LOSS, TEN)
    tip = page.locator("#viewer .tip")
    assert tip.is_hidden()
    box(page, 0).hover()
    assert tip.inner_text().split("\n") == ["Epooh", "x-axis · 83 % sure", "read by rapidocr · panel a"]
    box(page, 1).hover()
    assert tip.inner_text().split("\n") == ["Loss", "y-axis · 100 % sure", "text of the file itself · turned 90°"]
    page.locator("#caption textarea").hover()
    assert tip.is_hidden()


def test_the_boxes_stand_where_the_text_is_in_the_colours_of_the_overlay(reading):
    page = reading(EPOCH, LOSS, TEN)
    pixels = page.locator("#viewer .pixels").bounding_box()
    for number, line in enumerate((EPOCH, LOSS, TEN)):
        place = box(page, number).bounding_box()
        assert place["x"] == pytest.approx(pixels["x"] + line.box[0] * pixels["width"], abs=1)
        assert place["y"] == pytest.approx(pixels["y"] + line.box[1] * pixels["height"], abs=1)
        assert place["width"] == pytest.approx((line.box[2] - line.box[0]) * pixels["width"], abs=4)
        red, green, blue = (int(COLOURS[line.role][i : i + 2], 16) for i in (1, 3, 5))
        colour = box(page, number).evaluate("node => getComputedStyle(node).outlineColor")
        assert colour == f"rgb({red}, {green}, {blue})"
    styles = [box(page, number).evaluate("node => getComputedStyle(node).outlineStyle") for number in range(3)]
    assert styles == ["dashed", "solid", "dashed"], "dashed where the reading is unsure"
    page.locator("#viewer .boxes").uncheck()
    assert box(page, 0).is_hidden()
    page.locator("#viewer .boxes").check()
    assert box(page, 0).is_visible()


def test_a_box_and_its_row_light_up_together(reading):
    page = opened(reading(EPOCH, LOSS, TEN))
    row(page, 2).hover()
    assert "lit" in box(page, 2).get_attribute("class")
    box(page, 0).hover()
    assert "lit" in row(page, 0).get_attribute("class")
    assert "lit" not in row(page, 2).get_attribute("class")
    box(page, 0).click()
    assert row(page, 0).locator(".text").evaluate("node => node === document.activeElement")


def test_a_corrected_line_is_what_the_next_explanation_is_given(reading, engine):
    page = opened(reading(EPOCH, LOSS, TEN))
    assert "Epooh" in explained(page, engine)
    row(page, 0).locator(".text").fill("Epoch")
    prompt = explained(page, engine)
    assert "x-axis: Epoch [40 85 60 95]" in prompt, "with its role and place"
    assert "Epooh" not in prompt
    row(page, 0).locator(".role").select_option("title")
    assert "title: Epoch" in explained(page, engine)
    assert "corrected by you; read as “Epooh”" in row(page, 0).locator(".sure").get_attribute("title")
    page.fill("#question textarea", "And now?")
    row(page, 0).locator(".text").fill("Steps")
    page.click("#ask")
    eventually(lambda: len(engine.requests[-1].messages) == 3)
    assert "title: Steps" in engine.requests[-1].messages[0]["content"][1]["text"], "in a follow-up question too"


def test_a_line_that_is_switched_off_is_not_given_to_the_model(reading, engine):
    page = opened(reading(EPOCH, LOSS, TEN))
    row(page, 1).locator(".on").uncheck()
    assert page.locator("#viewer .count").inner_text() == "3 lines of text · 1 off"
    prompt = explained(page, engine)
    assert "Loss" not in prompt
    assert "Epooh" in prompt
    row(page, 1).locator(".on").check()
    page.get_by_role("button", name="x-tick 1").click()
    prompt = explained(page, engine)
    assert "Loss" in prompt
    assert "x-tick" not in prompt
    page.get_by_role("button", name="Switch all off").click()
    assert "Text in the figure" not in explained(page, engine)


def test_a_line_can_be_added_where_it_stands(reading, engine):
    page = opened(reading(EPOCH))
    page.get_by_role("button", name="Add a line").click()
    page.keyboard.type("ResNet")
    assert "ResNet [0 0 100 100]" in explained(page, engine), "without a place it may stand anywhere"
    page.locator("#viewer .pixels").scroll_into_view_if_needed()
    pixels = page.locator("#viewer .pixels").bounding_box()
    page.mouse.move(pixels["x"] + 0.5 * pixels["width"], pixels["y"] + 0.25 * pixels["height"])
    page.mouse.down()
    page.mouse.move(pixels["x"] + 0.75 * pixels["width"], pixels["y"] + 0.5 * pixels["height"], steps=3)
    page.mouse.up()
    assert "ResNet [50 25 75 50]" in explained(page, engine)


def test_undo_brings_back_what_was_read(reading, engine):
    page = opened(reading(EPOCH, LOSS))
    undo = page.get_by_role("button", name="Undo all changes")
    assert undo.is_disabled()
    row(page, 0).locator(".text").fill("Epoch")
    row(page, 1).locator(".on").uncheck()
    page.get_by_role("button", name="Add a line").click()
    page.keyboard.type("ResNet")
    undo.click()
    assert page.locator("#viewer .count").inner_text() == "2 lines of text"
    prompt = explained(page, engine)
    assert "Epooh" in prompt
    assert "Loss" in prompt
    assert "ResNet" not in prompt


def test_the_preview_shows_what_the_model_is_given(reading, engine):
    page = opened(reading(EPOCH, LOSS))
    page.fill("#caption textarea", "Figure 1: Loss <b>.")
    if not page.locator("#prompt textarea").is_visible():
        page.locator("#prompt-section button").first.click()
    shown = page.locator("#prompt textarea")
    row(page, 0).locator(".text").fill("Epoch <i>")
    eventually(lambda: "Epoch <i>" in shown.input_value() and "Loss <b>" in shown.input_value())
    assert shown.input_value() == "<image>\n" + explained(page, engine)
    row(page, 0).locator(".on").uncheck()
    eventually(lambda: "Epoch" not in shown.input_value())


def test_text_of_a_figure_is_never_run(reading, engine):
    lines = [OcrLine(text=text, box=(0.1, y / 10, 0.9, (y + 1) / 10), source=text) for y, text in enumerate(HOSTILE, 1)]
    page = opened(reading(*lines))
    title = page.title()
    for number, line in enumerate(lines):
        page.locator("#viewer .box").nth(number).hover()
        assert page.locator("#viewer .tip strong").inner_text() == line.text
        assert row(page, number).locator(".text").input_value() == line.text
    assert page.locator("#viewer img").count() == 1
    assert page.locator("#viewer script").count() == 0
    row(page, 0).locator(".text").fill(HOSTILE[1])
    row(page, 1).hover()
    eventually(lambda: HOSTILE[1] in page.locator("#prompt textarea").input_value())
    assert HOSTILE[1] in explained(page, engine)
    assert page.title() == title


def test_the_keyboard_walks_the_lines(reading, engine):
    page = reading(EPOCH, LOSS, TEN)
    page.locator("#viewer .box[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer .tip strong").inner_text() == "Loss"
    page.keyboard.press("Delete")
    assert "Loss" not in explained(page, engine)
    page.locator("#viewer .box[tabindex='0']").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert row(page, 2).locator(".text").evaluate("node => node === document.activeElement")
    page.keyboard.press("Control+a")
    page.keyboard.type("12")
    assert "x-tick: 12" in explained(page, engine)


def test_no_event_has_two_steps_that_wait_for_each_other(visitor):
    # gradio 6.31 runs all steps of an event anew when one that is "always_last" has waited: two never come to rest.
    waiting = visitor.evaluate(
        "gradio_config.dependencies.filter(step => step.trigger_mode === 'always_last').flatMap(step => step.targets)"
    )
    assert waiting, "there is one: the preview of the prompt"
    assert len({tuple(target) for target in waiting}) == len(waiting)


def test_the_page_falls_silent_when_a_figure_has_been_read(reading):
    page = reading(EPOCH, LOSS)
    opened(page)
    row(page, 0).locator(".text").fill("Epoch")
    page.fill("#caption textarea", "Loss over epochs.")
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    def silent() -> bool:
        asked.clear()
        page.wait_for_timeout(700)
        return not asked

    eventually(silent)


def test_a_figure_without_text_says_so(reading, engine):
    page = opened(reading())
    assert "No text was found in this figure" in page.locator("#viewer .count").inner_text()
    page.get_by_role("button", name="Add a line").click()
    page.keyboard.type("By hand")
    assert "By hand" in explained(page, engine)


def test_five_hundred_lines_stay_in_their_list(reading):
    lines = [
        OcrLine(text=f"n{k}", box=(k % 25 / 25, k // 25 / 20, k % 25 / 25 + 0.03, k // 25 / 20 + 0.03))
        for k in range(500)
    ]
    page = opened(reading(*lines))
    assert page.locator("#viewer .line").count() == page.locator("#viewer .box").count() == 500
    assert page.locator("#viewer .list").bounding_box()["height"] <= 300
    page.locator("#viewer .box[aria-label^='n499,']").click()
    place, whole = row(page, 499).bounding_box(), page.locator("#viewer .list").bounding_box()
    assert whole["y"] <= place["y"] <= whole["y"] + whole["height"], "the row of a chosen box is scrolled to"


def test_it_can_be_enlarged_and_fits_a_phone(reading):
    page = reading(EPOCH, LOSS, TEN)
    for width, height in ((1280, 800), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        small = page.locator("#viewer .pixels").bounding_box()["width"]
        page.get_by_role("button", name="Enlarge").click()
        large = page.locator("#viewer .viewer").bounding_box()
        assert (large["width"], large["height"]) == (width, height)
        assert page.locator("#viewer .pixels").bounding_box()["width"] >= small
        assert row(page, 0).is_visible()
        page.keyboard.press("Escape")
        assert page.locator("#viewer .viewer").bounding_box()["height"] < height
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_another_figure_takes_the_place_of_the_one_that_is_shown(reading, reader, engine):
    page = opened(reading(EPOCH, LOSS))
    row(page, 0).locator(".text").fill("Steps")
    reader.lines = (LOSS,)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Other figure", exact=True).click()
    chooser.value.set_files(upload(png(310, 150)))
    eventually(lambda: page.locator("#viewer .count").inner_text() == "1 line of text")
    prompt = explained(page, engine)
    assert "Loss" in prompt
    assert "Steps" not in prompt, "corrections were of the figure before"
    assert engine.sizes[-1] == (310, 150)
    reader.lines = (TEN, EPOCH)
    page.evaluate(
        """async (data) => {
            const bytes = await (await fetch(data)).blob(), clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
        }""",
        data_uri(png(320, 150)),
    )
    eventually(lambda: page.locator("#viewer .count").inner_text() == "2 lines of text")
    assert "Epooh" in explained(page, engine)
    assert engine.sizes[-1] == (320, 150)


def test_a_line_that_is_too_long_is_refused_with_its_length(reading, engine):
    page = opened(reading(EPOCH))
    # Typing stops at the limit; a client of one's own does not.
    row(page, 0).locator(".text").evaluate(
        "node => { node.maxLength = 9999; node.value = 'x'.repeat(600); node.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    page.click("#explain")
    page.wait_for_selector("#banner .banner")
    assert "has 600 characters" in told(page)
    assert not engine.requests
