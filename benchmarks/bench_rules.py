"""What each rule of the extraction is worth: it is switched off, all papers are read again, and the change of the score is told.

    python -m benchmarks.bench_rules [--papers DIR …] [--only WORD …] [--workers 2] [--minutes 30]

The rules and their stand-ins are in `benchmarks/rules.py`. Rules of the PDF route and of mentions are tried on PDFs alone, those
of the source on sources alone, those of the join on papers that have both; no picture is rendered for delivery.
Points: the sum of recall, precision, caption ≥.95, region, mentions recall and precision, first mention, and the likeness of
title and abstract, in per cent of all papers together; positive: the rule earns this much. A rule that changes no reading of
any paper is told apart from one whose changes the score does not see.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rereading import Reading, readings
from benchmarks.rules import RULES
from benchmarks.switches import Rule, switched_off
from benchmarks.truth import PAPERS, Scored, folders_in, score, share
from scicap_builder.agreement import alike

COUNTED = ("recall", "precision", "caption ≥.95", "region", "mentions recall", "mentions precision", "first mention")
FRONT = ("title", "abstract")
MEASURES = (*COUNTED, *FRONT)
ROUTES = {"pdf": "PDFs alone", "latex": "sources alone", "auto": "sources and PDFs joined"}
EARNS = 0.05
"""Points below which a rule is said to earn nothing: less than one paragraph of a thousand."""


@dataclass(frozen=True, slots=True)
class Marks:
    """One paper's marks for one reading."""

    counts: Mapping[str, int]
    title: float
    abstract: float
    """Likeness to the truth, 0..100."""


def marks(papers: Path, found: Mapping[str, Reading]) -> dict[str, Marks]:
    """Paper -> its marks."""
    if not found:
        return {}
    lines = [line for reading in found.values() for line in reading.lines]
    return {s.name: Marks(s.counts, *_front(papers, s, found[s.name])) for s in score(papers, lines, list(found))}


def _front(papers: Path, scored: Scored, reading: Reading) -> Iterator[float]:
    gold = json.loads((papers / "gold" / f"{scored.name}.json").read_text())
    for part, text in zip(FRONT, reading.front, strict=True):
        truth = gold.get(part) or ""
        yield 100 * alike(truth, text) if truth else 100.0


def points(found: Sequence[Marks]) -> dict[str, float]:
    """All measures in per cent."""
    told = {measure: share([m.counts for m in found], measure) or 0.0 for measure in COUNTED}
    return told | {part: sum(getattr(m, part) for m in found) / max(1, len(found)) for part in FRONT}


@dataclass(frozen=True, slots=True)
class Worth:
    """What switching a rule off did."""

    change: Mapping[str, float]
    """Per cent lost, by measure."""
    papers: int
    """Papers whose reading is another one."""
    crashes: int
    crash: str
    calls: int

    @property
    def points(self) -> float:
        return sum(self.change.values())


_Key = tuple[Path, str]


def all_marks(found: Mapping[_Key, Reading]) -> dict[_Key, Marks]:
    """Marks of readings of papers in several folders."""
    by_folder: dict[Path, dict[str, Reading]] = {}
    for (papers, name), reading in found.items():
        by_folder.setdefault(papers, {})[name] = reading
    return {(papers, name): mark for papers, part in by_folder.items() for name, mark in marks(papers, part).items()}


