"""Which figure stays when choices overtake each other or fail: the last one, with a caption of its own. In a headless Chromium."""

import threading

import pytest

from llava_graph.record import OcrLine
from scicap_builder.fetch import FetchOptions
from serve.papers import PaperShelf, ShelfOptions
from tests.arxiv_server import serving
from tests.browsing import answer, begin_anew, choose, running_chromium, running_site, told, upload, visiting
from tests.papers_to_open import CAPTIONS, on_arxiv
from tests.pdf_pages import PdfPage, pdf_bytes
from tests.serving import ScriptedEngine, eventually, png

pytestmark = pytest.mark.browser
MANY = 7


class Reader:
    """Reads nothing, as soon as it may."""

    def __init__(self) -> None:
        self.may, self.inside = threading.Event(), 0
        self.may.set()

    def __call__(self, _: bytes) -> tuple[OcrLine, ...]:
        self.inside += 1
        self.may.wait(20)
        self.inside -= 1
        return ()


@pytest.fixture(scope="module")
def arxiv():
    with serving([on_arxiv(), on_arxiv("2101.00002")]) as server:
        yield server


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine(words=("So", "it", "is."))


@pytest.fixture(scope="module")
def reader():
    return Reader()


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(engine, arxiv, reader, tmp_path_factory):
    fetch = FetchOptions(base_url=arxiv.url, delay_s=0.0, tries=2)
    shelf = PaperShelf(ShelfOptions(folder=tmp_path_factory.mktemp("shelf"), fetch=fetch))
    with running_site(engine, read=reader, papers=shelf) as server:
        yield server


@pytest.fixture(scope="module")
def visitor(chromium, site):
    with visiting(chromium, site) as page:
        yield page


@pytest.fixture
def page(visitor, engine):
    begin_anew(visitor, engine)
    yield visitor
    assert visitor.browser_errors == []


def caption(page) -> str:
    return page.locator("#caption textarea").input_value()


def shown(page) -> str:
    return page.locator("#viewer .pixels").get_attribute("src") or ""


def ready(page) -> None:
    page.wait_for_selector("#explain:not([disabled])")


def thumbs(page) -> int:
    return page.locator(".paper-bar .thumb:visible").count()


def explained(page) -> None:
    page.click("#explain")
    eventually(lambda: "tokens in" in page.locator("#status").inner_text())


def pdf(data: bytes, name: str = "paper.pdf") -> dict:
    return upload(data, name, "application/pdf")


def arxiv_waits(page, arxiv, paper: str, seconds: int) -> None:
    """The visitor asks for a paper, and arXiv lets them wait."""
    arxiv.script["/api/query"].append((503, {"Retry-After": str(seconds)}))
    page.fill(".paper-bar .source", paper)
    page.click(".paper-bar .open")
    eventually(lambda: "trying again" in page.locator(".paper-bar .step").inner_text())


def test_a_picture_does_not_inherit_the_caption_of_the_one_before(page, engine):
    page.fill("#caption textarea", "Written before there was a figure.")
    choose(page, upload(png(300, 200)))
    ready(page)
    assert caption(page) == "Written before there was a figure."
    choose(page, upload(png(310, 200)))
    eventually(lambda: not caption(page))
    ready(page)
    explained(page)
    assert "Written before" not in str(engine.requests[-1].messages)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (upload(b"PK\3\4" + b"%PDF-1.4", "paper.zip", "application/zip"), "The file paper.zip is a ZIP archive"),
        (upload(png(4, 4), "dot.png"), "4 x 4 px"),
    ],
    ids=["zip", "small"],
)
def test_a_file_that_is_no_figure_leaves_what_is_open(page, engine, file, said):
    choose(page, upload(png(300, 200)))
    ready(page)
    page.fill("#caption textarea", "Its caption.")
    explained(page)
    before = shown(page)
    choose(page, file)
    page.wait_for_selector("#banner .banner")
    assert said in told(page)
    assert (shown(page), caption(page), answer(page)) == (before, "Its caption.", "So it is.")
    page.fill("#question textarea", "Why?")
    page.click("#ask")
    eventually(lambda: "Why?" in str(engine.requests[-1].messages[-1]))
    assert "Its caption." in str(engine.requests[-1].messages), "the figure is still what is asked about"
    eventually(lambda: not page.locator("#banner .banner").count())


