"""What each rule of the extraction is worth: it is switched off, all papers are read again, and the change of the score is told.

    python -m benchmarks.bench_rules [--papers DIR …] [--only WORD …] [--workers 2]

A rule is a constant or a function of the PDF route (read alone), the mentions or the join (read with the source), with a neutral
stand-in. A rule that no longer exists stops the run. Points: the sum of recall, precision, caption ≥.95, region, mentions recall
and precision and first mention, in per cent; positive: the rule earns this much.
"""

import argparse
import importlib
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.truth import PAPERS, Scored, folders_in, read, rows, score, share

PDF = "scicap_builder.pdf."
COUNTED = ("recall", "precision", "caption ≥.95", "region", "mentions recall", "mentions precision", "first mention")
NEVER = re.compile(r"(?!)")
EARNS = 0.05
"""Points below which a rule is said to earn nothing: less than one paragraph of a thousand."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and what stands in for it when it is switched off."""

    name: str
    module: str
    """Where it is looked up when it is used: a function that another module imports by name is replaced there."""
    attribute: str
    off: Any

    @property
    def route(self) -> str:
        """What is read to see its worth: rules of the PDF route show in PDFs alone, the others in all that a paper has."""
        return "pdf" if self.module.startswith(PDF) else "auto"


def _false(*_: Any, **__: Any) -> bool:
    return False


def _zero(*_: Any, **__: Any) -> float:
    return 0.0


def _none(*_: Any, **__: Any) -> None:
    return None


def _empty(*_: Any, **__: Any) -> tuple[()]:
    return ()


def _empty_set(*_: Any, **__: Any) -> set[Any]:
    return set()


def _empty_dict(*_: Any, **__: Any) -> dict[Any, Any]:
    return {}


def _frozen(*_: Any, **__: Any) -> frozenset[Any]:
    return frozenset()


