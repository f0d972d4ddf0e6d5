"""Who wins: shares and Bradley-Terry ratings of models from battles, with bootstrap intervals. Arrays in and out, pure.

Bradley & Terry 1952; fitted by Hunter's MM algorithm (Ann. Statist. 32, 2004), on Elo's scale as FastChat prints it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SCALE, START = 400.0, 1000.0
"""Elo's: 400 points are odds of ten to one; the mean of all models is 1000."""
ROUNDS = 1000
PRIOR_TIES = 1.0
"""One tie is added to every pair that met: without it a model that never lost would be rated infinitely well."""
MM_STEPS, MM_SETTLED = 500, 1e-6
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap: a 95 % interval."""


@dataclass(frozen=True)
class Battle:
    """Two models and the winner: "left", "right", "tie" or "both bad"."""

    left: str
    right: str
    winner: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One model's battles. Shares in 0..1, a tie counting half; ratings on Elo's scale."""

    model: str
    wins: int
    losses: int
    ties: int
    both_bad: int
    share: float
    share_interval: tuple[float, float]
    rating: float
    rating_interval: tuple[float, float]

    @property
    def battles(self) -> int:
        """All of them."""
        return self.wins + self.losses + self.ties + self.both_bad


def standings(battles: Sequence[Battle], *, rounds: int = ROUNDS, seed: int = 0) -> list[Standing]:
    """Every model that met another one, the best first. The bootstrap draws whole battles, `rounds` times."""
    kinds = Counter(battle for battle in battles if battle.left != battle.right)
    if not kinds:
        return []
    distinct, counts = list(kinds), np.array(list(kinds.values()))
    models = sorted({name for battle in kinds for name in (battle.left, battle.right)})
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=rounds)
    # The first row is what was observed, the others are the draws.
    points = _points(distinct, models, np.vstack([counts, drawn]))
    shares, ratings = _shares(points), _ratings(points)
    found = [
        Standing(
            model=model,
            **_counts(kinds, model),
            share=float(shares[0, place]),
            share_interval=_interval(shares[:, place]),
            rating=float(ratings[0, place]),
            rating_interval=_interval(ratings[:, place]),
        )
        for place, model in enumerate(models)
    ]
    return sorted(found, key=lambda standing: (-standing.rating, standing.model))


def _counts(kinds: Counter[Battle], model: str) -> dict[str, int]:
    counts = Counter[str]()
    for battle, often in kinds.items():
        if model in (battle.left, battle.right):
            decided = battle.winner in ("left", "right")
            won = decided and getattr(battle, battle.winner) == model
            counts["win" if won else "loss" if decided else battle.winner] += often
    return {"wins": counts["win"], "losses": counts["loss"], "ties": counts["tie"], "both_bad": counts["both bad"]}


def _points(battles: Sequence[Battle], models: Sequence[str], counts: Any) -> Any:
    """(rounds, models, models): points of the row's model against the column's; a tie is half a point for both.

    `counts`: (rounds, battles), how often each of `battles` was fought."""
    place = {model: index for index, model in enumerate(models)}
    points = np.zeros((len(counts), len(models), len(models)))
    left_points = {"left": 1.0, "right": 0.0}
    for battle, often in zip(battles, counts.T, strict=True):
        left, right, won = place[battle.left], place[battle.right], left_points.get(battle.winner, 0.5)
        points[:, left, right] += often * won
        points[:, right, left] += often * (1 - won)
    return points


def _shares(points: Any) -> Any:
    """(rounds, models) points per battle; a model that a draw left out has no share (nan)."""
    battles = (points + points.swapaxes(1, 2)).sum(axis=2)
    return np.divide(points.sum(axis=2), battles, out=np.full(battles.shape, np.nan), where=battles > 0)


def _ratings(points: Any) -> Any:
    """(rounds, models) Bradley-Terry strengths on Elo's scale."""
    points = points + (points + points.swapaxes(1, 2) > 0) * (PRIOR_TIES / 2)
    battles, won = points + points.swapaxes(1, 2), points.sum(axis=2)
    strength = np.ones(won.shape)
    for _ in range(MM_STEPS):
        expected = (battles / (strength[:, :, None] + strength[:, None, :])).sum(axis=2)
        better = np.divide(won, expected, out=np.ones_like(won), where=expected > 0)
        better /= np.exp(np.log(better).mean(axis=1, keepdims=True))
        moved = np.abs(np.log(better / strength)).max()
        strength = better
        if moved < MM_SETTLED:
            break
    return START + SCALE * np.log10(strength)


def _interval(values: Any) -> tuple[float, float]:
    """The bounds of the middle 95 %."""
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)
