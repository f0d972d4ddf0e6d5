"""Measures how many published figures `scicap_builder import scicap-plus --pair` finds in their papers (docs/pairing.md).

    python -m benchmarks pairing     or     python benchmarks/bench_pairing.py [--papers DIR] [--ocr rapidocr] [--only NAMES]

Papers with known truth are written in SciCap+'s layout (`published_layout`) and paired with their PDFs and sources: as they are,
under other numbers, and with figures that are none of the paper's. Right is a figure whose label in the paper is the true one.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.published_layout import SHIFT, Known, write_layout
from scicap_builder.mentions import parse_label
from scicap_builder.one_paper import ReadOptions
from scicap_builder.pairing import Note, PairOptions, pair, read_notes
from scicap_builder.pairing.records import NEVER_CITED
from scicap_builder.settings import BuildOptions
from scicap_builder.sources import SOURCES
from scicap_builder.sources.names import scicap_figure

PAPERS = Path(__file__).resolve().parent.parent.parent / "shared" / "papers"
CONDITIONS = {
    "as they are": {},
    "captions of the PDF": {"from_pdf": True},
    f"numbers + {SHIFT}": {"shift": SHIFT},
    "of another paper": {"elsewhere": True},
}


def found_right(known: Sequence[Known], notes: Sequence[Note]) -> tuple[int, int]:
    """(figures found, those of them that are the right ones)."""
    truth = {f"scicap-plus:{scicap_figure(one.name).figure}": one.number for one in known}
    found = [note for note in notes if note.by]
    # The truth counts figures of a supplement from 1 as well: "Supplemental Figure 1" is its figure 1 again.
    right = [
        note for note in found if (label := parse_label(note.label_read)) and label.number.lstrip("S") == truth[note.id]
    ]
    return len(found), len(right)


def measure(papers: Path, ocr: str, only: Sequence[str]) -> list[str]:
    """The table, in Markdown, and the report of the first condition."""
    lines = [
        "| figures | published | found | right | paired | not paired | CPU s a paper |",
        "|---|---|---|---|---|---|---|",
    ]
    told: list[str] = []
    for name, how in CONDITIONS.items():
        with tempfile.TemporaryDirectory(prefix="bench-pairing-") as folder:
            root, library, out = Path(folder) / "root", Path(folder) / "papers", Path(folder) / "out"
            known = write_layout(papers, root, library, only, **how)
            read = ReadOptions(ocr=ocr if not how else "none")
            options = PairOptions(build=BuildOptions(read=read), papers_root=library)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            done = pair(SOURCES["scicap-plus"], root, out, pairing=options)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found, right = found_right(known, list(read_notes(out)))
            reasons = ", ".join(f"{reason} {count}" for reason, count in done.report.reasons.most_common())
            right = 0 if "elsewhere" in how else right
            cost = f"{cpu / done.papers.total():.2f}"
            lines.append(f"| {name} | {len(known)} | {found} | {right} | {done.report.paired} | {reasons} | {cost} |")
            if not how:
                told = [
                    *done.report.lines(),
                    f"never cited in truth: {sum(not one.cited for one in known)}; "
                    f"counted {NEVER_CITED}: {done.report.reasons[NEVER_CITED]}; wall {wall:.0f} s",
                ]
    return [*lines, "", *told]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, default=PAPERS)
    parser.add_argument("--ocr", default="none", help="engine for the figures as they are, or none")
    parser.add_argument("--only", default="", help="names of papers, with commas")
    args = parser.parse_args(argv)
    if not (args.papers / "gold").is_dir():
        sys.exit(f"no papers with truth under {args.papers}: give --papers")
    print(*measure(args.papers, args.ocr, tuple(filter(None, args.only.split(",")))), sep="\n")


if __name__ == "__main__":
    main()
