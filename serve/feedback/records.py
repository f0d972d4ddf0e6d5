"""Answers that visitors approved or corrected as training records. In: a log folder. Out: figures with turns, and what was left
out and why; every vote on an answer is in one of the two."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llava_graph.dataset import BuildSummary, write_dataset
from llava_graph.errors import InputError
from llava_graph.images import is_there
from llava_graph.record import Dropped, Figure, Turn
from serve.feedback.log import IMAGES
from serve.feedback.votes import log_lines

SOURCE = "feedback"
UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, InputError)


@dataclass(frozen=True)
class Vote:
    """The last vote on one answer."""

    question: str
    answer: str
    """As it was, or as it was corrected."""
    kind: str
    """ "upvote", "downvote", or "corrected"."""
    state: Mapping[str, Any] = field(default_factory=dict)


def write_records(folder: Path, out: Path) -> BuildSummary:
    """Write the records of a log as a new data set. Raises InputError (no log), DatasetError (`out` is in use)."""
    kept, dropped = training_records(folder)
    # Pixels are read a shard at a time.
    whole = (replace(one, image=one.image.read_bytes()) for one in kept if isinstance(one.image, Path))
    return write_dataset(whole, out, dropped=dropped, options={"source": SOURCE}, shard_rows=200)


def training_records(folder: Path) -> tuple[list[Figure], list[Dropped]]:
    """(records, their images as paths; what was left out) of all votes on answers.

    A conversation becomes a record from its first answer on, as long as each answer was approved: training learns every answer
    of a record. A corrected answer ends it, since what followed spoke of the wrong one.
    """
    kept, dropped = [], []
    talks, broken = _conversations(folder)
    for talk, votes in talks.items():
        used = _used(votes)
        figure = _figure(folder, talk, [votes[number] for number in range(used)]) if used else None
        if isinstance(figure, Figure):
            kept.append(figure)
        for number, vote in sorted(votes.items()):
            if isinstance(figure, Figure) and number < used:
                continue
            reason = figure if isinstance(figure, str) and number < used else _why_not(vote, number)
            dropped.append(Dropped(item=f"{talk}#answer{number + 1}", reason=reason))
    return kept, dropped + broken


def _conversations(folder: Path) -> tuple[dict[str, dict[int, Vote]], list[Dropped]]:
    """(conversation -> number of the answer, from 0 -> the last vote on it; votes that cannot be read). What is no vote is passed
    over."""
    found: dict[str, dict[int, Vote]] = {}
    broken: list[Dropped] = []
    for number, line in enumerate(log_lines(folder), 1):
        try:
            row = json.loads(line)
            if row["type"] not in ("upvote", "downvote"):
                continue
        except UNREADABLE:
            continue
        try:
            state, corrected = row["state"], row.get("feedback", {}).get("corrected", "")
            (_, question), (_, answer) = state["messages"][-2:]
            kind = "corrected" if corrected else row["type"]
            vote = Vote(str(question), str(corrected or answer), kind, state)
            # LLaVA's lines do not say which conversation they are of (see `votes`): each stands for itself.
            talk = str(state.get("conv_id") or f"tstamp:{row['tstamp']}")
            found.setdefault(talk, {})[len(state["messages"]) // 2 - 1] = vote
        except UNREADABLE:
            broken.append(Dropped(item=f"line {number}", reason="vote-broken"))
    return found, broken


def _used(votes: Mapping[int, Vote]) -> int:
    """How many answers from the first on make the record."""
    count = 0
    while count in votes and votes[count].kind != "downvote":
        count += 1
        if votes[count - 1].kind == "corrected":
            break
    return count


def _figure(folder: Path, talk: str, votes: list[Vote]) -> Figure | str:
    """The record, or why there is none."""
    state = votes[-1].state
    if not isinstance(state.get("figure"), Mapping):
        return "figure-not-kept"
    try:
        figure = Figure.from_row(state["figure"])
        image = folder / IMAGES / f"{_hex(state['images'][0])}.png"
    except UNREADABLE:
        return "figure-broken"
    if not is_there(image):
        return "image-missing"
    turns = tuple(Turn(role=role, text=text) for vote in votes for role, text in _pair(vote))
    return replace(figure, id=f"{figure.id}@{talk[:12]}", image=image, turns=turns, source=SOURCE)


def _pair(vote: Vote) -> Iterator[tuple[str, str]]:
    yield "user", vote.question
    yield "assistant", vote.answer


def _hex(name: str) -> str:
    """A name of ours, so that no path is made of anything else."""
    return f"{int(name, 16):032x}"


def _why_not(vote: Vote, number: int) -> str:
    return "downvoted" if vote.kind == "downvote" else "after-an-answer-that-was-not-approved" if number else "not-used"
