"""The import: the folder of a published data set in, a data set of figure records out, by the writer that the builder uses.

Every row is a record, or is dropped with its reason. Killed, the same command goes on after the last shard.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from llava_graph.dataset import BuildSummary, DatasetWriter, read_dropped
from llava_graph.durable import write_json
from llava_graph.errors import DatasetError, RecordError, SampleRefused
from llava_graph.record import Dropped, Figure, plain
from scicap_builder.progress import tell
from scicap_builder.sources.contract import Entry, ImportOptions, Part, Source
from scicap_builder.sources.integrity import Integrity, integrity_of, tables_of
from scicap_builder.sources.pixels import MISSING, NoImage, Pixels
from scicap_builder.sources.root import Root

ROWS_PER_SHARD = 1000
BYTES_PER_SHARD = 256 * 2**20
WINDOW = 64
"""Rows whose images are decoded side by side before they are kept in order."""
DUPLICATE = "duplicate"
TOLD = 5
"""Missing images that the report names."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import came to. `summary` is of the whole data set; None where only a look was asked for."""

    source: Source
    out: Path | None
    summary: BuildSummary | None
    integrity: Integrity


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A row that has become a record, or was left out, and what else is to be counted."""

    result: Figure | Dropped
    counts: tuple[str, ...] = ()
    """Repairs, and "image-missing" or "image-broken" of a record that is kept without its image."""
    place: str = ""
    """Of its image, for telling two rows with one id apart."""


def import_source(source: Source, root: Path, out: Path, options: ImportOptions = ImportOptions()) -> Imported:  # noqa: B008
    """Read the published data set below `root` into the data set `out`.

    Raises InputError (no such folder or subset) and DatasetError (a file that is missing or broken as a whole, `out` begun
    otherwise, a missing image under the policy "fail"). `scicap_builder.progress.listening` hears how far it is.
    """
    subset = source.subset(options.subset)
    place = Root(root, options.image_folder)
    try:
        parts = source.parts(place, subset)
        if options.check:
            run = _Run(source=source, root=place, options=options)
            run.all(parts)
            return run.outcome(parts)
        with DatasetWriter(
            out, options=recorded(source, subset, parts, options), overwrite=options.overwrite
        ) as writer:
            run = _Run(source=source, root=place, options=options, writer=writer)
            run.take_up()
            run.all(parts)
            summary = writer.finish()
            done = run.outcome(parts, summary)
            write_json(out / "integrity.json", asdict(done.integrity))
    finally:
        place.close()
    return done


def recorded(source: Source, subset: str, parts: list[Part], options: ImportOptions) -> dict[str, Any]:
    """What build.json and the data card keep, and what must be the same when an import goes on."""
    return {
        "builder": "import",
        "source": source.name,
        "subset": subset,
        "title": source.title,
        "home": source.home,
        "licence": source.record_licence,
        "access": source.access,
        "split": source.split,
        "missing_images": options.missing_images,
        "pixels": options.pixels,
        "tables": tables_of(parts),
    }


@dataclass(kw_only=True)
class _Run:
    """An import under way."""

    source: Source
    root: Root
    options: ImportOptions
    writer: DatasetWriter | None = None
    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Of the rows that are in no shard yet."""
    fresh: list[list[str]] = field(default_factory=list)
    """[id, digest] of the records that are in no shard yet."""
    total: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seen: dict[str, set[str]] = field(default_factory=dict)
    """id as published -> digests of the records that had it"""
    kept: int = 0
    missing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pixels = Pixels(self.root, link=self.options.pixels == "link")

    def take_up(self) -> None:
        """What earlier runs read: duplicates are known over a stop, and counts are of the whole."""
        for notes in self.writer.places.values() if self.writer else ():
            self.total.update(notes["counts"])
            for name, same in notes["seen"]:
                self.seen.setdefault(name, set()).add(same)

    def all(self, parts: list[Part]) -> None:
        """Work the tables off in their order."""
        with ThreadPoolExecutor(self.options.workers) as pool:
            for part in parts:
                begin = self._begin(part)
                first = begin
                for start in range(begin, len(part.rows), WINDOW):
                    tell(f"{self.source.name} {part.name}", start, len(part.rows))
                    numbers = range(start, min(start + WINDOW, len(part.rows)))
                    rows = [row_at(part, index) for index in numbers]  # tables are read in one thread
                    for settled in pool.map(partial(self._settle, part), numbers, rows):
                        self._keep(settled)
                    if self._is_full():
                        self._flush(part, first, numbers.stop)
                        first = numbers.stop
                self._flush(part, first, len(part.rows))
                tell(f"{self.source.name} {part.name}", len(part.rows), len(part.rows))

    def _begin(self, part: Part) -> int:
        """The first row of the table that is in no shard."""
        key = re.compile(rf"{re.escape(part.name)}\[\d+:(\d+)\]")
        done = self.writer.done if self.writer else ()
        return max((int(found[1]) for name in done if (found := key.fullmatch(name))), default=0)

    def _settle(self, part: Part, index: int, row: Any) -> Settled:
        """One row as a record with its image. Touches nothing that others touch: it runs beside its neighbours."""
        item = part.item(index)
        try:
            return self._with_pixels(entry_at(self.source, part, index, row))
        except (SampleRefused, RecordError) as error:
            return Settled(result=left_out(item, error))

    def _with_pixels(self, entry: Entry) -> Settled:
        """Raises SampleRefused where the record is dropped for its image, DatasetError under the policy "fail"."""
        where = entry.pictures[0] if entry.pictures else ""
        if not entry.pictures and entry.pixels is None:
            return Settled(result=entry.figure, counts=entry.repairs)
        try:
            picture = self._pixels.of(entry)
        except NoImage as error:
            check_missing(error, entry.figure.id, self.options.missing_images, self.root.half_downloaded)
            return Settled(result=entry.figure, counts=(*entry.repairs, error.reason), place=where)
        if entry.max_pixels and picture.width * picture.height > entry.max_pixels:
            raise SampleRefused(f"{picture.width} x {picture.height} px", reason="image-too-large", where=where)
        figure = replace(entry.figure, image=picture.image, width=picture.width, height=picture.height)
        return Settled(result=figure, counts=entry.repairs, place=where)

    def _keep(self, settled: Settled) -> None:
        self.counts.update(settled.counts)
        result = settled.result
        if isinstance(result, Figure):
            same = digest(result, settled.place)
            before = self.seen.setdefault(result.id, set())
            if same in before:
                result = Dropped(
                    item=result.id, reason=DUPLICATE, detail="a row with the same id, image and words came before"
                )
            else:
                before.add(same)
                self.fresh.append([result.id, same])
                # Data sets repeat ids; a number keeps ours unique.
                named = result if len(before) == 1 else replace(result, id=f"{result.id}~{len(before)}")
                self.figures.append(named)
                self.kept += 1
                return
        if result.reason == MISSING and len(self.missing) < TOLD:
            self.missing.append(result.detail)
        self.dropped.append(result)

    def _is_full(self) -> bool:
        size = sum(len(figure.image) for figure in self.figures if isinstance(figure.image, bytes))
        return len(self.figures) + len(self.dropped) >= ROWS_PER_SHARD or size >= BYTES_PER_SHARD

    def _flush(self, part: Part, first: int, end: int) -> None:
        self.total.update(self.counts)
        self.reasons.update(item.reason for item in self.dropped)
        if self.writer and end > first:
            key = f"{part.name}[{first}:{end}]"
            notes = {"counts": dict(self.counts), "seen": self.fresh}
            self.writer.write_shard([key], self.figures, self.dropped, places={key: notes})
        self.figures, self.dropped, self.fresh, self.counts = [], [], [], Counter()

    def outcome(self, parts: list[Part], summary: BuildSummary | None = None) -> Imported:
        """The end, with the integrity report."""
        if self.writer and summary:
            return outcome_of(self.source, self.root, parts, self.total, writer=self.writer, summary=summary)
        dropped = dict(self.reasons.most_common())
        counted: dict[str, Any] = {"counts": self.total, "figures": self.kept, "dropped": dropped}
        integrity = integrity_of(self.source, self.root, parts, **counted, missing=self.missing)
        return Imported(source=self.source, out=None, summary=None, integrity=integrity)


