"""The log on disk: `FOLDER/2026-11-28-conv.json`, one line a record, and `FOLDER/serve_images/<md5>.png`.

A line is there whole or not at all, whichever threads and processes write. A log that cannot be written (a full disk, its
limit reached) costs the line, never the answer: it is counted and said once a minute.
"""

import hashlib
import hmac
import io
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from llava_graph.durable import put_in_place, try_lock
from llava_graph.errors import ImageError, InputError
from llava_graph.images import open_image

MAX_LOG_BYTES = 2 * 2**30
"""Lines and images together: some 10,000 figures with their conversations."""
MAX_LINE_BYTES = 2**20
WARN_EVERY_S = 60.0
IMAGES = "serve_images"

logger = logging.getLogger(__name__)


class ConversationLog:
    """Appends lines to the file of the day (UTC). Threads and processes may share a folder."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_LOG_BYTES, now: Callable[[], float] = time.time) -> None:
        """Raises InputError if nothing can be written into `folder`."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            used = sum(file.stat().st_size for file in _files(folder))
        except OSError as error:
            raise InputError(f"the log cannot be kept there ({error})", next_step="Give another --log-dir") from error
        if not os.access(folder, os.W_OK):
            raise InputError("the log cannot be written", where=str(folder), next_step="Give another --log-dir")
        self.folder = folder
        self.max_bytes = max_bytes
        self.lost = 0
        """Lines and images that could not be written since the start."""
        self._now = now
        self._used = used
        self._lock = threading.Lock()
        self._warned = float("-inf")

    def write(self, line: Mapping[str, Any]) -> bool:
        """Append one line; False if it could not be kept."""
        data = json.dumps(line).encode() + b"\n"
        if len(data) > MAX_LINE_BYTES:
            return self._lose(f"a line of {len(data):,} bytes is longer than {MAX_LINE_BYTES:,}")
        day = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%d")
        with self._lock:
            if self._used + len(data) > self.max_bytes:
                return self._lose(f"it has reached its limit of {self.max_bytes:,} bytes")
            try:
                with _opened(self.folder / f"{day}-conv.json") as file:
                    _append(file, data)
            except OSError as error:
                return self._lose(str(error))
            self._used += len(data)
        return True

    def keep_image(self, encoded: bytes) -> str:
        """Keep a figure once; its name, the MD5 of its pixels (as FastChat has it), or "" if it could not be kept."""
        try:
            image = open_image(encoded)
            name = hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest()
            place = self.folder / IMAGES / f"{name}.png"
            with self._lock:
                if not place.exists():
                    buffer = io.BytesIO()
                    image.save(buffer, "PNG")
                    if self._used + buffer.tell() > self.max_bytes:
                        self._lose(f"it has reached its limit of {self.max_bytes:,} bytes")
                        return ""
                    _write_whole(place, buffer.getvalue())
                    self._used += buffer.tell()
        except (OSError, ImageError) as error:
            self._lose(str(error))
            return ""
        return name

    def _lose(self, why: str) -> bool:
        self.lost += 1
        if time.monotonic() - self._warned > WARN_EVERY_S:
            self._warned = time.monotonic()
            logger.warning("the log in %s loses records (%d so far): %s", self.folder, self.lost, why)
        return False


class Visitors:
    """Tells visitors apart without keeping their addresses: a keyed hash whose key lives in memory and dies with the page."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def name(self, address: str | None) -> str:
        """16 hex digits; "" for nobody."""
        return hmac.digest(self._key, address.encode(), "sha256").hex()[:16] if address else ""


def _files(folder: Path) -> list[Path]:
    return [*folder.glob("*-conv.json"), *(folder / IMAGES).glob("*.png")]


def _opened(path: Path) -> IO[bytes]:
    """The file for reading and appending; a new one is its owner's alone. Raises OSError."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0)


def _append(file: IO[bytes], data: bytes) -> None:
    """All of `data`, or nothing. What a killed process left half written is taken away first. Raises OSError."""
    try_lock(file, wait=True)
    end = _end_of_lines(file)
    file.truncate(end)
    try:
        written = 0
        while written < len(data):
            written += file.write(data[written:])
    except OSError:
        file.truncate(end)
        raise


def _end_of_lines(file: IO[bytes]) -> int:
    """The offset behind the last whole line: the end, but after a writer that died."""
    end, piece = file.seek(0, os.SEEK_END), 1
    while end:
        start = max(0, end - piece)
        piece = MAX_LINE_BYTES
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write_whole(place: Path, data: bytes) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    part = place.with_name(place.name + ".part")
    try:
        part.touch(mode=0o600)
        part.write_bytes(data)
        put_in_place(part, place)
    except OSError:
        part.unlink(missing_ok=True)
        raise