def test_a_paper_that_comes_late_leaves_the_figure_that_was_chosen_meanwhile(page, arxiv, engine):
    arxiv_waits(page, arxiv, "2101.00001", 2)
    choose(page, upload(png(300, 200)))
    ready(page)
    explained(page)
    before = shown(page)
    eventually(lambda: thumbs(page) == 2)
    page.wait_for_timeout(500)
    assert (shown(page), answer(page)) == (before, "So it is.")
    assert not page.locator(".paper-bar .thumb[aria-selected=true]").count()
    page.locator(".paper-bar .thumb").nth(1).click()
    eventually(lambda: caption(page) == CAPTIONS[1])


def test_a_second_paper_takes_the_place_of_one_that_is_being_opened(page, arxiv):
    arxiv_waits(page, arxiv, "2101.00002", 3)
    choose(page, pdf(many_figures()))
    eventually(lambda: thumbs(page) == MANY)
    eventually(lambda: page.locator(".paper-bar .doing").is_hidden())
    page.wait_for_timeout(3500)
    assert thumbs(page) == MANY, "the first one does not come after it"


def many_figures() -> bytes:
    pages = []
    for number in range(1, MANY + 1):
        sheet = PdfPage()
        sheet.body(70, 80, 450, 6, start=f"The growth is shown in Figure {number}.")
        sheet.plot(150, 170, 420, 330)
        sheet.text(150, 350, f"Figure {number}: Growth in garden number {number}.", 9)
        sheet.body(70, 400, 450, 8)
        pages.append(sheet)
    return pdf_bytes(pages)


def test_keys_pressed_quickly_go_as_far_as_they_are_pressed(page):
    choose(page, pdf(many_figures()))
    eventually(lambda: thumbs(page) == MANY)
    ready(page)
    page.locator("#brand h1").click()
    for _ in range(MANY - 1):
        page.keyboard.press("]")
    last = page.locator(".paper-bar .thumb").nth(MANY - 1)
    assert last.get_attribute("aria-selected") == "true"
    eventually(lambda: f"number {MANY}" in caption(page))
    eventually(lambda: f"number {MANY}" in page.locator("#viewer .pixels").get_attribute("alt"))
    ready(page)
    page.wait_for_timeout(500)
    assert last.get_attribute("aria-selected") == "true", "the strip goes with the figure"
    assert f"number {MANY}" in caption(page)
    page.locator(".paper-bar .thumb").nth(0).click()
    page.locator(".paper-bar .thumb").nth(3).click()
    eventually(lambda: "number 4" in caption(page))
    assert page.locator(".paper-bar .thumb").nth(3).get_attribute("aria-selected") == "true"


def test_the_figures_of_others_are_shown_while_the_reader_is_busy(page, chromium, site, reader):
    reader.may.clear()
    try:
        with visiting(chromium, site) as second, visiting(chromium, site) as third:
            for number, one in enumerate((page, second)):
                choose(one, upload(png(320 + number, 200)))
                one.wait_for_selector("#viewer .pixels")
            eventually(lambda: reader.inside == 2)
            choose(third, upload(png(330, 200)))
            third.wait_for_selector("#viewer .pixels")
            assert "Waiting for the text reader" in third.locator("#status").inner_text()
            assert third.locator("#explain").is_disabled()
            reader.may.set()
            for one in (page, second, third):
                ready(one)
    finally:
        reader.may.set()


def test_of_several_files_one_is_taken_and_text_is_answered(page):
    def drop(**data: str) -> None:
        page.evaluate(
            """data => {
                const dropped = new DataTransfer();
                for (const [name, text] of Object.entries(data))
                    if (name.includes('/')) dropped.setData(name, text);
                    else dropped.items.add(new File([text], name + '.txt'));
                const event = { dataTransfer: dropped, bubbles: true, cancelable: true };
                document.querySelector('#brand').dispatchEvent(new DragEvent('drop', event));
            }""",
            data,
        )

    step = page.locator(".paper-bar .step")
    drop(one="1", two="2")
    eventually(lambda: "Only one.txt was taken" in step.inner_text())
    drop(**{"text/plain": "some words"})
    eventually(lambda: "Text is not taken" in step.inner_text())
    drop(**{"text/uri-list": "https://arxiv.org/abs/2101.00001"})
    eventually(lambda: thumbs(page) == 2)
    assert page.locator(".paper-bar .doing").is_hidden(), "what went wrong before is not told any more"
