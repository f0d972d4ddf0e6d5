"""The HTML report: its counts, its plots, its promises to a browser."""

import base64
import io
import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pdf_pages import PdfPage, write_pdf
from PIL import Image
from typer.testing import CliRunner

from llava_graph.dataset import write_dataset
from llava_graph.errors import DatasetError, InputError
from llava_graph.images import encode_png
from llava_graph.record import Dropped, Figure, OcrLine, Panel, Paper
from llava_graph.standalone import Budget
from scicap_builder.cli import app
from scicap_builder.paper_pdfs import PaperPdfs
from scicap_builder.pdf import read_pdf
from scicap_builder.report import ReportOptions, write_report
from scicap_builder.report.plots import bars, bins, histogram, median, percent
from scicap_builder.report.totals import NO_PAPER, count, flags, paper_of
from scicap_builder.report.views import marked, paper_view
from scicap_builder.report.write import sample

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>&amp;"
CC_BY = "http://creativecommons.org/licenses/by/4.0/"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture(scope="module")
def ants(tmp_path_factory) -> tuple[Path, Path]:
    """(data set, folder of PDFs): a paper that we draw, one without a PDF whose every text is markup, and drops."""
    folder = tmp_path_factory.mktemp("ants")
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start="The result is shown in Figure 1.")
    page.plot(150, y + 12, 420, y + 172)
    page.text(150, y + 190, "Figure 1. Growth of the colony over time in three gardens.", 9)
    (folder / "pdfs").mkdir()
    [found] = read_pdf(write_pdf(folder / "pdfs" / "ants.pdf", PdfPage(), page)).figures
    paper = Paper(
        id="local:ants",
        title="Ants",
        page=2,
        box=found.box,
        route="latex+pdf",
        confidence=0.4,
        disagreements=("number: 1, 2",),
    )
    one = Figure(
        id="local:ants#fig1",
        image=found.image,
        width=600,
        height=340,
        kind="chart",
        label="Figure 1",
        caption=found.caption,
        mentions=("As Fig. 1 shows & Fig. 2 does not.", "Again Figure 1."),
        panels=(Panel(letter="a", caption="left", box=(0, 0, 0.5, 1)), Panel(letter="b", box=(0.5, 0, 1, 1))),
        ocr=(OcrLine(text="epoch", box=(0.4, 0.9, 0.6, 1.0), confidence=0.3),),
        paper=paper,
        licence=CC_BY,
        split="train",
    )
    two = Figure(
        id=f"arxiv:{EVIL}#fig1",
        image=encode_png(Image.new("RGB", (40, 30))),
        width=40,
        height=30,
        kind=EVIL,
        label=EVIL,
        caption=EVIL,
        mentions=(EVIL,),
        panels=(Panel(letter=EVIL, caption=EVIL), Panel(letter="b")),
        ocr=(OcrLine(text=EVIL, box=(0, 0, 1, 1)),),
        paper=Paper(id=f"arxiv:{EVIL}", title=EVIL, route=EVIL, disagreements=(EVIL,)),
        licence=EVIL,
        split="test",
    )
    broken = Figure(
        id="local:ants#fig2", image=b"no picture", label="Figure 2", paper=Paper(id="local:ants"), split="train"
    )
    drops = [
        Dropped(item="local:ants Figure 3", reason="no-region", detail=EVIL),
        Dropped(item="local:a b c", reason="broken-pdf", detail="not a PDF"),
        Dropped(item="ids.txt:7", reason="bad-line", detail=EVIL),
    ]
    write_dataset([one, broken, two], folder / "set", dropped=drops)
    return folder / "set", folder / "pdfs"


