"""A file of JSON records, read by place: a JSON list, JSON lines, or a list under a key; record n out.

Only the places lie in memory.
"""

from __future__ import annotations

import codecs
import json
import mmap
import re
from pathlib import Path
from typing import Any

import numpy as np

from llava_graph.errors import DatasetError, SampleRefused, did_you_mean

BOM = b"\xef\xbb\xbf"
BLANKS = " \t\r\n"
SIGNS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
"""Of JSON text: strings, whole, and brackets."""
DECODER = json.JSONDecoder()


class JsonRecords:
    """The records of one file. A worker process gets two arrays of numbers, not the data."""

    def __init__(self, path: Path, key: str = "") -> None:
        """Find where each record begins and ends; with `key`, of the list that a JSON object holds under it (as COCO's files).

        Raises DatasetError that names the place of an error, or the nearest key.
        """
        self.path = path
        try:
            if path.stat().st_size == 0:
                raise DatasetError("the file is empty", where=str(path))
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                begin = len(BOM) if data[: len(BOM)] == BOM else 0
                if key:
                    self._starts, self._ends = _keyed_places(data, begin, path, key)
                    return
                is_list = path.suffix != ".jsonl" and data[begin : begin + 4096].lstrip()[:1] == b"["
                self._starts, self._ends = _list_places(data, begin, path) if is_list else _line_places(data, begin)
        except OSError as error:
            raise DatasetError(f"cannot be read ({error.strerror})", where=str(path)) from error
        if not is_list and path.suffix != ".jsonl":
            self._refuse_other_json()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Any:
        """Record `index`. Raises SampleRefused (reasons: bad-record, file-changed)."""
        start, end = int(self._starts[index]), int(self._ends[index])
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                text = file.read(end - start)
        except OSError as error:
            raise SampleRefused(
                f"the file can no longer be read ({error.strerror})", reason="file-changed", where=str(self.path)
            ) from error
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, nested too deep
            raise SampleRefused(
                f"record {index + 1} is no JSON ({error})", reason="bad-record", where=str(self.path)
            ) from error

    def _refuse_other_json(self) -> None:
        """A .json without a list is taken as JSON lines if its first line is a record."""
        try:
            first = self[0] if len(self) else None
        except SampleRefused:
            first = None
        if not isinstance(first, dict) or (len(self) == 1 and "conversations" not in first):
            raise DatasetError(
                "must be a list of conversations", where=str(self.path), next_step="Write a JSON list, or JSON lines"
            )


def _line_places(data: mmap.mmap, begin: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) starts and (n,) ends of the lines that are not blank."""
    starts, ends = [], []
    while begin < len(data):
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end
        # Most lines are long: whether one is blank is seen in its first bytes.
        if data[begin : min(end, begin + 64)].strip() or data[begin:end].strip():
            starts.append(begin)
            ends.append(end)
        begin = end + 1
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def _list_places(data: mmap.mmap, begin: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n,) starts and (n,) ends of the items of a JSON list that is the whole file."""
    text = _as_text(data)
    try:
        starts, ends, place = _items(text, text.index("[", begin))
        if (rest := _after_blanks(text, place)) < len(text):
            raise json.JSONDecodeError("Text after the end of the list", text, rest)
    except (ValueError, IndexError) as error:
        raise DatasetError(f"is no valid JSON ({error})", where=str(path)) from error
    return starts, ends


def _keyed_places(data: mmap.mmap, begin: int, path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The same of the list under a key of the JSON object that is the whole file."""
    text, keys = _as_text(data), []
    try:
        place = _after_blanks(text, begin)
        if text[place] != "{":
            raise DatasetError(f"must be an object with {key!r}", where=str(path))
        while text[place] != "}":
            name, place = DECODER.raw_decode(text, _after_blanks(text, place + 1))
            place = _after_blanks(text, _after_blanks(text, place) + 1)  # over the colon
            if name == key:
                if text[place] != "[":
                    raise DatasetError(f"{key!r} must be a list", where=str(path))
                starts, ends, _ = _items(text, place)
                return starts, ends
            keys.append(str(name))
            end = _items(text, place)[2] if text[place] == "[" else _end_of(text, place)
            place = _after_blanks(text, end)
    except (ValueError, IndexError) as error:
        raise DatasetError(f"is no valid JSON ({error})", where=str(path)) from error
    raise DatasetError(f"has no {key!r}", where=str(path), next_step=did_you_mean(key, keys))


def _as_text(data: mmap.mmap) -> str:
    """Read as Latin-1 a place in the text is a place in the file, and the signs of JSON itself are the same as in UTF-8."""
    return codecs.latin_1_decode(data)[0]


def _items(text: str, opening: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(n,) starts and (n,) ends of the items of the list that opens at `opening`, and the place behind it."""
    starts: list[int] = []
    ends: list[int] = []
    place = _after_blanks(text, opening + 1)
    while text[place] != "]" or starts:
        end = _end_of(text, place)
        starts.append(place)
        ends.append(end)
        place = _after_blanks(text, end)
        if text[place] == "]":
            break
        if text[place] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
        place = _after_blanks(text, place + 1)
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), place + 1


def _end_of(text: str, place: int) -> int:
    """Where the value that begins at `place` ends. Raises ValueError where the text is no JSON.

    A value that Python cannot take (nested too deep, a number of thousands of digits) is one bad record, not a bad file:
    its end is found by its brackets.
    """
    try:
        return DECODER.raw_decode(text, place)[1]
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        depth = 0
        for sign in SIGNS.finditer(text, place) if text[place] in "[{" else ():
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(sign[0], 0)
            if depth == 0:
                return sign.end()
        raise ValueError(f"{error}: char {place}") from error


def _after_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place] in BLANKS:
        place += 1
    return place
