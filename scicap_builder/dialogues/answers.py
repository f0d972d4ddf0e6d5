"""Everything that a teacher ever answered, in a file, so that nothing is paid for twice. Raw: what became of it is decided later.

JSON lines {"key", "item", "step", "role", "model", "prompt_tokens", "completion_tokens", "told", "finish", "text"}. Only keys and
places lie in memory, about 150 bytes an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_graph.errors import DatasetError
from llava_graph.evaluate.answers import encodable
from llava_graph.prompt import Message
from llava_graph.sampling import GenerationOptions
from scicap_builder.dialogues.costs import Usage

FILE = "answers.jsonl"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One thing that is asked."""

    step: str
    messages: tuple[Message, ...]
    generation: GenerationOptions
    typical_tokens: int
    """Of the answer."""
    stand_in: str
    """An answer of that length, for an estimate of the steps behind it."""
    context: str = ""
    """What the answer is to be borne out by: the quoted parts."""
    pictured: bool = False
    """Whether the record's picture goes along."""
    role: str = "teacher"
    """Who is asked: "teacher" or "rater"."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    told: bool = True
    """Whether the server counted the tokens; else they are an estimate."""


def key_of(request: Request, model: str, images: Iterable[bytes]) -> str:
    """Of the model, every word and picture it is shown, and how it is sampled: the same request is sent once."""
    generation = request.generation
    sampled = [generation.max_new_tokens, generation.temperature, generation.top_p, generation.seed]
    shown = [hashlib.sha256(image).hexdigest() for image in images]
    told = json.dumps([model, request.messages, sampled, shown], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class Answers:
    """The file of one data set's answers. Threads may share it; the data set's lock keeps other processes away."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or begin it; a line that a kill cut in half is taken off. Raises DatasetError: no answers, or not writable."""
        self.path = path
        self.usage: dict[str, Usage] = {}
        """role -> all that was ever paid for."""
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()
        self._file = None
        try:
            if not read_only:
                path.parent.mkdir(exist_ok=True)
                self._file = path.open("ab+")
            self._end = self._read() if path.exists() else 0
            if self._file:
                self._file.truncate(self._end)
        except DatasetError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise DatasetError(f"cannot be written ({error.strerror})", where=str(path)) from error

    def _read(self) -> int:
        """Learn the places. Returns where the last whole line ends."""
        place = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    self._note(json.loads(line), place)
                except (ValueError, KeyError, TypeError) as error:
                    raise DatasetError(
                        f"byte {place} is no answer of a teacher", where=str(self.path), next_step="Move the file away"
                    ) from error
                place += len(line)
        return place

    def _note(self, row: dict[str, Any], place: int) -> None:
        self._places[_short(row["key"])] = place
        usage = self.usage.get(row["role"], Usage())
        self.usage[row["role"]] = usage.plus(row["prompt_tokens"], row["completion_tokens"], told=row["told"])

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Answer | None:
        """The answer, if it was given before."""
        place = self._places.get(_short(key))
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            row = json.loads(file.readline())
        if row["key"] != key:
            return None
        return Answer(
            text=row["text"],
            finish_reason=row["finish"],
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            told=row["told"],
        )

    def add(self, key: str, answer: Answer, *, item: str, request: Request, model: str) -> None:
        """Keep one answer. Raises DatasetError where the disk is full."""
        row = {
            "key": key,
            "item": item,
            "step": request.step,
            "role": request.role,
            "model": model,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "told": answer.told,
            "finish": answer.finish_reason,
            "text": encodable(answer.text),
        }
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            if self._file is None:
                raise DatasetError("is open for reading only", where=str(self.path))
            try:
                self._file.write(line)
                self._file.flush()
            except OSError as error:
                raise DatasetError(
                    f"cannot be written ({os.strerror(error.errno) if error.errno else error})",
                    where=str(self.path),
                    next_step="Make room; the same command goes on where it stopped",
                ) from error
            self._note(row, self._end)
            self._end += len(line)

    def close(self) -> None:
        """Everything on disk."""
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _short(key: str) -> int:
    """Enough of a key to find it; what is found is compared whole."""
    return int(key[:15], 16)