class Page(HTMLParser):
    """What a browser would make of the page: tags, attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data.strip())


def written(ants, tmp_path, **options) -> tuple[str, object]:
    report = write_report(ants[0], tmp_path / "r.html", ReportOptions(pdfs=ants[1], **options))
    return (tmp_path / "r.html").read_text(encoding="utf-8"), report


def test_the_page_shows_everything_and_counts_it(ants, tmp_path):
    text, report = written(ants, tmp_path)
    assert (report.papers, report.papers_shown, report.figures, report.figures_shown) == (3, 3, 3, 3)
    assert (report.papers_without_pages, report.pictures_left_out) == (1, 0)
    page = Page(text)
    classes = Counter(name for tag, key, value in page.attributes if key == "class" for name in value.split())
    assert (classes["paper"], classes["figure"], classes["page"]) == (3, 3, 2)
    assert (classes["place"], classes["panel"], classes["first"]) == (1, 2, 2)
    assert {
        "Growth of the colony over time in three gardens.",
        "number: 1, 2",
        "Figure 3",
        "no-region",
        "epoch",
    } <= set(page.texts)
    assert text.count("No picture: ") == 1
    marks = re.findall(r"<mark>(.*?)</mark>", text)
    assert marks == ["Fig. 1", "Figure 1"]


def test_nothing_in_a_data_set_becomes_markup(ants, tmp_path):
    """Captions are anybody's text: they may hold scripts."""
    text, _ = written(ants, tmp_path)
    page = Page(text)
    assert page.tags["script"] == 1
    assert page.tags["b"] == text.count("<b>")
    assert not [value for tag, name, value in page.attributes if name.startswith("on")]
    assert EVIL in page.texts
    [policy] = [value for tag, name, value in page.attributes if name == "content" and "default-src" in value]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_the_page_needs_no_other_file(ants, tmp_path):
    text, _ = written(ants, tmp_path)
    page = Page(text)
    for tag, name, value in page.attributes:
        if name in ("src", "srcset", "poster", "data"):
            assert value.startswith("data:image/"), (tag, value[:60])
        if name == "href":
            assert value.startswith("#"), (tag, value)
    assert "link" not in page.tags
    assert "url(" not in text.split("<style>")[1].split("</style>")[0]


@given(st.text(max_size=80), st.text(max_size=20))
def test_marking_a_citation_keeps_the_text(paragraph, label):
    for own in (label, "Figure 3"):
        html = str(marked(f"{paragraph} see Fig. 3, <i>", own))
        assert "".join(Page(html).texts).replace(" ", "")[-9:] == "Fig.3,<i>"
        assert set(Page(html).tags) <= {"mark"}


@given(st.dictionaries(st.text(max_size=30), st.integers(1, 10**6), max_size=20), st.text(max_size=10))
def test_bars_show_every_count_and_escape_names(counts, what):
    page = Page(str(bars(counts, what)))
    assert set(page.tags) <= {"svg", "rect", "title", "text", "p"}
    shown = [int(re.match(r"[\d,]+", text)[0].replace(",", "")) for text in page.texts if re.match(r"[\d,]+ · ", text)]
    assert sum(shown) >= sum(counts.values())


@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 1000), min_size=1, max_size=60))
def test_bins_hold_every_value_once(values):
    found = bins(values)
    assert sum(part.count for part in found) == sum(values.values())
    assert len(found) <= 26
    assert all(one.high is not None and one.high + 1 == two.low for one, two in pairwise(found))
    assert min(values) <= median(values) <= max(values)
    assert "<rect" in str(histogram(values, "x")) or len(values) == 1


def test_percent_says_when_there_is_a_little():
    assert [percent(0, 10), percent(1, 1000), percent(1, 2), percent(0, 0)] == ["0 %", "<1 %", "50 %", "0 %"]


def test_totals_are_those_of_the_figures():
    sure = Figure(
        id="a#fig1",
        caption="one two",
        mentions=("x" * 40, "y"),
        paper=Paper(id="a", confidence=0.69),
        licence="CC-BY-4.0",
    )
    bare = Figure(id="a#fig2", panels=(Panel(letter="a"), Panel(letter="b")), paper=Paper(id="a"))
    totals = count([sure, bare], [Dropped(item="arxiv:1 Figure 3", reason="no-image")])
    assert dict(totals.figures_of_paper) == {"a": 2, "arxiv:1": 0}
    assert (totals.caption_words, totals.mention_tokens) == (Counter({2: 1, 0: 1}), Counter({10: 1}))
    assert (totals.confidence, totals.panels) == (Counter({69: 1}), Counter({1: 1, 2: 1}))
    assert flags(sure) == ("low-confidence",)
    assert flags(bare) == ("no-mention", "no-caption", "compound", "restricted")
    assert totals.drops == Counter({"no-image": 1})


