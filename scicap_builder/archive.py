"""An e-print as arXiv serves it (tar.gz, gz of one .tex, plain .tex, PDF, PostScript …) -> its files in a folder, safely.

What a file is, its bytes say, never its name. Nothing leaves the folder, and nothing grows beyond `Limits`.
"""

import errno
import gzip
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from llava_graph.errors import ArchiveError
from llava_graph.record import Dropped

MAX_FILES = 10_000
"""Members of one archive. Large real submissions hold a few hundred; thousands of PNGs do occur."""
MAX_TOTAL_BYTES = 2**30
"""1 GiB unpacked: arXiv takes at most 50 MB compressed without a special request, and sources shrink about 3-20x."""
MAX_FILE_BYTES = 2**29
"""512 MiB for one file: the largest real ones are uncompressed EPS bitmaps of some hundred MB."""
MAX_RATIO = 200
"""Unpacked / packed bytes. TeX, EPS and CSV stay under 50; gzip's own ceiling, which bombs reach, is 1032."""
FREE_BYTES = 32 * 2**20
"""Below 32 MiB unpacked the ratio is not looked at: a small file of blanks is no bomb."""
SNIFF_BYTES = 64 * 1024
"""How much of a text is looked at to tell TeX from HTML: long comment headers stand before \\documentclass."""
CHUNK = 1 << 20
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a full disk answers, or one that may not be written."""

_TEX = re.compile(rb"\\(?:documentclass|documentstyle|begin\s*\{|input\b|section\b|magnification|bye\b)")
_HTML = re.compile(rb"^\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I)
_SINGLE_NAMES = {
    "pdf": "paper.pdf",
    "postscript": "paper.ps",
    "html": "paper.html",
    "dvi": "paper.dvi",
    "tex": "main.tex",
}
_SUFFIX_KINDS = {
    ".tex": "tex",
    ".ltx": "tex",
    ".latex": "tex",
    ".pdf": "pdf",
    ".ps": "postscript",
    ".html": "html",
    ".htm": "html",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one archive may hold; sizes in bytes, unpacked."""

    files: int = MAX_FILES
    total_bytes: int = MAX_TOTAL_BYTES
    file_bytes: int = MAX_FILE_BYTES
    ratio: float = MAX_RATIO
    free_bytes: int = FREE_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """An e-print on disk."""

    kind: str
    """What a route can read: "tex", "pdf", "postscript", "html", "dvi", "withdrawn" or "other"."""
    root: Path
    files: tuple[Path, ...]
    """Relative to `root`, sorted."""
    skipped: tuple[Dropped, ...] = ()
    """Members left out: resource forks, ancillary files, links."""


def unpack(path: Path, into: Path, *, limits: Limits = Limits()) -> Unpacked:
    """Unpack the e-print `path` into the folder `into` (made if missing, best empty).

    Raises ArchiveError, whose `reason` is unsafe-archive, archive-too-large, broken-archive, empty-archive or not-an-eprint.
    """
    into.mkdir(parents=True, exist_ok=True)
    packed_bytes = max(1, path.stat().st_size)
    with path.open("rb") as stream, _gunzipped(stream, packed_bytes, limits, path) as plain:
        kind = sniff(plain.read(SNIFF_BYTES))
        plain.seek(0)
        if kind == "tar":
            return _unpack_tar(plain, into, limits, path)
        if kind == "unknown":
            raise ArchiveError(
                "neither a tar archive, TeX, PDF, PostScript nor HTML",
                reason="not-an-eprint",
                where=str(path),
                next_step="Give the file as arXiv serves it under /src/ or /pdf/",
            )
        name = _SINGLE_NAMES.get(kind, "paper.txt")
        with (into / name).open("wb") as target:
            shutil.copyfileobj(plain, target, CHUNK)
    return Unpacked(kind=kind, root=into, files=(Path(name),))


def sniff(head: bytes) -> str:
    """What a file is by its first bytes: gzip, tar, pdf, postscript, dvi, html, tex, withdrawn or unknown."""
    tests = {
        "gzip": head.startswith(b"\x1f\x8b"),
        "tar": head[257:262] == b"ustar" or _old_tar(head),
        "pdf": b"%PDF-" in head[:1024],
        "postscript": head.startswith((b"%!PS", b"\x04%!PS", b"\xc5\xd0\xd3\xc6")),
        "dvi": head.startswith(b"\xf7\x02"),
        "html": bool(_HTML.search(head)),
        "tex": bool(_TEX.search(head)),
        "withdrawn": bool(re.search(rb"%auto-ignore|(?i:\bwithdrawn\b)", head[:4096])),
    }
    return next((kind for kind, holds in tests.items() if holds), "unknown")


