"""Where a reader of a stream stands, and what it has counted so far: plain values that travel with every batch."""

from __future__ import annotations

from collections import Counter
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
    return add_counts(
        [{name: value for name, value in vars(cursor).items() if name not in ("window", "batch")} for cursor in cursors]
    )


def add_counts(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `counts_of` gives, of several processes together."""
    return {
        "seen": sum(one["seen"] for one in counts),
        "refused": _sums([one["refused"] for one in counts]),
        "repaired": _sums([one["repaired"] for one in counts]),
        "answers_cut": sum(one["answers_cut"] for one in counts),
    }


def _more(counts: Mapping[str, int], kinds: Sequence[str]) -> dict[str, int]:
    counted = dict(counts)
    for kind in kinds:
        counted[kind] = counted.get(kind, 0) + 1
    return counted


def _sums(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The most frequent first."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total.most_common())
