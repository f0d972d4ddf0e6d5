"""What the work came to: tokens, money, ratings, pairs left out; for the data card and for whoever ran it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llava_graph.dataset import BuildSummary
from llava_graph.durable import put_in_place
from scicap_builder.dialogues.costs import PriceList, Usage, money

RATINGS = "ratings.parquet"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a run came to."""

    summary: BuildSummary
    usage: Mapping[str, Usage]
    """role -> all that was ever paid for in this data set."""
    cost: float
    asked: int
    """Requests that were answered in this run; the others were known."""
    broken_off: int
    left_out: Mapping[str, int]
    """Pairs that the dialogues lost, by reason."""
    told: Mapping[str, str]
    """What the data card says of the work."""


def tally_lines(
    usage: Mapping[str, Usage], cost: float, prices: PriceList, left_out: Mapping[str, int], *, image_alone: bool
) -> dict[str, str]:
    """What the data card says of the work."""
    lines: dict[str, str] = {}
    for role, used in usage.items():
        counted = f", of {used.estimated} answers estimated" if used.estimated else ""
        lines[f"{role}: answers"] = str(used.answers)
        lines[f"{role}: tokens"] = f"{used.prompt_tokens} in, {used.completion_tokens} out{counted}"
    priced = any(price.tokens_in or price.tokens_out for price in prices.values())
    lines["cost"] = f"{money(cost)} at the given prices" if priced else "no prices given"
    if left_out:
        lines["pairs left out of dialogues"] = ", ".join(f"{reason} {count}" for reason, count in left_out.items())
    if image_alone:
        lines["to train on it"] = (
            "--context none: the answers are written from the captions, which would give them away"
        )
    return lines


def write_ratings(out: Path, ratings: Iterable[tuple[str, float]], least: float) -> None:
    """id, rating (0..10), kept: all that were rated, also those that were left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ratings = list(ratings)
    columns = {
        "id": pa.array([name for name, _ in ratings], pa.string()),
        "rating": pa.array([rating for _, rating in ratings], pa.float64()),
        "kept": pa.array([rating >= least for _, rating in ratings], pa.bool_()),
    }
    part = out / f"{RATINGS}.part"
    pq.write_table(pa.table(columns), part)
    put_in_place(part, out / RATINGS)
