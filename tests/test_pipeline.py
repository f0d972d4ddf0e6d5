"""The build as a whole, with small real readers: counting, failing alone, stopping and going on."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from arxiv_server import NOT_PUBLIC, FakeClock, Submission, serving
from pdf_pages import PdfPage, write_pdf
from stand_ins import broken_engine, stand_ins

from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import AccessDenied, DatasetError, FetchError, InputError, PaperError
from scicap_builder import build, open_paper
from scicap_builder.fetch import Clock, FetchOptions
from scicap_builder.one_paper import ReadOptions
from scicap_builder.pipeline import BuildOptions

TESTS = Path(__file__).parent


def paper(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pdf"
    path.write_text("\n".join(("%PDF", *lines)))
    return path


def options(**changes) -> BuildOptions:
    read = {name: changes.pop(name) for name in ("route", "dpi", "ocr") if name in changes}
    return BuildOptions(read=ReadOptions(**read), **changes)


@pytest.fixture
def papers(tmp_path):
    folder = tmp_path / "papers"
    paper(folder, "good", "figure 1 | A curve. | Figure 1 shows it.", "figure 2 | A bar.")
    paper(folder, "twice", "figure 3 | Left.", "figure 3 | Right.", "bad-image 4", "no-image 5", "drop 6")
    paper(folder, "locked", "broken")
    paper(folder, "plain")
    return folder


def test_everything_seen_is_read_or_dropped_with_a_reason(papers, tmp_path):
    seen = []
    result = build(papers, tmp_path / "out", options(workers=2), readers=stand_ins(), on_progress=seen.append)
    figures = {figure.id: figure for figure in read_dataset(tmp_path / "out")}
    assert set(figures) == {"local:good#fig1", "local:good#fig2", "local:twice#fig3", "local:twice#fig3-2"}
    dropped = {item.item: item.reason for item in read_dropped(tmp_path / "out")}
    assert dropped == {
        "local:twice#fig4": "bad-image",
        "local:twice#fig5": "no-image",
        "local:twice Figure 6": "no-region",
        "local:locked": "encrypted",
        "local:plain": "no-figures",
    }
    assert (result.papers_done, result.papers_left, result.error) == (4, 0, None)
    assert result.summary.figures == 4
    assert sum(result.summary.dropped.values()) == 5
    assert (seen[-1].papers_done, seen[-1].figures, seen[-1].dropped) == (4, 4, 5)
    one = figures["local:good#fig1"]
    assert (one.label, one.caption, one.mentions) == ("Figure 1", "A curve.", ("Figure 1 shows it.",))
    assert (one.width, one.height, one.source) == (40, 30, "local")
    assert one.ocr[0].text == "rapidocr 40"
    assert (one.paper.id, one.paper.title, one.paper.page, one.paper.route) == (
        "local:good",
        "Title of good.pdf",
        1,
        "pdf",
    )
    assert len({figure.split for figure in figures.values() if figure.paper.id == "local:twice"}) == 1


def test_one_papers_failure_costs_only_itself(tmp_path):
    folder = tmp_path / "papers"
    for name in ("hang", "die", "raise"):
        paper(folder, name, name)
    for number in range(3):
        paper(folder, f"good{number}", f"figure {number}")
    build(folder, tmp_path / "out", options(workers=2, paper_timeout_s=2), readers=stand_ins())
    assert len(list(read_dataset(tmp_path / "out"))) == 3
    dropped = {item.item: item for item in read_dropped(tmp_path / "out")}
    assert {item: drop.reason for item, drop in dropped.items()} == {
        "local:hang": "timeout",
        "local:die": "crashed",
        "local:raise": "failed",
    }
    assert "SIGKILL" in dropped["local:die"].detail
    assert "ZeroDivisionError: a bug of ours at stand_ins.py" in dropped["local:raise"].detail


def test_a_paper_that_takes_too_much_memory_costs_itself(tmp_path):
    folder = tmp_path / "papers"
    paper(folder, "hog", "hog 60")
    paper(folder, "small", "figure 9")
    started = time.monotonic()
    build(folder, tmp_path / "out", options(workers=2, paper_memory_gb=0.6), readers=stand_ins())
    assert [figure.id for figure in read_dataset(tmp_path / "out")] == ["local:small#fig9"]
    [dropped] = read_dropped(tmp_path / "out")
    assert (dropped.item, dropped.reason, dropped.detail) == ("local:hog", "memory", "took more than 0.6 GiB")
    assert time.monotonic() - started < 60  # it sleeps 600 s if nobody ends it


def test_a_paper_whose_process_is_killed_once_is_read_by_another(tmp_path):
    unlucky = paper(tmp_path / "papers", "unlucky", "die-once", "figure 1")
    build(unlucky, tmp_path / "out", readers=stand_ins())
    assert [figure.id for figure in read_dataset(tmp_path / "out")] == ["local:unlucky#fig1"]
    assert not list(read_dropped(tmp_path / "out"))


def test_a_full_disk_stops_the_run_and_drops_nothing(papers, tmp_path):
    paper(papers, "zz", "full")
    result = build(papers, tmp_path / "out", readers=stand_ins())
    assert isinstance(result.error, DatasetError)
    assert "No space left on device" in str(result.error)
    assert (result.papers_done, result.papers_left) == (4, 1)
    paper(papers, "zz", "figure 1")
    assert build(papers, tmp_path / "out", readers=stand_ins()).summary.figures == 5


def test_another_list_with_the_same_names_loses_no_paper(tmp_path):
    """A short name is made for one list: `a/paper.pdf` and `b/paper.pdf` may both be called "paper"."""
    one, other = paper(tmp_path / "a", "paper", "figure 1"), paper(tmp_path / "b", "paper", "figure 2 | other")
    out = tmp_path / "out"
    build(one, out, readers=stand_ins())
    build(other, out, readers=stand_ins())
    assert [figure.id for figure in read_dataset(out)] == ["local:paper#fig1", "local:b/paper#fig2"]
    again = build(other, out, readers=stand_ins())
    assert (again.papers_left, again.summary.figures) == (0, 2)
    (tmp_path / "ids.txt").write_text(f"{one}\n{other}\n")  # under other names, but in the same places
    assert build(tmp_path / "ids.txt", out, readers=stand_ins()).summary.figures == 2
    (tmp_path / "moved").mkdir()
    one.rename(tmp_path / "moved" / "paper.pdf")
    assert build(tmp_path / "moved" / "paper.pdf", out, readers=stand_ins()).summary.figures == 2


def test_a_broken_engine_costs_the_text_and_not_the_figure(papers, tmp_path):
    build(papers / "good.pdf", tmp_path / "out", readers=stand_ins(broken_engine))
    assert [figure.ocr for figure in read_dataset(tmp_path / "out")] == [(), ()]
    assert [item.reason for item in read_dropped(tmp_path / "out")] == ["ocr-failed", "ocr-failed"]


def test_without_ocr(papers, tmp_path):
    build(papers / "good.pdf", tmp_path / "out", options(ocr="none"), readers=stand_ins(broken_engine))
    assert not list(read_dropped(tmp_path / "out"))


def test_taken_up_again_it_reads_only_what_is_new(papers, tmp_path):
    out = tmp_path / "out"
    build(papers, out, readers=stand_ins())
    before = {file: file.stat().st_mtime_ns for file in out.rglob("shard-*/*")}
    paper(papers, "later", "figure 9")
    result = build(papers, out, readers=stand_ins())
    ids = [figure.id for figure in read_dataset(out)]
    assert len(ids) == len(set(ids)) == 5
    assert all(file.stat().st_mtime_ns == time_ns for file, time_ns in before.items())
    assert result.papers_done == 5


def test_other_options_are_refused_and_overwrite_begins_anew(papers, tmp_path):
    out = tmp_path / "out"
    build(papers, out, readers=stand_ins())
    with pytest.raises(DatasetError, match="route"):
        build(papers, out, options(route="latex"), readers=stand_ins())
    result = build(papers, out, options(route="pdf", overwrite=True), readers=stand_ins())
    assert result.summary.figures == 4


def test_bad_lines_are_counted_once_over_all_runs(papers, tmp_path):
    (tmp_path / "ids.txt").write_text("papers/good.pdf\nnonsense\n")
    for _ in range(2):
        result = build(tmp_path / "ids.txt", tmp_path / "out", readers=stand_ins())
    assert [item.item for item in read_dropped(tmp_path / "out")] == ["ids.txt:2"]
    assert result.bad_lines[0].reason == "bad-line"


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"route": "latx"}, "latex"), ({"ocr": "rapidcor"}, "rapidocr"), ({"dpi": 5}, "dpi"), ({"workers": 0}, "workers")],
)
def test_bad_options_are_refused_before_any_work(papers, tmp_path, changes, why):
    with pytest.raises(InputError, match=why):
        build(papers, tmp_path / "out", options(**changes), readers=stand_ins())
    assert not (tmp_path / "out").exists()


def test_killed_and_started_again_it_loses_nothing_and_repeats_nothing(tmp_path):
    for number in range(12):
        paper(tmp_path / "papers", f"p{number:02d}", "sleep 0.15", f"figure {number}", f"figure {number}", "drop 9")
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        "from scicap_builder.pipeline import BuildOptions\n"
        "if __name__ == '__main__':\n"
        f"    build({str(tmp_path / 'papers')!r}, {str(tmp_path / 'out')!r}, BuildOptions(papers_per_shard=2), readers=stand_ins())\n"
    )
    (tmp_path / "run.py").write_text(code)
    process = subprocess.Popen([sys.executable, tmp_path / "run.py"])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out" / "data").glob("shard-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = [figure.id for figure in read_dataset(tmp_path / "out")]
    assert 4 <= len(first) < 24
    result = build(tmp_path / "papers", tmp_path / "out", options(papers_per_shard=2), readers=stand_ins())
    ids = [figure.id for figure in read_dataset(tmp_path / "out")]
    assert ids[: len(first)] == first
    assert len(ids) == len(set(ids)) == 24
    assert len(list(read_dropped(tmp_path / "out"))) == 12
    assert result.papers_done == 12


def test_ctrl_c_keeps_what_is_read_and_the_workers_go(tmp_path):
    for number in range(30):
        paper(tmp_path / "papers", f"p{number:02d}", "sleep 0.1", f"figure {number}")
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        "if __name__ == '__main__':\n"
        f"    result = build({str(tmp_path / 'papers')!r}, {str(tmp_path / 'out')!r}, readers=stand_ins(),\n"
        "        on_progress=lambda at: print(at.papers_done, flush=True))\n"
        "    print('interrupted', result.interrupted, result.papers_done)\n"
    )
    (tmp_path / "run.py").write_text(code)
    process = subprocess.Popen([sys.executable, tmp_path / "run.py"], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline().strip() != "3":
        pass
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    [last] = [line for line in rest.splitlines() if line.startswith("interrupted True")]
    assert len(list(read_dataset(tmp_path / "out"))) == int(last.split()[-1]) >= 3


def test_a_worker_dies_with_its_parent(tmp_path):
    paper(tmp_path / "papers", "slow", "hang")
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        "if __name__ == '__main__':\n"
        f"    build({str(tmp_path / 'papers')!r}, {str(tmp_path / 'out')!r}, readers=stand_ins())\n"
    )
    (tmp_path / "run.py").write_text(code)
    process = subprocess.Popen([sys.executable, tmp_path / "run.py"])
    children: list[int] = []
    deadline = time.monotonic() + 30
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not listing.parent.is_dir():
        process.kill()
        pytest.skip("needs /proc")
    while len(children) < 2 and time.monotonic() < deadline:  # the resource tracker and the worker
        children = [int(pid) for pid in listing.read_text().split()]
        time.sleep(0.05)
    time.sleep(1.5)
    process.kill()
    process.wait()
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in children)


def test_a_script_without_a_main_guard_is_told_so(papers, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        f"build({str(papers)!r}, {str(tmp_path / 'out')!r}, readers=stand_ins())\n"
    )
    (tmp_path / "run.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "run.py"], capture_output=True, text=True, check=False)
    assert "LlavaGraphError: the worker processes do not start" in done.stderr
    assert not list(read_dropped(tmp_path / "out"))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


# -- routes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path):
    """A folder with a PDF that shows figure 1 and a source that shows figure 1 better."""
    folder = tmp_path / "both"
    paper(folder, "paper", "figure 1 | from the PDF")
    (folder / "source.tar.gz").write_text("figure 1 | from the source")
    return folder


@pytest.mark.parametrize(
    ("route", "caption", "read_from"),
    [("auto", "from the source", "latex"), ("latex", "from the source", "latex"), ("pdf", "from the PDF", "pdf")],
)
def test_routes(both, route, caption, read_from):
    [figure] = open_paper(both, ReadOptions(route=route), readers=stand_ins()).figures
    assert (figure.caption, figure.paper.route) == (caption, read_from)


def test_auto_makes_up_for_a_route_that_fails(both):
    (both / "source.tar.gz").write_text("broken")
    [figure] = open_paper(both, readers=stand_ins()).figures
    assert figure.caption == "from the PDF"
    with pytest.raises(PaperError, match="no archive"):
        open_paper(both, ReadOptions(route="latex"), readers=stand_ins())


def test_a_source_that_is_a_pdf_is_read_as_one(tmp_path):
    source = tmp_path / "x.gz"
    source.write_text("%PDF\nfigure 2 | in it")
    for route in ("auto", "pdf"):
        [figure] = open_paper(source, ReadOptions(route=route), readers=stand_ins()).figures
        assert figure.paper.route == "pdf"


@pytest.mark.parametrize(
    ("route", "keep", "reason"), [("latex", "paper.pdf", "no-source"), ("pdf", "source.tar.gz", "no-pdf")]
)
def test_a_route_without_its_file_says_so(both, route, keep, reason):
    for file in both.iterdir():
        if file.name != keep:
            file.unlink()
    with pytest.raises(PaperError) as caught:
        open_paper(both, ReadOptions(route=route), readers=stand_ins())
    assert caught.value.reason == reason


# -- arXiv ------------------------------------------------------------------------------------------------------------

FIGURE = b"figure 1 | A curve. | Figure 1 shows it."
PDF = b"%PDF-1.5\nfigure 1 | from the PDF"
GOOD = Submission(base="1706.03762", latest=7, title="Attention", sources={7: FIGURE}, pdfs={7: PDF})
OLD = Submission(base="hep-th/9901001", latest=2, sources={2: FIGURE}, pdfs={2: PDF}, licence="")
PDF_ONLY = Submission(base="2001.00001", sources={1: PDF}, pdfs={1: PDF})
WITHDRAWN = Submission(base="2002.00002", latest=2, comment="This paper has been withdrawn by the author.")
NO_SOURCE = Submission(base="2003.00003", pdfs={1: PDF})


@pytest.fixture
def arxiv(tmp_path):
    clock = FakeClock()
    with serving([GOOD, OLD, PDF_ONLY, WITHDRAWN, NO_SOURCE], clock.now) as server:
        server.fetch = FetchOptions(base_url=server.url, cache=tmp_path / "cache", read_timeout_s=0.3)
        server.clock = Clock(now=clock.now, sleep=clock.sleep)
        yield server


def build_arxiv(server, tmp_path, *lines, **changes):
    (tmp_path / "ids.txt").write_text("\n".join(lines))
    return build(
        tmp_path / "ids.txt",
        tmp_path / "out",
        options(**changes),
        fetch=server.fetch,
        clock=server.clock,
        readers=stand_ins(),
    )


def test_arxiv_papers_become_records(arxiv, tmp_path):
    result = build_arxiv(
        arxiv,
        tmp_path,
        "1706.03762",
        "hep-th/9901001",
        "2001.00001",
        "2002.00002",
        "2003.00003",
        "2101.00001",
        "1713.00001",
    )
    figures = {figure.id: figure for figure in read_dataset(tmp_path / "out")}
    assert set(figures) == {
        "arxiv:1706.03762v7#fig1",
        "arxiv:hep-th/9901001v2#fig1",
        "arxiv:2001.00001v1#fig1",
        "arxiv:2003.00003v1#fig1",
    }
    one = figures["arxiv:1706.03762v7#fig1"]
    assert (one.paper.title, one.paper.abstract, one.paper.categories) == (
        "Attention",
        "We show something.",
        ("cs.CL", "cs.LG"),
    )
    assert one.licence == one.paper.licence == "http://creativecommons.org/licenses/by/4.0/"
    assert (one.source, one.caption) == ("arxiv", "A curve.")
    assert figures["arxiv:hep-th/9901001v2#fig1"].licence == ""
    assert {item.item: item.reason for item in read_dropped(tmp_path / "out")} == {
        "ids.txt:7": "bad-line",
        "arxiv:2002.00002v2": "withdrawn",
        "arxiv:2101.00001": "not-found",
    }
    assert result.papers_done == 6
    assert result.summary.licences["unknown"] == 1
    times = [request.time for request in arxiv.seen]
    assert all(later - earlier >= 3 for earlier, later in itertools.pairwise(times))
    assert arxiv.most_at_once == 1
    assert "/pdf/2001.00001v1" not in arxiv.paths()  # its source was the PDF


def test_finished_papers_are_not_asked_for_again(arxiv, tmp_path):
    build_arxiv(arxiv, tmp_path, "1706.03762")
    asked = len(arxiv.seen)
    build_arxiv(arxiv, tmp_path, "1706.03762")
    assert len(arxiv.seen) == asked


@pytest.mark.parametrize(("route", "unasked"), [("latex", "/pdf/"), ("pdf", "/src/")])
def test_a_route_fetches_only_what_it_reads(arxiv, tmp_path, route, unasked):
    build_arxiv(arxiv, tmp_path, "1706.03762", route=route)
    assert not [path for path in arxiv.paths() if path.startswith(unasked)]


def test_a_403_stops_the_run_and_keeps_what_is_done(arxiv, tmp_path):
    arxiv.script["/src/hep-th/9901001v2"] = [(403, {})]
    result = build_arxiv(arxiv, tmp_path, "1706.03762", "hep-th/9901001", "2001.00001")
    assert isinstance(result.error, AccessDenied)
    assert arxiv.paths()[-1] == "/src/hep-th/9901001v2"  # nothing after it
    assert [figure.id for figure in read_dataset(tmp_path / "out")] == ["arxiv:1706.03762v7#fig1"]
    assert result.papers_left == 2
    again = build_arxiv(arxiv, tmp_path, "1706.03762", "hep-th/9901001", "2001.00001")
    assert (again.error, again.papers_left, again.summary.figures) == (None, 0, 3)


def test_passing_failures_are_left_for_another_run(arxiv, tmp_path):
    arxiv.script["/pdf/1706.03762v7"] = [(500, {})] * 5
    result = build_arxiv(arxiv, tmp_path, "1706.03762", "2001.00001")
    assert [(item.item, item.reason) for item in result.later] == [
        ("arxiv:1706.03762", "busy"),
        ("arxiv:2001.00001", "busy"),
    ]
    assert not list(read_dropped(tmp_path / "out"))
    again = build_arxiv(arxiv, tmp_path, "1706.03762", "2001.00001")
    assert (again.papers_left, again.summary.figures) == (0, 2)


def test_a_licence_that_may_be_had_later_is_waited_for(arxiv, tmp_path):
    arxiv.script["/oai2"] = [(503, {})] * 5
    result = build_arxiv(arxiv, tmp_path, "1706.03762")
    assert [(item.item, item.reason) for item in result.later] == [("arxiv:1706.03762", "busy")]
    assert build_arxiv(arxiv, tmp_path, "1706.03762").summary.licences == {GOOD.licence: 1}


def test_a_source_that_its_author_keeps_leaves_the_pdf(arxiv, tmp_path):
    arxiv.papers["0704.0945"] = Submission(base="0704.0945", sources={1: NOT_PUBLIC}, pdfs={1: PDF})
    result = build_arxiv(arxiv, tmp_path, "0704.0945", "1706.03762")
    assert (result.error, result.papers_left) == (None, 0)
    assert {figure.id: figure.paper.route for figure in read_dataset(tmp_path / "out")}[
        "arxiv:0704.0945v1#fig1"
    ] == "pdf"


def test_another_version_of_a_paper_is_the_same_paper(arxiv, tmp_path):
    build_arxiv(arxiv, tmp_path, "1706.03762")
    assert build_arxiv(arxiv, tmp_path, "1706.03762v7").summary.figures == 1


def test_with_a_metadata_file_no_licence_is_asked_for(arxiv, tmp_path):
    row = {
        "id": "1706.03762",
        "title": "T",
        "categories": "cs.CL",
        "license": "http://creativecommons.org/publicdomain/zero/1.0/",
    }
    (tmp_path / "known.json").write_text(json.dumps(row) + "\n")
    (tmp_path / "ids.txt").write_text("1706.03762\nhep-th/9901001\n")
    out = tmp_path / "out"
    build(
        tmp_path / "ids.txt",
        out,
        fetch=arxiv.fetch,
        clock=arxiv.clock,
        readers=stand_ins(),
        metadata=tmp_path / "known.json",
    )
    licences = {figure.paper.id: figure.licence for figure in read_dataset(out)}
    assert licences == {"arxiv:1706.03762v7": row["license"], "arxiv:hep-th/9901001v2": ""}
    assert sum(path.startswith("/oai2") for path in arxiv.paths()) == 1


def test_a_licence_that_cannot_be_had_costs_only_itself(arxiv, tmp_path):
    arxiv.script["/oai2"] = [(400, {})]
    result = build_arxiv(arxiv, tmp_path, "1706.03762")
    assert result.summary.licences == {"unknown": 1}


def test_a_papers_figures_are_in_the_order_of_their_numbers_and_keep_their_ids(tmp_path):
    orders = [f"figure {name} | {name}" for name in ("1", "3", "A.1", "2", "3", "S1", "10")]
    opened = open_paper(paper(tmp_path, "mixed", *orders), readers=stand_ins())
    names = [figure.id.partition("#fig")[2] for figure in opened.figures]
    assert names == ["1", "2", "3", "3-2", "10", "A.1", "S1"]


def test_a_paper_of_one_page_without_figures_is_told_in_the_singular(tmp_path):
    write_pdf(tmp_path / "one.pdf", PdfPage().text(70, 100, "Only words."))
    write_pdf(tmp_path / "two.pdf", PdfPage().text(70, 100, "Words."), PdfPage().text(70, 100, "More."))
    told = [open_paper(tmp_path / name, ReadOptions(ocr="none")).dropped[0].detail for name in ("one.pdf", "two.pdf")]
    assert told == ["1 page, no numbered figure", "2 pages, no numbered figure"]


def test_open_paper_from_arxiv(arxiv):
    fast = FetchOptions(base_url=arxiv.url, cache=arxiv.fetch.cache, delay_s=0)
    opened = open_paper("https://arxiv.org/abs/1706.03762", fetch=fast, readers=stand_ins())
    assert (opened.id, opened.title, len(opened.figures)) == ("arxiv:1706.03762v7", "Attention", 1)
    with pytest.raises(PaperError) as caught:
        open_paper("2002.00002", fetch=fast, readers=stand_ins())
    assert caught.value.reason == "withdrawn"
    arxiv.script["/api/query"] = [(403, {})]
    with pytest.raises(FetchError, match="403"):
        open_paper("2003.00003", fetch=fast, readers=stand_ins())


def test_build_json_names_the_options(papers, tmp_path):
    build(papers, tmp_path / "out", options(route="pdf", ocr="none"), readers=stand_ins())
    begun = json.loads((tmp_path / "out" / "build.json").read_text())
    assert begun["options"] == {"builder": "papers", "route": "pdf", "dpi": 150, "ocr": "none"}
    assert begun["finished"]
