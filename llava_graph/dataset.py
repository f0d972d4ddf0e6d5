"""Figure records on disk: a folder of parquet shards that `datasets.load_dataset` opens as it is.

    OUT/data/shard-00000/train.parquet  validation.parquet  test.parquet  dropped.parquet  shard.json
    OUT/README.md (data card)  OUT/dropped.parquet  OUT/build.json

A shard is the unit of work, of atomicity and of resuming: it is written beside its place and renamed.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llava_graph.card import data_card
from llava_graph.durable import FolderLock, put_in_place, read_json, write_json, write_text
from llava_graph.errors import DatasetError, did_you_mean
from llava_graph.record import SPLITS, Dropped, Figure
from llava_graph.shards import iterate_dropped, read_rows, read_shards, remove_shards, write_dropped, write_rows

FORMAT = 2
"""Raised when a reader of the old layout could no longer read the new one."""
_BEGINNINGS = frozenset({FolderLock.NAME, "build.json.part", "data"})


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
    """Writes shards into a folder that can be left and taken up again at any shard. One process at a time holds the folder.

    A context manager; `close` gives the folder back. Raises DatasetError where the folder cannot be written or is full.
    """

    def __init__(self, out: Path, *, options: Mapping[str, Any], overwrite: bool = False) -> None:
        """Begin, or go on with, the data set in `out`. Raises DatasetError if it was begun otherwise, or is being written."""
        self.out = Path(out)
        self.options = json.loads(json.dumps(dict(options)))
        with self._writing():
            self._refuse_foreign()
            self.out.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.out)
            try:
                self._open(overwrite)
                self._shards = read_shards(self.out)
            except BaseException:
                self.close()
                raise
        self.done: frozenset[str] = frozenset(key for shard in self._shards for key in shard["keys"])
        self.places: dict[str, Any] = {}
        """key -> what the builder wrote down about where the unit of work came from."""
        for shard in self._shards:
            self.places |= shard.get("places", {})

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write here."""
        self._lock.close()

    def _refuse_foreign(self) -> None:
        """Leave somebody else's files alone. Of ours, a build that was killed as it began leaves no more than `_BEGINNINGS`."""
        if (self.out / "build.json").exists() or not self.out.exists():
            return
        names = {file.name for file in self.out.iterdir()}
        if names - _BEGINNINGS or ("data" in names and any((self.out / "data").iterdir())):
            raise DatasetError(
                "the folder is not empty and holds no data set of ours",
                where=str(self.out),
                next_step="Give another --out",
            )

    def _open(self, overwrite: bool) -> None:
        manifest = self.out / "build.json"
        if manifest.exists() and overwrite:
            remove_shards(self.out, "shard-*")
            manifest.unlink()
        self._finished = False
        if manifest.exists():
            begun = read_json(manifest)
            self._refuse_other(begun)
            self._finished = bool(begun.get("finished"))
        else:
            self._write_manifest(finished=False)
        (self.out / "data").mkdir(exist_ok=True)
        remove_shards(self.out, ".tmp-*")  # of a killed build
        for leftover in self.out.glob("*.part"):
            leftover.unlink()

    def _refuse_other(self, begun: Mapping[str, Any]) -> None:
        if begun.get("format") != FORMAT:
            raise DatasetError(
                f"the data set has the layout {begun.get('format')}, this version writes {FORMAT}: they cannot be mixed",
                where=str(self.out),
                next_step="Give another --out, or --overwrite to begin anew",
            )
        if begun.get("options") != self.options:
            raise DatasetError(
                f"the data set was begun with other options ({_changed(begun.get('options', {}), self.options)})",
                where=str(self.out),
                next_step="Use the same options to go on, another --out, or --overwrite to begin anew",
            )

    def _write_manifest(self, *, finished: bool, counts: Mapping[str, Any] | None = None) -> None:
        state = {"format": FORMAT, "options": self.options, "versions": _versions(), "finished": finished}
        write_json(self.out / "build.json", state | ({"counts": counts} if counts else {}))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DatasetError(
                f"the data set cannot be written ({os.strerror(error.errno) if error.errno else error})",
                where=str(self.out),
                next_step="Make room or give another --out; the same command goes on where it stopped",
            ) from error

    def write_shard(
        self,
        keys: Sequence[str],
        figures: Sequence[Figure],
        dropped: Sequence[Dropped] = (),
        *,
        places: Mapping[str, Any] | None = None,
        beside: Callable[[Path], None] = lambda _: None,
    ) -> None:
        """Write one shard for the units of work `keys`, at once or not at all. `beside` puts more files into its folder."""
        number = max((shard["number"] for shard in self._shards), default=-1) + 1
        folder = self.out / "data" / f".tmp-{number:05d}"
        with self._writing():
            try:
                if self._finished:  # what build.json counts is no longer all
                    self._write_manifest(finished=False)
                    self._finished = False
                folder.mkdir()
                shard: dict[str, Any] = {"number": number, "keys": list(keys), "places": dict(places or {})}
                shard |= write_rows(folder, figures, dropped)
                beside(folder)
                write_json(folder / "shard.json", shard)
                put_in_place(folder, self.out / "data" / f"shard-{number:05d}")
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)  # a full disk needs the room
                raise
        self._shards.append(shard)
        self.done |= frozenset(keys)
        self.places |= shard["places"]

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

    def finish(self, *, notes: Mapping[str, str] | None = None) -> BuildSummary:
        """Write dropped.parquet, build.json and the data card, which tells `notes` about how the work went."""
        summary = self.summary()
        with self._writing():
            write_dropped(self.out)
            write_text(self.out / "README.md", data_card(self.out.name, self.options, asdict(summary), notes or {}))
            self._write_manifest(finished=True, counts=asdict(summary))
            self._finished = True
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
    with DatasetWriter(out, options=options or {}) as writer:
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
        for number, row in read_rows(file, images=images, papers=papers):
            figure = Figure.from_row(row, f"{file.relative_to(folder)} row {number}")
            if papers is not None and figure.paper.id not in papers:
                continue
            if isinstance(figure.image, Path) and not figure.image.is_absolute():
                figure = replace(figure, image=file.parent / figure.image)
            yield figure


