"""Scores of tables that were read from charts. In: answers beside the true tables. Out: measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llava_graph.errors import TableRefused
from llava_graph.evaluate.answered import Pair
from llava_graph.evaluate.measure import PUBLISHED, STRICT, Measure, mean
from llava_graph.evaluate.table_similarity import (
    Similarity,
    numbers_of,
    published_rms,
    published_rnss,
    rms,
    rnss,
)
from llava_graph.record import Table
from llava_graph.tables.linearised import read_table

NOTHING = Similarity(0.0, 0.0, 0.0)
SCRIPT = "deplot/metrics.py on the lines as they are"


def tables(pairs: Sequence[Pair]) -> list[Measure]:
    """RMS and RNSS; an answer without a table counts as nothing read. Not scored: a record without its true table."""
    known = [(pair, pair.item.figure.table) for pair in pairs]
    found = {pair.item.id: (_table_of(pair), true) for pair, true in known if true is not None}
    strict = {name: rms(said, true) if said else NOTHING for name, (said, true) in found.items()}
    lines = {pair.item.id: _lines(pair.text, true) for pair, true in known if true is not None}
    published = {name: published_rms(*both) for name, both in lines.items()}
    numbers = {
        name: rnss(numbers_of(said), numbers_of(true)) if said else 0.0
        for name, (said, true) in found.items()
        if numbers_of(true)
    }
    return [
        *_three(PUBLISHED, published, SCRIPT),
        mean("RNSS", PUBLISHED, {name: published_rnss(*both) for name, both in lines.items()}, note=SCRIPT),
        *_three(STRICT, strict, "of the tables that are read from the answers"),
        mean("RNSS", STRICT, numbers, note="charts with a number"),
        mean(
            "no table in the answer",
            STRICT,
            {name: float(said is None) for name, (said, _) in found.items()},
            note="counted as 0",
        ),
    ]


def _three(flavour: str, found: Mapping[str, Similarity], note: str) -> list[Measure]:
    return [
        mean("RMS precision", flavour, {name: one.precision for name, one in found.items()}, note=note),
        mean("RMS recall", flavour, {name: one.recall for name, one in found.items()}, note=note),
        mean("RMS F1", flavour, {name: one.f1 for name, one in found.items()}, note=note),
    ]


def _table_of(pair: Pair) -> Table | None:
    try:
        return read_table(pair.text, cut=pair.finish_reason == "length").table
    except TableRefused:
        return None


def _lines(text: str, true: Table) -> tuple[str, str]:
    """(the answer, the true table) as the script takes them; without a title where the true table has none."""
    said = text.replace("<0x0A>", "\n").strip().splitlines()
    rows = [" | ".join(row) for row in (true.header, *true.rows)]
    if true.title:
        rows.insert(0, f"TITLE | {true.title}")
    elif said and said[0].startswith("TITLE |"):
        said = said[1:]
    return "\n".join(line.strip() for line in said), "\n".join(rows)
