"""Opening a paper on the page, in a headless Chromium, with a local arXiv: from an id to a prompt with its paragraphs."""

import json
from urllib.parse import quote

import pytest

from llava_graph.record import OcrLine
from scicap_builder.fetch import FetchOptions
from serve.papers import PaperShelf, ShelfOptions
from tests.arxiv_server import serving
from tests.browsing import begin_anew, choose, choose_and_wait, running_chromium, running_site, told, upload, visiting
from tests.papers_to_open import CAPTIONS, FIRST, SECOND, TITLE, on_arxiv, two_figures
from tests.pdf_pages import PdfPage, pdf_bytes
from tests.serving import HTTP, ScriptedEngine, eventually

pytestmark = pytest.mark.browser
PAPER = "arxiv:2101.00001v2"


@pytest.fixture(scope="module")
def arxiv():
    with serving([on_arxiv()]) as server:
        yield server


@pytest.fixture(scope="module")
def shelf(arxiv, tmp_path_factory):
    fetch = FetchOptions(base_url=arxiv.url, delay_s=0.0, tries=2)
    return PaperShelf(ShelfOptions(folder=tmp_path_factory.mktemp("shelf"), fetch=fetch))


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine(words=("So.",))


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(engine, shelf):
    def read(_: bytes) -> tuple[OcrLine, ...]:
        return (OcrLine(text="an engine read this", box=(0, 0, 0.5, 0.1), source="engine"),)

    with running_site(engine, read=read, papers=shelf) as server:
        yield server


@pytest.fixture(scope="module")
def visitor(chromium, site):
    with visiting(chromium, site) as page:
        yield page


@pytest.fixture
def page(visitor, engine):
    """One visitor for all tests, who begins each with no paper and no figure."""
    begin_anew(visitor, engine)
    yield visitor
    assert visitor.browser_errors == []


def open_paper(page, source: str) -> None:
    page.fill(".paper-bar .source", source)
    page.click(".paper-bar .open")
    page.wait_for_selector(".paper-bar .thumb")


def labels(page) -> list[str]:
    return page.locator(".paper-bar .thumb:visible strong").all_inner_texts()


def chosen(page) -> str:
    return page.locator(".paper-bar .thumb[aria-selected=true]").get_attribute("data-figure")


def prompt(page) -> str:
    return page.evaluate("document.querySelector('#prompt textarea')?.value || ''")


def test_from_an_arxiv_address_to_a_figure_with_its_paragraphs(page, engine):
    open_paper(page, "https://arxiv.org/abs/2101.00001")
    assert labels(page) == ["Figure 1", "Figure 2"]
    assert page.locator(".paper-bar .title").inner_text() == TITLE
    assert "p. 2" in page.locator(".paper-bar .thumb").nth(1).inner_text()
    page.wait_for_selector("#explain:not([disabled])")
    assert chosen(page) == f"{PAPER}#fig1", "the first one is chosen at once"
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[0])
    paragraphs = page.locator("#around .paragraph")
    eventually(lambda: paragraphs.count() == 2)
    assert "first mention" in paragraphs.nth(0).inner_text()
    assert "first mention" not in paragraphs.nth(1).inner_text()
    assert "p. 2" in paragraphs.nth(1).inner_text()
    assert paragraphs.nth(1).locator("mark.cite").all_inner_texts() == ["Figure 1"], "only where it speaks of this one"

    page.locator(".paper-bar .thumb").nth(1).click()
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[1])
    page.wait_for_selector("#explain:not([disabled])")
    page.click("#explain")
    eventually(lambda: engine.requests)
    words = json.dumps(engine.requests[-1].messages)
    assert CAPTIONS[1] in words
    assert "time (s)" in words, "the text that the PDF knows"
    assert SECOND[:30] not in words, "the model was not trained with paragraphs"


def test_the_example_paper_is_one_press_away(page):
    page.click(".paper-bar .example")
    page.wait_for_selector(".paper-bar .thumb")
    assert labels(page) == ["Figure 1", "Figure 2", "Figure 3"]
    page.wait_for_selector("#explain:not([disabled])")
    eventually(lambda: page.locator("#around .paragraph").count() == 2)
    assert page.locator("#viewer .box").count() > 10
    assert page.locator(".paper-bar .of").inner_text() == "comes with LLaVA-Graph"
    assert chosen(page) == "example#fig1", "no upload: a link to it leads there again"
    assert page.locator("#viewer .pixels").get_attribute("alt").startswith("Figure 1: ")