def worth_of(
    pairs: Mapping[_Key, tuple[Reading, Reading]], base: Mapping[_Key, Marks], now: Mapping[_Key, Marks]
) -> Worth:
    """Compare readings (with all rules, without one); `now`: the marks of those that differ."""
    before, after = points(list(base.values())), points(list({**base, **now}.values()))
    return Worth(
        {measure: before[measure] - after[measure] for measure in MEASURES},
        sum(a.said != b.said for a, b in pairs.values()),
        sum(bool(b.crashed) for _, b in pairs.values()),
        next((b.crashed for _, b in pairs.values() if b.crashed), ""),
        sum(b.calls for _, b in pairs.values()),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, most valuable rule first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, nargs="+", default=[PAPERS])
    parser.add_argument("--only", nargs="+", default=[], help="rules whose names hold one of these words")
    parser.add_argument(
        "--minutes", type=float, default=600.0, help="read no further paper after these; the order is random"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    rules = [rule for rule in RULES if not args.only or any(word in rule.name for word in args.only)]
    for rule in rules:
        with switched_off(rule):
            pass
    start = time.time()
    read: dict[_Key, dict[str, Reading | None]] = {}
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        names = [rule.name for rule in rules]
        folders = [(p, folder) for p in args.papers for folder in folders_in(p)]
        random.Random(0).shuffle(folders)
        jobs = {pool.submit(readings, folder, names): (p, folder.name) for p, folder in folders}
        for done in as_completed(jobs):
            if done.cancelled():
                continue
            read[jobs[done]] = done.result()
            if time.time() - start > 60 * args.minutes:
                for job in jobs:
                    job.cancel()
            if len(read) % 20 == 0:
                print(f"{len(read)} of {len(jobs)} papers, {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        bases, pairs, jobs_of = {}, {}, {}
        for route in (route for route in ROUTES if any(rule.route == route for rule in rules)):
            bases[route] = pool.submit(
                all_marks, {key: reading for key, found in read.items() if (reading := found[route])}
            )
        for rule in rules:
            both = {key: (found[rule.route], found[rule.name]) for key, found in read.items()}
            pairs[rule.name] = {key: (a, b) for key, (a, b) in both.items() if a and b}
            others = {key: b for key, (a, b) in pairs[rule.name].items() if a.said != b.said}
            jobs_of[rule.name] = pool.submit(all_marks, others)
        base = {route: job.result() for route, job in bases.items()}
        found = {rule.name: worth_of(pairs[rule.name], base[rule.route], jobs_of[rule.name].result()) for rule in rules}
    _print(rules, base, found)


def _print(rules: Sequence[Rule], bases: Mapping[str, Mapping[_Key, Marks]], found: Mapping[str, Worth]) -> None:
    ranked = sorted(rules, key=lambda rule: -found[rule.name].points)
    for route, base in bases.items():
        told = ", ".join(f"{measure} {value:.1f}" for measure, value in points(list(base.values())).items())
        print(f"\n{ROUTES[route]}, {len(base)} papers, all rules on: {told}\n")
        print("| rule | points | papers | " + " | ".join(MEASURES) + " |")
        print("|---" * (len(MEASURES) + 3) + "|")
        for rule in ranked:
            worth = found[rule.name]
            if rule.route == route and worth.papers:
                cells = " | ".join(f"{value:+.1f}" if abs(value) >= EARNS else "" for value in worth.change.values())
                print(f"| {rule.name} | {worth.points:+.2f} | {worth.papers} | {cells} |")
    unseen = [rule for rule in ranked if found[rule.name].papers and abs(found[rule.name].points) < EARNS]
    _list("change readings, not the score", unseen, found)
    _list("cost more than they earn", [rule for rule in ranked if found[rule.name].points <= -EARNS], found)
    _list("change no reading of any paper", [rule for rule in ranked if not found[rule.name].papers], found)
    _list("cannot be spared without a crash", [rule for rule in ranked if found[rule.name].crashes], found)


def _list(what: str, rules: Sequence[Rule], found: Mapping[str, Worth]) -> None:
    print(f"\n{what} ({len(rules)}):")
    for rule in rules:
        worth = found[rule.name]
        seen = [f"{worth.points:+.2f}"] if worth.papers else []
        seen += [f"{worth.papers} papers"] if worth.papers else []
        seen += [f"crashes in {worth.crashes}: {worth.crash}"] if worth.crashes else []
        seen += ["never called"] if rule.is_function and not worth.calls else []
        print(f"- {rule.name}" + (f" ({', '.join(seen)})" if seen else ""))


if __name__ == "__main__":
    main()