def read_dropped(folder: Path | str) -> Iterator[Dropped]:
    """What was left out and why, in the order of the shards."""
    _files(Path(folder), None)
    yield from iterate_dropped(Path(folder))


def is_dataset(folder: Path | str) -> bool:
    """Whether `folder` is a data set of ours."""
    return (Path(folder) / "build.json").is_file() and (Path(folder) / "data").is_dir()


def _files(folder: Path, split: str | None) -> list[Path]:
    if not is_dataset(folder):
        raise DatasetError("no data set of ours (build.json and data/ are missing)", where=str(folder))
    layout = read_json(folder / "build.json").get("format", FORMAT)
    if layout > FORMAT:
        raise DatasetError(
            f"the data set has the layout {layout}, this version reads up to {FORMAT}",
            where=str(folder),
            next_step="Update llava-graph",
        )
    names = [split] if split else SPLITS
    return [
        file
        for shard in sorted((folder / "data").glob("shard-*"))
        for name in names
        if (file := shard / f"{name}.parquet").exists()
    ]


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], inside: str = "") -> str:
    """What differs, option by option: "subset: '' then, 'all' now, pairing.ocr: …"."""
    told = []
    for name in sorted(name for name in {*old, *new} if old.get(name) != new.get(name)):
        then, now = old.get(name), new.get(name)
        if isinstance(then, dict) and isinstance(now, dict):
            told.append(_changed(then, now, f"{inside}{name}."))
        else:
            told.append(f"{inside}{name}: {then!r} then, {now!r} now")
    return ", ".join(told)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("llava-graph", "pyarrow", "pypdfium2", "pylatexenc", "rapidocr", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
