"""Files, folders, papers and ids -> explained figures: what fails costs itself, what is done is kept."""

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from arxiv_server import FakeClock, Submission, serving, tar_gz
from explained_papers import Heard, Parrot, a_paper

from llava_graph.asking import Ask
from llava_graph.dataset import write_dataset
from llava_graph.errors import AccessDenied, InputError, PaperError, ServeError
from llava_graph.explained.store import Store
from llava_graph.explaining import explain_sources
from llava_graph.record import Dropped, Figure, Paper
from llava_graph.sources import FoundPaper, find_sources, is_wanted
from llava_graph.wish import Wish, prepare
from scicap_builder.fetch import FetchOptions
from scicap_builder.opener import find_papers

PLAIN = Wish(ocr=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, png) -> Path:
    """Two images (one broken), a paper in PDF and one in LaTeX with its picture, a hidden file, a text."""
    folder = tmp_path_factory.mktemp("papers")
    (folder / "a.png").write_bytes(png)
    (folder / "broken.jpg").write_bytes(b"nothing")
    (folder / ".hidden.png").write_bytes(png)
    (folder / "notes.txt").write_text("nothing of interest")
    (folder / "pdfs").mkdir()
    a_paper(folder / "pdfs" / "gardens.pdf")
    a_paper(folder / "pdfs" / "meadows.pdf", figures=1)
    source = folder / "ants"
    source.mkdir()
    (source / "ants.png").write_bytes(png)
    (source / "main.tex").write_text(
        r"\documentclass{article}\usepackage{graphicx}\title{Ants}\begin{document}\maketitle "
        r"As Figure~\ref{f} shows, ants grow. \begin{figure}\includegraphics{ants.png}\caption{Growth of ants.}\label{f}"
        r"\end{figure}\end{document}"
    )
    return folder


def explained(sources, answerer=None, wish=PLAIN, **options):
    heard = Heard()
    return explain_sources(sources, wish, answerer or Parrot(), heard, **options), heard


def test_a_folder_gives_its_papers_and_images_once_and_in_order(folder):
    sources, lost = find_sources([str(folder), str(folder / "a.png")], read_text=False)
    names = [Path(source.name).relative_to(folder).as_posix() for source in sources]
    assert sorted(names) == ["a.png", "ants", "broken.jpg", "pdfs/gardens.pdf", "pdfs/meadows.pdf"]
    assert not lost
    outcome, heard = explained(sources)
    labels = [figure.figure.label or figure.figure.id for figure in outcome.figures]
    assert labels.count("Figure 1") == 3
    assert "a.png" in labels
    assert [(drop.item, drop.reason) for drop in outcome.failed] == [(str(folder / "broken.jpg"), "bad-image")]
    ants = next(one for one in outcome.figures if one.figure.paper.title == "Ants")
    assert ants.figure.first_mention.startswith("As Figure 1 shows")
    assert ants.source.endswith("ants")
    assert ants.text == "The curve rises."
    assert "explained a.png" in heard.lines


def test_a_data_set_is_read_as_it_is(tmp_path, png):
    paper = Paper(id="local:x", title="X")
    figures = [
        Figure(id=f"local:x#fig{n}", image=png, label=f"Figure {n}", caption=f"C{n}", paper=paper) for n in (1, 2)
    ]
    write_dataset([replace(figure, split="train") for figure in figures], tmp_path / "set")
    sources, _ = find_sources([str(tmp_path / "set")])
    outcome, _ = explained(sources, wanted=("2",))
    assert [figure.figure.caption for figure in outcome.figures] == ["C2"]


