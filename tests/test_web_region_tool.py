"""Selecting a region of the figure in a headless Chromium, by mouse, touch and keys; and what the model is given then."""

import numpy as np
import pytest
from PIL import Image

from llava_graph.images import encode_png, open_image
from llava_graph.record import OcrLine
from serve.protocol.messages import image_bytes
from tests.browsing import choose, running_chromium, running_site, upload, visiting
from tests.serving import ScriptedEngine, eventually

pytestmark = pytest.mark.browser

EPOCH = OcrLine(text="Epoch", box=(0.6, 0.9, 0.7, 0.95), role="x-axis", source="rapidocr")
LOSS = OcrLine(text="Loss", box=(0.02, 0.3, 0.08, 0.6), role="y-axis", orientation=90, source="rapidocr")


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine(words=("So.",))


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, int]]:
    """The sizes of the images that were read."""
    return []


@pytest.fixture(scope="module")
def visitor(engine, seen):
    def read(data: bytes):
        seen.append(open_image(data).size)
        return (EPOCH, LOSS)

    with running_chromium() as browser, running_site(engine, read=read) as site, visiting(browser, site) as page:
        yield page


@pytest.fixture
def showing(visitor, engine):
    """Call it with a size: the visitor has a figure before them in which no two pixels are the same; gives (page, pixels)."""

    def show(width: int = 1600, height: int = 1000):
        y, x = np.mgrid[:height, :width]
        pixels = np.stack((x % 256, y % 256, x // 256 + 32 * (y // 256)), axis=-1).astype(np.uint8)
        choose(visitor, upload(encode_png(Image.fromarray(pixels))))
        eventually(lambda: visitor.locator("#viewer .count").inner_text().startswith("2 lines"))
        visitor.wait_for_selector("#explain:not([disabled])")
        return visitor, pixels

    visitor.set_viewport_size({"width": 1280, "height": 800})
    visitor.fill("#caption textarea", "to be cleared")
    visitor.click("#clear")
    eventually(lambda: not visitor.locator("#caption textarea").input_value())
    visitor.wait_for_selector("#viewer .pixels", state="hidden")
    visitor.wait_for_selector("#explain[disabled]")
    engine.requests.clear()
    engine.max_images = 8
    yield show
    assert visitor.browser_errors == []


def place(page, x: float, y: float) -> tuple[float, float]:
    """A point of the figure (0..1) in px of the window."""
    box = page.locator("#viewer .pixels").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page, start, end) -> None:
    page.mouse.move(*place(page, *start))
    page.mouse.down()
    page.mouse.move(*place(page, *end), steps=3)
    page.mouse.up()


def box(page, name: str = "A") -> list[float]:
    """Where a region lies, 0..1 of the figure."""
    style = page.locator(f"#viewer .region[aria-label^='Region {name},']").evaluate(
        "node => ['left', 'top', 'width', 'height'].map(side => parseFloat(node.style[side]) / 100)"
    )
    return [style[0], style[1], style[0] + style[2], style[1] + style[3]]


def about(page) -> str:
    return page.locator("#asked-about").inner_text().strip()


def asked(page, engine, question: str = "What is here?"):
    """The request that a question makes: its text, its images as pixels."""
    before = len(engine.requests)
    page.fill("#question textarea", question)
    page.wait_for_selector("#ask:not([disabled])")
    page.click("#ask")
    eventually(lambda: len(engine.requests) > before)
    request = engine.requests[-1]
    page.wait_for_selector("#ask:not([disabled])")
    text = "".join(part.get("text", "<image>") for message in request.messages for part in message["content"])
    return text, [np.asarray(open_image(image_bytes(image, 0))) for image in request.images]


def test_the_region_is_sent_in_the_figures_own_pixels_beside_the_whole(showing, engine):
    page, pixels = showing()
    page.click("#viewer .select-toggle")
    drag(page, (0.25, 0.1), (0.8, 1.0))
    left, top, right, bottom = box(page)
    assert [left, top, right, bottom] == pytest.approx([0.25, 0.1, 0.8, 1.0], abs=0.01)
    page.click("#viewer .ask-region")
    assert page.locator("#question textarea").evaluate("node => node === document.activeElement")
    eventually(lambda: about(page) == "About region A.")
    text, (whole, region) = asked(page, engine)
    assert np.array_equal(whole, pixels)
    x0, y0 = int(np.floor(round(left * 1600, 3))), int(np.floor(round(top * 1000, 3)))
    x1, y1 = int(np.ceil(round(right * 1600, 3))), int(np.ceil(round(bottom * 1000, 3)))
    assert np.array_equal(region, pixels[y0:y1, x0:x1]), "pixel by pixel what was uploaded"
    assert "Region A of the figure [25 10 80 100]" in text
    assert text.endswith("What is here?")
    assert "Region A: What is here?" in page.locator("#chat").inner_text()


def test_a_region_of_a_huge_upload_has_the_pixels_that_the_figure_has_lost(showing, engine, seen):
    page, pixels = showing(6000, 400)
    page.click("#viewer .select-toggle")
    drag(page, (0.5, 0.0), (1.0, 1.0))
    eventually(lambda: about(page) == "About region A.")
    _, (whole, region) = asked(page, engine)
    assert whole.shape == (273, 4096, 3)
    x0 = int(np.floor(round(box(page)[0] * 6000, 3)))
    assert np.array_equal(region, pixels[:, x0:])
    assert seen[-1] == (6000 - x0, 400), "and is read in them"


def test_a_model_of_one_image_is_given_the_region_alone_and_the_page_says_so(showing, engine):
    engine.max_images = 1
    page, _ = showing()
    page.click("#viewer .select-toggle")
    drag(page, (0.5, 0.5), (1.0, 1.0))
    eventually(lambda: about(page).startswith("About region A. This model takes one image: region A is sent alone"))
    if not page.locator("#prompt textarea").is_visible():
        page.locator("#prompt-section button").first.click()
    shown = page.locator("#prompt textarea").input_value()
    text, images = asked(page, engine)
    assert text.replace("<image>", "<image>\n") == shown.replace("(your question)", "What is here?"), "word for word"
    assert len(images) == 1
    assert "Epoch" in text


def test_several_regions_each_asked_about_or_not(showing, engine):
    page, _ = showing()
    page.click("#viewer .select-toggle")
    drag(page, (0.1, 0.1), (0.4, 0.4))
    drag(page, (0.5, 0.5), (0.9, 0.9))
    eventually(lambda: about(page) == "About regions A, B.")
    assert len(asked(page, engine)[1]) == 3
    page.get_by_role("button", name="Ask about region A").click()
    eventually(lambda: about(page) == "About region B.")
    text, images = asked(page, engine)
    assert len(images) == 2
    assert "Region B of" in text
    page.get_by_role("button", name="Remove region B").click()
    eventually(lambda: not about(page))
    text, images = asked(page, engine)
    assert len(images) == 1, "without a region the question is about the figure"
    page.get_by_role("button", name="Ask about region A").click()
    drag(page, (0.6, 0.2), (0.8, 0.4))
    eventually(lambda: about(page) == "About regions A, B."), "a name that is free again"


def test_a_region_can_be_moved_and_resized_by_its_corners(showing):
    page, _ = showing()
    page.click("#viewer .select-toggle")
    drag(page, (0.2, 0.2), (0.6, 0.6))
    drag(page, (0.4, 0.4), (0.5, 0.3))
    assert box(page) == pytest.approx([0.3, 0.1, 0.7, 0.5], abs=0.01)
    drag(page, (0.7, 0.5), (0.9, 0.8))
    assert box(page) == pytest.approx([0.3, 0.1, 0.9, 0.8], abs=0.01)
    drag(page, (0.6, 0.4), (1.0, 1.0))
    assert box(page) == pytest.approx([0.4, 0.3, 1.0, 1.0], abs=0.01), "it stays inside the figure"


def test_a_click_is_no_region_and_escape_leaves(showing):
    page, _ = showing()
    page.click("#viewer .select-toggle")
    page.mouse.click(*place(page, 0.5, 0.5))
    assert page.locator("#viewer .region").count() == 0
    page.keyboard.press("Escape")
    assert page.locator("#viewer .select-toggle").get_attribute("aria-pressed") == "false"
    drag(page, (0.2, 0.2), (0.6, 0.6))
    assert page.locator("#viewer .region").count() == 0


def test_the_keyboard_alone_selects_and_asks(showing, engine):
    page, _ = showing()
    page.locator("#viewer .select-toggle").focus()
    page.keyboard.press("Enter")
    label = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(label) == ("Region A, 40 by 40 per cent of the figure, 30 from the left, 30 from the top"), (
        "a screen reader hears where it is"
    )
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert box(page) == pytest.approx([0.32, 0.31, 0.71, 0.72])
    page.keyboard.press("Enter")
    assert page.locator("#question textarea").evaluate("node => node === document.activeElement")
    eventually(lambda: about(page) == "About region A.")
    assert "[32 31 71 72]" in asked(page, engine)[0]
    page.locator("#viewer .region").focus()
    page.keyboard.press("Delete")
    assert page.locator("#viewer .region").count() == 0
    eventually(lambda: not about(page))


@pytest.fixture
def fingers(visitor):
    """Fingers on the figure: call it with the points (0..1) of each finger, step by step."""
    driver = visitor.context.new_cdp_session(visitor)
    driver.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(*steps: list[tuple[float, float]]) -> None:
        for number, points in enumerate(steps):
            where = [dict(zip("xy", place_of, strict=True)) for place_of in points]
            kind = "touchMove" if number else "touchStart"
            driver.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
        driver.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    yield touch
    driver.send("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_a_finger_selects_on_a_phone(showing, engine, fingers):
    page, _ = showing()
    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#viewer .select-toggle")
    page.locator("#viewer .pixels").scroll_into_view_if_needed()
    fingers(*[[place(page, *point)] for point in ((0.2, 0.2), (0.4, 0.5), (0.6, 0.8))])
    assert box(page) == pytest.approx([0.2, 0.2, 0.6, 0.8], abs=0.02)
    page.click("#viewer .ask-region")
    eventually(lambda: about(page) == "About region A.")
    seen = "node => { const {top, bottom} = node.getBoundingClientRect(); return top >= 0 && bottom <= innerHeight }"
    eventually(lambda: page.locator("#question textarea").evaluate(seen))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert len(asked(page, engine)[1]) == 2


def zoom(page) -> str:
    return page.locator("#viewer .fit").inner_text()


def test_two_fingers_look_closer_and_keep_their_place(showing, fingers):
    page, _ = showing()
    before = place(page, 0.5, 0.5)
    x, y = before
    fingers([(x - 20, y), (x + 20, y)], [(x - 30, y), (x + 30, y)], [(x - 40, y), (x + 40, y)])
    assert zoom(page) == "200 %"
    assert place(page, 0.5, 0.5) == pytest.approx(before, abs=3)
    assert page.locator("#viewer .region").count() == 0


def test_buttons_wheel_and_keys_look_closer(showing):
    page, _ = showing()
    small = page.locator("#viewer .pixels").bounding_box()
    stage = page.locator("#viewer .stage").bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    assert zoom(page) == "150 %"
    assert page.locator("#viewer .pixels").bounding_box()["width"] == pytest.approx(1.5 * small["width"], abs=1)
    assert page.locator("#viewer .stage").bounding_box() == pytest.approx(stage, abs=1), "the page does not jump"
    page.get_by_role("button", name="Zoom to 100 %").click()
    assert page.locator("#viewer .pixels").bounding_box() == pytest.approx(small, abs=1)
    corner = place(page, 0.9, 0.9)
    page.mouse.move(*corner)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    eventually(lambda: zoom(page) == "272 %")
    assert place(page, 0.9, 0.9) == pytest.approx(corner, abs=3), "what is pointed at stays there"
    page.click("#viewer .select-toggle")
    page.mouse.move(corner[0] - 60, corner[1] - 60)
    page.mouse.down()
    page.mouse.move(*corner, steps=2)
    page.mouse.up()
    assert box(page)[2:] == pytest.approx([0.9, 0.9], abs=0.01), "a region is drawn where the pointer is"
    page.locator("#viewer .region").focus()
    page.keyboard.press("0")
    assert zoom(page) == "100 %"


def test_another_figure_has_no_regions(showing):
    page, _ = showing()
    page.click("#viewer .select-toggle")
    drag(page, (0.2, 0.2), (0.6, 0.6))
    eventually(lambda: about(page) == "About region A.")
    showing(800, 500)
    eventually(lambda: page.locator("#viewer .region").count() == 0)
    eventually(lambda: not about(page))


def test_an_answer_can_light_up_what_it_rests_on(showing):
    page, _ = showing()
    page.click("#viewer .select-toggle")
    drag(page, (0.2, 0.2), (0.6, 0.6))
    light = "detail => document.dispatchEvent(new CustomEvent('llava:light', { detail }))"
    page.evaluate(light, {"lines": [1], "regions": ["A"]})
    assert "shown" not in page.locator("#viewer .box[aria-label^='Epoch']").get_attribute("class")
    assert "shown" in page.locator("#viewer .box[aria-label^='Loss']").get_attribute("class")
    assert "shown" in page.locator("#viewer .region").get_attribute("class")
    page.locator("#viewer .boxes").uncheck()
    assert page.locator("#viewer .box[aria-label^='Loss']").is_visible(), "also while the others are not shown"
    page.evaluate(light, {"lines": []})
    assert page.locator("#viewer .box[aria-label^='Loss']").is_hidden()
    page.locator("#viewer .boxes").check()
