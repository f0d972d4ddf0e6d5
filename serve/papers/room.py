"""What leaves the shelf, and when: uploads after a while, the least recently used when there is no room."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llava_graph.durable import put_in_place
from serve.papers.entry import RECORDS, read_entry

STALE_S = 3600.0
"""s after which a folder that was being written is left over from a process that has died."""
NEW, UPLOAD = ".new-", "upload-"
"""How the names of folders begin that are being written, and of those that hold an upload."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A folder that may go."""

    folder: Path
    used: float
    """s since the epoch: when it was last used."""
    size: int
    """bytes"""


def settle(staging: Path, place: Path) -> None:
    """Put a finished folder in its place, unless another process was sooner; then theirs stays."""
    try:
        put_in_place(staging, place)
    except OSError:
        if read_entry(place) is not None:
            return
        shutil.rmtree(place, ignore_errors=True)
        put_in_place(staging, place)


def make_room(root: Path, max_bytes: int, uploads_kept_s: float, now: float, keep: frozenset[Path]) -> None:
    """Delete what is too old, then the least recently used until `max_bytes` hold the rest. `keep` stays in any case."""
    stored = [one for one in _stored(root) if one.folder not in keep]
    kept = []
    for one in stored:
        limit = {NEW: STALE_S, UPLOAD: uploads_kept_s}.get(_beginning(one.folder.name))
        if limit is not None and now - one.used > limit:
            _remove(one.folder)
        else:
            kept.append(one)
    total = sum(one.size for one in kept) + sum(_size(folder) for folder in keep)
    for one in sorted(kept, key=lambda one: one.used):
        if total <= max_bytes:
            return
        if _beginning(one.folder.name) != NEW:
            _remove(one.folder)
            total -= one.size


def _stored(root: Path) -> Iterator[Stored]:
    """Papers, and downloads that were not read to the end."""
    for place in (root / "papers", root / "downloads" / "papers"):
        for folder in place.iterdir() if place.is_dir() else ():
            records = folder / RECORDS
            with suppress(OSError):
                yield Stored(folder, (records if records.exists() else folder).stat().st_mtime, _size(folder))


def _size(folder: Path) -> int:
    total = 0
    with suppress(OSError):
        for file in folder.iterdir():
            total += file.stat().st_size
    return total


def _beginning(name: str) -> str:
    return next((begin for begin in (NEW, UPLOAD) if name.startswith(begin)), "")


def _remove(folder: Path) -> None:
    """First its records, so that nobody finds half a paper."""
    with suppress(OSError):
        (folder / RECORDS).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def touch(folder: Path, now: float) -> None:
    """It was used just now."""
    with suppress(OSError):
        os.utime(folder / RECORDS, (now, now))
