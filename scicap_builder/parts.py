"""A paper's files that are no plain files here: members of a bulk archive, or bytes on their way to another machine."""

import io
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from scicap_builder.paper_ref import PaperFiles

Result = TypeVar("Result")

CHUNK = 1 << 20
FIELDS = ("pdf", "source", "html")
"""The fields of PaperFiles that name a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A member of an uncompressed archive: its bytes lie in one piece."""

    field: str
    """Which of FIELDS it is."""
    name: str
    archive: Path
    offset: int
    size: int

    def write(self, folder: Path) -> Path:
        """The member as a file of its own, without the whole archive ever being unpacked."""
        place = folder / self.name
        with self.archive.open("rb") as source, place.open("wb") as target:
            source.seek(self.offset)
            left = self.size
            while left and (chunk := source.read(min(left, CHUNK))):
                left -= target.write(chunk)
        return place


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """A file, or a folder as a tar archive, that travels as bytes."""

    field: str
    name: str
    data: bytes
    folder: bool = False

    def write(self, folder: Path) -> Path:
        """The file or folder where it is needed."""
        place = folder / self.name
        if self.folder:
            with tarfile.open(fileobj=io.BytesIO(self.data)) as archive:
                archive.extractall(place, filter="data")
        else:
            place.write_bytes(self.data)
        return place


def read_laid_out(files: "PaperFiles", read: "Callable[[PaperFiles], Result]") -> Result:
    """`read(files)` with every part of the paper as a plain file, for as long as it is read."""
    if not files.parts:
        return read(files)
    with tempfile.TemporaryDirectory(prefix="llava-graph-") as folder:
        laid_out: dict[str, Any] = {}
        for part in files.parts:
            place = Path(folder) / part.field
            place.mkdir()
            laid_out[part.field] = part.write(place)
        return read(replace(files, parts=(), **laid_out))


def carried(files: "PaperFiles") -> "PaperFiles":
    """The same paper with its files as bytes, for a machine that does not see this one's disks. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="llava-graph-") as folder:
        here = {name: path for name in FIELDS if (path := getattr(files, name))}
        here |= {part.field: part.write(Path(folder)) for part in files.parts}
        parts = tuple(_carried(field, path) for field, path in here.items())
    return replace(files, parts=parts, pdf=None, source=None, html=None)


def _carried(field: str, path: Path) -> Carried:
    if not path.is_dir():
        return Carried(field=field, name=path.name, data=path.read_bytes())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(path, ".", filter=lambda member: member if member.isfile() or member.isdir() else None)
    return Carried(field=field, name=path.name, data=buffer.getvalue(), folder=True)