def test_paragraphs_are_switched_edited_and_given_word_for_word(page, engine):
    open_paper(page, "2101.00001")
    page.wait_for_selector("#explain:not([disabled])")
    eventually(lambda: page.locator("#around .paragraph").count() == 2)
    assert page.locator("#around .untrained").is_hidden()
    page.locator("#around .paragraph input").nth(1).check()
    assert "not trained with paragraphs" in page.locator("#around .untrained").inner_text()
    assert "1 given to the model" in page.locator("#around h3").inner_text()
    page.locator("#around .paragraph .edit").nth(1).click()
    page.locator("#around .field").fill("Written by <b>the visitor</b>.")
    page.get_by_role("button", name="Done").click()
    page.locator("#around .slot", has_text="title").click()
    page.click("#prompt-section button")
    eventually(lambda: "Paragraphs that cite it: Written by <b>the visitor</b>." in prompt(page))
    eventually(lambda: TITLE in prompt(page))
    assert FIRST[:30] not in prompt(page)
    page.click("#explain")
    eventually(lambda: engine.requests)
    assert prompt(page).removeprefix("<image>\n") == engine.requests[-1].messages[0]["content"][1]["text"]
    # Another figure begins as the model was trained.
    page.locator(".paper-bar .thumb").nth(1).click()
    eventually(lambda: page.locator("#around .paragraph").count() == 1)
    eventually(lambda: "Written by" not in prompt(page))
    page.click("#prompt-section button")


def test_the_next_figure_ends_the_answer_about_the_last_one(page, engine):
    open_paper(page, PAPER)
    page.wait_for_selector("#explain:not([disabled])")
    engine.words, engine.pause, engine.cancelled = ("word",) * 5000, 0.01, 0
    page.click("#explain")
    eventually(lambda: "word" in page.locator("#chat").inner_text())
    page.locator(".paper-bar .thumb").nth(1).click()
    eventually(lambda: engine.cancelled == 1 and not engine.running)
    engine.words, engine.pause = ("So.",), 0.0
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[1])
    page.wait_for_timeout(300)
    assert "word" not in page.locator("#chat").inner_text()
    assert page.locator("#explain").is_enabled()
    page.locator(".paper-bar .thumb").nth(0).click()
    eventually(lambda: "word word" in page.locator("#chat").inner_text())


def test_a_pdf_is_dropped_where_figures_are(page, shelf):
    choose(page, upload(two_figures("Dropped"), "dropped", "application/pdf"))
    page.wait_for_selector(".paper-bar .thumb")
    page.wait_for_selector("#explain:not([disabled])")
    assert page.locator(".paper-bar .of").inner_text() == "uploaded"
    assert chosen(page).startswith("upload:")
    # A picture goes on being a picture, and the paper stays.
    choose_and_wait(page)
    eventually(lambda: not page.locator(".paper-bar .thumb[aria-selected=true]").count())
    assert len(labels(page)) == 2


def test_text_in_pixels_is_read_when_the_figure_is_chosen_and_once_for_all(page, shelf):
    scan = PdfPage()
    scan.body(70, 80, 450, 6, start="The scan is shown in Figure 1.")
    scan.picture(150, 170, 420, 330)
    scan.text(150, 350, "Figure 1: A scan of something grey in the garden.", 9)
    scan.body(70, 400, 450, 8)
    choose(page, upload(pdf_bytes([scan]), "scan.pdf", "application/pdf"))
    page.wait_for_selector(".paper-bar .thumb")
    page.wait_for_selector("#explain:not([disabled])")
    assert page.locator("#viewer .count").inner_text().startswith("1 line of text")
    paper = chosen(page).partition("#")[0]
    eventually(lambda: not shelf.paper(paper).unread)
    assert shelf.paper(paper).figures[0].ocr[0].text == "an engine read this"


NO_PAPERS = {
    "99999.99999": "no such id can exist: '99' is no month",
    "2101.00009": "There is no paper 2101.00009 on arXiv",
    "nonsense": "'nonsense' is no arXiv id",
    "": "No paper is named",
    "upload:" + "0" * 32: "not kept any more",
}


def test_a_paper_that_is_none_says_why_and_leaves_the_one_before(page):
    open_paper(page, PAPER)
    # The figure that comes with a paper takes away what was told before it.
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[0])
    page.wait_for_selector("#explain:not([disabled])")
    for source, said in NO_PAPERS.items():
        page.fill(".paper-bar .source", source)
        page.press(".paper-bar .source", "Enter")
        eventually(lambda said=said: page.locator("#banner .banner").count() and said in told(page))
        page.wait_for_timeout(300)  # the bar's own state may come after the banner, and Enter waits for nobody
        eventually(lambda: page.locator(".paper-bar .doing").is_hidden())
    assert labels(page) == ["Figure 1", "Figure 2"]


def test_a_file_that_is_no_paper_says_why(page):
    choose(page, upload(pdf_bytes([PdfPage()], encrypted=True), "locked.pdf", "application/pdf"))
    page.wait_for_selector("#banner .banner")
    assert "The PDF is encrypted" in told(page)
    choose(page, upload(pdf_bytes([PdfPage()]), "blank.pdf", "application/pdf"))
    eventually(lambda: "No figure was found" in told(page))


def test_opening_can_be_cancelled(page, arxiv):
    arxiv.script["/api/query"].append((503, {"Retry-After": "3"}))
    page.fill(".paper-bar .source", "2101.00077")
    page.click(".paper-bar .open")
    page.wait_for_selector(".paper-bar .doing:not([hidden])")
    eventually(lambda: "trying again in 3 s" in page.locator(".paper-bar .step").inner_text())
    page.click(".paper-bar .leave")
    eventually(lambda: page.locator(".paper-bar .doing").is_hidden(), 3)
    assert page.locator(".paper-bar .open").is_enabled()


