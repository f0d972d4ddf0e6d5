"""Damaged papers through the real build: no crash, no hang, every one of them counted.

MUTANTS=1000 takes a thousand, SEEDS=DIR damages the papers below DIR too, KEEP=DIR keeps what found a bug; -s shows the table.
"""

import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from arxiv_server import tar_gz
from mutations import mutants
from pdf_pages import PdfPage, pdf_bytes

from llava_graph.dataset import read_dataset, read_dropped
from scicap_builder import build
from scicap_builder.one_paper import ReadOptions
from scicap_builder.pipeline import BuildOptions

MUTANTS = int(os.environ.get("MUTANTS", "32"))
LARGEST_SEED = 3_000_000
TEX = r"""\documentclass{article}\usepackage{graphicx}\newcommand{\method}[1]{the #1 method}
\begin{document}\title{A Small Paper}\maketitle\begin{abstract}We show it.\end{abstract}
\section{One} Figure~\ref{fig:one} shows \method{fast} and $\alpha_{1} \le \frac{a}{b}$ of it.
\begin{figure}\includegraphics[width=3cm]{line}\caption{Error over \emph{steps} of \method{slow}.}\label{fig:one}\end{figure}
\begin{figure*}\begin{tabular}{cc}\includegraphics{line}&\includegraphics{line.png}\end{tabular}
\caption{Both (a) and (b).}\label{fig:two}\end{figure*} See Figs.~\ref{fig:one}--\ref{fig:two}.
\end{document}"""


def seeds(png: bytes) -> tuple[list[bytes], list[bytes]]:
    """Whole papers to be damaged: some PDFs and some source archives."""
    page = PdfPage().plot(100, 100, 400, 300)
    page.text(100, 320, "Figure 1: Error over steps.")
    page.body(60, 400, 470, 20, start="Figure 1 shows that")
    second = PdfPage(rotate=90).picture(100, 100, 300, 250)
    second.text(100, 270, "FIG. 2. A picture of it")
    second.body(60, 300, 400, 10, start="As Fig. 2 shows")
    pdfs, archives = (
        [pdf_bytes([page, second]), pdf_bytes([second])],
        [tar_gz({"main.tex": TEX.encode(), "line.png": png})],
    )
    if folder := os.environ.get("SEEDS"):
        files = [file for file in sorted(Path(folder).glob("**/*")) if file.stat().st_size < LARGEST_SEED]
        pdfs += [file.read_bytes() for file in files if file.suffix == ".pdf"]
        archives += [file.read_bytes() for file in files if file.suffix == ".gz"]
    return pdfs, archives


@pytest.mark.timeout(0)
def test_every_damaged_paper_is_counted(tmp_path, png):
    folder = tmp_path / "mutants"
    folder.mkdir()
    made = mutants(*seeds(png), MUTANTS, seed=1)
    for name, data in made:
        (folder / name).write_bytes(data)
    (tmp_path / "list.txt").write_text("\n".join(f"mutants/{name}" for name, _ in made))
    options = BuildOptions(read=ReadOptions(ocr="none"), workers=2, paper_timeout_s=60, paper_memory_gb=2.0)
    result = build(tmp_path / "list.txt", tmp_path / "out", options)
    assert (result.papers_done, result.papers_left, result.error) == (MUTANTS, 0, None)
    outcomes = defaultdict(set)
    for figure in read_dataset(tmp_path / "out", images=False):
        outcomes[figure.paper.id.removeprefix("local:")].add("figures")
    bugs = []
    for item in read_dropped(tmp_path / "out"):
        outcomes[item.item.removeprefix("local:").split("#")[0].split(" ")[0]].add(item.reason)
        if item.reason in ("failed", "timeout", "memory", "crashed"):
            bugs.append(f"{item.item}: {item.reason} {item.detail}")
    names = {name.split(".")[0] for name, _ in made}
    assert set(outcomes) == names
    print(*table(outcomes), *bugs, sep="\n")  # noqa: T201
    for bug in bugs if (keep := os.environ.get("KEEP")) else ():
        for file in folder.glob(f"{bug.removeprefix('local:').split(':')[0]}*"):
            shutil.copy(file, keep)
    assert not bugs


def table(outcomes):
    """Damage by what became of it: a paper counts once, by its figures, or by what is said of it."""
    counts = defaultdict(Counter)
    for name, reasons in outcomes.items():
        counts[name.split("-")[1]]["figures" if "figures" in reasons else min(reasons)] += 1
    columns = sorted(
        {reason for row in counts.values() for reason in row}, key=lambda reason: (reason != "figures", reason)
    )
    yield f"| damage | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for damage, row in sorted(counts.items()):
        yield f"| {damage} | {' | '.join(str(row[column] or '') for column in columns)} |"
