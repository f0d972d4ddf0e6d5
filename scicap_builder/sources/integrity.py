"""The integrity report of an import: which files were there, how many rows, what was dropped or mended, what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scicap_builder.sources.contract import Part, Source
from scicap_builder.sources.pixels import BROKEN, MISSING
from scicap_builder.sources.root import Root


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """One file of the published layout."""

    name: str
    holds: str
    found: bool
    required: bool = False
    rows: int | None = None
    """Rows read from it; None: it is no table that was read."""
    published: int = 0
    """Rows that the publication states; 0: none that we know."""


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """`figures` + the sum of `dropped` = `rows`."""

    source: str
    files: tuple[FileReport, ...]
    rows: int
    figures: int
    dropped: Mapping[str, int]
    """reason -> rows"""
    repairs: Mapping[str, int] = field(default_factory=dict)
    """what was mended -> rows"""
    kept_without_image: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Some of the missing images, by name."""
    problems: tuple[str, ...] = ()
    """Half-downloaded files, and ids of one file that another does not have."""

    def lines(self) -> Iterator[str]:
        """The report as a person reads it, without the totals."""
        for file in self.files:
            rows = "" if file.rows is None else f", {file.rows} rows"
            of = f" (published: {file.published})" if file.published and file.published != file.rows else ""
            state = "found" if file.found else "missing" if file.required else f"not there ({file.holds})"
            yield f"{file.name}: {state}{rows}{of}"
        yield from (f"mended: {name}, {count} rows" for name, count in self.repairs.items())
        yield from (f"kept without image ({name}): {count}" for name, count in self.kept_without_image.items())
        yield from self.problems
        yield from self.missing


def integrity_of(
    source: Source,
    root: Root,
    parts: Sequence[Part],
    *,
    counts: Counter[str],
    figures: int,
    dropped: Mapping[str, int],
    missing: Sequence[str],
) -> Integrity:
    """The report; `counts` are of repairs, and of records that are kept without their image."""
    return Integrity(
        source=source.name,
        files=tuple(file_reports(source, root.folder, parts)),
        rows=sum(len(part.rows) for part in parts),
        figures=figures,
        dropped=dropped,
        repairs={name: count for name, count in counts.most_common() if name not in (MISSING, BROKEN)},
        kept_without_image={name: counts[name] for name in (MISSING, BROKEN) if counts[name]},
        missing=tuple(missing),
        problems=(*root.half_downloaded, *root.notes),
    )


def file_reports(source: Source, root: Path, parts: Sequence[Part]) -> Iterator[FileReport]:
    """Each file of the published layout, and each table besides."""
    read = {part.path: part for part in parts}
    for expected in source.files:
        path = root / expected.name
        part = read.get(path)
        yield FileReport(
            name=expected.name,
            holds=expected.holds,
            found=path.exists(),
            required=expected.required,
            rows=len(part.rows) if part else None,
            published=part.published if part else 0,
        )
    known = {root / expected.name for expected in source.files}
    for part in parts:
        if part.path not in known:
            yield FileReport(name=part.name, holds="records", found=True, rows=len(part.rows), published=part.published)


def tables_of(parts: Sequence[Part]) -> dict[str, list[int]]:
    """table -> [rows, bytes]: what shows that a file is another one than when the import was begun."""
    return {part.name: [len(part.rows), _size(part.path)] for part in parts}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
