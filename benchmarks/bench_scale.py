"""Measures what a build costs for each paper, and works out what 290,000 papers cost (docs/scale.md).

    python -m benchmarks scale            or      python benchmarks/bench_scale.py [--papers DIR] [--ocr none,rapidocr]

Runs the command `scicap_builder build` as a user does, with one worker, over a folder of papers. Prints CPU seconds of all its
processes, the memory of the largest one, and the bytes that the data set takes; then the plan, which is arithmetic on these.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llava_graph.dataset import read_json

PAPERS = Path(__file__).resolve().parent.parent.parent / "shared" / "papers" / "dev"
PLANNED = 290_000
"""Papers of SciCap (arXiv, 2010 to 2020)."""
REQUEST_S = 3.0
"""s between requests to arXiv; one paper is a source and a PDF, metadata and licences come in bulk."""
DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one build took."""

    ocr: str
    papers: int
    figures: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    """Of the largest process."""
    out_bytes: int
    files: int
    in_bytes: int


def measure(papers: Path, ocr: str) -> Cost:
    """Build the folder once, in processes of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "scicap_builder.cli", "build", "--papers", str(papers), "--out", str(out)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*command, "--ocr", ocr], check=True, capture_output=True)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
        counts = read_json(out / "build.json")["counts"]
        written = [file for file in out.rglob("*") if file.is_file()]
        return Cost(
            ocr=ocr,
            papers=counts["keys"],
            figures=counts["figures"],
            wall_s=wall,
            cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            peak_bytes=after.ru_maxrss * 1024,
            out_bytes=sum(file.stat().st_size for file in written),
            files=len(written),
            in_bytes=sum(file.stat().st_size for file in papers.rglob("*") if file.suffix in (".pdf", ".gz")),
        )


def tables(costs: Sequence[Cost]) -> list[str]:
    """The measured table and the plan, in Markdown."""
    lines = [
        "| OCR | papers | figures | CPU s a paper | CPU s a figure | wall s | largest process | MB a paper | kB a figure |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        lines.append(
            f"| {cost.ocr} | {cost.papers} | {cost.figures} | {cost.cpu_s / cost.papers:.2f} | {cost.cpu_s / cost.figures:.2f} "
            f"| {cost.wall_s:.0f} | {cost.peak_bytes / 2**20:.0f} MiB | {cost.out_bytes / cost.papers / 1e6:.2f} "
            f"| {cost.out_bytes / cost.figures / 1e3:.0f} |"
        )
    lines += ["", f"| {PLANNED:,} papers, OCR | core-days | days on 2, 32, 256 cores | figures | data set | read |"]
    lines.append("|---|---|---|---|---|---|")
    for cost in costs:
        times = PLANNED / cost.papers
        days = cost.cpu_s * times / DAY_S
        sizes = f"{cost.out_bytes * times / 1e12:.2f} TB | {cost.in_bytes * times / 1e12:.2f} TB"
        lines.append(
            f"| {cost.ocr} | {days:.1f} | {days / 2:.1f}, {days / 32:.2f}, {days / 256:.3f} "
            f"| {cost.figures * times / 1e6:.1f} million | {sizes} |"
        )
    polite = 2 * PLANNED * REQUEST_S / DAY_S
    lines.append("")
    lines.append(
        f"Fetching them politely, two requests a paper {REQUEST_S:.0f} s apart: {polite:.0f} days and the transfer."
    )
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, default=PAPERS)
    parser.add_argument("--ocr", default="none,rapidocr", help="engines, one build each")
    args = parser.parse_args(argv)
    if not args.papers.is_dir():
        sys.exit(f"no papers under {args.papers}: give --papers")
    print(*tables([measure(args.papers, ocr) for ocr in args.ocr.split(",")]), sep="\n")


if __name__ == "__main__":
    main()
