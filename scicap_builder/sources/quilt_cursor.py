"""Quilt-LLaVA's traces (`cursor.parquet`, Seyfioglu et al. 2023): localized narratives without their videos.

A row has the cursor's points, what was said and when, and the published narrative. The subset says whose boxes: of
clusters under one of the time weightings, of the utterances' own time, or, as `kept`, the published text as it is.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llava_graph.errors import DatasetError, MissingExtra, SampleRefused
from llava_graph.record import Figure, Paper
from scicap_builder.narratives.clusters import BOXES, DEFAULT_CLUSTERS, MATCHES, WEIGHTINGS, ClusterOptions, Trace
from scicap_builder.narratives.localize import localize
from scicap_builder.narratives.read import narrative_turns
from scicap_builder.narratives.speech import spoken
from scicap_builder.narratives.text import read_narrative
from scicap_builder.sources.contract import HASHED, Entry, Part, PublishedFile, Source
from scicap_builder.sources.quilt import KIND, LICENCE
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import need_text, record

FILES = ("cursor.parquet", "cursor_small.parquet")
"""The published name, and the one that its code reads."""
NAME = "quilt-cursor"
KEPT = "kept"
TRACES = ("traces", "cursor")
"""The code's name of the column, and the README's."""
COLUMNS = (
    "unique_row_id", "video_id", "image_path", *TRACES, "extended_text_sentences_asrcorrected",
    "extended_text_time_asrcorrected", "clustered_whole_sentences", "width", "height",
)  # fmt: skip
NEEDED = ("unique_row_id", "video_id", "image_path", "extended_text_time_asrcorrected")
FOLDERS = ("", "images", "quilt_instruct", "quilt_1m")
MOST_OUTSIDE = 2.0
"""Images' sides that a cursor may be off in the median; beyond it a trace is in px, or in per cent."""
BATCH_ROWS = 128
"""pandas writes one row group of all rows: 333 MB of traces, many times that as Python's objects."""


class TraceRows:
    """The rows of the file in their order, a batch in memory; going back begins the file anew."""

    def __init__(self, path: Path) -> None:
        """Raises DatasetError for a broken file and for missing columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        self._first, self._rows = 0, list[dict[str, Any]]()
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                self._count = file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"cannot be read as parquet ({error})", where=str(path)) from error
        missing = [name for name in NEEDED if name not in names]
        if not any(name in names for name in TRACES):
            missing.append(TRACES[0])
        if missing:
            raise DatasetError(
                f"has no column {missing[0]!r}", where=str(path), next_step=f"It has: {', '.join(sorted(names))}"
            )
        self._columns = [name for name in COLUMNS if name in names]
        self._batches = self._read()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index < self._first:
            self._batches, self._first, self._rows = self._read(), 0, []
        while index >= self._first + len(self._rows):
            self._first += len(self._rows)
            self._rows = next(self._batches)
        return self._rows[index - self._first]

    def _read(self) -> Iterator[list[dict[str, Any]]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=self._columns):
                    yield batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"is broken ({error})", where=str(self._path)) from error


def _row(row: Any, _: int, *, options: ClusterOptions | None) -> Entry:
    """One row's narrative. Its id and its video are the published ones."""
    row, repairs = record(row), tuple[str, ...]()
    if options is None:
        parts = read_narrative(need_text(row, "clustered_whole_sentences"))
    else:
        try:
            speech = spoken(_value(row, "extended_text_time_asrcorrected"))
            parts = localize(_trace(row), speech.utterances, options, caption=_caption(row), size=_size(row))
            repairs = ("bad-utterances",) if speech.bad else ()
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "sklearn", "narratives", needed_for=NAME) from error
    video, images = need_text(row, "video_id"), _images(row)
    boxes = "boxes" if any(part.box for part in parts) else "plain"
    figure = Figure(
        id=f"{NAME}:{need_text(row, 'unique_row_id')}",
        kind=KIND,
        paper=Paper(id=f"youtube:{video}"),
        turns=narrative_turns(parts),
        source=f"{NAME}/{boxes}",
    )
    pictures = tuple(f"{folder}/{images[0]}" if folder else images[0] for folder in FOLDERS)
    return Entry(figure=figure, pictures=pictures, repairs=repairs)


def _trace(row: Mapping[str, Any]) -> Trace:
    """Raises SampleRefused (bad-trace): no points, or one without numbers."""
    points = _value(row, *TRACES)
    if not isinstance(points, list) or not points:
        raise SampleRefused("no points", reason="bad-trace")
    try:
        trace = np.array([[float(point[axis]) for axis in "xyt"] for point in points])
    except (TypeError, KeyError, ValueError) as error:
        raise SampleRefused(f"a point is no {{x, y, t}} ({error!r})", reason="bad-trace") from error
    if not np.isfinite(trace).all():
        raise SampleRefused("a point is not finite", reason="bad-trace")
    if np.abs(np.median(trace[:, :2], axis=0)).max() > MOST_OUTSIDE:
        raise SampleRefused("its points are no shares of the image, 0..1", reason="bad-trace")
    return trace


def _caption(row: Mapping[str, Any]) -> str:
    """The text whose words decide how many clusters there are; empty: the utterances."""
    value = _value(row, "extended_text_sentences_asrcorrected")
    if isinstance(value, Mapping):
        value = value.get("utterance")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) in px of the video, by which the published script rounds points; None where they are not known."""
    sides = [row.get(name) for name in ("width", "height")]
    known = [int(side) for side in sides if isinstance(side, int | float) and math.isfinite(side) and side >= 1]
    return (known[0], known[1]) if len(known) == 2 else None


def _images(row: Mapping[str, Any]) -> list[str]:
    value = _value(row, "image_path")
    names = [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str) and name.strip()]
    if not names:
        raise SampleRefused("nothing under 'image_path'", reason="no-image")
    return [name.strip().rpartition("/")[2] for name in names]


def _value(row: Mapping[str, Any], *names: str) -> Any:
    """The first of these values that is there; a list or an object that was written as text is read."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return value


def _parts(root: Root, subset: str) -> list[Part]:
    path = root.need(*FILES)
    read = partial(_row, options=_options(subset))
    return [Part(name=path.name, rows=TraceRows(path), read=read, path=path)]


def _options(subset: str) -> ClusterOptions | None:
    """None: the published text is taken."""
    if subset == KEPT:
        return None
    if subset in BOXES:
        return ClusterOptions(boxes=subset)
    return ClusterOptions(weighting=subset, match=MATCHES[0] if subset == "published" else DEFAULT_CLUSTERS.match)


SOURCE = Source(
    name=NAME,
    title="Quilt-LLaVA's cursor traces as localized narratives",
    home="https://huggingface.co/datasets/wisdomik/QUILT-LLaVA-Instruct-107K",
    hub="wisdomik/QUILT-LLaVA-Instruct-107K",
    licence=LICENCE,
    access="on request",
    split=f"{HASHED} (of the video)",
    files=(
        PublishedFile(name=FILES[0], holds="traces, utterances, the published narratives", required=True),
        PublishedFile(name="images", holds="images, given out on request"),
    ),
    parts=_parts,
    subsets=(*WEIGHTINGS, BOXES[1], KEPT),
)
