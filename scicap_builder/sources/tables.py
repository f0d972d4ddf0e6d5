"""Tables as data sets publish them (JSON lists, JSON lines, CSV, parquet, pickles of plain values, a folder of JSON files): rows
by place, and their values checked by name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import pickle
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_graph.errors import DatasetError, SampleRefused, did_you_mean
from llava_graph.json_records import JsonRecords
from scicap_builder.sources.contract import Rows

LOOKED_AT = 20
"""First rows that are searched for the columns: one damaged row is no wrong table."""
MAX_CELL = 16 * 2**20
"""Characters of a CSV cell; Python's own limit, 131,072, is shorter than some captions with reports."""


def json_rows(path: Path, columns: Sequence[str] = (), key: str = "") -> Rows:
    """A JSON list, JSON lines, or the list under `key`. Raises DatasetError for a broken file and for missing columns."""
    rows = JsonRecords(path, key)
    check_columns(rows, columns, path)
    return rows


def csv_rows(path: Path, columns: Sequence[str], *, only: bool = False) -> list[dict[str, str]]:
    """A CSV file with a head line, also packed (.gz); with `only` nothing but `columns` is kept. Raises DatasetError."""
    csv.field_size_limit(MAX_CELL)
    unpack = gzip.open if path.suffix == ".gz" else open
    try:
        with unpack(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            _need(names, columns, path)
            if only:
                return [{name: row.get(name) or "" for name in columns} for row in reader]
            return [dict(row) for row in reader]
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise DatasetError(f"cannot be read as CSV ({error})", where=str(path)) from error


class ParquetRows:
    """The rows of parquet files as the Hugging Face hub stores data sets, a row group in memory."""

    def __init__(self, paths: Sequence[Path], columns: Sequence[str]) -> None:
        """Raises DatasetError for a broken file and for missing columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._groups: list[tuple[Path, int, int]] = []
        self._count, self._held = 0, -1
        self._rows: list[dict[str, Any]] = []
        for path in paths:
            try:
                with pq.ParquetFile(path) as file:
                    _need(file.schema_arrow.names, columns, path)
                    for number in range(file.num_row_groups):
                        self._groups.append((path, number, self._count))
                        self._count += file.metadata.row_group(number).num_rows
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(f"cannot be read as parquet ({error})", where=str(path)) from error

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        import pyarrow.parquet as pq

        place = max(number for number, (_, _, first) in enumerate(self._groups) if first <= index)
        path, group, first = self._groups[place]
        if place != self._held:
            with pq.ParquetFile(path) as file:
                self._rows = file.read_row_group(group).to_pylist()
            self._held = place
        return self._rows[index - first]


class JsonFiles:
    """A folder with a JSON file a row, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(path.name for path in folder.glob("*.json"))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        path = self.folder / self.names[index]
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise SampleRefused(f"{path.name} is no JSON ({error})", reason="bad-record") from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only lists, dicts and texts are read")


def pickle_rows(path: Path, columns: Sequence[str]) -> Rows:
    """A pickled list of dicts of plain values; nothing that a pickle could run is run. Raises DatasetError."""
    try:
        rows = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except (
        OSError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise DatasetError(f"cannot be read as a pickle of plain values ({error})", where=str(path)) from error
    if not isinstance(rows, list):
        raise DatasetError("must hold a list", where=str(path))
    check_columns(rows, columns, path)
    return rows


def check_columns(rows: Rows, columns: Sequence[str], path: Path) -> None:
    """Refuse a table none of whose first rows has all `columns`. Raises DatasetError with the nearest known name."""
    first: Mapping[str, Any] | None = None
    for index in range(min(len(rows), LOOKED_AT)):
        try:
            row = rows[index]
        except SampleRefused:
            continue
        if isinstance(row, Mapping):
            if all(name in row for name in columns):
                return
            first = first if first is not None else row
    if first is not None:
        _need([str(name) for name in first], columns, path)
    elif len(rows) and columns:
        raise DatasetError(f"its rows are no records with {', '.join(columns)}", where=str(path))


def _need(names: Sequence[str], columns: Sequence[str], path: Path) -> None:
    for column in columns:
        if column not in names:
            raise DatasetError(f"has no column {column!r}", where=str(path), next_step=did_you_mean(column, names))


def record(row: Any) -> Mapping[str, Any]:
    """The row as a mapping. Raises SampleRefused (bad-record)."""
    if not isinstance(row, Mapping):
        raise SampleRefused(f"the row is no record but {type(row).__name__}", reason="bad-record")
    return row


def text(row: Mapping[str, Any], *names: str) -> str:
    """The first of these values that says something, as one stripped text; empty if none does.

    Numbers are written out (VQA-RAD has answers that are numbers); NaN and null say nothing. Raises SampleRefused (bad-record)
    for a list or an object, and for half a character.
    """
    for name in names:
        value = row.get(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        if isinstance(value, list | dict):
            raise SampleRefused(f"{name!r} must be a text, got {type(value).__name__}", reason="bad-record")
        words = str(value).strip()
        try:
            words.encode()
        except UnicodeEncodeError as error:
            raise SampleRefused(f"half a character in {name!r}", reason="bad-record") from error
        if words and words.lower() != "nan":
            return words
    return ""


def need_text(row: Mapping[str, Any], *names: str) -> str:
    """The same; raises SampleRefused (no-question, no-answer, no-caption, …: after the first name) where there is nothing."""
    found = text(row, *names)
    if not found:
        near = did_you_mean(names[0], [str(name) for name in row]) if names[0] not in row else ""
        reason = "no-" + names[0].lower().replace(" ", "-").replace("_", "-")
        raise SampleRefused(f"nothing under {names[0]!r}", reason=reason, next_step=near)
    return found


def texts(values: Any) -> tuple[str, ...]:
    """A list of texts, or of lists of texts, without what is empty; a single text is a list of one."""
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        return ()
    flat: list[str] = []
    for value in values:
        flat += texts(value) if isinstance(value, list) else [value.strip()] if isinstance(value, str) else []
    return tuple(value for value in flat if value)