def test_an_arxiv_id_is_fetched_politely_and_its_figure_chosen(tmp_path, png):
    source = tar_gz(
        {
            "main.tex": rb"\documentclass{article}\usepackage{graphicx}\begin{document}"
            + b"".join(
                rb"As Figure~\ref{f%d} shows. \begin{figure}\includegraphics{a.png}\caption{Ants %d.}\label{f%d}\end{figure}"
                % (n, n, n)
                for n in (1, 2, 3)
            )
            + rb"\end{document}",
            "a.png": png,
        }
    )
    pdf = a_paper(tmp_path / "p.pdf", figures=1).read_bytes()
    paper = Submission(base="1801.00001", title="On Ants", sources={1: source}, pdfs={1: pdf})
    with serving([paper], now=FakeClock().now) as arxiv:
        fetch = FetchOptions(base_url=arxiv.url, cache=tmp_path / "cache", delay_s=0)
        finder = partial(find_papers, fetch=fetch)
        sources, lost = find_sources(["arXiv:1801.00001", "1912.99999"], read_text=False, find_papers=finder)
        assert not lost
        outcome, heard = explained(sources, wanted=("3",))
    (figure,) = outcome.figures
    assert (figure.figure.caption, figure.figure.paper.title) == ("Ants 3.", "On Ants")
    assert figure.source == "1801.00001"
    assert [(drop.item, drop.reason) for drop in outcome.failed] == [("1912.99999", "not-found")]
    assert any("arXiv" in line for line in heard.lines if line.startswith("opening"))
    document = outcome.document("t", {})
    assert document.paper.title == "On Ants"
    assert document.paper.licence.startswith("http://creativecommons.org")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no.png", "no such file"),
        ("notes.txt", "neither an image, nor a paper"),
        ("empty", "holds no figures"),
        ("~nobody-of-that-name/x.png", "no such file"),
        ("", "a name is empty"),
        ("a\0b", "no"),
    ],
)
def test_what_is_no_source_is_told_and_costs_itself(folder, tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing of interest")
    place = str(tmp_path / name) if name in ("no.png", "notes.txt", "empty") else name
    sources, (lost,) = find_sources([place, str(folder / "a.png")])
    assert words in lost.detail
    assert len(sources) == 1


def test_images_of_the_same_name_have_names_of_their_own(tmp_path, png):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png)
    sources, _ = find_sources([str(tmp_path / "x" / "a.png"), str(tmp_path / "y")], read_text=False)
    outcome, _ = explained(sources)
    assert len({figure.figure.id for figure in outcome.figures}) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_a_paper_whose_name_is_no_utf8_is_read_and_a_broken_one_keeps_its_ending(tmp_path):
    a_paper(tmp_path / os.fsdecode(b"g\xff.pdf"), figures=1)
    (tmp_path / os.fsdecode(b"h\xff.pdf")).write_bytes(b"nothing")
    sources, lost = find_sources([str(tmp_path / os.fsdecode(name)) for name in (b"g\xff.pdf", b"h\xff.pdf")])
    with Store.at(tmp_path / "kept.jsonl", {}) as store:
        outcome, _ = explained(sources, store=store)
    (figure,) = outcome.figures
    assert figure.figure.paper.id == r"local:g\xff"
    (drop,) = [*lost, *outcome.failed]
    assert drop.item.endswith(r"h\xff.pdf")
    assert r"\xff" not in drop.detail


def test_an_image_without_an_ending_is_an_image(tmp_path, png):
    (tmp_path / "figure").write_bytes(png)
    sources, lost = find_sources([str(tmp_path / "figure")], read_text=False, caption="Loss.")
    outcome, _ = explained(sources)
    assert outcome.figures[0].figure.caption == "Loss."
    assert not lost


@pytest.mark.parametrize(
    ("wanted", "is_it"),
    [
        ("3", True),
        ("fig3", True),
        ("Fig. 3", True),
        ("FIGURE 3", True),
        ("arxiv:1#fig3", True),
        ("33", False),
        ("s3", False),
    ],
)
def test_a_figure_has_many_names(wanted, is_it):
    assert is_wanted(Figure(id="arxiv:1#fig3", label="Figure 3"), [wanted]) is is_it
    assert is_wanted(Figure(id="x", label="Fig. S1"), ["S1"])
    assert is_wanted(Figure(id="x"), [])


def test_a_figure_that_is_not_there_is_told_with_those_that_are(folder):
    sources, _ = find_sources([str(folder / "pdfs" / "gardens.pdf")], read_text=False)
    outcome, _ = explained(sources, wanted=("7",))
    (lost,) = outcome.failed
    assert lost.reason == "no-such-figure"
    assert "asked for 7; it has Figure 1, Figure 2" in lost.detail


