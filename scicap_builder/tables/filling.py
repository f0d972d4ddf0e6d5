"""A data set and a model that reads charts in, the same records with their `table` out.

OUT/answers.jsonl has what the model said, word for word, as it comes: a killed run asks nothing twice, and `llava-graph evaluate
--task tables --answers` scores it. A record whose chart gives no table is kept as it is, and counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from llava_graph.dataset import BuildSummary, DatasetWriter, read_dataset
from llava_graph.durable import read_json, write_json
from llava_graph.errors import InputError, TableRefused
from llava_graph.evaluate.answered import TABLE, Item, Reply
from llava_graph.evaluate.answering import Asking, answer
from llava_graph.evaluate.answers import AnswerFile, read_answers
from llava_graph.explain import Answerer
from llava_graph.record import Dropped, Figure
from llava_graph.sampling import GenerationOptions
from llava_graph.tables.chart_model import ONLY_THE_PICTURE
from llava_graph.tables.linearised import read_table
from llava_graph.tables.requests import DEPLOT, TABLE_TOKENS
from scicap_builder.progress import tell

RECORDS_PER_SHARD = 256
READ, HAD_ONE, NO_CHART, NO_PICTURE = "read", "had-a-table", "no-chart", "no-picture"
ANSWERS = "answers.jsonl"


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which charts are read, and how."""

    request: str = DEPLOT
    max_new_tokens: int = TABLE_TOKENS
    all_kinds: bool = False
    """Figures of every kind, not charts alone."""
    replace: bool = False
    """Charts that have a table are read, too."""
    at_once: int = 8
    """Charts in a batch, or asked of a server at the same time."""
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What has become of the records."""

    summary: BuildSummary
    outcomes: Mapping[str, int]
    """read, had-a-table, no-chart, no-picture, or why there is no table -> records. They add up to all."""
    repairs: Mapping[str, int]
    """What was mended in tables -> tables."""


def fill_tables(folder: Path, out: Path, reader: Answerer, options: TableOptions = TableOptions()) -> Filled:
    """Write all records of `folder` to the data set `out`, with the tables that `reader` reads. Killed, the same call goes on.

    Raises InputError, DatasetError, and ServeError of the model's server, with all answers so far kept.
    """
    if out.resolve() == folder.resolve():
        raise InputError("--out is the data set itself", where=str(out), next_step="Give another --out")
    with DatasetWriter(out, options=_recorded(folder, reader, options), overwrite=options.overwrite) as writer:
        path = out / ANSWERS
        if options.overwrite:
            path.unlink(missing_ok=True)
        with AnswerFile(path, reader.name) as file:
            known = {reply.id: reply for reply in read_answers([path])[0] if reply.id not in writer.done}
            left = (figure for figure in read_dataset(folder) if figure.id not in writer.done)
            while batch := list(islice(left, RECORDS_PER_SHARD)):
                failed = _ask(reader, batch, known, file, options)
                done = [_filled(figure, known.pop(figure.id, None), failed, options) for figure in batch]
                places = {figure.id: told for figure, told in done}
                writer.write_shard(list(places), [figure for figure, _ in done], places=places)
        outcomes = Counter(str(told["outcome"]) for told in writer.places.values())
        repairs = Counter(reason for told in writer.places.values() for reason in told.get("repairs", ()))
        filled = Filled(
            summary=writer.finish(), outcomes=dict(outcomes.most_common()), repairs=dict(repairs.most_common())
        )
        write_json(out / "tables.json", {"outcomes": filled.outcomes, "repairs": filled.repairs})
    return filled


def _recorded(folder: Path, reader: Answerer, options: TableOptions) -> dict[str, Any]:
    begun = read_json(folder / "build.json") if (folder / "build.json").exists() else {}
    before = begun.get("options", {})
    kept = {name: before[name] for name in ("source", "licence", "access", "split") if name in before}
    how = {name: getattr(options, name) for name in ("request", "max_new_tokens", "all_kinds", "replace")}
    return {"builder": "tables", **kept, "from": folder.resolve().name, "model": reader.name, **how}


def _unread(figure: Figure, options: TableOptions) -> str:
    """Why a record is not asked about; empty if it is."""
    if figure.kind != "chart" and not options.all_kinds:
        return NO_CHART
    if figure.table is not None and not options.replace:
        return HAD_ONE
    return "" if figure.image is not None else NO_PICTURE


def _ask(
    reader: Answerer, batch: list[Figure], known: dict[str, Reply], file: AnswerFile, options: TableOptions
) -> dict[str, Dropped]:
    """Put the answers to a batch's charts into `known` and `file`; what failed. Raises ServeError."""
    wanted = [figure for figure in batch if figure.id not in known and not _unread(figure, options)]
    items = (Item(id=figure.id, figure=figure, question=options.request, reference="", kind=TABLE) for figure in wanted)
    generation = GenerationOptions(max_new_tokens=options.max_new_tokens, temperature=0)
    asking = Asking(options=ONLY_THE_PICTURE, generation=generation, at_once=options.at_once)
    failed: dict[str, Dropped] = {}
    for number, outcome in enumerate(answer(reader, items, asking), 1):
        if isinstance(outcome, Dropped):
            failed[outcome.item] = outcome
        elif outcome.finish_reason != "cancelled":
            # Without the question's mark: any task that asks for tables may score it.
            known[outcome.id] = replace(outcome, mark="")
            file.add(known[outcome.id])
        tell("charts", number, len(wanted))
    return failed


def _filled(
    figure: Figure, reply: Reply | None, failed: Mapping[str, Dropped], options: TableOptions
) -> tuple[Figure, dict[str, Any]]:
    """The record, and what has become of it."""
    if reply is None:
        lost = failed.get(figure.id)
        told: dict[str, Any] = {"outcome": lost.reason if lost else _unread(figure, options)}
        return figure, told | ({"detail": lost.detail[:200]} if lost else {})
    try:
        found = read_table(reply.text, cut=reply.finish_reason == "length", keep_ragged=False)
    except TableRefused as error:
        # A table that was to be read anew is not the model's: it goes.
        return replace(figure, table=None), {"outcome": error.reason}
    repairs = {repair.reason: repair.count for repair in found.repairs}
    return replace(figure, table=found.table), {"outcome": READ, **({"repairs": repairs} if repairs else {})}


def unread_lines(filled: Filled) -> Iterator[str]:
    """What a person is told at the end."""
    outcomes = dict(filled.outcomes)
    read = outcomes.pop(READ, 0)
    others = "".join(f", {reason} {count}" for reason, count in outcomes.items())
    yield f"{read} tables read in {filled.summary.figures} records{others}"
    if filled.repairs:
        yield "mended tables: " + ", ".join(f"{reason} {count}" for reason, count in filled.repairs.items())
