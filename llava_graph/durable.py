"""Files that survive a kill and a power cut: written beside their place, flushed, renamed. A lock that dies with its process."""

import errno
import json
import os
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from llava_graph.errors import DatasetError

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""What file systems without locks answer (Lustre mounted without `flock`)."""


def read_json(path: Path) -> Any:
    """A JSON file; a broken one is a DatasetError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read as JSON ({error})", where=str(path)) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader never sees half a file, whatever dies."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text so that a reader never sees half a file, whatever dies."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    put_in_place(part, path)


def put_in_place(part: Path, place: Path) -> None:
    """Rename a finished file or folder to its place, its bytes on disk before its name, its name on disk before we return."""
    if part.is_dir():
        for file in part.iterdir():
            flush_to_disk(file)
    flush_to_disk(part)
    part.replace(place)
    flush_to_disk(place.parent)


def flush_to_disk(path: Path) -> None:
    """fsync a file, or a folder's names where the system can (Windows cannot)."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(file: IO[Any], *, wait: bool) -> bool:
    """Lock an open file for this process alone; False if another has it and we do not `wait`. Closing it gives it back."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(2**30)  # far behind the text, which stays readable for others
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:  # LK_LOCK gives up after 10 s
                if not wait:
                    return False
            else:
                return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FolderLock:
    """One writer for a folder: `FOLDER/.lock` names who it is, and is gone when it is done. A dead process holds nothing."""

    NAME = ".lock"

    def __init__(self, folder: Path, *, work: str = "build", flag: str = "--out") -> None:
        """Raises DatasetError if another process has the folder; it says what is done there and which flag names another."""
        self.path = folder / self.NAME
        self._file: IO[str] | None = _locked(self.path, work, flag)
        file = self._file
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()

    def close(self) -> None:
        """Give the folder back."""
        if self._file is None:
            return
        with suppress(OSError):  # Windows keeps an open file
            self.path.unlink()
        self._file.close()
        self._file = None

    def forget(self) -> None:
        """In a forked process: give up its share of the lock, which stays the parent's."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _locked(path: Path, work: str, flag: str) -> IO[str]:
    """The lock file, open and ours. Raises DatasetError."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            if not try_lock(file, wait=False):
                file.seek(0)
                raise DatasetError(
                    f"another {work} is writing here ({file.read(200) or 'it does not say which'})",
                    where=str(path.parent),
                    next_step=f"Wait until it is done, or give another {flag}",
                )
        except OSError as error:
            if error.errno not in NO_LOCKS:
                file.close()
                raise
            warnings.warn(
                f"{path.parent}: this file system has no locks; start only one {work} here",
                RuntimeWarning,
                stacklevel=3,
            )
        except DatasetError:
            file.close()
            raise
        # Whoever had it before may have removed the file between our opening and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()