def test_what_the_model_cannot_answer_costs_one_figure(folder):
    sources, _ = find_sources([str(folder / "pdfs" / "gardens.pdf")], read_text=False)
    parrot = Parrot(fail={"garden 1": InputError("too long")})
    outcome, heard = explained(sources, parrot)
    assert [figure.figure.label for figure in outcome.figures] == ["Figure 2"]
    assert [drop.reason for drop in outcome.failed] == ["bad-input"]
    assert heard.lines[-1].startswith("explained")


def test_a_server_that_is_gone_is_not_asked_for_ever(tmp_path, png):
    for n in range(9):
        (tmp_path / f"{n}.png").write_bytes(png)
    sources, _ = find_sources([str(tmp_path)], read_text=False)
    parrot = Parrot(fail={"": ServeError("nobody answers")})
    outcome, _ = explained(sources, parrot)
    assert len(parrot.asked) == 3
    assert outcome.gave_up == "nobody answers"
    together, _ = explained(sources, Parrot(fail={"": ServeError("nobody answers")}), at_once=3)
    assert together.gave_up == "nobody answers"


def test_where_arxiv_says_no_nothing_more_is_asked_of_it():
    opened = []

    def denied(_tell):
        opened.append(1)
        raise AccessDenied("arXiv forbids it")

    def find(name, *, read_text):
        return [FoundPaper(name=f"{name}{n}", open=denied) for n in range(3)], ()

    sources, _ = find_sources(["x"], find_papers=find)
    outcome, _ = explained(sources)
    assert outcome.gave_up == "arXiv forbids it"
    assert len(opened) == 1


def test_a_paper_that_cannot_be_read_is_counted_by_its_reason(tmp_path):
    def broken(_tell):
        raise PaperError("it is encrypted", reason="encrypted")

    def find(name, *, read_text):
        return [FoundPaper(name=name, open=broken)], [Dropped(item="list:7", reason="bad-line", detail="?")]

    sources, lost = find_sources(["x"], find_papers=find)
    outcome, _ = explained(sources)
    assert [drop.reason for drop in (*lost, *outcome.failed)] == ["bad-line", "encrypted"]


def test_figures_at_once_come_in_their_order(tmp_path, png):
    for n in range(12):
        (tmp_path / f"{n:02}.png").write_bytes(png)
    sources, _ = find_sources([str(tmp_path)], read_text=False)
    parrot = Parrot(pause=0.01)
    outcome, heard = explained(sources, parrot, at_once=4)
    assert [figure.figure.id for figure in outcome.figures] == [f"{n:02}.png" for n in range(12)]
    assert 2 <= parrot.most_at_once <= 4
    assert heard.pieces == []


def run(folder, path, parrot, wish=PLAIN, heard=None, **options):
    sources, _ = find_sources([str(folder)], read_text=False)
    heard = heard or Heard()
    with Store.at(path, wish.options | {"model": parrot.name}) as store:
        outcome = explain_sources(sources, wish, parrot, heard, store=store, **options)
    return outcome, heard, store


@pytest.mark.parametrize("at_once", [1, 3])
def test_stopped_and_begun_again_it_goes_on(tmp_path, folder, at_once):
    path = tmp_path / "r.answers.jsonl"
    first, _, _ = run(folder, path, Parrot(), heard=Heard(interrupt_at=5))
    assert first.interrupted
    assert first.new == 1
    with path.open("ab") as file:
        file.write(b'{"source": "half a li')
    parrot = Parrot()
    second, heard, _ = run(folder, path, parrot, at_once=at_once)
    done = len(second.figures)
    assert len(parrot.asked) == second.new == done - 1
    assert [line.split()[0] for line in heard.lines if line.startswith("kept")] == ["kept"]
    third, heard, _ = run(folder, path, parrot, at_once=at_once)
    assert third.new == 0
    assert [figure.figure.id for figure in third.figures] == [figure.figure.id for figure in second.figures]
    assert third.figures == second.figures
    # A source that failed is tried again; the others are not even opened.
    assert [line for line in heard.lines if not line.startswith("kept")] == ["lost bad-image"]


