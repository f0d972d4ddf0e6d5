"""One evaluation in a folder: the manifest that says what was asked, the answers, the scores.

OUT/run.json   OUT/answers.jsonl (or answers-0-of-4.jsonl, …)   OUT/metrics.json
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llava_graph.dataset import read_dataset
from llava_graph.durable import read_json, write_json
from llava_graph.errors import InputError
from llava_graph.evaluate.answered import Item
from llava_graph.evaluate.answers import Joined, join, read_answers
from llava_graph.evaluate.instruments import NOTHING, Instruments
from llava_graph.evaluate.measure import Difference, Interval, Measure, compare, intervals
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.tasks import Task, items_of
from llava_graph.evaluate.words import PINNED
from llava_graph.explained.records import now, versions
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped, Figure

FORMAT = 1
GOLD = frozenset({"pdf", "drawn"})
"""Sources of figure text that is true: the page's own text layer, and charts that we drew."""
OCR_CHOICES = ("records", "engine", "none")
SHOWN_IDS = 5


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Which items."""

    folder: Path
    split: str | None = "test"
    """None: all."""
    limit: int | None = None
    """The first so many items."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The items of a run, without their pixels."""

    task: Task
    data: DataChoice
    items: tuple[Item, ...]
    dropped: tuple[Dropped, ...]

    @property
    def fingerprint(self) -> str:
        """Of what is asked, what is right and what the records say beside it: the same for the same data anywhere."""
        digest = hashlib.sha256()
        for item in sorted(self.items, key=lambda item: item.id):
            figure = item.figure
            parts = [item.id, item.mark, item.reference, figure.caption, *(line.text for line in figure.ocr)]
            digest.update(json.dumps(parts).encode())
        return digest.hexdigest()[:16]

    @property
    def groups(self) -> dict[str, str]:
        """Item -> what it is not independent of: its figure."""
        return {item.id: item.figure.id for item in self.items}


def choose_items(task: Task, data: DataChoice) -> Chosen:
    """Read the records. Raises DatasetError, InputError (none fits the task)."""
    items, dropped = items_of(task, read_dataset(data.folder, data.split, images=False))
    return Chosen(task=task, data=data, items=tuple(items[: data.limit]), dropped=tuple(dropped))


def with_pixels(items: Iterable[Item], data: DataChoice) -> Iterator[Item]:
    """The items with their pictures, a shard at a time."""
    wanted: dict[str, list[Item]] = {}
    for item in items:
        wanted.setdefault(item.figure.id, []).append(item)
    for figure in read_dataset(data.folder, data.split) if wanted else ():
        for item in wanted.get(figure.id, ()):
            yield replace(item, figure=figure)


