"""What the packaged model gets right on figures it has not seen, by what it is shown: `python -m benchmarks packaged`.

Charts of a library, of words and of seeds that training never had, and real figures; with baselines that understand nothing.
Answers made elsewhere (`packaged_answers`, on a GPU) are taken with --answers; 95 % intervals by redrawing figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.overlap import cider
from benchmarks.packaged_baselines import BASELINES
from benchmarks.packaged_items import REAL, SETS, Item, all_items
from benchmarks.packaged_scores import Scores, merged, score_item
from benchmarks.truth import PAPERS
from llava_graph.errors import MissingExtra

DRAWS = 1000
"""Redrawn samples behind an interval."""
NAMES = (
    "type",
    "axes F1",
    "series F1",
    "count",
    "abstains",
    "refuses wrongly",
    "declines no-charts",
    "declines charts",
)
READING = ("trend", "highest, lowest", "best", "crossing", "peak", "value 5 %", "value 10 %", "value, tenth of axis")
TELLING = ("type told", "names told", "unsupported numbers", "ROUGE-L", "BLEU-4", "CIDEr")
Answers = Mapping[str, Mapping[str, Sequence[str]]]
"""condition -> figure id -> answers"""


def main(argv: Sequence[str] = ()) -> None:
    """Print the tables: per set a row for each condition and baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charts", type=int, default=40, help="Of the unseen library; half of it of the other sets.")
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument(
        "--answers", type=Path, default=None, help="answers.json of packaged_answers, of the same --charts."
    )
    parser.add_argument(
        "--also", nargs=2, action="append", default=[], metavar=("NAME", "ANSWERS"), help="Of other models."
    )
    parser.add_argument("--papers", type=Path, default=PAPERS)
    options = parser.parse_args(argv)
    try:
        items = all_items(options.charts, options.papers)
    except MissingExtra as error:
        sys.exit(str(error))
    answers = dict(_read(options.answers) if options.answers else answer_here(items, options.model))
    for name, file in options.also:
        answers |= {f"{name}: {condition}": found for condition, found in _read(Path(file)).items()}
    for name in (*SETS, REAL):
        chosen = [item for item in items if item.set == name]
        if chosen:
            print_set(name, chosen, answers)


def answer_here(items: Sequence[Item], model: Path | None) -> Answers:
    """By the model on this machine, under the first condition alone."""
    from benchmarks.packaged_answers import CONDITIONS, Answerer

    name, condition = next(iter(CONDITIONS.items()))
    answerer = Answerer(model, batch=8)
    asked = {item.figure.id: [question.text or None for question in item.questions] for item in items}
    begun = time.monotonic()
    answers = answerer.answer([item.figure for item in items], asked, condition)
    count = sum(map(len, answers.values()))
    print(f"{count} answers, {(time.monotonic() - begun) / count:.2f} s each in batches of 8\n")
    return {name: answers}


def print_set(name: str, items: Sequence[Item], answers: Answers) -> None:
    """Three tables: names, reading, telling."""
    sources: dict[str, Callable[[Item], Sequence[str]]] = {
        condition: lambda item, found=found: found[item.figure.id]
        for condition, found in answers.items()
        if any(item.figure.id in found for item in items)
    }
    known = {condition: [item for item in items if item.figure.id in answers[condition]] for condition in sources}
    if name != REAL:
        sources |= BASELINES
        known |= {baseline: list(items) for baseline in BASELINES}
    scored = {
        condition: [(item, score_item(item, source(item))) for item in known[condition]]
        for condition, source in sources.items()
    }
    for condition, pairs in scored.items():
        add_cider(pairs, [sources[condition](item)[0] for item, _ in pairs])
    print(f"### {name} ({len(items)} figures, {sum(item.plate is None for item in items)} of them no charts)\n")
    for measures in (NAMES, READING, TELLING):
        shown = [
            measure for measure in measures if any(measure in one for pairs in scored.values() for _, one in pairs)
        ]
        if shown:
            print_table(shown, {condition: [one for _, one in pairs] for condition, pairs in scored.items()})


def add_cider(pairs: Sequence[tuple[Item, Scores]], explanations: Sequence[str]) -> None:
    """CIDEr of the explanations of charts against what was written with them."""
    places = [place for place, (item, _) in enumerate(pairs) if item.plate is not None]
    values = cider(
        [explanations[place] for place in places], [pairs[place][0].figure.first_mention for place in places]
    )
    for place, value in zip(places, values, strict=True):
        pairs[place][1]["CIDEr"] = [value]


def print_table(measures: Sequence[str], rows: Mapping[str, Sequence[Scores]]) -> None:
    """Means with 95 % intervals."""
    print(f"| shown | {' | '.join(measures)} |\n|---|{'---|' * len(measures)}")
    for condition, scores in rows.items():
        print(f"| {condition} | {' | '.join(cell(scores, measure) for measure in measures)} |")
    counts = merged(next(iter(rows.values())))
    print(f"| *answers* | {' | '.join(str(len(counts.get(measure, []))) for measure in measures)} |\n")


def cell(scores: Sequence[Scores], measure: str) -> str:
    """ "0.93 (0.90–0.96)"; figures are redrawn, since the answers about one figure go together."""
    groups = [one[measure] for one in scores if one.get(measure)]
    if not groups:
        return ""
    sums, sizes = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    chance = np.random.default_rng(0)
    drawn = chance.integers(len(groups), size=(DRAWS, len(groups)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), (2.5, 97.5))
    return f"{sums.sum() / sizes.sum():.2f} ({low:.2f}–{high:.2f})"


def _read(file: Path) -> Answers:
    found: Answers = json.loads(file.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