def test_a_changed_file_and_another_wish_are_explained_anew(tmp_path, png):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png)
    (tmp_path / "in" / "b.png").write_bytes(png)
    path = tmp_path / "r.jsonl"
    run(tmp_path / "in", path, Parrot())
    (tmp_path / "in" / "a.png").write_bytes(png + b"more")
    outcome, _, store = run(tmp_path / "in", path, Parrot(answer="Else."))
    assert [figure.text for figure in outcome.figures] == ["Else.", "The curve rises."]
    assert not store.begun_anew
    other, _, store = run(tmp_path / "in", path, Parrot(answer="Third."), replace(PLAIN, ask=Ask(level="lay")))
    assert {figure.text for figure in other.figures} == {"Third."}
    assert Path(store.begun_anew).read_bytes().count(b"\n") > 4


def test_two_runs_do_not_write_one_file_nor_over_a_strange_one(tmp_path):
    with Store.at(tmp_path / "a.jsonl", {}), pytest.raises(InputError, match="another process is writing"):
        Store.at(tmp_path / "a.jsonl", {})
    (tmp_path / "mine.jsonl").write_text('{"my": "data"}\n')
    with pytest.raises(InputError, match="no file of explained figures"):
        Store.at(tmp_path / "mine.jsonl", {})
    assert (tmp_path / "mine.jsonl").read_text() == '{"my": "data"}\n'
    with pytest.raises(InputError, match="cannot be written"):
        Store.at(tmp_path / "mine.jsonl" / "b.jsonl", {})


def test_a_run_that_was_killed_in_its_first_line_begins(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"format": 1, "as')
    with Store.at(tmp_path / "a.jsonl", {}):
        pass
    assert (tmp_path / "a.jsonl").read_text() == '{"format": 1, "asked": {}}\n'


def test_a_broken_line_in_the_middle_is_told(tmp_path):
    with Store.at(tmp_path / "a.jsonl", {}):
        pass
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"source": "x"}\n')
    with pytest.raises(InputError, match=r"cannot be read.*Move it away"):
        Store.at(tmp_path / "a.jsonl", {})
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["format"] == 1


FIGURE = Figure(id="a", caption="Loss.", mentions=("Figure 1 shows the loss.",))


def test_a_wish_makes_the_prompt(png):
    figure = replace(FIGURE, image=png, width=120, height=80)
    ready = prepare(figure, Wish(ask=Ask(level="lay", length="short")), Parrot())
    assert "everyday words" in ready.question
    assert ready.told == "Explain this figure to a lay reader (short)."
    assert ready.generation.max_new_tokens == Ask(length="short").max_new_tokens
    plain = prepare(figure, Wish(ask=Ask(level="lay")), Parrot(instructions=False))
    assert "everyday" not in plain.question
    assert plain.told == ""
    asked = prepare(
        figure, Wish(question="Why?", caption="Gain.", max_new_tokens=5, mentions=True, ocr=False), Parrot()
    )
    assert (asked.question, asked.figure.caption, asked.generation.max_new_tokens) == ("Why?", "Gain.", 5)
    assert (asked.options.mentions, asked.options.ocr) == (True, False)


def test_a_region_is_what_the_model_sees_and_the_whole_is_what_is_kept(png):
    figure = replace(FIGURE, image=png, width=120, height=80)
    parrot = Parrot()
    outcome = explain_sources(find_sources_of(figure), replace(PLAIN, region=(0.5, 0.0, 1.0, 1.0)), parrot, Heard())
    (explained_figure,) = outcome.figures
    width, height = parrot.sizes[0]
    assert height > width
    assert explained_figure.figure == figure
    assert explained_figure.region == (0.5, 0.0, 1.0, 1.0)
    small, _ = explained(find_sources_of(figure), wish=replace(PLAIN, region=(0.5, 0.5, 0.51, 0.51)))
    assert "region is" in small.failed[0].detail


def find_sources_of(figure):
    from llava_graph.sources import Opened, Source

    return [Source(name="one", open=lambda _: Opened(figures=[figure]), is_paper=False)]


def test_text_that_cannot_be_read_costs_itself(png):
    from llava_graph.sources import Opened, Source

    def fails(_figure):
        raise RuntimeError("the engine is on fire")

    figure = replace(FIGURE, image=png)
    source = Source(name="one", open=lambda _: Opened(figures=[figure], with_text=fails), is_paper=False)
    outcome, heard = explained([source], wish=Wish())
    assert len(outcome.figures) == 1
    assert "note the text in a is not used: the engine is on fire" in heard.lines
