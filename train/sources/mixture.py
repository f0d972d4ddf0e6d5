"""Several sources as one: a weight says how often each is shown in an epoch, relative to its size."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from train.sources.sample import Sample, Samples


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How often an epoch shows the samples of each part: 0.5 is half of them, drawn anew each epoch; 2 is each twice."""

    parts: tuple[float, ...] = (1.0,)
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Whether every sample is shown once."""
        return all(weight == 1 for weight in self.parts)

    def count(self, part: int, samples: int) -> int:
        """Positions of a part with so many samples in an epoch: the same number in every epoch."""
        weight = self.parts[part]
        return max(1, round(weight * samples)) if weight and samples else 0

    def draw(self, part_of: np.ndarray, epoch: int) -> np.ndarray:
        """(n,) the part of each sample -> (N,) the rows that epoch `epoch` shows, a function of seed and epoch alone."""
        shown = []
        for part in range(len(self.parts)):
            rows = np.flatnonzero(part_of == part)
            whole, rest = divmod(self.count(part, len(rows)), max(1, len(rows)))
            chosen = np.random.default_rng([self.seed, epoch, part]).permutation(rows)[:rest]
            shown += [*[rows] * whole, np.sort(chosen)]
        return np.concatenate(shown) if shown else np.zeros(0, dtype=np.int64)


ALL_ONCE = Weights()
"""One part, every sample once an epoch."""


class Mixture:
    """The samples of all parts, one part after the other."""

    def __init__(self, parts: Sequence[tuple[str, Samples]], weights: Weights, limit: int | None = None) -> None:
        """`parts`: what each is called, and its samples, of which the first `limit` count."""
        self.parts = tuple(parts)
        self.weights = weights
        self._ends = list(accumulate(min(len(part), limit or len(part)) for _, part in parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def place(self, index: int) -> tuple[int, int]:
        """(part, number within it) of sample `index`"""
        part = bisect.bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def part_of(self, indices: np.ndarray) -> np.ndarray:
        """(n,) numbers of samples -> (n,) the part of each"""
        return np.searchsorted(np.array(self._ends, dtype=np.int64), indices, side="right")

    def name(self, index: int) -> str:
        """The sample's name, behind its part's where there are several."""
        part, number = self.place(index)
        called, samples = self.parts[part]
        return f"{called}: {samples.name(number)}" if len(self.parts) > 1 else samples.name(number)

    def get(self, index: int, epoch: int | None) -> Sample:
        """As its part shows it."""
        part, number = self.place(index)
        return self.parts[part][1].get(number, epoch)

    def image_files(self, index: int) -> tuple[Path, ...]:
        """As its part says."""
        part, number = self.place(index)
        return self.parts[part][1].image_files(number)

    @property
    def identity(self) -> dict[str, Any]:
        """All parts and how many samples of each count; weights decide nothing about a sample."""
        return {"parts": [part.identity for _, part in self.parts], "ends": self._ends}