def chunk(items: Sequence[Item], number: int, of: int) -> Sequence[Item]:
    """Part `number` (from 0) `of` so many. Raises InputError."""
    if not 0 <= number < of:
        raise InputError(f"there is no chunk {number} of {of}", next_step=f"--chunk-idx is 0 to {of - 1}")
    size = -(-len(items) // of)
    return items[number * size : (number + 1) * size]


def ocr_context(items: Iterable[Item], options: PromptOptions, ocr: str) -> str:
    """What the model is given of the text in the figures: "none", "gold (pdf)", "engine (rapidocr)", or shares of them."""
    if not options.ocr:
        return "none"
    figures: dict[str, Figure] = {item.figure.id: item.figure for item in items}
    if ocr == "engine":
        return "engine (read anew)"
    kinds = Counter(_text_kind(figure) for figure in figures.values())
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{kind} {count / len(figures):.0%}" for kind, count in kinds.most_common())


def _text_kind(figure: Figure) -> str:
    sources = sorted({line.source or "unknown" for line in figure.ocr})
    if not sources:
        return "none"
    return f"{'gold' if GOLD.issuperset(sources) else 'engine'} ({'+'.join(sources)})"


def begin(out: Path, asked: Mapping[str, Any]) -> None:
    """Write the manifest, or go on with a run that was asked the same. Raises InputError that names what differs."""
    path, asked = out / "run.json", json.loads(json.dumps(asked))
    if path.exists():
        manifest = read_json(path)
        before = manifest.get("asked") if isinstance(manifest, dict) else None
        if not isinstance(before, dict):
            raise InputError("is no manifest of a run", where=str(path), next_step="Give another --out")
        changed = [
            f"{name}: {before.get(name)!r} before, {asked.get(name)!r} now"
            for name in {**before, **asked}
            if before.get(name) != asked.get(name)
        ]
        if changed:
            raise InputError(
                f"holds answers to something else ({'; '.join(changed)[:300]})",
                where=str(out),
                next_step="Give another --out",
            )
        return
    if next(out.glob("answers*.jsonl"), None):
        raise InputError("has answers but no run.json", where=str(out), next_step="Give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT, "asked": asked, "begun": now(), "versions": versions(), "words": PINNED})
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=str(out)) from error


def read_run(out: Path, items: Sequence[Item]) -> Joined:
    """The answers in a run's folder, of all its processes."""
    files = sorted(out.glob("answers*.jsonl"))
    if not files:
        raise InputError("there are no answers here (answers.jsonl)", where=str(out))
    return join(items, *read_answers(files))


def check_complete(joined: Joined, *, partial: bool) -> None:
    """Raises InputError where answers are missing: an average over the others would be another set's."""
    if not joined.pairs:
        raise InputError("no item has an answer", next_step="Do the ids of answers and data set belong together?")
    if joined.missing and not partial:
        names = ", ".join(joined.missing[:SHOWN_IDS]) + (", …" if len(joined.missing) > SHOWN_IDS else "")
        total = len(joined.missing) + len(joined.pairs)
        raise InputError(
            f"{len(joined.missing)} of {total} items have no answer ({names})",
            next_step="The same command asks for them again; --partial scores the others, marked so",
        )


def metrics(
    chosen: Chosen,
    joined: Joined,
    context: str,
    *,
    resamples: int,
    instruments: Instruments = NOTHING,
    not_computed: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The contents of metrics.json; `not_computed`: scores whose instrument could not be opened, and why."""
    failed = dict(not_computed)
    measures = measure_all(joined.pairs, instruments, failed)
    return {
        "format": FORMAT,
        "task": chosen.task.name,
        "items": len(chosen.items),
        "answered": len(joined.pairs),
        "complete": joined.complete,
        "ocr_context": context,
        "problems": joined.counts,
        "left_out": dict(Counter(drop.reason for drop in chosen.dropped)),
        "data": chosen.fingerprint,
        "words": PINNED,
        "not_computed": failed,
        "scores": score_rows(measures, chosen.groups, context, resamples),
    }


def score_rows(
    measures: Sequence[Measure], groups: Mapping[str, str], context: str, resamples: int
) -> list[dict[str, Any]]:
    """Scores as plain values, with their intervals and what the model was given of the figures' text."""
    ends = intervals(measures, groups, resamples=resamples)
    return [_score_row(measure, one, context) for measure, one in zip(measures, ends, strict=True)]


def _score_row(measure: Measure, ends: Interval | None, context: str) -> dict[str, Any]:
    value = measure.value
    return {
        "name": measure.name,
        "flavour": measure.flavour,
        "value": value,
        "interval": [ends.low, ends.high] if ends and value is not None else None,
        "items": len(measure.rows),
        "best": measure.scale or None,
        "ocr_context": context,
        "note": measure.note,
    }


def compare_runs(
    first: Joined, second: Joined, groups: Mapping[str, str], *, resamples: int, instruments: Instruments = NOTHING
) -> list[dict[str, Any]]:
    """Every score that both runs have, over the items that both have answered, as plain values."""
    common = {pair.item.id for pair in first.pairs} & {pair.item.id for pair in second.pairs}
    before, after = (
        {one.key: one for one in measure_all([pair for pair in run.pairs if pair.item.id in common], instruments)}
        for run in (first, second)
    )
    both = [(before[key], after[key]) for key in before if key in after]
    told = [(one, compare(one, other, groups, resamples=resamples)) for one, other in both]
    return [_difference_row(measure, difference) for measure, difference in told if difference is not None]


def _difference_row(measure: Measure, difference: Difference) -> dict[str, Any]:
    ends = difference.interval
    return {
        "name": measure.name,
        "flavour": measure.flavour,
        "first": difference.first,
        "second": difference.second,
        "difference": difference.value,
        "interval": [ends.low, ends.high] if ends else None,
        "p_value": difference.p_value,
        "items": difference.items,
    }


def asked_of(chosen: Chosen, options: PromptOptions | None, **more: Any) -> dict[str, Any]:
    """What has to be the same for a run to go on."""
    shown = asdict(options) if options else None
    limit = {"limit": chosen.data.limit} if chosen.data.limit else {}
    return {
        "task": chosen.task.name,
        "split": chosen.data.split,
        "data": chosen.fingerprint,
        "prompt": shown,
        **limit,
        **more,
    }