def _old_tar(head: bytes) -> bool:
    """A tar of before POSIX carries no `ustar`, but its header's checksum holds."""
    if len(head) < 512 or not head[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


@contextmanager
def _gunzipped(stream: IO[bytes], packed_bytes: int, limits: Limits, path: Path) -> Iterator[IO[bytes]]:
    """`stream` itself, or a temporary file with what its gzip layers hold (arXiv's .gz may hold a .gz)."""
    with ExitStack() as layers:
        for _ in range(3):
            head = stream.read(2)
            stream.seek(0)
            if head != b"\x1f\x8b":
                yield stream
                return
            target = layers.enter_context(tempfile.TemporaryFile(prefix="eprint-"))
            _gunzip(stream, target, packed_bytes, limits, path)
            target.seek(0)
            stream = target
        raise ArchiveError("gzip within gzip within gzip", reason="unsafe-archive", where=str(path))


def _gunzip(stream: IO[bytes], target: IO[bytes], packed_bytes: int, limits: Limits, path: Path) -> None:
    written = 0
    try:
        with gzip.GzipFile(fileobj=stream) as source:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                _check_size(written, packed_bytes, limits, path)
                target.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(
            f"broken gzip data ({error})", reason="broken-archive", where=str(path), next_step="Download it again"
        ) from error


def _check_size(unpacked: int, packed: int, limits: Limits, path: Path) -> None:
    if unpacked > limits.total_bytes:
        raise ArchiveError(
            f"holds more than {limits.total_bytes:,} bytes unpacked", reason="archive-too-large", where=str(path)
        )
    if unpacked > limits.free_bytes and unpacked > packed * limits.ratio:
        raise ArchiveError(
            f"unpacks to more than {limits.ratio:g} times its size", reason="archive-too-large", where=str(path)
        )


def _unpack_tar(stream: IO[bytes], into: Path, limits: Limits, path: Path) -> Unpacked:
    files: set[Path] = set()
    skipped: list[Dropped] = []
    total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as archive:
            for count, member in enumerate(archive, 1):
                if count > limits.files:
                    raise ArchiveError(
                        f"holds more than {limits.files:,} files", reason="archive-too-large", where=str(path)
                    )
                total += max(0, member.size)
                _check_member(member, total, limits, path)
                why = _why_skipped(member)
                if why:
                    skipped.append(Dropped(item=readable_name(member.name), reason=why))
                elif member.isfile():
                    files.add(_extract(archive, member, into))
    except tarfile.FilterError as error:
        raise ArchiveError(str(error), reason="unsafe-archive", where=str(path)) from error
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise  # the disk is at fault, not the archive
        raise ArchiveError(
            f"broken tar archive ({error})", reason="broken-archive", where=str(path), next_step="Download it again"
        ) from error
    if not files:
        raise ArchiveError("the archive holds no files", reason="empty-archive", where=str(path))
    return Unpacked(kind=_kind_of(into, files), root=into, files=tuple(sorted(files)), skipped=tuple(skipped))


def _check_member(member: tarfile.TarInfo, total: int, limits: Limits, path: Path) -> None:
    """Refuse the whole archive when one member could not come from an honest author."""
    name = readable_name(member.name)
    parts = PurePosixPath(name.replace("\\", "/")).parts
    where = f"{path}: {name}"
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        raise ArchiveError("absolute name in the archive", reason="unsafe-archive", where=where)
    if ".." in parts:
        raise ArchiveError("name leads out of the archive", reason="unsafe-archive", where=where)
    if member.isdev():
        raise ArchiveError("device file in the archive", reason="unsafe-archive", where=where)
    if member.issym() or member.islnk():
        target = PurePosixPath(member.linkname)
        start = PurePosixPath(name).parent.parts if member.issym() else ()
        if target.is_absolute() or _climbs_out(start + target.parts):
            raise ArchiveError("link that leads out of the archive", reason="unsafe-archive", where=where)
    if member.size > limits.file_bytes:
        raise ArchiveError(
            f"file of {member.size:,} bytes, more than {limits.file_bytes:,}", reason="archive-too-large", where=where
        )
    if total > limits.total_bytes:
        raise ArchiveError(f"holds more than {limits.total_bytes:,} bytes", reason="archive-too-large", where=str(path))


def _climbs_out(parts: tuple[str, ...]) -> bool:
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else part != "."
        if depth < 0:
            return True
    return False


def _why_skipped(member: tarfile.TarInfo) -> str:
    parts = PurePosixPath(member.name).parts
    if member.issym() or member.islnk():
        return "link"
    if member.isdir() or not parts:
        return ""
    if parts[-1].startswith("._") or parts[-1] == ".DS_Store" or "__MACOSX" in parts:
        return "resource-fork"
    if parts[0] == "anc" or parts[:2] == (".", "anc"):
        return "ancillary"
    return "version-control" if ".git" in parts else ""


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> Path:
    """Write one regular file. tarfile's "data" filter checks the name once more against the real folder."""
    safe = member.replace(name=readable_name(member.name), mode=0o644, deep=False)
    archive.extract(safe, into, filter="data")
    return Path(safe.name)


def readable_name(name: str) -> str:
    """A member's name; one that is no UTF-8 is taken as Latin-1 (old submissions from Windows and Mac)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name


def _kind_of(root: Path, files: set[Path]) -> str:
    """The best kind that a route can read among the files of a folder."""
    by_name = {_SUFFIX_KINDS[file.suffix.lower()] for file in files if file.suffix.lower() in _SUFFIX_KINDS}
    if "tex" not in by_name:
        for file in files:
            if file.suffix.lower() in ("", ".txt") and file.stem.lower() != "00readme":
                with (root / file).open("rb") as stream:
                    by_name.add(sniff(stream.read(SNIFF_BYTES)))
    return next((kind for kind in ("tex", "pdf", "postscript", "html", "dvi", "withdrawn") if kind in by_name), "other")