def test_keys_go_from_figure_to_figure_and_words_find_them(page):
    open_paper(page, PAPER)
    page.wait_for_selector("#explain:not([disabled])")
    page.locator("#brand h1").click()
    page.keyboard.press("]")
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[1])
    page.keyboard.press("[")
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[0])
    page.locator(".paper-bar .thumb").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[1])
    page.fill(".paper-bar .search", "gardens fast")
    assert labels(page) == ["Figure 1"], "its paragraph has these words"
    page.fill(".paper-bar .search", "no such words")
    assert page.locator(".paper-bar .nothing").is_visible()
    page.fill(".paper-bar .search", "[]")
    page.keyboard.press("]")
    assert page.locator(".paper-bar .search").input_value() == "[]]", "a key in a field is a letter"


def test_all_pages_are_looked_through_and_a_figure_is_chosen_on_its_page(page, site):
    open_paper(page, PAPER)
    page.wait_for_selector("#explain:not([disabled])")
    page.click(".paper-bar .pages")
    eventually(
        lambda: page.evaluate("[...document.querySelectorAll('.sheet img')].map(i => i.naturalWidth)") == [1000, 1000]
    )
    first, second = page.locator(".whole .on-page").all()
    assert "chosen" in first.get_attribute("class")
    sheet, box = page.locator(".whole .sheet").nth(1).bounding_box(), second.bounding_box()
    assert 0.2 < (box["x"] - sheet["x"]) / sheet["width"] < 0.3, "the plot begins at 150 of 595 pt"
    second.focus()
    page.keyboard.press("Enter")
    eventually(lambda: page.locator("#caption textarea").input_value() == CAPTIONS[1])
    assert page.locator(".whole").is_hidden()
    for path in (f"{PAPER}/3", f"{PAPER}/0", "arxiv:2101.00001/1", "upload:x/1", "../../1", "x/y"):
        assert HTTP.get(f"{site.url}/paper-page/{path}").status_code in (404, 422)


def test_a_link_opens_the_paper_and_chooses_the_figure(chromium, site):
    class Linked:
        url = f"{site.url}/?figure={quote(PAPER + '#fig2')}&question=Why%3F"

    with visiting(chromium, Linked) as page:
        page.wait_for_selector("#explain:not([disabled])")
        assert chosen(page) == f"{PAPER}#fig2"
        assert page.locator("#question textarea").input_value() == "Why?"
        page.goto(f"{site.url}/?paper=2101.00001v1")
        page.wait_for_selector("#explain:not([disabled])")
        assert chosen(page) == "arxiv:2101.00001v1#fig1"
        page.goto(f"{site.url}/?figure={quote('example#fig2')}")
        page.wait_for_selector("#explain:not([disabled])")
        assert chosen(page) == "example#fig2"
        page.goto(f"{site.url}/?figure=nonsense")
        page.wait_for_selector("#banner .banner")
        assert "names no figure" in told(page)


def test_a_paper_fits_a_phone(chromium, site):
    with visiting(chromium, site, 390, 844) as page:
        open_paper(page, PAPER)
        page.wait_for_selector("#explain:not([disabled])")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        tops = [
            page.locator(part).bounding_box()["y"] for part in (".strip", "#viewer", "#caption", "#around", "#explain")
        ]
        assert tops == sorted(tops)


def test_a_sentence_lights_up_the_paragraph_that_bears_it_out(page, engine):
    open_paper(page, "2101.00001")
    page.wait_for_selector("#explain:not([disabled])")
    eventually(lambda: page.locator("#around .paragraph").count() == 2)
    engine.words = ("The colony grows fast at first", "and then slower in the three gardens.")
    page.click("#explain")
    chip = page.locator("#chat .answer .source", has_text="¶ 1")
    chip.hover()
    page.wait_for_selector("#around .paragraph.lit mark.bears")
    assert "".join(page.locator("#around mark.bears").all_inner_texts()).startswith("Figure 1 shows how the colony")
    assert page.locator("#around .paragraph.lit").count() == 1
    page.mouse.move(2, 2)
    eventually(lambda: page.locator("#around .paragraph.lit").count() == 0)
    engine.words = ("So.",)


def test_the_papers_claims_are_put_to_the_model_without_the_papers_words_around_them(page, engine):
    open_paper(page, "2101.00001")
    page.wait_for_selector("#explain:not([disabled])")
    eventually(lambda: page.locator("#around .paragraph").count() == 2)
    engine.words = ("1. shown - it <b>rises</b>\n2.", "not", "shown", "- no ants")
    page.click("#chat .check")
    eventually(lambda: "tokens in" in page.locator("#status").inner_text())
    [message] = engine.requests[-1].messages
    asked = message["content"][-1]["text"]
    assert "contradicted" in asked
    assert CAPTIONS[0] not in asked
    claims = page.locator("#chat .claim")
    assert claims.nth(0).locator("q").inner_text() == FIRST
    assert "The model: shown in the figure it <b>rises</b>" in claims.nth(0).inner_text()
    engine.words = ("So.",)
