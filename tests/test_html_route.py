"""A page beside a paper, in a list, in the cache or on arXiv becomes one more route; without it nothing is lost."""

import json
import shutil
from pathlib import Path

import pytest
from arxiv_server import FakeClock, Submission, serving
from stand_ins import stand_ins

from llava_graph.errors import FetchError, PaperError
from llava_graph.record import Dropped
from scicap_builder.fetch import ArxivClient, Clock, FetchOptions
from scicap_builder.obtain import obtain
from scicap_builder.one_paper import Readers, ReadOptions, read_paper
from scicap_builder.paper_ref import PaperFiles
from scicap_builder.papers import list_papers, paper_at

PDF = b"%PDF-1.5\nfigure 1 | from the PDF | a paragraph"
PAGE = b"<!DOCTYPE html>\nfigure 1 | from the page | a paragraph"
WITH_PAGE = Submission(base="2305.00001", pdfs={1: PDF}, pages={1: PAGE})
WITHOUT = Submission(base="2305.00002", pdfs={1: PDF})
READING = ReadOptions(ocr="none")


def files_in(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def listed(folder: Path) -> dict[str, tuple[str, str, str]]:
    return {
        paper.key.removeprefix("local:"): tuple(
            path.relative_to(folder).as_posix() if path else "" for path in (paper.pdf, paper.source, paper.html)
        )
        for paper in list_papers(folder).papers
    }


def test_a_page_belongs_to_the_paper_it_lies_beside(tmp_path):
    files_in(tmp_path, "a/paper.pdf", "a/index.html", "b/x.pdf", "b/x.tar.gz", "b/x.html", "c/main.tex", "c/paper.html")
    files_in(tmp_path, "d/y.pdf", "d/notes.html", "e/paper.html", "f/1.pdf", "f/2.pdf", "f/2.html", "f/3.html")
    assert listed(tmp_path) == {
        "a": ("a/paper.pdf", "", "a/index.html"),
        "b": ("b/x.pdf", "b/x.tar.gz", "b/x.html"),
        "c": ("", "c", "c/paper.html"),
        "d": ("d/y.pdf", "", ""),
        "e": ("", "", "e/paper.html"),
        "1": ("f/1.pdf", "", ""),
        "2": ("f/2.pdf", "", "f/2.html"),
        "3": ("", "", "f/3.html"),
    }


def test_three_lines_of_one_name_are_one_paper(tmp_path):
    files_in(tmp_path, "x.pdf", "x.tar.gz", "x.html", "other.html")
    (tmp_path / "list.txt").write_text("x.pdf\nx.html\nx.tar.gz\nother.html\nx.html\n")
    found = list_papers(tmp_path / "list.txt")
    assert [(p.key, bool(p.pdf), bool(p.source), bool(p.html)) for p in found.papers] == [
        ("local:x", True, True, True),
        ("local:other", False, False, True),
    ]
    assert [(item.item, item.reason) for item in found.dropped] == [("list.txt:5", "duplicate")]


def test_a_page_alone_is_a_paper(tmp_path):
    files_in(tmp_path, "paper/index.html")
    assert paper_at(str(tmp_path / "paper" / "index.html")).key == "local:paper"
    assert paper_at(str(tmp_path / "paper")).html == tmp_path / "paper" / "index.html"


@pytest.fixture
def server():
    clock = FakeClock()
    with serving([WITH_PAGE, WITHOUT], clock.now) as running:
        running.clock = Clock(now=clock.now, sleep=clock.sleep)
        yield running


def fetched(server, cache: Path, route: str, *ids: str, **options):
    fetch = FetchOptions(base_url=server.url, cache=cache, read_timeout_s=0.3, **options)
    papers = [paper_at(one) for one in ids]
    return [found for _, found in obtain(papers, route, lambda: ArxivClient(fetch, clock=server.clock))]


def test_pages_are_asked_for_only_on_demand(server, tmp_path):
    [found] = fetched(server, tmp_path, "auto", "2305.00001")
    assert found.html is None
    assert not any(path.startswith("/html") for path in server.paths())
    [found] = fetched(server, tmp_path, "auto", "2305.00001", html=True)
    assert found.html.read_bytes() == PAGE
    asked = len(server.paths())
    [found] = fetched(server, tmp_path, "auto", "2305.00001v1")
    assert found.html.read_bytes() == PAGE  # from the cache now, without asking
    assert not any(path.startswith("/html") for path in server.paths()[asked:])


def test_no_page_costs_the_paper_nothing(server, tmp_path):
    [found] = fetched(server, tmp_path, "auto", "2305.00002", html=True)
    assert isinstance(found, PaperFiles)
    assert (found.html, found.pdf is not None) == (None, True)
    assert "/html/2305.00002v1" in server.paths()


def test_the_route_html_fetches_pages_alone(server, tmp_path):
    one, other = fetched(server, tmp_path, "html", "2305.00001", "2305.00002")
    assert (one.pdf, one.source, one.html.read_bytes()) == (None, None, PAGE)
    assert isinstance(other, Dropped)
    assert other.reason == "no-html"
    assert not any(path.startswith(("/pdf", "/src")) for path in server.paths())


def test_a_passing_failure_leaves_the_paper_for_another_run(server, tmp_path):
    server.script["/html/2305.00001v1"] += [(503, {"Retry-After": "1"})] * 5
    [found] = fetched(server, tmp_path, "auto", "2305.00001", html=True)
    assert isinstance(found, FetchError)


def paper(folder: Path, **parts: str) -> PaperFiles:
    names = {"pdf": "paper.pdf", "source": "paper.tex", "html": "paper.html"}
    for part, text in parts.items():
        (folder / names[part]).write_text(text)
    return PaperFiles(key="k", id="k", **{part: folder / names[part] for part in parts})


def orders(seen: list) -> Readers:
    """Readers that note what they are asked to join."""

    def join(*sides):
        seen.append([side and side.figures[0].route for side in sides])
        return next(side for side in sides if side)

    return Readers(**{**stand_ins().__dict__, "join": join})


@pytest.mark.parametrize(
    ("route", "parts", "sides"),
    [
        ("auto", ("source", "pdf", "html"), [["latex", "pdf", "html"]]),
        ("auto", ("pdf", "html"), [[None, "pdf", "html"]]),
        ("auto", ("source", "html"), [["latex", None, "html"]]),
        ("auto", ("html",), []),
        ("html", ("source", "pdf", "html"), []),
        ("pdf", ("source", "pdf", "html"), []),
    ],
)
def test_auto_joins_what_is_there(route, parts, sides, tmp_path):
    seen: list = []
    files = paper(tmp_path, **dict.fromkeys(parts, "figure 1 | A caption"))
    records = read_paper(files, ReadOptions(route=route, ocr="none"), orders(seen))
    assert seen == sides
    assert len(records.figures) == 1
    if route != "auto":
        assert records.figures[0].paper.route == route


def test_a_side_that_cannot_be_read_is_counted(tmp_path):
    files = paper(tmp_path, pdf="figure 1 | A caption", html="broken")
    records = read_paper(files, READING, stand_ins())
    assert [figure.paper.route for figure in records.figures] == ["pdf"]
    assert [(item.item, item.reason) for item in records.dropped] == [("k (its HTML page)", "encrypted")]
    with pytest.raises(PaperError, match="no HTML page"):
        read_paper(paper(tmp_path, pdf="figure 1 | A caption"), ReadOptions(route="html"), stand_ins())


def test_a_kind_is_told_where_something_tells_it(tmp_path):
    files = paper(tmp_path, pdf="figure 1 | A chart of it")
    readers = Readers(**{**stand_ins().__dict__, "kind_of": lambda image, caption, lines: caption.split()[1]})
    assert read_paper(files, READING, readers).figures[0].kind == "chart"
    assert read_paper(files, READING, stand_ins()).figures[0].kind == ""


def test_a_real_page_becomes_records_with_the_pictures_beside_it(tmp_path):
    from PIL import Image

    from scicap_builder import open_paper

    leaves = Path(__file__).parent / "fixtures" / "html" / "leaves.html"
    shutil.copy(leaves, tmp_path / "paper.html")
    text = (tmp_path / "paper.html").read_text(encoding="utf-8").replace('src="setup"', 'src="x1.png"')
    (tmp_path / "paper.html").write_text(text, encoding="utf-8")
    (tmp_path / "meta.json").write_text(json.dumps({"licence": "CC0"}))
    Image.new("RGB", (60, 40), "green").save(tmp_path / "x1.png")
    records = open_paper(tmp_path / "paper.html", READING)
    assert [(figure.label, figure.paper.route) for figure in records.figures] == [("Figure 1", "html")]
    assert {item.reason for item in records.dropped} == {"no-image"}
    assert len(records.figures) + len(records.dropped) == 8
    assert records.title == "Leaves in the wind: a study of χ^2 fits"
