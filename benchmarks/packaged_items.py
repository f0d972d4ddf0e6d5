"""What the packaged model is asked: unseen charts with questions whose answers are known, and real figures.

In: a test set's name. Out: items; or a folder with all that answering needs (`packaged_answers`), so that another machine,
which need not have the plotting library, can answer.
"""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.truth import PAPERS
from llava_graph.dataset import write_dataset
from llava_graph.record import Figure
from scicap_builder.charts import CorpusOptions, make_sheet
from scicap_builder.charts.chart import Plate
from scicap_builder.charts.question import Question
from scicap_builder.charts.questions import ask

SEED = 9_000
"""Training draws seeds 1 to 3."""
SETS = {
    "unseen library and words": CorpusOptions(library="vega", vocabulary="unseen"),
    "unseen words": CorpusOptions(vocabulary="unseen"),
    "unseen seed": CorpusOptions(),
}
"""The further down, the nearer to the training charts."""
REAL = "real figures"
UNJUDGED = ("difference", "meaning", "caveat")
"""Kinds of questions with more than one good answer."""
KINDS = Path(__file__).parent / "kinds_labels.json"
"""What the figures of real papers are, told by eye."""
EXPLAIN = Question("explain", "", "")
"""The request to explain, in the words of the prompt."""


@dataclass(frozen=True, slots=True)
class Item:
    """A figure and what it is asked."""

    set: str
    figure: Figure
    plate: Plate | None
    """None: no chart, or a real figure."""
    questions: tuple[Question, ...]
    """The request to explain first; then one a kind, values twice."""


def drawn_items(name: str, count: int) -> list[Item]:
    """`count` figures of one of SETS."""
    items = []
    for index in range(count):
        sheet = make_sheet(SEED + list(SETS).index(name), index, SETS[name])
        # The answers' wording is that of the same rng on every machine.
        questions = () if sheet.plate is None else one_a_kind(sheet.plate, np.random.default_rng([SEED, index]))
        figure = replace(sheet.figure, id=f"{name}/{index}", turns=())
        items.append(Item(name, figure, sheet.plate, (EXPLAIN, *questions)))
    return items


def one_a_kind(plate: Plate, rng: np.random.Generator) -> tuple[Question, ...]:
    """One question of each kind that the figure allows and a score judges, two of values."""
    kept: dict[tuple[str, int], Question] = {}
    for question in ask(plate, rng, 100):
        if question.kind in UNJUDGED:
            continue
        number = sum(kind == question.kind for kind, _ in kept)
        if number < (2 if question.kind == "value" else 1):
            kept[question.kind, number] = question
    return tuple(kept.values())


def real_items(papers: Path) -> list[Item]:
    """The figures of the papers beside the checkout, with their captions and what our OCR engine reads in them."""
    from ocr import read_text

    kinds = json.loads(KINDS.read_text(encoding="utf-8"))["figures"]
    items = []
    for line in (papers / "figures" / "figures.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        data = (papers / "figures" / f"{row['id']}.png").read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
        figure = Figure(
            id=f"{REAL}/{row['id']}",
            image=data,
            width=width,
            height=height,
            kind=kinds.get(row["paper"], {}).get(row["figure"], ""),
            caption=row["caption"] or "",
            ocr=read_text(data),
        )
        items.append(Item(REAL, figure, None, (EXPLAIN,)))
    return items


def write_items(items: list[Item], out: Path) -> None:
    """A data set of the figures and questions.json: figure id -> what it is asked (null: to explain)."""
    write_dataset([item.figure for item in items], out, options={"builder": "packaged-items"})
    asked = {item.figure.id: [question.text or None for question in item.questions] for item in items}
    (out / "questions.json").write_text(json.dumps(asked, ensure_ascii=False, indent=1), encoding="utf-8")


def main() -> None:
    """Write the items of all sets to a folder: `python -m benchmarks.packaged_items OUT --charts 240`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--charts", type=int, default=240, help="Of the first set; half of it of the others.")
    parser.add_argument("--papers", type=Path, default=PAPERS)
    options = parser.parse_args()
    write_items(all_items(options.charts, options.papers), options.out)


def all_items(charts: int, papers: Path) -> list[Item]:
    """Drawn ones of every set, then the real ones where they are here."""
    counts = dict.fromkeys(SETS, charts // 2) | {next(iter(SETS)): charts}
    items = [item for name, count in counts.items() for item in drawn_items(name, count)]
    return items + (real_items(papers) if (papers / "figures" / "figures.jsonl").exists() else [])


if __name__ == "__main__":
    main()
