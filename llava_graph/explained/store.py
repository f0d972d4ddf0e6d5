"""Explained figures on disk as they come: JSON lines that a killed run leaves whole but for the last, which does not count.

{"format": 1, "asked": {…}}                                     what was asked, and of which model
{"source": "paper.pdf", "mark": "…", "explained": {…}}           a figure
{"source": "paper.pdf", "finished": "…", "paper": {…}, "dropped": […]}
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from llava_graph.durable import try_lock
from llava_graph.errors import InputError, RecordError
from llava_graph.explained.as_json import from_json, to_plain
from llava_graph.explained.records import ExplainedFigure, ExplainedPaper
from llava_graph.printable import printable_json
from llava_graph.record import Dropped, Paper, parse, plain

FORMAT = 1
HEAD = b'{"format": '
Finished = tuple[Paper, tuple[Dropped, ...]]


class Store:
    """What has been explained, by source. Without a file it forgets everything at its end. A context manager."""

    def __init__(self) -> None:
        self._figures: dict[str, list[tuple[str, ExplainedFigure]]] = {}
        self._finished: dict[str, tuple[str, Finished]] = {}
        self._file: IO[bytes] | None = None
        self.begun_anew = ""
        """Where the answers to other questions were put; empty where there were none."""

    @classmethod
    def at(cls, path: Path, asked: Mapping[str, Any]) -> "Store":
        """The store in the file `path`, for answers to `asked`. One that was asked otherwise is put aside, see `begun_anew`.

        Raises InputError: another process is writing it, it is no such file, or it cannot be written.
        """
        store = cls()
        asked = json.loads(json.dumps(dict(asked)))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            before = store._open(path)
            if before and not store._read(before, asked, path):
                store.begun_anew = str(path.with_name(path.name + ".old"))
                store.close()
                path.replace(store.begun_anew)
                before = store._open(path)
            store._begin(before.rfind(b"\n") + 1, asked)
        except OSError as error:
            store.close()
            raise InputError(f"cannot be written ({error.strerror})", where=str(path)) from error
        except InputError:
            store.close()
            raise
        return store

    def _open(self, path: Path) -> bytes:
        """Lock the file; what it holds. Raises InputError, OSError."""
        file = path.open("a+b")
        self._file = file
        if not try_lock(file, wait=False):
            raise InputError(
                "another process is writing here",
                where=str(path),
                next_step="Wait until it is done, or give another --out",
            )
        file.seek(0)
        return file.read()

    def _begin(self, whole: int, asked: Mapping[str, Any]) -> None:
        """Write on after `whole` bytes: the half line of a killed run goes."""
        if self._file is not None:
            self._file.truncate(whole)
        if not whole:
            self._write({"format": FORMAT, "asked": asked})

    def close(self) -> None:
        """Let others write here."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, source: str, mark: str) -> list[ExplainedFigure]:
        """The figures of a source that was, when they were explained, as `mark` says."""
        return [explained for before, explained in self._figures.get(source, []) if before == mark]

    def finished(self, source: str, mark: str) -> Finished | None:
        """What was told of a source at its end; None if it did not come to it, or has changed since."""
        before, told = self._finished.get(source, ("", None))
        return told if told is not None and before == mark else None

    def add(self, source: str, mark: str, explained: ExplainedFigure) -> None:
        """Keep one figure. Raises InputError where the disk does not take it."""
        self._figures.setdefault(source, []).append((mark, explained))
        self._write({"source": source, "mark": mark, "explained": to_plain(explained)})

    def finish(self, source: str, mark: str, paper: Paper, dropped: tuple[Dropped, ...]) -> None:
        """All of a source is done."""
        if self.finished(source, mark) is None:
            self._finished[source] = mark, (paper, dropped)
            row = {"source": source, "finished": mark, "paper": plain(paper), "dropped": plain(dropped)}
            self._write(row)

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(printable_json(row).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", where=self._file.name) from error

    def _read(self, data: bytes, asked: Mapping[str, Any], path: Path) -> bool:
        """Whether it holds answers to `asked`; then they are known. Raises InputError for somebody else's file."""
        lines = data.split(b"\n")[:-1]
        if not lines and data.startswith(HEAD):
            return True  # killed in its first line
        try:
            head = json.loads(lines[0]) if lines else {}
            if not isinstance(head, dict) or "asked" not in head:
                raise RecordError("it is no file of explained figures")
            if head.get("format") != FORMAT or head["asked"] != asked:
                return False
            for line in lines[1:]:
                self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, RecordError) as error:
            raise InputError(
                f"the answers of an earlier run cannot be read ({error})",
                where=str(path),
                next_step="Move it away, or give another --out",
            ) from error
        return True

    def _take(self, row: Mapping[str, Any]) -> None:
        if "finished" in row:
            done = parse(ExplainedPaper, {"paper": row["paper"], "dropped": row["dropped"]})
            self._finished[row["source"]] = row["finished"], (done.paper, done.dropped)
            return
        explained = from_json(json.dumps(row["explained"]))
        if isinstance(explained, ExplainedFigure):
            self._figures.setdefault(row["source"], []).append((row["mark"], explained))
