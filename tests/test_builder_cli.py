"""The builder's command line as a person meets it: every command run as a process of its own, with small papers we write."""

import gzip
import json
import subprocess
import sys

import pytest
from arxiv_server import Submission, serving, tar_gz

from llava_graph.command import run
from llava_graph.dataset import read_dataset, read_dropped
from scicap_builder.arxiv_id import parse_arxiv_id
from scicap_builder.cli import app
from scicap_builder.fetch import ArxivClient, FetchOptions

TEX = r"""\documentclass{article}
\usepackage{graphicx}
\title{A Small Paper}
\begin{document}
\maketitle
\begin{abstract}We plot one line.\end{abstract}
\section{Results}
Figure~\ref{fig:line} shows that the error falls with every step.

\begin{figure}
\includegraphics[width=\linewidth]{line}
\caption{Error over steps.}
\label{fig:line}
\end{figure}

Nothing else is shown.
\end{document}
"""


def pdf_page(*lines: tuple[int, int, str]) -> bytes:
    """A PDF of one page (612 x 792 pt): a frame with a line in it, and (x, y, text) lines in 10 pt Helvetica."""
    drawing = "2 w 150 500 300 200 re S 150 500 m 450 690 l S"
    text = " ".join(f"BT /F1 10 Tf {x} {y} Td ({words}) Tj ET" for x, y, words in lines)
    content = f"{drawing} {text}".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = len(data)
    return (
        data
        + b"xref\n0 6\n0000000000 65535 f \n"
        + rows
        + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % end
    )


PAGE = pdf_page(
    (72, 740, "A Small Paper"),
    (150, 480, "Figure 1: Error over steps."),
    (72, 440, "Figure 1 shows that the error falls with every step of the method that we describe,"),
    (72, 428, "and that it does so for every seed that was tried in this small and honest study."),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that the commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capfd):
    """The command within this process, as the console script runs it: (words, exit status) -> all it printed."""

    def call(*words, expect=0):
        with pytest.raises(SystemExit) as end:
            run(app, [str(word) for word in words])
        assert (end.value.code or 0) == expect
        return "".join(capfd.readouterr())

    return call


