"""Scores the extraction routes against papers with known truth and measures their speed.

    python benchmarks/bench_extraction.py [--papers DIR] [--out DIR] [--routes pdf,latex,auto] [--no-images]

Routes: pdf alone, latex (source alone, where there is one), auto (both joined, as `scicap_builder build` does).
DIR holds `dev/NAME/paper.pdf`, `gold/NAME.json` and `score.py` (see its docstring). Prints one table of scores and one of
speed; `OUT/ROUTE.jsonl` keeps the predictions in the scorer's format, for `score.py --misses`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from llava_graph.errors import PaperError
from scicap_builder.archive import unpack
from scicap_builder.join import join
from scicap_builder.latex import read_latex
from scicap_builder.pdf import read_pdf
from scicap_builder.reading import PaperReading

PAPERS = Path(__file__).resolve().parent.parent.parent / "shared" / "papers"
FIELDS = (
    ("recall", r"recall ([\d.]+)"),
    ("precision", r"precision ([\d.]+)"),
    ("caption exact", r"caption exact ([\d.]+)"),
    ("caption ≥.95", r">=\.95 ([\d.]+)"),
    ("page", r"page ([\d.]+)"),
    ("region", r"region ([\d.]+)"),
    ("mentions recall", r"mentions recall ([\d.]+)"),
    ("mentions precision", r"mentions recall [\d.]+ %, precision ([\d.]+)"),
    ("first mention", r"first ([\d.]+)"),
)


def read(route: str, folder: Path, *, images: bool) -> PaperReading | None:
    """One paper by one route; None where the folder lacks what the route reads."""
    source = folder / "source.tar.gz"
    if route == "pdf" or (route == "auto" and not source.exists()):
        return read_pdf(folder / "paper.pdf", images=images)
    if not source.exists():
        return None
    with tempfile.TemporaryDirectory() as place:
        reading = read_latex(unpack(source, Path(place)).root)
    return reading if route == "latex" else join(reading, read_pdf(folder / "paper.pdf"))


def rows(name: str, reading: PaperReading) -> list[str]:
    """The figures of a reading as lines of the scorer's format."""
    return [
        json.dumps(
            {
                "label": figure.label,
                "caption": figure.caption,
                "mentions": figure.mentions,
                "paper": {"id": name, "page": figure.page, "box": figure.box},
            }
        )
        for figure in reading.figures
    ]


def timed(job: tuple[str, Path, bool]) -> tuple[str, list[str], int, float]:
    """(name, prediction lines, pages, CPU seconds) of one paper; an unreadable paper gives no lines."""
    route, folder, images = job
    start = time.process_time()
    try:
        reading = read(route, folder, images=images)
    except PaperError as error:
        print(f"{folder.name}: {error}", file=sys.stderr)
        reading = None
    lines = rows(folder.name, reading) if reading else []
    return folder.name, lines, reading.pages if reading else 0, time.process_time() - start


def run(route: str, folders: list[Path], *, images: bool, workers: int) -> tuple[list[str], str]:
    """All predictions of a route, and its speed in words."""
    jobs = [(route, folder, images) for folder in folders]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(abs, range(workers)))
        start = time.perf_counter()
        results = list(pool.map(timed, jobs))
        wall = time.perf_counter() - start
    pages, cpu = sum(result[2] for result in results), sum(result[3] for result in results)
    lines = [line for result in results for line in result[1]]
    read_papers = sum(bool(result[1]) for result in results)
    speed = (
        f"{read_papers} papers in {wall:.1f} s on {workers} processes, {cpu / max(1, read_papers):.2f} s CPU a paper"
    )
    if pages:
        speed += f"; {pages} pages: {pages / wall:.0f} pages/s, {1000 * cpu / pages:.1f} ms CPU a page"
    return lines, speed


def score(papers: Path, predictions: Path) -> str:
    """The scorer's line for all papers."""
    command = [sys.executable, str(papers / "score.py"), str(predictions)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, default=PAPERS)
    parser.add_argument("--out", type=Path, default=None, help="folder for the predictions (default: a temporary one)")
    parser.add_argument("--routes", default="pdf,latex,auto")
    parser.add_argument("--no-images", action="store_true", help="skip the second, slower run with pictures")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    folders = sorted(path.parent for path in (args.papers / "dev").glob("*/paper.pdf"))
    out = args.out or Path(tempfile.mkdtemp(prefix="bench-extraction-"))
    out.mkdir(parents=True, exist_ok=True)
    if not folders:
        sys.exit(f"no papers with truth under {args.papers}: give --papers")
    print("| " + " | ".join(["route", *(name for name, _ in FIELDS)]) + " |")
    print("|---" * (len(FIELDS) + 1) + "|")
    speeds = []
    for route in args.routes.split(","):
        lines, speed = run(route, folders, images=False, workers=args.workers)
        speeds.append(f"{route}, {'text only' if route == 'pdf' else 'with pictures'}: {speed}")
        predictions = out / f"{route}.jsonl"
        predictions.write_text("\n".join(lines) + "\n")
        line = score(args.papers, predictions)
        found = [re.search(pattern, line) for _, pattern in FIELDS]
        print("| " + " | ".join([route, *(match[1] if match else "-" for match in found)]) + " |", flush=True)
        if route == "pdf" and not args.no_images:
            speeds.append(
                f"{route}, with pictures at 150 dpi: {run(route, folders, images=True, workers=args.workers)[1]}"
            )
    print("", *speeds, f"predictions: {out}", sep="\n")


if __name__ == "__main__":
    main()
