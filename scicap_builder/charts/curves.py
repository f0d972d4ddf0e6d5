"""Data of line charts, ROC and precision-recall curves. In: a random generator and a field. Out: charts."""

from collections.abc import Callable

import numpy as np

from scicap_builder.charts.chart import Chart, Series, pick
from scicap_builder.charts.invent import invent_or_pick
from scicap_builder.charts.vocabulary import Field, Quantity

SHAPES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "rise": lambda t, p: t ** (0.6 + p),
    "fall": lambda t, p: 1 - t ** (0.6 + p),
    "saturate": lambda t, p: 1 - np.exp(-t * (3 + 4 * p)),
    "decay": lambda t, p: np.exp(-t * (3 + 4 * p)),
    "peak": lambda t, p: np.exp(-(((t - 0.3 - 0.4 * p) / 0.22) ** 2)),
    "valley": lambda t, p: 1 - np.exp(-(((t - 0.3 - 0.4 * p) / 0.22) ** 2)),
    "flat": lambda t, p: np.full_like(t, 0.3 + 0.4 * p),
}
"""Curve over t in 0..1 with one free parameter p in 0..1; values in 0..1."""
SHAPE_SHARES = (0.2, 0.15, 0.2, 0.15, 0.12, 0.08, 0.1)
INTERVALS = (
    "",
    "",
    "one standard deviation",
    "the standard error",
    "the 95% confidence interval",
    "the interquartile range",
)
CHANCE = ("Chance", "Random guess", "No skill")


def make_line(rng: np.random.Generator, field: Field) -> Chart:
    """One to five curves over a common grid, with or without error bars or bands."""
    x, y = pick(rng, field.across), pick(rng, field.measured)
    names = invent_or_pick(rng, field, field.series, int(rng.choice([1, 2, 3, 4, 5], p=[0.28, 0.32, 0.24, 0.11, 0.05])))
    low, high = axis_part(rng, x)
    points = int(rng.integers(4, 30))
    log_x = x.log and low > 0
    grid = np.geomspace(low, high, points) if log_x else np.linspace(low, high, points)
    if not log_x and rng.random() < 0.15:  # unevenly spaced measurements
        grid = np.sort(np.concatenate([[low, high], low + (high - low) * rng.random(points - 2)]))
    bottom, top = axis_part(rng, y)
    common = str(rng.choice(list(SHAPES), p=SHAPE_SHARES))
    noise = float(rng.choice([0.0, 0.01, 0.03]))
    interval = str(rng.choice(["", "bars", "band"], p=[0.72, 0.14, 0.14])) if not y.log else ""
    series = []
    for name in names:
        shape = common if rng.random() < 0.65 else pick(rng, list(SHAPES))
        place = (grid - low) / (high - low) if not log_x else np.linspace(0, 1, points)
        curve = SHAPES[shape](place, float(rng.random()))
        floor, height = rng.random() * 0.3, 0.4 + rng.random() * 0.3
        values = np.clip(floor + height * curve + noise * rng.standard_normal(points), 0.0, 1.0)
        numbers = scaled(values, bottom, top, log=y.log)
        half = (0.02 + 0.06 * rng.random(points)) * (top - bottom) if interval else np.array([])
        series.append(
            Series(name=name, x=tuple(map(float, grid)), y=numbers, shape=shape, spread=tuple(map(float, half)))
        )
    told = pick(rng, INTERVALS) if interval else ""
    return Chart(
        kind="line", field=field.name, x=x, y=y, series=tuple(series), log_x=log_x, log_y=y.log,
        interval=interval, interval_of=told,
    )  # fmt: skip


def make_roc(rng: np.random.Generator, field: Field) -> Chart:
    """ROC curves y = x^(1/k), whose area is k / (k + 1)."""
    names = invent_or_pick(rng, field, field.series, int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.25, 0.15])))
    grid = np.linspace(0, 1, int(rng.integers(12, 60))) ** 1.6
    series = []
    for name in names:
        power = float(np.exp(rng.uniform(np.log(1.4), np.log(40))))
        y = grid ** (1 / power)
        series.append(
            Series(name=name, x=tuple(map(float, grid)), y=_monotone(rng, y), shape="rise", area=power / (power + 1))
        )
    x = Quantity(*pick(rng, (("False positive rate", ""), ("1 - Specificity", ""), ("FPR", ""))), 0, 1)
    y_name = pick(rng, (("True positive rate", ""), ("Sensitivity", ""), ("TPR", "")))
    return Chart(
        kind="roc", field=field.name, x=x, y=Quantity(*y_name, 0, 1), series=tuple(series), printed=rng.random() < 0.6
    )


def make_pr(rng: np.random.Generator, field: Field) -> Chart:
    """Precision over recall, falling from near 1 to the share of positives."""
    names = invent_or_pick(rng, field, field.series, int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.25, 0.15])))
    grid = np.linspace(0.02, 1, int(rng.integers(12, 50)))
    floor = float(rng.uniform(0.05, 0.5))
    series = []
    for name in names:
        power = float(rng.uniform(0.6, 9))
        y = 1 - (1 - floor) * grid**power
        noisy = np.clip(y + 0.01 * rng.standard_normal(len(y)), 0, 1)
        area = 1 - (1 - floor) / (power + 1)
        series.append(Series(name=name, x=tuple(map(float, grid)), y=_rounded(noisy), shape="fall", area=area))
    return Chart(
        kind="pr", field=field.name, x=Quantity("Recall", "", 0, 1), y=Quantity("Precision", "", 0, 1),
        series=tuple(series), printed=rng.random() < 0.6,
    )  # fmt: skip


def axis_part(rng: np.random.Generator, quantity: Quantity) -> tuple[float, float]:
    """A part of the quantity's usual range, at least half of it, from round to round."""
    if quantity.log:
        return quantity.low, quantity.high
    span = quantity.high - quantity.low
    step = 10 ** np.floor(np.log10(span)) / 10
    low = quantity.low + (rng.random() * 0.25 * span if rng.random() < 0.5 else 0)
    high = quantity.high - (rng.random() * 0.25 * span if rng.random() < 0.5 else 0)
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def scaled(values: np.ndarray, bottom: float, top: float, *, log: bool = False) -> tuple[float, ...]:
    """0..1 -> bottom..top, rounded to four significant digits of the span."""
    if log:
        return tuple(float(f"{value:.3g}") for value in bottom * (top / bottom) ** values)
    digits = 3 - int(np.floor(np.log10(top - bottom)))
    return tuple(float(value) for value in np.round(bottom + (top - bottom) * values, digits))


def _monotone(rng: np.random.Generator, y: np.ndarray) -> tuple[float, ...]:
    noisy = np.maximum.accumulate(np.clip(y + 0.012 * rng.standard_normal(len(y)), 0, 1))
    noisy[0], noisy[-1] = 0.0, 1.0
    return _rounded(noisy)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(values, 4))
