"""A score as a function of sums over items, so that it can be taken over any sample of them: BLEU of a corpus as well as a mean.

In: what each item adds. Out: the score, its bootstrap interval, and whether two runs differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PUBLISHED, STRICT = "published", "strict"
"""Flavours: number for number what a published script computes; what the name of the score says."""
RESAMPLES = 1000
LEVEL = 0.95
CELLS = 2**22
"""Of a table of resamples and groups that is in memory at once (8 bytes each)."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One score of one run."""

    name: str
    flavour: str
    rows: Mapping[str, tuple[float, ...]]
    """Item -> what it adds to the sums; items that the score is not about are missing."""
    of_sums: Callable[[Sequence[float]], float]
    """Sums over items -> the score. ZeroDivisionError: there is nothing to score."""
    scale: float = 1.0
    """The best value: 1, or 10 for CIDEr; 0: no upper end."""
    note: str = ""

    @property
    def key(self) -> str:
        """ "strict/BLEU-4"."""
        return f"{self.flavour}/{self.name}"

    @property
    def value(self) -> float | None:
        """The score over all its items; None where there are none."""
        return self._of(np.array(list(self.rows.values()), dtype=float).sum(axis=0)) if self.rows else None

    def _of(self, sums: np.ndarray) -> float | None:
        try:
            value = float(self.of_sums(sums.tolist()))
        except ZeroDivisionError:
            return None
        return value if math.isfinite(value) else None


def mean(name: str, flavour: str, values: Mapping[str, float], **more: object) -> Measure:
    """The mean of the items' values."""
    rows = {item: (float(value), 1.0) for item, value in values.items()}
    return Measure(name=name, flavour=flavour, rows=rows, of_sums=_share, **more)  # type: ignore[arg-type]


def ratio(name: str, flavour: str, parts: Mapping[str, tuple[float, float]], **more: object) -> Measure:
    """Sum of the first numbers by the sum of the second."""
    return Measure(name=name, flavour=flavour, rows=dict(parts), of_sums=_share, **more)  # type: ignore[arg-type]


def _share(sums: Sequence[float]) -> float:
    return sums[0] / sums[1]


@dataclass(frozen=True)
class Interval:
    """Ends of a confidence interval."""

    low: float
    high: float


def interval(
    measure: Measure, groups: Mapping[str, str], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap (Efron 1979): whole groups (a figure with its questions) are drawn, as these are not independent.

    `groups`: item -> its group. None: fewer than two groups.
    """
    return intervals([measure], groups, resamples=resamples, level=level, seed=seed)[0]


def intervals(
    measures: Sequence[Measure],
    groups: Mapping[str, str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Interval | None]:
    """`interval` of each. Scores over as many groups share their draws: of 100,000 groups, drawing is what takes the time."""
    sums = [_group_sums(measure, groups) for measure in measures]
    drawn: list[list[float | None]] = [[] for _ in measures]
    for size in {len(one) for one in sums if len(one) >= 2}:
        places = [place for place, one in enumerate(sums) if len(one) == size]
        matrices = [np.array(list(sums[place].values())) for place in places]
        ends = np.cumsum([matrix.shape[1] for matrix in matrices])[:-1]
        wide = np.hstack(matrices)
        for weights in _weights(size, resamples, seed):
            for place, rows in zip(places, np.split(weights @ wide, ends, axis=1), strict=True):
                drawn[place] += map(measures[place]._of, rows)
    return [_ends([value for value in values if value is not None], level) for values in drawn]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second run's score less the first's, over the items that both have."""

    first: float
    second: float
    interval: Interval | None
    p_value: float | None
    """Of a paired randomization test (Noreen 1989), two-sided: how often a difference this large comes by exchanging the runs'
    answers at random. None: fewer than two groups."""
    items: int

    @property
    def value(self) -> float:
        """Second less first."""
        return self.second - self.first


def compare(
    first: Measure,
    second: Measure,
    groups: Mapping[str, str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference | None:
    """Whether two runs differ in one score; None where they share no item of it."""
    common = [item for item in first.rows if item in second.rows]
    one, other = (_group_sums(run, groups, common) for run in (first, second))
    if not common:
        return None
    a, b = np.array(list(one.values())), np.array(list(other.values()))
    before, after = first._of(a.sum(axis=0)), second._of(b.sum(axis=0))
    if before is None or after is None:
        return None
    if len(a) < 2:
        return Difference(first=before, second=after, interval=None, p_value=None, items=len(common))
    drawn = [
        _less(first._of(x), second._of(y))
        for weights in _weights(len(a), resamples, seed)
        for x, y in zip(weights @ a, weights @ b, strict=True)
    ]
    exchanged = [
        _less(first._of(a.sum(axis=0) + moved), second._of(b.sum(axis=0) - moved))
        for flips in _flips(len(a), resamples, seed + 1)
        for moved in flips @ (b - a)
    ]
    # A difference that equals the observed one but for rounding counts as one.
    reached = sum(value is not None and abs(value) >= abs(after - before) - 1e-12 for value in exchanged)
    return Difference(
        first=before,
        second=after,
        interval=_ends([value for value in drawn if value is not None], level),
        p_value=(reached + 1) / (resamples + 1),
        items=len(common),
    )


def _group_sums(
    measure: Measure, groups: Mapping[str, str], items: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    sums: dict[str, np.ndarray] = {}
    for item in measure.rows if items is None else items:
        row = np.array(measure.rows[item], dtype=float)
        group = groups[item]
        sums[group] = sums[group] + row if group in sums else row
    return sums


def _weights(groups: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """(some resamples, groups): how often each group is drawn; `resamples` in all, as many at once as memory has room for."""
    source, shares = np.random.default_rng(seed), np.full(groups, 1 / groups)
    for size in _sizes(groups, resamples):
        yield source.multinomial(groups, shares, size=size).astype(float)


def _flips(groups: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """(some resamples, groups): 1 where the runs' answers to a group are exchanged."""
    source = np.random.default_rng(seed)
    for size in _sizes(groups, resamples):
        yield source.integers(0, 2, (size, groups))


def _sizes(groups: int, resamples: int) -> list[int]:
    most = max(1, CELLS // groups)
    return [min(most, resamples - start) for start in range(0, resamples, most)]


def _less(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _ends(values: Sequence[float], level: float) -> Interval | None:
    if not values:
        return None
    low, high = np.quantile(np.array(values), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