def _first(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _as_list(value: Any, *_: Any, **__: Any) -> list[Any]:
    return list(value)


RULES = (
    Rule("lines: text drawn twice goes", PDF + "lines", "drawn_once", _as_list),
    Rule("lines: margin line numbers go", PDF + "lines", "without_line_numbers", _first),
    Rule("lines: scripts keep their line", PDF + "lines", "_after_scripts", _false),
    Rule("lines: runs of one row merge", PDF + "lines", "_merge_runs", _first),
    Rule("layout: running heads go", PDF + "read", "running_heads", _frozen),
    Rule("layout: the paper's usual gutter", PDF + "read", "usual_gutter", _zero),
    Rule("layout: columns", PDF + "read", "gutters", _empty),
    Rule("parts: labels inside drawings are no text", PDF + "read", "without_labels", _first),
    Rule("parts: repeated drawings are ornament", PDF + "read", "repeated_boxes", _frozen),
    Rule("parts: backgrounds and head rules", PDF + "parts", "_is_background", _false),
    Rule("parts: rules are no figures", PDF + "parts", "_is_rule", _false),
    Rule("parts: frames around captions", PDF + "parts", "_frames", _empty),
    Rule("parts: sub-captions are no text", PDF + "parts", "_is_sub_caption", _false),
    Rule("parts: a paragraph's last line is text", PDF + "parts", "_ends_paragraph", _false),
    Rule("parts: headings are text", PDF + "parts", "_is_heading", _false),
    Rule("captions: prose after a label counts against it", PDF + "starts", "PROSE_AFTER", NEVER),
    Rule("captions: lists of figures are none", PDF + "starts", "_listed", _empty_set),
    Rule("captions: the paper's usual form", PDF + "starts", "_usual_forms", _empty_dict),
    Rule("captions: continued figures", PDF + "starts", "_is_repeat", _false),
    Rule("captions: captions of tables", PDF + "starts", "_other_floats", _empty),
    Rule("captions: running text resumes", PDF + "captions", "_resumes", _false),
    Rule("captions: goes on in the next column or page", PDF + "captions", "_rests", _empty),
    Rule("captions: more white parts the text", PDF + "captions", "PARTED", 99.0),
    Rule("regions: text within reach belongs", PDF + "regions", "TEXT_REACH", 0.0),
    Rule("regions: limit of growth by text", PDF + "regions", "TEXT_GROWTH", 9999.0),
    Rule("regions: tables are obstacles", PDF + "regions", "table_boxes", _empty),
    Rule("regions: tables of filled cells", PDF + "regions", "_boxed_table", _empty),
    Rule("regions: wide drawings widen the room", PDF + "regions", "_crosses", _false),
    Rule("regions: figures of text alone", PDF + "regions", "_text_picture", _none),
    Rule("regions: picture on the page before", PDF + "read", "on_page_before", _none),
    Rule("regions: fallback crop", PDF + "regions", "_fallback", _none),
    Rule("regions: cut pictures are doubted", PDF + "regions", "DOUBT", 0.0),
    Rule("regions: shared pictures cost", PDF + "regions", "SHARED", 0.0),
    Rule("regions: ink decides where drawings spill", PDF + "read", "ink_box", _none),
    Rule("regions: smallest picture", PDF + "regions", "MIN_PICTURE", 0.0),
    Rule("paragraphs: headings part", PDF + "paragraphs", "_is_heading", _false),
    Rule("paragraphs: maths is no paragraph", PDF + "paragraphs", "_is_maths", _false),
    Rule("paragraphs: joined over columns and pages", PDF + "paragraphs", "_goes_on", _false),
    Rule("page: sideways pages", PDF + "page", "SIDEWAYS_SHARE", 9.0),
    Rule("mentions: figures of other papers", "scicap_builder.mentions", "_is_elsewhere", _false),
    Rule("mentions: ranges filled in", "scicap_builder.mentions", "_between", _empty),
    Rule("mentions: further numbers", "scicap_builder.mentions", "_belongs", _false),
    Rule("join: in place between the same neighbours", "scicap_builder.join", "_in_place", _false),
    Rule("join: pairs surest first", "scicap_builder.join", "PASSES", ((True, 0.0),)),
    Rule("join: poor pictures give way", "scicap_builder.join", "POOR_PICTURE", 0.0),
)


@contextmanager
def switched_off(rule: Rule | None) -> Iterator[None]:
    """The stand-in in place of the rule. Exits if there is no such rule any more."""
    if rule is None:
        yield
        return
    try:
        module = importlib.import_module(rule.module)
        before = getattr(module, rule.attribute)
    except (ImportError, AttributeError):
        sys.exit(
            f"no such rule any more: {rule.module}.{rule.attribute} ({rule.name}): mend RULES in {Path(__file__).name}"
        )
    setattr(module, rule.attribute, rule.off)
    try:
        yield
    finally:
        setattr(module, rule.attribute, before)


def lines_without(job: tuple[str, str, Path]) -> list[str]:
    """The prediction lines of one paper read without the rule of this name (empty: with all). A crash counts as nothing found."""
    route, name, folder = job
    rule = next((rule for rule in RULES if rule.name == name), None)
    with switched_off(rule):
        try:
            reading = read(route, folder, images=False)
        except Exception as error:  # noqa: BLE001  (other rules may rely on this one)
            print(f"{name}: {folder.name}: {type(error).__name__}: {error}", file=sys.stderr)
            reading = None
    return rows(folder.name, reading)


def points(scored: Sequence[Scored]) -> dict[str, float]:
    """The counted measures in per cent."""
    return {measure: share([s.counts for s in scored], measure) or 0.0 for measure in COUNTED}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, most valuable rule first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, nargs="+", default=[PAPERS])
    parser.add_argument("--only", nargs="+", default=[], help="rules whose names hold one of these words")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    rules = [rule for rule in RULES if not args.only or any(word in rule.name for word in args.only)]
    for rule in rules:
        with switched_off(rule):
            pass
    changes: dict[str, dict[str, float]] = {rule.name: dict.fromkeys(COUNTED, 0.0) for rule in rules}
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        for papers in args.papers:
            folders = folders_in(papers)
            bases = {
                route: points(_scored(pool, papers, route, "", folders)) for route in sorted({r.route for r in rules})
            }
            for route, base in bases.items():
                told = ", ".join(f"{measure} {value:.1f}" for measure, value in base.items())
                print(f"{papers}, {len(folders)} papers, {route}, all rules: {told}", flush=True)
            for rule in rules:
                without = points(_scored(pool, papers, rule.route, rule.name, folders))
                lost = {measure: bases[rule.route][measure] - without[measure] for measure in COUNTED}
                print(f"  {rule.name}: {sum(lost.values()):+.2f}", flush=True)
                for measure in COUNTED:
                    changes[rule.name][measure] += lost[measure] / len(args.papers)
    print("\n| rule | points | " + " | ".join(COUNTED) + " |")
    print("|---" * (len(COUNTED) + 2) + "|")
    for name, change in sorted(changes.items(), key=lambda item: -sum(item[1].values())):
        cells = " | ".join(f"{value:+.1f}" if abs(value) >= EARNS else "" for value in change.values())
        print(f"| {name} | {sum(change.values()):+.2f} | {cells} |")
    idle = [name for name, change in changes.items() if sum(change.values()) < EARNS]
    print(f"\nearn nothing here ({len(idle)}): " + "; ".join(idle))


def _scored(pool: ProcessPoolExecutor, papers: Path, route: str, name: str, folders: Sequence[Path]) -> list[Scored]:
    found = pool.map(lines_without, [(route, name, folder) for folder in folders])
    return score(papers, (line for lines in found for line in lines))


if __name__ == "__main__":
    main()
