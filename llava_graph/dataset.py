"""Figure records on disk: a folder of parquet shards that `datasets.load_dataset` opens as it is.

    OUT/data/shard-00000/train.parquet  validation.parquet  test.parquet  dropped.parquet  shard.json
    OUT/README.md (data card)  OUT/dropped.parquet  OUT/build.json

A shard is the unit of work, of atomicity and of resuming: it is written beside its place and renamed.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llava_graph.card import data_card
from llava_graph.columns import DROPPED, FIGURES, with_features
from llava_graph.errors import DatasetError, did_you_mean
from llava_graph.record import SPLITS, Dropped, Figure, split_of

FORMAT = 2
"""Raised when a reader of the old layout could no longer read the new one."""
ROWS_PER_GROUP = 64
"""Parquet row group: 64 figures of ~100 kB are read at once, so that streaming starts early."""


@dataclass(frozen=True, kw_only=True)
class BuildSummary:
    """What a build holds. `figures + sum(dropped.values())` is what was seen."""

    keys: int
    """Units of work done: papers, files."""
    figures: int
    splits: dict[str, int]
    dropped: dict[str, int]
    """reason -> count"""
    licences: dict[str, int]
    sources: dict[str, int]


class DatasetWriter:
    """Writes shards into a folder that can be left and taken up again at any shard."""

    def __init__(self, out: Path, *, options: Mapping[str, Any], overwrite: bool = False) -> None:
        """Begin, or go on with, the data set in `out`. Raises DatasetError if it was begun with other options."""
        self.out = Path(out)
        self.options = json.loads(json.dumps(dict(options)))
        if overwrite and (self.out / "build.json").exists():
            shutil.rmtree(self.out)
        self._open()
        self._shards = _read_shards(self.out)
        self.done: frozenset[str] = frozenset(key for shard in self._shards for key in shard["keys"])

    def _open(self) -> None:
        manifest = self.out / "build.json"
        if manifest.exists():
            begun = read_json(manifest)
            if begun.get("options") != self.options:
                changed = _changed(begun.get("options", {}), self.options)
                raise DatasetError(
                    f"the data set was begun with other options ({changed})",
                    where=str(self.out),
                    next_step="Use the same options to go on, another --out, or --overwrite to begin anew",
                )
        elif self.out.exists() and any(self.out.iterdir()):
            raise DatasetError(
                "the folder is not empty and holds no data set of ours",
                where=str(self.out),
                next_step="Give another --out",
            )
        (self.out / "data").mkdir(parents=True, exist_ok=True)
        for leftover in (self.out / "data").glob(".tmp-*"):  # of a killed build
            shutil.rmtree(leftover)
        if not manifest.exists():
            write_json(
                manifest, {"format": FORMAT, "options": self.options, "versions": _versions(), "finished": False}
            )

    def write_shard(self, keys: Sequence[str], figures: Sequence[Figure], dropped: Sequence[Dropped] = ()) -> None:
        """Write one shard for the units of work `keys`, at once or not at all."""
        number = max((shard["number"] for shard in self._shards), default=-1) + 1
        folder = self.out / "data" / f".tmp-{number:05d}"
        folder.mkdir()
        by_split: dict[str, list[Figure]] = {name: [] for name in SPLITS}
        for figure in figures:
            settled = figure if figure.split else replace(figure, split=split_of(figure.paper.id or figure.id))
            by_split[settled.split].append(settled)
        for name, rows in by_split.items():
            if rows:
                _write_parquet(folder / f"{name}.parquet", [figure.to_row() for figure in rows], with_features(FIGURES))
        _write_parquet(folder / "dropped.parquet", [asdict(item) for item in dropped], DROPPED)
        shard = {
            "number": number,
            "keys": list(keys),
            "splits": {name: len(rows) for name, rows in by_split.items() if rows},
            "dropped": dict(Counter(item.reason for item in dropped)),
            "licences": dict(Counter(figure.licence or "unknown" for figure in figures)),
            "sources": dict(Counter(figure.source or "unknown" for figure in figures)),
        }
        write_json(folder / "shard.json", shard)
        folder.rename(self.out / "data" / f"shard-{number:05d}")
        self._shards.append(shard)
        self.done |= frozenset(keys)

    def summary(self) -> BuildSummary:
        """Counts over all shards so far."""

        def total(name: str) -> dict[str, int]:
            return dict(sum((Counter(shard[name]) for shard in self._shards), Counter()).most_common())

        splits = total("splits")
        return BuildSummary(
            keys=len(self.done),
            figures=sum(splits.values()),
            splits={name: splits[name] for name in SPLITS if name in splits},
            dropped=total("dropped"),
            licences=total("licences"),
            sources=total("sources"),
        )

    def finish(self) -> BuildSummary:
        """Write dropped.parquet, build.json and the data card."""
        summary = self.summary()
        _write_parquet(self.out / "dropped.parquet", [asdict(item) for item in _iterate_dropped(self.out)], DROPPED)
        _write_text(self.out / "README.md", data_card(self.out.name, self.options, asdict(summary)))
        write_json(
            self.out / "build.json",
            {
                "format": FORMAT,
                "options": self.options,
                "versions": _versions(),
                "finished": True,
                "counts": asdict(summary),
            },
        )
        return summary


def write_dataset(
    figures: Iterable[Figure],
    out: Path,
    *,
    dropped: Iterable[Dropped] = (),
    options: Mapping[str, Any] | None = None,
    shard_rows: int = 1000,
) -> BuildSummary:
    """Write all `figures` to a new folder `out`, `shard_rows` a shard. For work that can be killed use DatasetWriter."""
    writer = DatasetWriter(out, options=options or {})
    batch: list[Figure] = []
    for figure in figures:
        batch.append(figure)
        if len(batch) == shard_rows:
            writer.write_shard([item.id for item in batch], batch)
            batch = []
    left_out = list(dropped)
    if batch or left_out:
        writer.write_shard([item.id for item in batch], batch, left_out)
    return writer.finish()


def read_dataset(
    folder: Path | str, split: str | None = None, *, images: bool = True, papers: Set[str] | None = None
) -> Iterator[Figure]:
    """Every figure of a data set, shard by shard. Raises DatasetError (no data set, broken shard) and RecordError.

    Without `images` the pixels stay on disk (`image` is None). With `papers` only figures of papers with these ids come, and
    no pixels are read where there are none of them.
    """
    folder = Path(folder)
    if split is not None and split not in SPLITS:
        raise DatasetError(f"unknown split {split!r}", where=str(folder), next_step=did_you_mean(split, SPLITS))
    for file in _files(folder, split):
        for number, row in _rows(file, images=images, papers=papers):
            figure = Figure.from_row(row, f"{file.relative_to(folder)} row {number}")
            if papers is not None and figure.paper.id not in papers:
                continue
            if isinstance(figure.image, Path) and not figure.image.is_absolute():
                figure = replace(figure, image=file.parent / figure.image)
            yield figure


def read_dropped(folder: Path | str) -> Iterator[Dropped]:
    """What was left out and why, in the order of the shards."""
    _files(Path(folder), None)
    yield from _iterate_dropped(Path(folder))


def is_dataset(folder: Path | str) -> bool:
    """Whether `folder` is a data set of ours."""
    return (Path(folder) / "build.json").is_file() and (Path(folder) / "data").is_dir()


def _files(folder: Path, split: str | None) -> list[Path]:
    if not is_dataset(folder):
        raise DatasetError("no data set of ours (build.json and data/ are missing)", where=str(folder))
    names = [split] if split else SPLITS
    return [
        file
        for shard in sorted((folder / "data").glob("shard-*"))
        for name in names
        if (file := shard / f"{name}.parquet").exists()
    ]


def _rows(file: Path, *, images: bool = True, papers: Set[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, row), a row group at a time; groups without one of `papers` are skipped."""
    number = 0
    try:
        with pq.ParquetFile(file) as parquet:
            columns = [name for name in parquet.schema_arrow.names if images or name != "image"]
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


def _iterate_dropped(folder: Path) -> Iterator[Dropped]:
    for file in sorted((folder / "data").glob("shard-*/dropped.parquet")):
        for _, row in _rows(file):
            yield Dropped(**row)


def _read_shards(out: Path) -> list[dict[str, Any]]:
    return [read_json(file) for file in sorted((out / "data").glob("shard-*/shard.json"))]


def _write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    part = path.with_name(path.name + ".part")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), part, row_group_size=ROWS_PER_GROUP)
    part.replace(path)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return ", ".join(f"{name}: {old.get(name)!r} then, {new.get(name)!r} now" for name in names)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("llava-graph", "pyarrow", "pypdfium2", "pylatexenc", "rapidocr", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_json(path: Path) -> Any:
    """A JSON file; a broken one is a DatasetError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read as JSON ({error})", where=str(path)) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON beside its place and rename, so that a reader never sees half a file."""
    _write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
