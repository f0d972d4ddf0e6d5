"""The votes of a log as tables for a terminal, and as JSON for scripts."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llava_graph.printable import printable
from serve.feedback.lines import REASONS
from serve.feedback.ratings import Standing, standings
from serve.feedback.votes import Votes


def report(votes: Votes, *, rounds: int, seed: int = 0) -> dict[str, Any]:
    """Everything as plain values. `rounds` of bootstrap."""
    sides = [battle.winner for battle in votes.battles if battle.winner in ("left", "right")]
    return {
        "lines": votes.lines,
        "skipped": dict(votes.skipped),
        "battles": len(votes.battles),
        "standings": [
            asdict(standing) | {"battles": standing.battles}
            for standing in standings(votes.battles, rounds=rounds, seed=seed)
        ],
        "left_won": sides.count("left"),
        "right_won": sides.count("right"),
        "answers": {model: dict(counts) for model, counts in sorted(votes.answers.items())},
        "reasons": {model: dict(counts) for model, counts in sorted(votes.reasons.items()) if counts},
        "chats": dict(sorted(votes.chats.items())),
    }


def tables(votes: Votes, *, rounds: int) -> RenderableType:
    """Battles, votes on answers, and reasons."""
    parts: list[RenderableType] = []
    found = standings(votes.battles, rounds=rounds)
    if found:
        parts += [_battles(found), Text(_sides(votes), style="dim"), Text()]
    if votes.answers or votes.chats:
        parts += [_answers(votes), Text()]
    if any(votes.reasons.values()):
        parts += [_reasons(votes), Text()]
    told = f"{votes.lines:,} lines"
    if votes.skipped:
        told += "; not counted: " + ", ".join(f"{count:,} {why}" for why, count in sorted(votes.skipped.items()))
    return Group(*parts, Text(told, style="dim"))


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )


def _column(table: Table, name: str) -> None:
    # Numbers stay whole; a long name of a model is what gives way in a narrow terminal.
    numbers = name != "model"
    table.add_column(
        name, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold", min_width=4 if numbers else 12
    )


def _battles(found: list[Standing]) -> Table:
    table = _table("Blind battles")
    for name in ("model", "battles", "won", "lost", "tie", "bad", "points (95 %)", "rating (95 %)"):
        _column(table, name)
    for one in found:
        numbers = (one.battles, one.wins, one.losses, one.ties, one.both_bad)
        points = f"{one.share:.0%} ({'–'.join(f'{100 * bound:.0f}' for bound in one.share_interval)})"
        rating = f"{one.rating:.0f} ({'–'.join(f'{bound:.0f}' for bound in one.rating_interval)})"
        table.add_row(Text(printable(one.model)), *map(str, numbers), points, rating)
    return table


def _sides(votes: Votes) -> str:
    sides = [battle.winner for battle in votes.battles]
    left, right = sides.count("left"), sides.count("right")
    return f"The left answer won {left} and the right one {right} times; sides are drawn at random. bad: both were."


def _answers(votes: Votes) -> Table:
    table = _table("Votes on answers")
    for name in ("model", "answers logged", "up", "down", "flagged"):
        _column(table, name)
    for model in sorted({*votes.answers, *votes.chats}):
        counts = votes.answers.get(model, Counter())
        numbers = [votes.chats[model], *(counts[kind] for kind in ("upvote", "downvote", "flag"))]
        table.add_row(Text(printable(model)), *map(str, numbers))
    return table


def _reasons(votes: Votes) -> Table:
    table = _table("Reasons")
    models = sorted(model for model, counts in votes.reasons.items() if counts)
    table.add_column("reason")
    for model in models:
        table.add_column(Text(printable(model)), justify="right", overflow="fold")
    for reason, words in REASONS.items():
        counts = [votes.reasons[model][reason] for model in models]
        if any(counts):
            table.add_row(words, *map(str, counts))
    return table
