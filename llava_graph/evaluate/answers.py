"""Answers on disk, a JSON line each in LLaVA's columns, so that runs go on where they stopped and files of others can be scored.

{"question_id": …, "prompt": …, "text": …, "model_id": …, "metadata": {"mark": …, "finish_reason": …, …}}
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llava_graph.durable import try_lock
from llava_graph.errors import InputError, did_you_mean
from llava_graph.evaluate.answered import Item, Pair, Reply
from llava_graph.record import Dropped

ID_NAMES, TEXT_NAMES = ("question_id", "id"), ("prediction", "text", "answer")
"""VLMEvalKit writes `prediction`, and beside it the reference as `answer`: the former comes first."""
NO_PREDICTION = "Failed to obtain answer via API"
"""What VLMEvalKit writes where the model's server gave no answer."""
COUNTED = ("finish_reason", "prompt_tokens", "completion_tokens", "seconds")


class AnswerFile:
    """The answers of one process, written as they come. A context manager."""

    def __init__(self, path: Path, model: str) -> None:
        """Go on with the file, without the half line of a killed run. Raises InputError: another process is writing it."""
        self.path, self._model = path, model
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
            if not try_lock(self._file, wait=False):
                self._file.close()
                raise InputError(
                    "another process is writing here", where=str(path), next_step="Give another --chunk-idx"
                )
            self._file.seek(0)
            self._file.truncate(self._file.read().rfind(b"\n") + 1)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", where=str(path)) from error

    def add(self, reply: Reply) -> None:
        """Keep one answer. Raises InputError where the disk does not take it."""
        row = {
            "question_id": reply.id,
            "prompt": reply.prompt,
            "text": encodable(reply.text),
            "model_id": self._model,
            "metadata": {"mark": reply.mark, **{name: getattr(reply, name) for name in COUNTED}},
        }
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", where=str(self.path)) from error

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@dataclass(frozen=True)
class Joined:
    """Items with their answers, and everything that did not fit."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    """Ids of items without an answer."""
    problems: tuple[Dropped, ...]

    @property
    def complete(self) -> bool:
        """Whether a score over `pairs` is one of the whole set."""
        return not self.missing

    @property
    def counts(self) -> dict[str, int]:
        """reason -> how often"""
        found: dict[str, int] = {"missing": len(self.missing)} if self.missing else {}
        for problem in self.problems:
            found[problem.reason] = found.get(problem.reason, 0) + 1
        return found


def read_answers(files: Sequence[Path]) -> tuple[list[Reply], list[Dropped]]:
    """All answers of JSONL files (or a JSON list, or a TSV), and the lines that are none.

    Raises InputError for a file without answers.
    """
    replies: list[Reply] = []
    problems: list[Dropped] = []
    for file in files:
        before = len(replies)
        for place, row in _rows(file):
            reply = read_row(row)
            if isinstance(reply, Reply):
                replies.append(reply)
            else:
                problems.append(Dropped(item=f"{file.name}:{place}", reason=reply[0], detail=reply[1]))
        if len(replies) == before and any(problem.reason == "wrong-columns" for problem in problems):
            raise InputError(
                problems[-1].detail,
                where=str(file),
                next_step="Needed: question_id, text",
            )
    return replies, problems


def _rows(file: Path) -> Iterable[tuple[int, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", where=str(file)) from error
    if file.suffix == ".tsv":
        try:
            yield from enumerate(csv.DictReader(io.StringIO(text), delimiter="\t"), 1)
        except csv.Error as error:
            raise InputError(f"is no TSV ({error})", where=str(file)) from error
        return
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), 1)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is no JSON ({error})", where=str(file)) from error
        return
    for place, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield place, json.loads(line)
            except (ValueError, RecursionError):
                yield place, None


def read_row(row: Any) -> Reply | tuple[str, str]:
    """One line -> its answer, or (reason, detail)."""
    if not isinstance(row, Mapping):
        return "not-json", "the line is no JSON object"
    name = next((row[one] for one in ID_NAMES if one in row), None)
    text_name = next((one for one in TEXT_NAMES if one in row), None)
    if name is None or text_name is None:
        lacking = "question_id" if name is None else "text"
        return (
            "wrong-columns",
            f"no column {lacking!r}. {did_you_mean(lacking, map(str, row))}",
        )
    text = row[text_name]
    if not isinstance(text, str):
        nothing = text is None or (isinstance(text, float) and math.isnan(text))
        return (
            ("nan", f"{name} has no text")
            if nothing
            else ("not-text", f"the answer to {name} is {type(text).__name__}")
        )
    if text_name == TEXT_NAMES[0] and text.startswith(NO_PREDICTION):
        return "not-answered", f"{name}: {NO_PREDICTION}"
    told = row.get("metadata")
    told = told if isinstance(told, Mapping) else {}
    known = {one: told[one] for one in COUNTED if told.get(one) is not None}
    return Reply(
        id=str(name),
        text=encodable(text),
        mark=str(told.get("mark") or ""),
        prompt=str(row.get("prompt") or ""),
        **known,
    )


def encodable(text: str) -> str:
    """Without half characters, which JSON can carry and no file can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def join(items: Sequence[Item], replies: Iterable[Reply], problems: Iterable[Dropped] = ()) -> Joined:
    """Answers to items by id and question, whatever their order.

    An id may lack our prefix ("synpic42202" for "vqa-rad:synpic42202") where that names one item only. Raises InputError where
    two different answers claim one item: none of them can be preferred.
    """
    known = items_by_name(items)
    found: dict[str, Reply] = {}
    troubles = list(problems)
    for reply in replies:
        item = known.get(reply.id)
        if item is None:
            troubles.append(Dropped(item=reply.id, reason="no-such-item"))
        elif reply.mark and reply.mark != item.mark:
            troubles.append(
                Dropped(item=reply.id, reason="other-question", detail="the id is asked something else now")
            )
        elif item.id not in found:
            found[item.id] = reply
        elif found[item.id].text == reply.text:
            troubles.append(Dropped(item=reply.id, reason="duplicate"))
        else:
            raise InputError(
                f"two different answers to {item.id}", next_step="Leave one of them, or give one file at a time"
            )
    troubles += [Dropped(item=name, reason="empty") for name, reply in found.items() if not reply.text.strip()]
    return Joined(
        tuple(
            Pair(item=item, text=found[item.id].text, finish_reason=found[item.id].finish_reason)
            for item in items
            if item.id in found
        ),
        tuple(item.id for item in items if item.id not in found),
        tuple(troubles),
    )


def items_by_name(items: Sequence[Item]) -> dict[str, Item]:
    """By id, and by what stands behind its ":" where that is no other item's."""
    short: dict[str, Item | None] = {}
    for item in items:
        name = item.id.partition(":")[2]
        short[name] = None if name in short else item
    return {name: item for name, item in short.items() if name and item is not None} | {item.id: item for item in items}