@pytest.mark.parametrize(
    ("item", "paper"),
    [
        ("local:a b Figure 3", "local:a b"),
        ("local:a b#fig3", "local:a b"),
        ("local:a b#fig3 (its text)", "local:a b"),
        ("local:new one Fig. S1", "local:new one"),
        ("local:other", "local:other"),
        ("arxiv:1706.03762v7 Figure 1", "arxiv:1706.03762v7"),
        ("ids.txt:7", NO_PAPER),
    ],
)
def test_a_drop_is_told_of_its_paper(item, paper):
    assert paper_of(item, {"local:a b": 1, "local:a": 1}) == paper


@given(st.integers(1, 60), st.integers(1, 60), st.integers())
def test_a_sample_is_of_that_size_in_order_and_the_same_again(papers, most, seed):
    ids = [f"p{n}" for n in range(papers)]
    chosen = sample(ids, most, seed)
    assert len(chosen) == len(set(chosen)) == min(papers, most)
    assert chosen == sorted(chosen, key=ids.index) == sample(ids, most, seed)


@pytest.mark.parametrize("angle", [0, 90, 270])
@pytest.mark.parametrize("rotate", [0, 90])
def test_a_page_is_drawn_as_it_is_shown_however_its_text_runs(tmp_path, angle, rotate):
    page = PdfPage(rotate=rotate).rectangle(0, 0, 120, 120, fill=0)  # top left as drawn
    for place in range(30):
        page.text(200 + 8 * place, 400, "words that run along the side of the page", 7, angle=angle)
    view = paper_view("p1", "local:a", [], drops=(), pdf=write_pdf(tmp_path / "a.pdf", page), budget=big_budget())
    data = view.pages[0].picture.address.partition(",")[2]
    shown = Image.open(io.BytesIO(base64.b64decode(data))).convert("L")
    assert (shown.width > shown.height) == bool(rotate)
    corner = (shown.width - 9, 8) if rotate else (8, 8)
    assert shown.getpixel(corner) < 40
    assert shown.getpixel((shown.width - 9 - corner[0], shown.height - 9)) > 200


def big_budget() -> Budget:
    budget = Budget()
    budget.add(10**7)
    return budget


def test_a_large_data_set_is_sampled_and_says_so(tmp_path, png):
    many = [Figure(id=f"local:p{n}#fig1", image=png, paper=Paper(id=f"local:p{n}"), split="train") for n in range(40)]
    write_dataset(many, tmp_path / "set")
    report = write_report(tmp_path / "set", tmp_path / "r.html", ReportOptions(papers=3, seed=1))
    text = (tmp_path / "r.html").read_text()
    assert (report.papers, report.papers_shown, report.figures_shown) == (40, 3, 3)
    assert "3 of 40 papers" in " ".join(text.split())
    assert "seed 1" in text


def test_the_page_has_a_size_that_it_keeps(tmp_path):
    noise = encode_png(Image.effect_noise((400, 400), 90).convert("RGB"))
    figures = [
        Figure(id=f"local:p{n // 3}#fig{n}", image=noise, paper=Paper(id=f"local:p{n // 3}"), split="train")
        for n in range(8)
    ]
    write_dataset(figures, tmp_path / "set")
    report = write_report(tmp_path / "set", tmp_path / "r.html", ReportOptions(picture_bytes=150_000))
    assert 0 < report.pictures_left_out < 8
    assert (tmp_path / "r.html").stat().st_size < 250_000
    assert "left out, the page is full" in (tmp_path / "r.html").read_text()


def test_a_picture_is_scaled_until_it_fits():
    image = Image.effect_noise((900, 600), 90)
    budget = Budget()
    budget.add(60_000)
    first = budget.encode(image, (800, 200, 100))
    assert first is not None
    assert (first.width, first.height) == (200, 133)
    assert budget.left == 60_000 - len(first.address)