def run_process(*words, cwd=None, expect=0):
    done = subprocess.run(
        [sys.executable, "-m", "scicap_builder.cli", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory, png):
    """One data set from a PDF, a source archive and an arXiv paper, built by the command."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "one.pdf").write_bytes(PAGE)
    (folder / "two.tar.gz").write_bytes(tar_gz({"main.tex": TEX.encode(), "line.png": png}))
    lines = ["one.pdf", "two.tar.gz", "1706.03762v2", "1706.37"]
    (folder / "ids.txt").write_text("\n".join(lines))
    source = tar_gz({"p.tex": TEX.encode(), "line.png": png})
    paper = Submission(base="1706.03762", latest=2, title="Fetched", sources={2: source}, pdfs={2: PAGE})
    with serving([paper]) as server:
        # Fetched here without the pauses, so that the command finds all of it in its cache.
        with ArxivClient(FetchOptions(base_url=server.url, cache=folder / "cache", delay_s=0)) as client:
            [about] = client.metadata([parse_arxiv_id("1706.03762v2")]).values()
            for ask in (client.licence, client.source, client.pdf):
                ask(about.id)
        asked = len(server.seen)
        options = ("--base-url", server.url, "--cache", folder / "cache", "--ocr", "none", "--workers", 2)
        text = run_process("build", "--papers", "ids.txt", "--out", "out", *options, cwd=folder)
        assert len(server.seen) == asked
    return folder, text


def test_build_says_what_it_did(built):
    folder, text = built
    assert "ids.txt:4" in text
    assert "bad-line" in text
    figures = {figure.id: figure for figure in read_dataset(folder / "out")}
    assert set(figures) == {"local:one#fig1", "local:two#fig1", "arxiv:1706.03762v2#fig1"}
    assert {figure.caption for figure in figures.values()} == {"Error over steps."}
    assert all("the error falls with every step" in figure.first_mention for figure in figures.values())
    assert figures["arxiv:1706.03762v2#fig1"].paper.title == "Fetched"
    assert [item.item for item in read_dropped(folder / "out")] == ["ids.txt:4"]


def test_a_tex_file_among_other_papers_is_read_itself(here, command, png):
    for name in ("other/main.tex", "main.tex", "mine.tex"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(TEX.replace("Error over", f"{name.replace('/', ' of ')}: error over"))
    (here / "line.png").write_bytes(png)
    before = sorted(here.rglob("*"))
    command("build", "--papers", "mine.tex", "--out", "out", "--ocr", "none")
    assert [figure.caption for figure in read_dataset(here / "out")] == ["mine.tex: error over steps."]
    assert [path for path in sorted(here.rglob("*")) if here / "out" not in (path, *path.parents)] == before


def test_show(built, command):
    folder, _ = built
    text = command("show", folder / "out", "--id", "local:two")
    for words in ("Figure 1", "local:two#fig1", "Error over steps.", "A Small Paper", "first mention"):
        assert words in text
    assert "local:one" not in text
    assert command("show", folder / "out", "-n", "2").count("first mention") == 2
    assert "no record has the id" in command("show", folder / "out", "--id", "local:tow", expect=2)


@pytest.mark.parametrize(
    ("form", "file"), [("jsonl", ""), ("llava-json", "train.json"), ("imagefolder", "train/metadata.jsonl")]
)
def test_export(built, tmp_path, command, form, file):
    folder, _ = built
    text = command("export", folder / "out", "--format", form, tmp_path / "x")
    assert "3 figures" in text
    if form == "jsonl":
        assert {json.loads(line)["label"] for line in (tmp_path / "x").read_text().splitlines()} == {"Figure 1"}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("cut.pdf", PAGE[: len(PAGE) // 3], "broken"),
        ("text.pdf", b"not a PDF at all", "broken"),
        (
            "empty.pdf",
            pdf_page((72, 700, "Only words here.")).replace(b" re S", b" re n").replace(b" l S", b" l n"),
            "no-figures",
        ),
        (
            "bomb.tar.gz",
            gzip.compress(b"\\documentclass{article}" + b"\0" * 300_000_000, 9, mtime=0),
            "archive-too-large",
        ),
        ("climb.tar.gz", tar_gz({"../../climb.tex": TEX.encode()}), "unsafe-archive"),
    ],
)
def test_a_bad_paper_is_a_clear_line_and_exit_2(here, command, name, data, reason):
    (here / name).write_bytes(data)
    text = command("build", "--papers", name, "--ocr", "none", expect=2)
    [line] = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "no figure was read" in line
    assert reason in line, text
    assert "Traceback" not in text
    assert not (here.parent / "climb.tex").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("build", "--papers", "nowhere.txt"), "nowhere.txt"),
        (("build", "--papers", ".", "--route", "latx"), "Did you mean 'latex'"),
        (("build", "--papers", ".", "--ocr", "rapidocrr"), "Did you mean 'rapidocr'"),
        (("build", "--papers", ".", "--base-url", "arxiv"), "base URL"),
        (("show", "."), "no data set"),
        (("export", ".", "x", "--format", "coco"), "jsonl"),
    ],
)
def test_bad_words_are_one_line_and_exit_2(here, command, words, why):
    text = command(*words, expect=2)
    assert text.startswith("error: ")
    assert why in text
    assert len(text.splitlines()) == 1


def test_a_403_ends_the_command_with_2(here, command):
    with serving([]) as server:
        server.script["/api/query"] = [(403, {})]
        text = command(
            "build",
            "--papers",
            "1706.03762",
            "--base-url",
            server.url,
            "--cache",
            here / "cache",
            expect=2,
        )
    assert "access denied (403)" in text
    assert len(server.seen) == 1
    assert "The same command goes on" in text


@pytest.mark.parametrize("name", ["build", "show", "export"])
def test_help_has_examples(command, name):
    text = command(name, "--help")
    assert "Examples:" in text
    assert f"scicap_builder {name}" in text


def test_real_papers_end_to_end(papers_dir, here, command):
    """Two of the papers beside the checkout, one with source, through the command and its scorer's format."""
    (here / "ids.txt").write_text(f"{papers_dir}/dev/frustum\n{papers_dir}/dev/jose_00206\n")
    command("build", "--papers", "ids.txt", "--ocr", "none")
    command("export", "figures", "--format", "jsonl", "out.jsonl")
    rows = [json.loads(line) for line in (here / "out.jsonl").read_text().splitlines()]
    truth = json.loads((papers_dir / "gold" / "frustum.json").read_text())
    found = {row["label"].split()[-1]: row for row in rows if row["paper"]["id"] == "local:frustum"}
    numbers = {figure["number"] for figure in truth["figures"] if figure["kind"] == "figure" and figure["number"]}
    assert len(set(found) & numbers) >= 0.9 * len(numbers)
    assert all(row["caption"] and row["paper"]["page"] for row in found.values())
