"""Published figures get what their papers say: from a folder, a bulk archive or arXiv; unmatched ones are counted; runs resume."""

import io
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
from arxiv_server import FakeClock, Submission, serving
from killed_build import Inline
from published_sets import picture, put, scicap_row, write_challenge, write_scicap, write_scicap_plus
from stand_ins import broken_engine, stand_ins
from typer.main import get_command

from benchmarks.bench_pairing import found_right
from benchmarks.published_layout import write_layout
from llava_graph.command import run
from llava_graph.dataset import DatasetWriter, read_dataset, read_dropped, read_json
from llava_graph.errors import DatasetError, InputError
from scicap_builder.cli import app
from scicap_builder.fetch import FetchOptions
from scicap_builder.one_paper import ReadOptions
from scicap_builder.pairing import Note, PairOptions, pair, read_notes
from scicap_builder.pairing.library import library
from scicap_builder.pairing.matching import UNPAIRED
from scicap_builder.pairing.notes import SCHEMA, PairingReport, compared_mentions
from scicap_builder.pairing.published import grouped
from scicap_builder.pairing.records import NEVER_CITED, NO_ID, NOT_FOUND, UNREADABLE
from scicap_builder.parts import carried
from scicap_builder.settings import BuildOptions
from scicap_builder.sources import SOURCES
from scicap_builder.sources.contract import ImportOptions
from scicap_builder.sources.importing import import_source
from scicap_builder.sources.root import Root
from scicap_builder.workers import Failure, _failure

QUIET = BuildOptions(read=ReadOptions(ocr="none"))


class Failing(Inline):
    """What a job raises is its failure, as a worker's."""

    def give(self, job):
        try:
            self.done.append((job, self.function(job)))
        except Exception as error:  # noqa: BLE001  (as a worker does)
            self.done.append((job, _failure(error)))
        self.busy = len(self.done)


def paired(name, root, out, *, papers=None, options=ImportOptions(), build=QUIET, readers=None, **more):  # noqa: B008
    how = {key: more.pop(key) for key in ("unpaired", "fetch_missing") if key in more}
    pairing = PairOptions(build=build, papers_root=papers, **how)
    return pair(
        SOURCES[name], root, out, options, pairing, readers=readers or stand_ins(), **{"engine": Failing, **more}
    )


def put_papers(folder, **papers):
    """Papers that the stand-in readers read; a key is an id with _ for dots."""
    for name, lines in papers.items():
        put(folder, f"{name.removeprefix('p').replace('_', '.')}.pdf", b"%PDF\n" + lines.encode())
    return folder