def outcome_of(
    source: Source, root: Root, parts: list[Part], counts: Counter[str], *, writer: DatasetWriter, summary: BuildSummary
) -> Imported:
    """The end of an import, earlier runs included, with the integrity report. `counts` are `Settled.counts` of all rows."""
    gone = (item.detail for item in read_dropped(writer.out) if item.reason == MISSING)
    missing = list(islice(gone, TOLD)) if summary.dropped.get(MISSING) else []
    counted: dict[str, Any] = {"counts": counts, "figures": summary.figures, "dropped": summary.dropped}
    integrity = integrity_of(source, root, parts, **counted, missing=missing)
    return Imported(source=source, out=writer.out, summary=summary, integrity=integrity)


def row_at(part: Part, index: int) -> Any:
    """The row of this place, or why there is none: `entry_at` raises it."""
    try:
        return part.rows[index]
    except SampleRefused as error:
        return error


def read_row(part: Part, row: Any, number: int) -> Entry:
    """The record of a row of this number. Raises SampleRefused, also for half a character anywhere: no shard could hold it."""
    entry = part.read(row, number)
    try:
        json.dumps(plain(replace(entry.figure, image=None)), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SampleRefused(f"half a character in a text ({error.reason})", reason="bad-record") from error
    return entry


def entry_at(source: Source, part: Part, index: int, row: Any) -> Entry:
    """The record of the row of this place, with its source and licence. Raises SampleRefused and RecordError."""
    if isinstance(row, SampleRefused):
        raise row
    entry = read_row(part, row, index + 1)
    figure = entry.figure
    named = replace(figure, source=figure.source or source.name, licence=figure.licence or source.record_licence)
    return replace(entry, figure=named)


def left_out(item: str, error: SampleRefused | RecordError) -> Dropped:
    """A row that is no record."""
    reason = error.reason if isinstance(error, SampleRefused) else "bad-record"
    # An error may quote what the row has: half a character fits in no file.
    return Dropped(item=item, reason=reason, detail=str(error).encode("utf-8", "backslashreplace").decode())


def check_missing(error: NoImage, where: str, policy: str, problems: Sequence[str] = ()) -> None:
    """What becomes of a record without its image: nothing is raised where it is kept.

    Raises SampleRefused under the policy "drop" and DatasetError under "fail"; `problems` are its hint.
    """
    if policy == "fail":
        hint = "; ".join(problems) or "--missing-images drop leaves such records out and counts them"
        raise DatasetError(error.what, where=where, next_step=hint)
    if policy == "drop":
        raise SampleRefused(error.what, reason=error.reason, where=where)


def digest(figure: Figure, place: str) -> str:
    """What makes two rows with one id the same: words and image, not the split."""
    words = [place, figure.label, figure.caption, *figure.mentions, *(turn.text for turn in figure.turns)]
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:16]
