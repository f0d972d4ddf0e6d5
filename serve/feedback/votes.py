"""What the votes in a log say. In: a folder that the page, FastChat or LLaVA has written. Out: tables."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llava_graph.errors import InputError
from serve.feedback.lines import ANSWER_VOTES, BATTLE_VOTES, REASONS
from serve.feedback.ratings import Battle

WINNERS = dict(zip(BATTLE_VOTES, ("left", "right", "tie", "both bad"), strict=True))


@dataclass(frozen=True)
class Votes:
    """All that a log holds, counted; read + skipped = lines, always."""

    battles: tuple[Battle, ...] = ()
    answers: Mapping[str, Counter[str]] = field(default_factory=dict)
    """model -> upvote, downvote, flag -> how often."""
    reasons: Mapping[str, Counter[str]] = field(default_factory=dict)
    """model -> reason -> how often."""
    chats: Counter[str] = field(default_factory=Counter)
    """model -> answers."""
    skipped: Counter[str] = field(default_factory=Counter)
    """reason -> lines that count for nothing."""
    lines: int = 0


def read_votes(folder: Path) -> Votes:
    """All lines of a log folder. Of several votes on the same answer or battle the last one counts.

    Broken lines are counted, never fatal. Raises InputError if there is no log.
    """
    return count_votes(log_lines(folder))


def log_lines(folder: Path) -> Iterator[bytes]:
    """All lines of a log folder, the oldest day first. Raises InputError if there is no log."""
    files = sorted(folder.glob("*-conv.json")) if folder.is_dir() else []
    if not files:
        raise InputError("no log is there", where=str(folder), next_step="It holds files like 2026-11-28-conv.json")
    for file in files:
        with file.open("rb") as opened:
            yield from opened


def count_votes(lines: Iterable[bytes | str]) -> Votes:
    """The votes in `lines`, oldest first."""
    battles: dict[Any, Battle] = {}
    answers: dict[Any, tuple[str, str, tuple[str, ...]]] = {}
    chats, skipped, seen = Counter[str](), Counter[str](), 0
    for line in lines:
        seen += 1
        try:
            row = json.loads(line)
            kind = row["type"]
            if kind in BATTLE_VOTES:
                key, battle = _battle(row)
                skipped["replaced by a later vote"] += key in battles
                battles[key] = battle
            elif kind in ANSWER_VOTES:
                key, vote = _answer(row)
                skipped["replaced by a later vote"] += key in answers
                answers[key] = vote
            elif kind == "chat":
                chats[_text(row["model"])] += 1
            else:
                skipped["of another kind"] += 1
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            skipped["not a line of this format"] += 1
    per_model: dict[str, Counter[str]] = {}
    why: dict[str, Counter[str]] = {}
    for model, kind, reasons in answers.values():
        per_model.setdefault(model, Counter())[kind] += 1
        why.setdefault(model, Counter()).update(reasons)
    return Votes(tuple(battles.values()), per_model, why, chats, +skipped, seen)


def _battle(row: Mapping[str, Any]) -> tuple[Any, Battle]:
    """(what tells battles apart, the battle). FastChat's named battles carry `### Model A: name` in `models`."""
    names = [_text(state["model_name"]) for state in row["states"]]
    left, right = names
    key = tuple((state["conv_id"], len(state["messages"])) for state in row["states"])
    return key, Battle(left, right, WINNERS[row["type"]])


def _answer(row: Mapping[str, Any]) -> tuple[Any, tuple[str, str, tuple[str, ...]]]:
    state = row["state"]
    reasons = tuple(reason for reason in row.get("feedback", {}).get("reasons", ()) if reason in REASONS)
    # LLaVA's lines do not say which conversation they are of: each stands for itself. A flag is no change of mind about the
    # answer's worth.
    talk = state.get("conv_id") or row["tstamp"]
    # An answer that was asked for again is another answer.
    key = (talk, len(state["messages"]), str(state["messages"][-1][1]), row["type"] == "flag")
    return key, (_text(row["model"]), row["type"], reasons)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a name is missing")
    return value
