"""Counts that every process of a data loader adds to, and that the trainer reads."""

from __future__ import annotations

import logging

import torch

log = logging.getLogger(__name__)


class Tally:
    """How often something was met, by kind; each kind is also told once, in the process that meets it first."""

    def __init__(self, *kinds: str) -> None:
        self._kinds = (*kinds, "other")
        self._counts = torch.zeros(len(self._kinds), dtype=torch.int64).share_memory_()
        self._told: set[str] = set()

    def add(self, kind: str, example: str) -> None:
        """One more of `kind`; `example` is told the first time."""
        known = kind if kind in self._kinds else "other"
        self._counts[self._kinds.index(known)] += 1
        if kind not in self._told:
            self._told.add(kind)
            log.warning("%s: %s (counted from now on, not told again)", kind, example)

    def counts(self) -> dict[str, int]:
        """kind -> how often, over all processes of this loader; kinds that were not met are left out."""
        return {kind: int(count) for kind, count in zip(self._kinds, self._counts.tolist(), strict=True) if count}
