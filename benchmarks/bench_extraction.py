"""Scores the extraction routes against papers with known truth and measures their speed.

    python -m benchmarks.bench_extraction [--papers DIR] [--out DIR] [--routes pdf,latex,html,auto] [--no-images] [--repeats 3]

Routes: pdf, latex and html alone (papers that have it), auto (all joined, as `scicap_builder build` does). DIR is described in
`truth.py`. Prints a table of scores with 95 % intervals (papers redrawn), one by kind of truth and one of speed;
`OUT/ROUTE.jsonl` keeps the predictions, for `score.py --misses`.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.truth import MEASURES, PAPERS, Scored, folders_in, interval, read, rows, score, share

PDFFIGURES2 = {
    "recall": "92.9",
    "precision": "98.6",
    "caption exact": "84.5",
    "caption ≥.95": "95.2",
    "page": "99.0",
    "region": "81.3",
}
"""Measured once on 91 papers (537 figures) of which the folder holds some; not run here."""
SAMPLE = 3
"""Pages of each paper for the readers that only extract words."""

Result = tuple[str, list[str], int, float]
"""Name, prediction lines, pages, CPU seconds."""


def by_route(job: tuple[str, Path, bool]) -> Result:
    """One paper by one route."""
    route, folder, images = job
    start = time.process_time()
    reading = read(route, folder, images=images)
    return folder.name, rows(folder.name, reading), reading.pages if reading else 0, time.process_time() - start


def plain_words(job: tuple[str, Path, bool]) -> Result:
    """The words of a paper's first pages by another reader, as a measure of speed."""
    reader, folder, _ = job
    path = folder / "paper.pdf"
    start = time.process_time()
    if reader == "pdfplumber":
        import pdfplumber

        with pdfplumber.open(path) as document:
            pages = document.pages[:SAMPLE]
            for page in pages:
                page.extract_words()
    else:
        import pypdfium2

        with pypdfium2.PdfDocument(path) as document:
            pages = [document[index] for index in range(min(SAMPLE, len(document)))]
            for page in pages:
                page.get_textpage().get_text_bounded()
    return folder.name, [], len(pages), time.process_time() - start


def timed(
    work: Callable[[tuple[str, Path, bool]], Result],
    name: str,
    folders: Sequence[Path],
    images: bool,
    args: argparse.Namespace,
) -> tuple[list[str], str, float]:
    """(prediction lines, a row of the table of speed, CPU ms a page); medians of the repeats."""
    walls, cpus = [], []
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        # The first call pays for the imports of every process.
        list(pool.map(work, [(name, folders[0], False)] * args.workers))
        for _ in range(args.repeats):
            start = time.perf_counter()
            results = list(pool.map(work, [(name, folder, images) for folder in folders]))
            walls.append(time.perf_counter() - start)
            cpus.append(sum(result[3] for result in results))
    pages = sum(result[2] for result in results)
    papers = sum(bool(result[2] or result[1]) for result in results)
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    a_page = 1000 * cpu / pages if pages else 0.0
    if not pages:  # a source has none
        return (
            [line for result in results for line in result[1]],
            f"{papers} | – | {wall:.1f} s | – | – | {cpu / max(1, papers):.2f} s",
            0.0,
        )
    speed = f"{papers} | {pages} | {wall:.1f} s | {pages / wall:.0f} | {a_page:.1f} ms | {cpu / max(1, papers):.2f} s"
    return [line for result in results for line in result[1]], speed, a_page


def quality(routes: dict[str, list[Scored]]) -> Iterator[str]:
    """The tables of scores."""
    yield "| route | papers | figures | " + " | ".join(MEASURES) + " |"
    yield "|---" * (len(MEASURES) + 3) + "|"
    for route, scored in routes.items():
        cells = [cell(scored, measure) for measure in MEASURES]
        yield f"| {route} | {len(scored)} | {sum(s.counts['gold'] for s in scored)} | " + " | ".join(cells) + " |"
    known = [PDFFIGURES2.get(measure, "–") for measure in MEASURES]
    yield "| pdffigures2, reported on 91 papers, not run here | 91 | 537 | " + " | ".join(known) + " |"
    yield "\n| route, kind of truth | papers | figures | " + " | ".join(MEASURES) + " |"
    yield "|---" * (len(MEASURES) + 3) + "|"
    for route, scored in routes.items():
        for group in sorted({s.group for s in scored}):
            part = [s for s in scored if s.group == group]
            shares = (share([s.counts for s in part], measure) for measure in MEASURES)
            cells = ["–" if value is None else f"{value:.1f}" for value in shares]
            yield (
                f"| {route}, {group} | {len(part)} | {sum(s.counts['gold'] for s in part)} | "
                + " | ".join(cells)
                + " |"
            )


def cell(scored: Sequence[Scored], measure: str) -> str:
    """ "98.6 (96–100)"."""
    value, ends = share([s.counts for s in scored], measure), interval(scored, measure)
    return "–" if value is None or ends is None else f"{value:.1f} ({ends[0]:.0f}–{ends[1]:.0f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, default=PAPERS)
    parser.add_argument("--out", type=Path, default=None, help="folder for the predictions (default: a temporary one)")
    parser.add_argument("--routes", default="pdf,latex,html,auto")
    parser.add_argument(
        "--no-images", action="store_true", help="skip the second, slower run of the pdf route with pictures"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    folders = folders_in(args.papers)
    out = args.out or Path(tempfile.mkdtemp(prefix="bench-extraction-"))
    out.mkdir(parents=True, exist_ok=True)
    routes: dict[str, list[Scored]] = {}
    speeds: dict[str, tuple[str, float]] = {}
    for route in args.routes.split(","):
        lines, speed, a_page = timed(by_route, route, folders, False, args)
        if not lines:
            print(f"{route}: no paper here has what this route reads")
            continue
        speeds[f"{route}, text only" if route == "pdf" else route] = speed, a_page
        (out / f"{route}.jsonl").write_text("\n".join(lines) + "\n")
        kinds = {"latex": "source*", "html": "*.htm*"}
        only = [folder.name for folder in folders if route not in kinds or any(folder.glob(kinds[route]))]
        routes[route] = score(args.papers, lines, only)
        if route == "pdf" and not args.no_images:
            speeds["pdf, pictures at 150 dpi"] = timed(by_route, route, folders, True, args)[1:]
    for reader in ("pypdfium2", "pdfplumber"):
        speeds[f"{reader}: bare words, {SAMPLE} pages a paper"] = timed(plain_words, reader, folders, False, args)[1:]
    print(*quality(routes), sep="\n")
    print(
        f"\n| {args.workers} processes | papers | pages | wall | pages/s | CPU a page | CPU a paper | pdfplumber's words |"
    )
    print("|---" * 8 + "|")
    slowest = speeds[f"pdfplumber: bare words, {SAMPLE} pages a paper"][1]
    for name, (row, a_page) in speeds.items():
        print(f"| {name} | {row} | {f'{slowest / a_page:.1f} × as fast' if a_page else '–'} |")
    print(f"\npredictions: {out}")


if __name__ == "__main__":
    main()
