"""The folder that a data set was downloaded to: its files by name, its images in folders and ZIP files, what is half there."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from llava_graph.errors import DatasetError, InputError, SampleRefused, did_you_mean
from llava_graph.images import MAX_BYTES, is_there

HALF = (".part", ".crdownload", ".incomplete", ".aria2", ".download", ".tmp", ".filepart")
"""Endings that browsers and download tools give to what is not finished."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_BYTES = 1024
SPLIT_ENDING = ".z01"
"""The first part of a ZIP file in parts; without the others none of it can be read."""
TABLES = (".json", ".jsonl", ".csv", ".parquet", ".pkl")
PACKED = (".tar", ".tgz", ".gz", ".7z", ".rar")
ARCHIVES = (".zip", SPLIT_ENDING, *PACKED)


@dataclass(frozen=True, slots=True)
class Zipped:
    """An image in a ZIP file."""

    archive: Path
    member: str

    def __str__(self) -> str:
        return f"{self.archive.name}:{self.member}"


@dataclass
class Root:
    """A data set's folder. `notes` collects what is odd about the whole, for the integrity report."""

    folder: Path
    image_folder: Path | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in filter(None, (self.folder, self.image_folder)):
            if not folder.is_dir():
                raise InputError("no such folder", where=str(folder))
        self._lock = threading.Lock()
        self._open: dict[Path, zipfile.ZipFile] = {}

    def close(self) -> None:
        """Let go of the ZIP files."""
        for archive in self._open.values():
            archive.close()
        self._open.clear()

    def file(self, *names: str) -> Path | None:
        """The first of these files or folders that is there. Raises DatasetError for a Git LFS pointer in its place."""
        for name in names:
            path = self.folder / name
            if path.exists():
                if path.is_file() and path.stat().st_size < LFS_BYTES and path.read_bytes().startswith(LFS_POINTER):
                    raise DatasetError(
                        "is a Git LFS pointer, the file itself was not downloaded",
                        where=str(path),
                        next_step="Run `git lfs pull` there, or download the file",
                    )
                return path
        return None

    def need(self, *names: str) -> Path:
        """The same; raises DatasetError that names what is there instead."""
        if found := self.file(*names):
            return found
        half = [text for text in self.half_downloaded if any(Path(name).name in text for name in names)]
        packed = [f"{name}.zip" for name in names if (self.folder / f"{name}.zip").exists()]
        if half:
            hint = half[0]
        elif packed:
            hint = f"Unpack {packed[0]} there"
        else:
            hint = did_you_mean(names[0], self.listing[:20]) if self.listing else "The folder is empty"
        raise DatasetError(f"{' or '.join(names)} is missing", where=str(self.folder), next_step=hint)

    @cached_property
    def listing(self) -> list[str]:
        """Files and folders at the top, by name."""
        return sorted(item.name for item in self.folder.iterdir() if not item.name.startswith("."))

    @cached_property
    def half_downloaded(self) -> list[str]:
        """A sentence for every file near the top that is unfinished, empty, in parts, or no ZIP although it is called so."""
        found = []
        for name, path in self._near_the_top((*HALF, *TABLES, *ARCHIVES)):
            ending = path.suffix.lower()
            if ending in HALF:
                found.append(f"{name} is half downloaded")
            elif ending == SPLIT_ENDING:
                whole = path.with_suffix(".zip").name
                found.append(f"{name} is a part of a ZIP file: join them, zip -s 0 {whole} --out joined.zip")
            elif path.stat().st_size == 0:
                found.append(f"{name} is empty")
            elif ending == ".zip" and not zipfile.is_zipfile(path):
                found.append(f"{name} is cut off, or no ZIP file: download it again")
            elif ending in PACKED:
                found.append(f"{name} is packed: unpack it, images are not looked for in it")
        return found

    def _near_the_top(self, endings: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
        """(name as a person knows it, path) of the files with these endings, at the top of the folders and one below."""
        for base in dict.fromkeys(filter(None, (self.folder, self.image_folder))):
            for parent, folders, files in os.walk(base):
                if parent != str(base):
                    folders.clear()
                for name in sorted(file for file in files if file.lower().endswith(endings)):
                    path = Path(parent) / name
                    yield str(path.relative_to(base)), path

    def picture(self, names: Iterable[str]) -> Path | Zipped | None:
        """The first of these images that is there, unpacked or in a ZIP file; None: none is.

        Raises SampleRefused (unsafe-path) for a name that leads out of the root.
        """
        safe = [inside(name) for name in names]
        for base in filter(None, (self.image_folder, self.folder)):
            for name in safe:
                if is_there(base / name):
                    return base / name
        return next((self._zipped[name] for name in safe if name in self._zipped), None)

    def read(self, picture: Path | Zipped) -> bytes:
        """Its bytes. Raises OSError, and zipfile.BadZipFile for a broken archive."""
        if isinstance(picture, Path):
            return picture.read_bytes() if picture.stat().st_size <= MAX_BYTES else b""
        with self._lock:
            archive = self._open.get(picture.archive) or zipfile.ZipFile(picture.archive)
            self._open[picture.archive] = archive
            with archive.open(picture.member) as file:
                return file.read(MAX_BYTES + 1)

    @cached_property
    def _zipped(self) -> dict[str, Zipped]:
        """Images in ZIP files near the top: by the member's name, and by that without its first folder."""
        found: dict[str, Zipped] = {}
        for _, path in self._near_the_top((".zip",)):
            try:
                with zipfile.ZipFile(path) as archive:
                    members = [member.filename for member in archive.infolist() if not member.is_dir()]
            except (zipfile.BadZipFile, OSError):  # named in `half_downloaded`
                continue
            for member in members:
                found.setdefault(member, Zipped(path, member))
                found.setdefault(member.partition("/")[2] or member, Zipped(path, member))
        return found


def inside(name: str) -> str:
    """A relative path below the root. Raises SampleRefused (image-url, unsafe-path)."""
    if "://" in name:
        raise SampleRefused(f"the image is an address, {name[:200]!r}; nothing is fetched", reason="image-url")
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or path.parts[0].endswith(":"):
        raise SampleRefused(f"the image's path {name[:200]!r} leads out of the folder", reason="unsafe-path")
    return str(path)
