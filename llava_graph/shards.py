"""What one shard holds on disk: figure records and dropped items as parquet, and `shard.json` with its counts."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llava_graph.columns import DROPPED, FIGURES, with_features
from llava_graph.durable import put_in_place, read_json
from llava_graph.errors import DatasetError
from llava_graph.record import SPLITS, Dropped, Figure, split_of

ROWS_PER_GROUP = 64
"""Parquet row group: 64 figures of ~100 kB are read at once, so that streaming starts early."""


def read_rows(
    file: Path, *, images: bool = True, papers: Set[str] | None = None, without: Set[str] = frozenset()
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, row), a row group at a time; groups without one of `papers` are skipped, columns `without` not read."""
    number = 0
    try:
        with pq.ParquetFile(file) as parquet:
            left_out = {*without, *([] if images else ["image"])}
            columns = [name for name in parquet.schema_arrow.names if name not in left_out]
            for group in range(parquet.num_row_groups):
                if papers is not None and papers.isdisjoint(_paper_ids(parquet, group)):
                    number += parquet.metadata.row_group(group).num_rows
                    continue
                for row in parquet.read_row_group(group, columns=columns).to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"the shard is broken ({error})", where=str(file), next_step="Delete its folder and build again"
        ) from error


def _paper_ids(parquet: pq.ParquetFile, group: int) -> list[str]:
    return [row["paper"]["id"] for row in parquet.read_row_group(group, columns=["paper.id"]).to_pylist()]


def iterate_dropped(folder: Path) -> Iterator[Dropped]:
    """What all shards of a data set leave out, in their order."""
    for file in sorted((folder / "data").glob("shard-*/dropped.parquet")):
        for _, row in read_rows(file):
            yield Dropped(**row)


def read_shards(out: Path) -> list[dict[str, Any]]:
    """`shard.json` of every shard, in order."""
    return [read_json(file) for file in sorted((out / "data").glob("shard-*/shard.json"))]


def remove_shards(out: Path, pattern: str) -> None:
    """Remove shards whole: one that is half removed has a name that nobody reads."""
    for shard in (out / "data").glob(pattern):
        doomed = shard.with_name(f".tmp-{shard.name.removeprefix('.tmp-')}")
        shutil.rmtree(shard.replace(doomed))


def write_rows(folder: Path, figures: Sequence[Figure], dropped: Sequence[Dropped]) -> dict[str, Any]:
    """The parquet files of one shard. Returns their counts."""
    by_split: dict[str, list[Figure]] = {name: [] for name in SPLITS}
    for figure in figures:
        settled = figure if figure.split else replace(figure, split=split_of(figure.paper.id or figure.id))
        by_split[settled.split].append(settled)
    for name, rows in by_split.items():
        if rows:
            write_parquet(folder / f"{name}.parquet", [figure.to_row() for figure in rows], with_features(FIGURES))
    write_parquet(folder / "dropped.parquet", [asdict(item) for item in dropped], DROPPED)
    return {
        "splits": {name: len(rows) for name, rows in by_split.items() if rows},
        "dropped": dict(Counter(item.reason for item in dropped)),
        "licences": dict(Counter(figure.licence or "unknown" for figure in figures)),
        "sources": dict(Counter(figure.source or "unknown" for figure in figures)),
    }


def write_dropped(out: Path) -> None:
    """dropped.parquet of the whole data set, from its shards."""
    part = out / "dropped.parquet.part"
    write_parquet(part, [asdict(item) for item in iterate_dropped(out)], DROPPED)
    put_in_place(part, out / "dropped.parquet")


def write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """One table, in small row groups."""
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=ROWS_PER_GROUP)