@pytest.fixture
def root(tmp_path):
    write_scicap(tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def papers(tmp_path):
    return put_papers(
        tmp_path / "papers",
        p1001_0025v1="figure 2 | Loss falls. | As Figure 2 shows, loss falls.",
        p1502_00003v2="broken",
        p1502_00004v1="figure 3 | Recall. | ",
        pnotes="figure 1",
    )


def test_a_figure_gets_the_paragraphs_of_its_paper_and_ocr_with_boxes(root, papers, tmp_path):
    done = paired("scicap", root, tmp_path / "out", papers=papers, build=BuildOptions())
    figures = {figure.id: figure for figure in read_dataset(tmp_path / "out")}
    plain = {}
    import_source(SOURCES["scicap"], root, tmp_path / "plain")
    for figure in read_dataset(tmp_path / "plain"):
        plain[figure.id] = figure
    assert figures.keys() == plain.keys()
    figure = figures["scicap:1001.0025v1#fig2"]
    assert figure.mentions == ("As Figure 2 shows, loss falls.",)
    assert [(line.text, line.box, line.source) for line in figure.ocr] == [("rapidocr 24", (0, 0, 1, 1), "rapidocr")]
    assert (figure.paper.title, figure.paper.licence) == ("On loss", "CC-BY-4.0")  # from the metadata beside the data
    assert (figure.paper.page, figure.paper.route) == (1, "pdf")
    untouched = ("image", "width", "height", "caption", "label", "kind", "source", "licence", "split")
    for id_, figure in figures.items():
        assert [getattr(figure, name) for name in untouched] == [getattr(plain[id_], name) for name in untouched]
    assert done.report.paired == 1
    assert dict(done.report.reasons) == {"paper-not-found": 1, "paper-unreadable": 1, "never-cited": 1}
    assert dict(done.papers) == {"read": 2, "paper-not-found": 1, "paper-unreadable": 1}
    assert done.imported.integrity.dropped == {"bad-record": 1}
    assert "1 papers of the folder are named after no arXiv id" in done.imported.integrity.problems
    assert read_json(tmp_path / "out" / "pairing.json")["paired"] == 1
    assert "looked for in its paper" in (tmp_path / "out" / "README.md").read_text()
    assert "looked for in its paper" not in (tmp_path / "plain" / "README.md").read_text()
    notes = {note.id: note for note in read_notes(tmp_path / "out")}
    assert notes["scicap:1001.0025v1#fig2"].published_ocr == ("loss", "epoch", "0", "10")
    assert notes["scicap:1502.00003v2#fig1"].detail == "encrypted: the file is broken"
    assert notes["scicap:1502.00004v1#fig3"].label_read == "Figure 3"


def test_figures_without_paragraphs_can_be_dropped_and_are_counted(root, papers, tmp_path):
    done = paired("scicap", root, tmp_path / "out", papers=papers, unpaired="drop")
    assert [figure.id for figure in read_dataset(tmp_path / "out")] == ["scicap:1001.0025v1#fig2"]
    reasons = {item.item: item.reason for item in read_dropped(tmp_path / "out")}
    assert reasons["scicap:1502.00004v1#fig3"] == "never-cited"
    integrity = done.imported.integrity
    assert integrity.rows == integrity.figures + sum(integrity.dropped.values())
    assert [note.kept for note in read_notes(tmp_path / "out")].count(False) == 3


def test_the_published_paragraphs_stand_beside_ours(tmp_path):
    write_scicap_plus(tmp_path / "root")
    put(
        tmp_path / "root",
        "mentions_paragraph/test/1502.00004v1-Figure3-1.json",
        {"paragraph": ["Figure 3 was written here.", "More of it."], "mention": [["Figure 3 was written here."]]},
    )
    papers = put_papers(
        tmp_path / "papers",
        p1001_0025v1="figure 1 | A plot. | As Figure 2 shows, loss falls.",
        p1502_00003v2="figure 2 | A plot. | Other words altogether are said here.",
    )
    paired("scicap-plus", tmp_path / "root", tmp_path / "out", papers=papers)
    notes = {note.id: note for note in read_notes(tmp_path / "out")}
    mentions = {figure.id: figure.mentions for figure in read_dataset(tmp_path / "out")}
    same, other, kept = (
        notes[f"scicap-plus:{name}"] for name in ("1001.0025v1#fig2", "1502.00003v2#fig1", "1502.00004v1#fig3")
    )
    assert (same.mentions_from, same.published_first, same.first_f1) == ("paper", 0, 1.0)
    assert same.published_paragraphs == ("As Figure 2 shows, loss falls.", "See Figure 2.")
    assert (other.mentions_from, other.published_first) == ("paper", -1)
    assert mentions[other.id] == ("Other words altogether are said here.",)
    # Without its paper a figure keeps what is published, and the note says so.
    assert (kept.reason, kept.mentions_from) == ("paper-not-found", "published")
    assert mentions[kept.id] == ("Figure 3 was written here.", "More of it.")
    assert kept.published_sentences == ("Figure 3 was written here.",)
    report = read_json(tmp_path / "out" / "pairing.json")
    assert (report["paragraphs_compared"], report["same_first"], report["kept_published"]) == (2, 1, 1)


def test_published_paragraphs_stay_where_the_paper_cites_the_figure_nowhere(tmp_path):
    write_scicap_plus(tmp_path / "root")
    papers = put_papers(tmp_path / "papers", p1001_0025v1="figure 1 | A plot. | ")
    done = paired("scicap-plus", tmp_path / "root", tmp_path / "out", papers=papers)
    note = next(note for note in read_notes(tmp_path / "out") if note.id == "scicap-plus:1001.0025v1#fig2")
    assert (note.by, note.reason, note.mentions_from) == ("number", "never-cited", "published")
    figure = next(figure for figure in read_dataset(tmp_path / "out") if figure.id == note.id)
    assert figure.mentions == note.published_paragraphs == ("As Figure 2 shows, loss falls.", "See Figure 2.")
    assert done.report.kept_published >= 1


def test_a_first_paragraph_that_is_a_later_one_of_ours_is_not_the_same():
    report = PairingReport()
    for place, ours in enumerate((("Figure 2 shows loss.", "Else."), ("Else.", "Figure 2 shows loss."), ("Else.",))):
        found = compared_mentions(ours, ("Figure 2 shows loss.", "More."))
        report.add(Note(id=f"{place}", row="", kept=True, by="number", **found))
    assert (report.paragraphs_compared, report.same_first, report.first_is_later) == (3, 1, 1)


def test_the_challenge_names_papers_in_its_metadata_only(tmp_path):
    write_challenge(tmp_path / "root")
    papers = put_papers(tmp_path / "papers", p1502_00003="figure 8 | Loss of run 8. | We see it in Figure 8.")
    done = paired("scicap-challenge", tmp_path / "root", tmp_path / "out", papers=papers)
    figures = {figure.id: figure for figure in read_dataset(tmp_path / "out")}
    assert figures["scicap-challenge:000000000008"].mentions == ("We see it in Figure 8.",)
    assert figures["scicap-challenge:000000000001"].mentions[0] == "Figure 1 shows the loss."
    assert dict(done.report.reasons) == {"no-paper-id": 3}
    assert dict(done.papers) == {"read": 1}
    [note] = [note for note in read_notes(tmp_path / "out") if note.id.endswith("1")]
    assert note.published_sentences == ("Figure 1 shows the loss.", "We return to Figure 1.")


def test_a_paper_is_opened_once_for_all_its_figures_in_the_version_that_most_name(root):
    for name in ("1001.0025v2-Figure3-1", "1001.0025v2-Figure4-1", "1502.00003v1-Figure5-1", "1502.00003v1-Figure6-1"):
        put(root, f"SciCap-Caption-All/test/{name}.json", scicap_row(name, "Figure 3: Another."))
    parts = SOURCES["scicap"].parts(Root(root), "all")
    groups = {group.key: group for group in grouped(SOURCES["scicap"], parts)}
    assert len(groups["arxiv:1001.0025"].rows) == 3
    assert str(groups["arxiv:1001.0025"].arxiv) == "1001.0025v2"
    assert str(groups["arxiv:1502.00003"].arxiv) == "1502.00003v1"
    assert groups["arxiv:cs/0102003"].rows == ((0, 2),)


def test_names_that_say_no_paper_are_told_apart_in_every_table(root, tmp_path, monkeypatch):
    monkeypatch.setattr("scicap_builder.pairing.published.NAMELESS_ROWS", 1)
    for number, split in enumerate(("train", "test")):
        put(root, f"SciCap-Caption-All/{split}/mine.json", scicap_row("mine", "Figure 1: Mine."))
        put(root, f"SciCap-No-Subfig-Img/{split}/mine.png", picture(number + 7))
    done = paired("scicap", root, tmp_path / "out", papers=put_papers(tmp_path / "papers", p1001_0025v1="figure 2"))
    found = [figure.id for figure in read_dataset(tmp_path / "out") if "mine" in figure.id]
    assert sorted(found) == ["scicap:mine", "scicap:mine~2"]
    assert done.report.reasons["no-paper-id"] == 2


def test_another_version_gives_words_and_no_places(root, tmp_path):
    papers = put_papers(
        tmp_path / "papers", p1001_0025v3="figure 5 | Loss falls. | x\nfigure 2 | Loss falls. | Seen in Figure 2."
    )
    paired("scicap", root, tmp_path / "out", papers=papers)
    figure = next(one for one in read_dataset(tmp_path / "out") if one.id == "scicap:1001.0025v1#fig2")
    assert (figure.mentions, figure.paper.id, figure.paper.page) == (("Seen in Figure 2.",), "arxiv:1001.0025v1", None)
    assert next(note for note in read_notes(tmp_path / "out") if note.id == figure.id).paper_read == "arxiv:1001.0025v3"


def test_a_folder_of_papers_is_read_by_names_however_it_lies(tmp_path):
    names = ("pdf/1001.0025v1.pdf", "src/arXiv-1001.0025v1.tar.gz", "cs/0102003v1.pdf", "tex/1502.00003v2.tex",
             "hep-th9901001v2.tex", "notes.tex", "1502.00004v1.gz")  # fmt: skip
    for name in names:
        put(tmp_path, name, b"x")
    found = library(tmp_path)
    assert found.nameless == 1
    files = {(base, v): (one.pdf, one.source) for base, of in found.papers.items() for v, one in of.items()}
    assert files == {
        ("1001.0025", 1): (tmp_path / names[0], tmp_path / names[1]),
        ("cs/0102003", 1): (tmp_path / names[2], None),
        ("1502.00003", 2): (None, tmp_path / "tex"),
        ("hep-th/9901001", 2): (None, tmp_path / names[4]),
        ("1502.00004", 1): (None, tmp_path / names[6]),
    }


def test_papers_come_out_of_bulk_archives(root, tmp_path):
    (tmp_path / "bulk").mkdir()
    source = b"figure 2 | Loss falls. | From the archive: Figure 2."
    with tarfile.open(tmp_path / "bulk" / "arXiv_src_1001_001.tar", "w") as archive:
        info = tarfile.TarInfo("1001/1001.0025.gz")
        info.size = len(source)
        archive.addfile(info, io.BytesIO(source))
    put(tmp_path, "bulk/arXiv_src_1002_001.tar", b"cut off")
    done = paired("scicap", root, tmp_path / "out", papers=tmp_path / "bulk")
    figure = next(one for one in read_dataset(tmp_path / "out") if one.id == "scicap:1001.0025v1#fig2")
    assert (figure.mentions, figure.paper.page) == (("From the archive: Figure 2.",), 1)
    told = "the folder of papers: broken-archive 1, such as arXiv_src_1002_001.tar: "
    assert [problem.startswith(told) for problem in done.imported.integrity.problems].count(True) == 1


def test_a_paper_that_breaks_its_reader_costs_its_paragraphs_alone(root, tmp_path):
    papers = put_papers(tmp_path / "papers", p1001_0025v1="raise", p1502_00003v2="figure 1 | Accuracy. | In Figure 1.")
    done = paired("scicap", root, tmp_path / "out", papers=papers, build=BuildOptions())
    notes = {note.id: note for note in read_notes(tmp_path / "out")}
    assert notes["scicap:1001.0025v1#fig2"].reason == "paper-unreadable"
    assert "ZeroDivisionError" in notes["scicap:1001.0025v1#fig2"].detail
    assert notes["scicap:1001.0025v1#fig2"].ocr_from == "engine"
    assert done.report.paired == 1


def losing(fails):
    """An engine whose worker is lost over jobs that `fails` picks."""

    class Losing(Inline):
        def give(self, job):
            if fails(job):
                self.done.append((job, Failure(reason="crashed", detail="the process died twice")))
                self.busy = len(self.done)
            else:
                super().give(job)

    return Losing


@pytest.mark.parametrize(
    ("fails", "state", "ocr_from", "mentions"),
    [
        (lambda job: not job.absent, "paper-unreadable", "engine", 0),  # the paper
        (lambda job: job.broke != "images", "read", "published", 1),  # the images
        (lambda job: job.broke != "images" or not job.absent, "paper-unreadable", "published", 0),  # each of them
    ],
)
def test_a_lost_worker_costs_what_broke_it(fails, state, ocr_from, mentions, root, tmp_path):
    papers = put_papers(tmp_path / "papers", p1001_0025v1="figure 2 | Loss falls. | Seen in Figure 2.")
    mine = losing(lambda job: job.key == "arxiv:1001.0025" and fails(job))
    done = paired("scicap", root, tmp_path / "out", papers=papers, build=BuildOptions(), engine=mine)
    figure = next(one for one in read_dataset(tmp_path / "out") if one.id == "scicap:1001.0025v1#fig2")
    note = next(note for note in read_notes(tmp_path / "out") if note.id == figure.id)
    assert (note.ocr_from, len(figure.mentions), done.papers[state]) == (ocr_from, mentions, 1)
    assert done.imported.integrity.repairs == ({} if ocr_from == "engine" else {"ocr-failed": 1})
    assert done.run.papers_left == 0


def test_figures_that_no_worker_survives_are_dropped_and_named(root, papers, tmp_path):
    mine = losing(lambda job: job.key == "arxiv:1001.0025")
    done = paired("scicap", root, tmp_path / "out", papers=papers, engine=mine)
    assert done.imported.integrity.dropped == {"bad-record": 1, "crashed": 1}
    assert done.run.summary.figures == 3


def test_an_engine_that_breaks_leaves_the_published_words(root, papers, tmp_path):
    readers = stand_ins(read_text=broken_engine)
    done = paired("scicap", root, tmp_path / "out", papers=papers, build=BuildOptions(), readers=readers)
    assert done.imported.integrity.repairs == {"ocr-failed": 4}
    assert {note.ocr_from for note in read_notes(tmp_path / "out")} == {"published"}
    assert all(
        [line.text for line in figure.ocr] == ["loss", "epoch", "0", "10"] for figure in read_dataset(tmp_path / "out")
    )


def test_images_are_missing_broken_repeated_or_stay_where_they_are(root, papers, tmp_path):
    (root / "SciCap-No-Subfig-Img/val/1502.00003v2-Figure1-1.png").unlink()
    put(root, "SciCap-No-Subfig-Img/test/1502.00004v1-Figure3-1.png", picture(3)[:60])
    copied = "SciCap-Caption-All/train/1001.0025v1-Figure2-1.json"
    shutil.copy(root / copied, root / copied.replace("train", "test"))
    shutil.copy(
        root / "SciCap-No-Subfig-Img/train/1001.0025v1-Figure2-1.png",
        root / "SciCap-No-Subfig-Img/test/1001.0025v1-Figure2-1.png",
    )
    done = paired("scicap", root, tmp_path / "out", papers=papers, options=ImportOptions(pixels="link"))
    dropped = done.imported.integrity.dropped
    assert dropped == {"bad-record": 1, "image-missing": 1, "image-broken": 1}
    linked = {figure.id: figure.image for figure in read_dataset(tmp_path / "out")}
    assert linked["scicap:1001.0025v1#fig2"] == root / "SciCap-No-Subfig-Img/train/1001.0025v1-Figure2-1.png"
    # The same id with another image is another record; the paper is its paper, too.
    assert linked.keys() == {"scicap:1001.0025v1#fig2", "scicap:1001.0025v1#fig2~2", "scicap:cs/0102003v1#fig10"}
    kept = paired("scicap", root, tmp_path / "kept", papers=papers, options=ImportOptions(missing_images="keep"))
    assert kept.imported.integrity.kept_without_image == {"image-missing": 1, "image-broken": 1}
    with_fail = paired("scicap", root, tmp_path / "fail", papers=papers, options=ImportOptions(missing_images="fail"))
    assert isinstance(with_fail.run.error, DatasetError)
    assert "no image" in with_fail.run.error.what


FIGURE = b"figure 2 | Loss falls. | As Figure 2 shows, loss falls."
HELD = [
    Submission(
        base="1001.0025", latest=2, sources={1: FIGURE, 2: FIGURE}, pdfs={1: b"%PDF-1.5\nfigure 2 | Loss falls."}
    ),
    Submission(base="1502.00004", latest=1, sources={1: b"figure 9 | Another thing."}, pdfs={1: b"%PDF-1.5\nfigure 9"}),
]


def test_papers_are_fetched_from_arxiv_and_what_fails_for_now_is_left(root, tmp_path):
    (root / "arxiv-metadata-oai-snapshot.json").unlink()
    clock = FakeClock()
    with serving(HELD, clock.now) as server:
        fetch = FetchOptions(base_url=server.url, cache=tmp_path / "cache", contact="a@b.org")
        # More often than the client asks again.
        server.script["/src/1001.0025v1"] = [(503, {})] * 20
        first = paired("scicap", root, tmp_path / "out", fetch=fetch, clock=clock)
        # Who says that it is busy is left alone.
        assert [item.reason for item in first.run.later] == ["busy"] * 4
        assert (first.run.papers_left, first.run.summary.figures) == (4, 0)
        server.script.clear()
        again = paired("scicap", root, tmp_path / "out", fetch=fetch, clock=clock)
        asked = [path for path in server.paths() if path.startswith("/src/1502")]
    assert (again.run.papers_left, again.run.error, again.run.later) == (0, None, ())
    assert len(asked) == 1
    figures = {figure.id: figure for figure in read_dataset(tmp_path / "out")}
    figure = figures["scicap:1001.0025v1#fig2"]
    assert figure.mentions == ("As Figure 2 shows, loss falls.",)
    assert (figure.paper.id, figure.paper.title) == ("arxiv:1001.0025v1", "A Title Over Two Lines")
    assert figure.paper.licence == "http://creativecommons.org/licenses/by/4.0/"
    assert figure.paper.categories == ("cs.CL", "cs.LG")
    assert dict(again.report.reasons) == {"paper-not-found": 2, "no-such-figure": 1}
    times = sorted(request.time for request in server.seen)
    assert min(b - a for a, b in pairwise(times)) >= 3


def test_a_folder_keeps_the_rest_from_arxiv_unless_it_is_asked(root, tmp_path):
    papers = put_papers(tmp_path / "papers", p1001_0025v1="figure 2 | Loss falls. | Seen in Figure 2.")
    clock = FakeClock()
    with serving(HELD, clock.now) as server:
        fetch = FetchOptions(base_url=server.url, cache=tmp_path / "cache")
        paired("scicap", root, tmp_path / "folder", papers=papers, fetch=fetch, clock=clock)
        assert not server.seen
        both = paired("scicap", root, tmp_path / "both", papers=papers, fetch=fetch, clock=clock, fetch_missing=True)
        assert not any("1001.0025" in path for path in server.paths())
    assert dict(both.papers) == {"read": 2, "paper-not-found": 2}
    told = r"\(pairing.papers: 'a folder' then, 'a folder, then arXiv' now, pairing.unpaired: 'keep' then, 'drop' now\)"
    with pytest.raises(DatasetError, match=f"begun with other options {told}"):
        paired("scicap", root, tmp_path / "folder", papers=papers, fetch=fetch, fetch_missing=True, unpaired="drop")


@pytest.mark.parametrize("killed_after", [0, 1, 3])
def test_a_killed_pairing_goes_on_and_ends_the_same(killed_after, tmp_path, monkeypatch):
    write_challenge(tmp_path / "root")
    root = tmp_path / "root"
    image = {"id": 1, "file_name": "000000000001.png", "figure_type": "Bar Chart", "ocr": ["loss"]}
    row = {"id": 1, "image_id": 1, "caption": "Figure 1: Loss of run 1.", "caption_no_index": "Loss of run 1."}
    put(root, "train-acl.json", {"images": [image], "annotations": [row]})  # an id that another table has, too
    monkeypatch.setattr("scicap_builder.pairing.published.NAMELESS_ROWS", 1)
    papers = put_papers(tmp_path / "papers", p1502_00003="figure 8 | Loss of run 8. | We see it in Figure 8.")
    few = BuildOptions(read=ReadOptions(ocr="none"), papers_per_shard=1)
    whole = paired("scicap-challenge", root, tmp_path / "whole", papers=papers, build=few)

    written, count = DatasetWriter.write_shard, []

    def dies(self, *args, **kwargs):
        if len(count) == killed_after:
            raise KeyboardInterrupt
        count.append(1)
        written(self, *args, **kwargs)

    monkeypatch.setattr(DatasetWriter, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        paired("scicap-challenge", root, tmp_path / "out", papers=papers, build=few)
    monkeypatch.setattr(DatasetWriter, "write_shard", written)
    again = paired("scicap-challenge", root, tmp_path / "out", papers=papers, build=few)
    assert list(read_dataset(tmp_path / "out")) == list(read_dataset(tmp_path / "whole"))
    assert list(read_notes(tmp_path / "out")) == list(read_notes(tmp_path / "whole"))
    assert (again.report, again.papers, again.imported.integrity) == (
        whole.report,
        whole.papers,
        whole.imported.integrity,
    )
    assert {figure.id for figure in read_dataset(tmp_path / "out")} >= {
        "scicap-challenge:000000000001",
        "scicap-challenge:000000000001~2",
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_before_touches_of_files(root, tmp_path):
    """Every 29th touch, with the papers fetched; STRIDE=1 takes every one (some minutes)."""
    stride = os.environ.get("STRIDE", "29")
    (tmp_path / "work").mkdir()
    with serving(HELD) as server:
        command = [
            sys.executable,
            Path(__file__).parent / "killed_build.py",
            root,
            tmp_path / "work",
            server.url,
            stride,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    touches, kills = map(int, done.stdout.split())
    assert touches > 60
    assert kills >= touches // int(stride) - 1


def test_a_job_carries_all_that_it_needs_to_another_machine(root, papers, tmp_path):
    """As Ray sends it (`ray_engine`): nothing of this machine's disks is seen there."""
    sent = []

    class Keeping(Inline):
        def give(self, job):
            sent.append((self.function, pickle.dumps(carried(job))))
            super().give(job)

    paired("scicap", root, tmp_path / "out", papers=papers, build=BuildOptions(), engine=Keeping)
    for folder in (root, papers):
        shutil.rmtree(folder)
    there = [function(pickle.loads(job)) for function, job in sent]
    assert [note for records in there for note in records.notes] == list(read_notes(tmp_path / "out"))
    figures = {figure.id: figure for records in there for figure in records.figures}
    assert figures == {figure.id: figure for figure in read_dataset(tmp_path / "out")}


def test_figures_of_real_papers_are_found_with_their_true_first_paragraphs(papers_dir, tmp_path):
    """A journal's PDF, and two papers with their source; `python -m benchmarks pairing` takes all of them."""
    known = write_layout(
        papers_dir, tmp_path / "root", tmp_path / "papers", ("PMC5234046", "arx2501.01300", "jose_00206")
    )
    pairing = PairOptions(build=QUIET, papers_root=tmp_path / "papers")
    done = pair(SOURCES["scicap-plus"], tmp_path / "root", tmp_path / "out", pairing=pairing, engine=Inline)
    assert found_right(known, list(read_notes(tmp_path / "out"))) == (len(known), len(known))
    assert (done.report.paired, done.report.same_first) == (len(known), len(known))
    assert all(figure.paper.title and figure.paper.route for figure in read_dataset(tmp_path / "out"))


def test_what_cannot_be_paired_is_named(root, tmp_path):
    with pytest.raises(InputError, match="names no papers of arXiv"):
        paired("slake", root, tmp_path / "out")
    with pytest.raises(InputError, match="unknown choice 'dorp' for unpaired figures"):
        PairOptions(unpaired="dorp")
    put(tmp_path / "papers", "mine.pdf", b"%PDF\nfigure 1")
    with pytest.raises(InputError, match="none of its 1 papers is named after an arXiv id"):
        paired("scicap", root, tmp_path / "out", papers=tmp_path / "papers")
    with pytest.raises(InputError, match="no such folder"):
        paired("scicap", root, tmp_path / "out", papers=tmp_path / "nowhere")
    put(tmp_path, "cut/arXiv_src_1002_001.tar", b"cut off")
    with pytest.raises(InputError, match=r"holds no paper\. arXiv_src_1002_001.tar: broken-archive"):
        paired("scicap", root, tmp_path / "out", papers=tmp_path / "cut")
    assert not (tmp_path / "out").exists()


TEX = rb"""\documentclass{article}\title{On loss}\begin{document}\maketitle
Before all else, Figure~\ref{one} is about time.

\begin{figure}\caption{Time.}\label{one}\end{figure}
\begin{figure}\caption{Loss falls.}\label{loss}\end{figure}

The loss falls at once, as Figure~\ref{loss} shows.
\end{document}"""


def test_the_command_reads_a_source_in_a_process_of_its_own(root, tmp_path, capsys, monkeypatch):
    put(tmp_path, "papers/1001.0025v1/main.tex", TEX)
    put(tmp_path, "papers/1502.00004v1/main.tex", TEX)

    def command(*more):
        with pytest.raises(SystemExit) as ended:
            run(app, ["import", "scicap", "--root", str(root), "--out", str(tmp_path / "out"), *map(str, more)])
        return ended.value.code, " ".join(capsys.readouterr())

    code, said = command("--pair", "--papers-root", tmp_path / "papers", "--ocr", "none")
    assert code == 0, said
    for told in (
        "5 rows = 4 records (train 2, validation 1, test 1) + 1 dropped: bad-record 1",
        "papers: read 2, paper-not-found 2",
        "paired: 1 of 4 figures",
        "pairing.parquet",
    ):
        assert told in said
    figure = next(one for one in read_dataset(tmp_path / "out") if one.id == "scicap:1001.0025v1#fig2")
    assert figure.mentions == ("The loss falls at once, as Figure 2 shows.",)
    monkeypatch.setenv("SCICAP_BUILDER_CONTACT", "me@example.org")
    code, said = command("--unpaired", "keep", "--papers-root", tmp_path / "papers")
    assert (code, "only for pairing: --papers-root, --unpaired. Add --pair" in said) == (2, True)
    code, said = command("--pair", "--check")
    assert (code, "--check reads the published files alone" in said) == (2, True)
    code, said = command("--pair", "--papers-root", tmp_path / "papers", "--ocr", "rapidorc")
    assert (code, "Did you mean 'rapidocr'" in said) == (2, True)


def test_the_page_says_what_there_is():
    """Its commands are understood; every reason and every column of the notes is told, and no other."""
    page = (Path(__file__).parent.parent / "docs" / "pairing.md").read_text()
    lines = re.findall(r"^ {4}scicap_builder (import .*)$", page, re.MULTILINE)
    given = [get_command(app).commands["import"].make_context("import", shlex.split(line)[1:]).params for line in lines]
    assert given
    assert all(one["pair"] and SOURCES[one["name"]].of_arxiv for one in given)
    tables = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))

    def first_column(title):
        return set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (`.*?) \|", tables[title], re.MULTILINE))))

    assert first_column("Figures without a paragraph") == {NO_ID, NOT_FOUND, UNREADABLE, NEVER_CITED, *UNPAIRED}
    assert first_column("Published texts beside ours") == {field.name for field in fields(Note)} == set(SCHEMA.names)
