"""Where a reader of a stream stands, and what it has counted so far: plain values that travel with every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Cursor:
    """Where one reader stands, and what it has counted so far."""

    window: int
    """Number of the window in the run."""
    batch: int = 0
    """The next one of this window."""
    seen: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    """reason -> samples"""
    repaired: Mapping[str, int] = field(default_factory=dict)
    """kind -> samples"""
    answers_cut: int = 0

    def counted(
        self, *, seen: int = 0, refused: Sequence[str] = (), repaired: Sequence[str] = (), cut: int = 0
    ) -> Cursor:
        """With so many more."""
        return replace(
            self,
            seen=self.seen + seen,
            refused=_more(self.refused, refused),
            repaired=_more(self.repaired, repaired),
            answers_cut=self.answers_cut + cut,
        )


def counts_of(cursors: Sequence[Cursor]) -> dict[str, Any]:
    """seen, refused and repaired by kind, answers cut: of several readers together."""
    total = Cursor(0)
    for cursor in cursors:
        total = replace(
            total.counted(seen=cursor.seen, cut=cursor.answers_cut),
            refused=_sum(total.refused, cursor.refused),
            repaired=_sum(total.repaired, cursor.repaired),
        )
    return {name: value for name, value in vars(total).items() if name not in ("window", "batch")}


def _more(counts: Mapping[str, int], kinds: Sequence[str]) -> dict[str, int]:
    counted = dict(counts)
    for kind in kinds:
        counted[kind] = counted.get(kind, 0) + 1
    return counted


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in {**one, **other}}