def test_what_is_no_report_is_not_written_over(ants, tmp_path):
    (tmp_path / "thesis.html").write_text("<html>my thesis")
    with pytest.raises(InputError, match="no report"):
        write_report(ants[0], tmp_path / "thesis.html")
    with pytest.raises(InputError, match="folder"):
        write_report(ants[0], tmp_path)
    with pytest.raises(DatasetError, match="no data set"):
        write_report(tmp_path, tmp_path / "r.html")
    write_report(ants[0], tmp_path / "r.html")
    write_report(ants[0], tmp_path / "r.html")


def test_an_empty_data_set_has_a_page(tmp_path):
    write_dataset([], tmp_path / "set")
    report = write_report(tmp_path / "set", tmp_path / "r.html")
    assert (report.papers, report.figures) == (0, 0)


def test_pdfs_are_found_by_id_and_never_mixed(tmp_path):
    for name in ("one/paper.pdf", "two/paper.pdf", "three/hep-th9901001v1.pdf", "1706.03762v7.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"%PDF-1.4")
    pdfs = PaperPdfs(tmp_path)
    assert pdfs.find("arxiv:hep-th/9901001v1") == tmp_path / "three/hep-th9901001v1.pdf"
    assert pdfs.find("arxiv:1706.03762v7") == tmp_path / "1706.03762v7.pdf"
    assert pdfs.find("local:one") == tmp_path / "one/paper.pdf"
    assert pdfs.find("arxiv:1706.03762v6") is None
    assert pdfs.find("local:paper") is None
    assert PaperPdfs(None).find("local:one") is None


def test_the_command_writes_the_page(ants, tmp_path):
    done = CliRunner().invoke(app, ["report", str(ants[0]), "--out", str(tmp_path / "r.html"), "--pdfs", str(ants[1])])
    assert done.exit_code == 0, done.output
    assert "3 of 3 papers, 3 of 3 figures" in done.output
    assert "1 paper without its pages" in done.output
    assert (tmp_path / "r.html").exists()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=str(CHROMIUM),
            headless=True,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_in_a_browser_it_filters_searches_and_stays_itself(ants, tmp_path, browser, width, scheme):
    written(ants, tmp_path)
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    noise: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("dialog", lambda dialog: noise.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "r.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".figure:visible").count() == 3
    if width < 760:
        page.locator("#more summary").click()
    page.fill("#query", "colony gardens")
    assert page.locator(".figure:visible").count() == 1
    assert page.inner_text("#count") == "1 of 3 figures"
    page.fill("#query", "no such words")
    assert page.locator("#nothing").is_visible()
    page.click("#clear")
    page.check("[data-flag=low-confidence]")
    assert [page.locator(".figure:visible h3").inner_text()] == ["Figure 1"]
    page.click("#clear")
    page.select_option("#reason", "broken-pdf")
    assert (page.locator(".paper:visible").count(), page.locator(".figure:visible").count()) == (1, 0)
    page.click("#clear")
    # the box on the page leads to the figure, by keyboard
    page.locator("a.place").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#" + page.locator(".figure").first.get_attribute("id")
    # also when a filter hides it
    page.check("[data-flag=restricted]") if width > 760 else page.fill("#query", EVIL)
    page.evaluate("location.hash = ''")
    page.evaluate("location.hash = '#' + document.querySelector('.figure').id")
    page.wait_for_function("!document.querySelector('.figure').hidden")
    # the text's boxes are drawn when it is opened
    assert page.locator(".mark.text:visible").count() == 0
    page.locator(".ocr summary").first.click()
    assert page.locator(".mark.text:visible").count() == 1
    page.locator(".zoom").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert noise == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_build_options_stand_on_the_page(ants, tmp_path, png):
    write_dataset(
        [Figure(id="local:a#fig1", image=png, paper=Paper(id="local:a"))],
        tmp_path / "set",
        options={"dpi": 150, "ocr": "none"},
    )
    assert json.loads((tmp_path / "set" / "build.json").read_text())["options"]["dpi"] == 150
    write_report(tmp_path / "set", tmp_path / "r.html")
    assert "dpi 150, ocr none" in (tmp_path / "r.html").read_text()
