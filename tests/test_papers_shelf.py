"""The shelf of opened papers: what opening gives, what is kept, what goes, and what a bad paper costs."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from llava_graph.errors import FetchError, InputError, PaperError, ServeError
from llava_graph.images import open_image
from llava_graph.record import OcrLine
from scicap_builder import open_paper
from scicap_builder.fetch import FetchOptions
from scicap_builder.one_paper import ReadOptions
from scicap_builder.progress import listening
from serve.http.servers import Server, bind
from serve.papers import PaperShelf, ShelfOptions
from serve.papers.entry import RECORDS
from serve.papers.obtaining import folder_name
from serve.papers.opening import Abandoned
from serve.papers.places import letters, page_of
from serve.papers.room import make_room
from serve.web import create_web
from tests.arxiv_server import DRIP, HANG, ArxivServer, serving
from tests.papers_to_open import CAPTIONS, FIRST, SECOND, TITLE, on_arxiv, two_figures
from tests.pdf_pages import PdfPage, pdf_bytes
from tests.serving import eventually

PAPER = "arxiv:2101.00001v2"


@pytest.fixture(scope="module")
def arxiv():
    with serving([on_arxiv(), on_arxiv("2101.00002", latest=1)]) as server:
        yield server


def shelf_at(folder: Path, server: ArxivServer | None = None, **options) -> PaperShelf:
    url = server.url if server else "http://127.0.0.1:9"
    fetch = FetchOptions(base_url=url, delay_s=0.0, tries=1)
    return PaperShelf(ShelfOptions(folder=folder, fetch=fetch, **options), now=options.pop("now", time.time))


@pytest.fixture(scope="module")
def opened(arxiv, tmp_path_factory):
    """A shelf with one paper, opened once for all tests that only look at it."""
    shelf, steps = shelf_at(tmp_path_factory.mktemp("shelf"), arxiv), []
    return shelf, shelf.open("https://arxiv.org/abs/2101.00001", lambda step: steps.append(str(step))), steps


def pdf_file(folder: Path, data: bytes, name: str = "paper.pdf") -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


def test_a_paper_gives_its_figures_with_captions_and_every_mention(opened):
    shelf, paper, _ = opened
    assert (paper.id, paper.title) == (PAPER, TITLE)
    assert [figure.caption for figure in paper.figures] == list(CAPTIONS)
    assert paper.figures[0].mentions == (FIRST, SECOND)
    assert [figure.paper.page for figure in paper.figures] == [1, 2]
    first = shelf.figure(f"{PAPER}#fig1")
    assert open_image(first.image).size == (first.width, first.height)
    assert "time (s)" in {line.text for line in first.ocr}, "the text that the PDF knows needs no engine"
    assert not paper.unread
    small = [open_image(data) for data in shelf.thumbnails(paper)]
    assert len(small) == 2
    assert all(max(image.size) <= 320 for image in small)
    assert shelf.pdf(PAPER).read_bytes() == two_figures()
    assert shelf.pages(PAPER) == [open_image(shelf.page(PAPER, number)).size for number in (1, 2)]
    assert shelf.page(PAPER, 3) is None
    assert shelf.mention_pages(f"{PAPER}#fig1") == [1, 2]


def test_what_is_being_done_is_told(opened, tmp_path):
    _, _, polled = opened
    assert polled, "whoever waits hears something"
    steps = []
    with listening(lambda step: steps.append(str(step))):
        open_paper(pdf_file(tmp_path, two_figures()), ReadOptions(ocr="none"))
    wanted = [
        "reading its PDF",
        "reading page 1 of 2",
        "reading page 2 of 2",
        "drawing figure 2 of 2",
        "opening figure 2 of 2",
    ]
    assert [step for step in steps if step in wanted] == wanted


def test_it_is_read_once_for_everybody_and_after_a_restart(opened, arxiv):
    shelf, paper, _ = opened
    asked = len(arxiv.seen)
    again = PaperShelf(shelf.options)
    for source in ("2101.00001", "arXiv:2101.00001v2", PAPER, "10.48550/arXiv.2101.00001"):
        assert again.open(source) == paper
    assert again.figure(f"{PAPER}#fig2").caption == CAPTIONS[1]
    assert len(arxiv.seen) == asked, "arXiv was not asked again"


def test_an_older_version_is_another_paper_and_the_download_is_not_kept_twice(opened, arxiv):
    shelf, _, _ = opened
    older = shelf.open("2101.00001v1")
    assert older.id == "arxiv:2101.00001v1"
    assert shelf.paper(PAPER).id == PAPER
    assert not list((shelf.options.fetching.cache_folder / "papers").glob("2101*"))


def test_what_an_engine_has_read_is_remembered(opened):
    shelf, _, _ = opened
    lines = (OcrLine(text="read later", box=(0, 0, 0.5, 0.5), source="engine"),)
    shelf.keep_text(f"{PAPER}#fig2", lines)
    assert shelf.figure(f"{PAPER}#fig2").ocr == lines


def test_those_who_open_the_same_paper_at_once_share_the_work(arxiv, tmp_path):
    shelf = shelf_at(tmp_path, arxiv)
    before = sum("/pdf/" in path for path in arxiv.paths())
    with ThreadPoolExecutor(6) as readers:
        papers = list(readers.map(lambda _: shelf.open("2101.00002"), range(6)))
    assert all(paper == papers[0] for paper in papers)
    assert sum("/pdf/" in path for path in arxiv.paths()) == before + 1


def test_an_upload_is_known_by_its_bytes(tmp_path):
    shelf = shelf_at(tmp_path / "shelf")
    paper = shelf.open(pdf_file(tmp_path, two_figures()))
    assert paper.id.startswith("upload:")
    assert shelf.open(pdf_file(tmp_path, two_figures(), "another name.pdf")) == paper
    assert shelf.figure(f"{paper.id}#fig1").mentions == (FIRST, SECOND)
    assert shelf.open(paper.id) == paper


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("x.pdf", pdf_bytes([PdfPage()], encrypted=True), "encrypted"),
        ("x.pdf", b"%PDF-1.4 broken", "broken-pdf"),
        ("x.tar.gz", b"no archive", ""),
    ],
    ids=["encrypted", "broken", "no archive"],
)
def test_a_paper_that_cannot_be_read_says_why(tmp_path, name, data, reason):
    with pytest.raises(PaperError) as raised:
        shelf_at(tmp_path / "shelf").open(pdf_file(tmp_path, data, name))
    assert not reason or raised.value.reason == reason
    assert str(tmp_path) not in raised.value.what, "no path of the server in what a visitor reads"
    assert not list((tmp_path / "shelf" / "papers").iterdir()), "nothing is left over"


def test_a_paper_that_takes_too_long_or_too_much_costs_only_itself(tmp_path):
    pages = [PdfPage() for _ in range(60)]
    for page in pages:
        page.body(70, 80, 450, 60)
    file = pdf_file(tmp_path, pdf_bytes(pages))
    for limit, reason in ({"seconds": 0.05}, "timeout"), ({"memory_bytes": 2**20}, "memory"):
        with pytest.raises(PaperError) as raised:
            shelf_at(tmp_path / "shelf", **limit).open(file)
        assert raised.value.reason == reason


def test_no_such_paper_no_such_id_and_no_answer_are_different_things(arxiv, tmp_path):
    shelf = shelf_at(tmp_path, arxiv)
    with pytest.raises(PaperError, match="there is no paper 2101.00009 on arXiv"):
        shelf.open("2101.00009")
    with pytest.raises(InputError, match="no month"):
        shelf.open("2113.00001")
    with pytest.raises(InputError, match="no paper is named"):
        shelf.open("  ")
    with pytest.raises(InputError, match="not kept any more"):
        shelf.open("upload:" + "0" * 32)
    with pytest.raises(FetchError) as raised:
        shelf_at(tmp_path).open("2101.00001")
    assert raised.value.reason == "unreachable"


def test_while_arxiv_is_away_the_newest_known_version_opens(opened):
    shelf, paper, _ = opened
    away = replace(shelf.options.fetch, base_url="http://127.0.0.1:9")
    later = PaperShelf(replace(shelf.options, fetch=away), now=lambda: time.time() + 3 * 86400)
    assert later.open("2101.00001").id == paper.id


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "#fig1",
        "arxiv:2101.00001",
        "arxiv:../../etc/passwd",
        "upload:../x",
        "upload:ABC",
        "local:x",
        "arxiv:2101.00001v2/..",
        "/etc",
    ],
)
def test_an_id_that_is_none_becomes_no_path(tmp_path, id_):
    assert folder_name(id_) == ""
    assert shelf_at(tmp_path).figure(f"{id_}#fig1") is None
    assert shelf_at(tmp_path).paper(id_) is None


def test_whoever_leaves_ends_the_work_if_nobody_else_waits(tmp_path):
    shelf = shelf_at(tmp_path / "shelf")
    file = pdf_file(tmp_path, two_figures("Left at once"))
    with shelf.opening(file) as first:
        with shelf.opening(file) as second:
            assert second is first
        assert not first.done, "one of two has left"
        eventually(lambda: list((tmp_path / "shelf").glob("papers/*")))
    with pytest.raises(Abandoned):
        first.result()
    assert not list((tmp_path / "shelf" / "papers").iterdir())
    with pytest.raises(ZeroDivisionError):
        shelf.open(file, lambda _: 1 / 0)
    assert len(shelf.open(file).figures) == 2, "and can be opened again"


def test_a_download_ends_when_nobody_waits_for_it(arxiv, tmp_path):
    arxiv.script["/pdf/2101.00002v1"] += [(DRIP, {})]
    shelf = shelf_at(tmp_path, arxiv)
    with shelf.opening("2101.00002v1") as opening:
        eventually(lambda: "receiving from arXiv" in str(opening.step))
    assert opening.wait(3), "the drip would have gone on for 20 s"
    with pytest.raises(Abandoned):
        opening.result()


def test_only_so_many_papers_wait(arxiv, tmp_path):
    arxiv.script["/api/query"] += [(HANG, {})]
    shelf = shelf_at(tmp_path, arxiv, max_openings=1)
    with shelf.opening("2101.00001"), pytest.raises(ServeError, match="1 papers are being opened"):
        shelf.opening("2101.00002")
    arxiv.script["/api/query"].clear()


def stored(root: Path, name: str, *, used: float, size: int) -> Path:
    folder = root / "papers" / name
    folder.mkdir(parents=True)
    (folder / RECORDS).write_text("x" * size)
    os.utime(folder / RECORDS, (used, used))
    return folder


def test_the_least_recently_used_go_first_and_uploads_after_a_day(tmp_path):
    old, new, mine = (stored(tmp_path, f"arxiv-{n}", used=n, size=100) for n in (1, 2, 3))
    upload, fresh = (stored(tmp_path, f"upload-{n}", used=n, size=10) for n in (4, 90_000))
    make_room(tmp_path, 10_000, 86_400, 100_000, frozenset())
    assert [folder.exists() for folder in (old, new, mine, upload, fresh)] == [True, True, True, False, True]
    make_room(tmp_path, 215, 86_400, 100_000, frozenset([old]))
    assert [folder.exists() for folder in (old, new, mine, fresh)] == [True, False, True, True]
    make_room(tmp_path, 0, 86_400, 100_000, frozenset([old]))
    assert [folder.exists() for folder in (old, new, mine, fresh)] == [True, False, False, False]


def test_an_upload_goes_when_its_time_is_over_also_while_nobody_opens_another(tmp_path):
    upload = stored(tmp_path, "upload-" + "0" * 32, used=0, size=10)
    page = create_web("http://127.0.0.1:9", papers=PaperShelf(ShelfOptions(folder=tmp_path)))
    with Server(page, bind("127.0.0.1", 0), "web page"):
        eventually(lambda: not upload.exists())


def test_a_paragraph_is_found_on_its_page_whatever_its_source_makes_of_citations_and_formulas():
    pages = [
        letters("Nothing of the kind."),
        letters("As [12] have shown, the energy E = mc2 grows with the mass of the ﬁeld."),
    ]
    assert page_of("As [cite] have shown, the energy $E = mc^2$ grows with the mass of the field.", pages) == 2
    assert page_of("Something else that stands on neither of the two pages.", pages) == 0
    assert page_of("Too short.", pages) == 0
