"""The data behind a chart: a random generator in, a frozen chart with axes, series and numbers out. No drawing, no text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from scicap_builder.charts.invent import invent_names, invent_quantity
from scicap_builder.charts.vocabulary import FIELDS, Field, Quantity

T = TypeVar("T")

KINDS = ("line", "bar", "scatter", "histogram")
KIND_SHARES = (0.45, 0.22, 0.18, 0.15)
"""Line charts are the most common kind in papers (SciCap 2021: "graph plots" lead by far)."""
INVENTED_SHARE = 0.55
"""Share of charts whose series names no vocabulary lists."""
INVENTED_QUANTITY_SHARE = 0.5
"""Share of axes whose quantity no vocabulary lists: a model of 150 known labels would guess instead of reading."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, bar group or cloud of points."""

    name: str
    x: tuple[float, ...]
    """Category numbers 0, 1, … in a bar chart; bin edges (one more than y) in a histogram."""
    y: tuple[float, ...]
    shape: str = ""
    """How it was made: rise, fall, saturate, decay, peak, valley, flat, positive, negative, none, symmetric, skewed."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """All that a chart says, before anything is drawn."""

    kind: str
    field: str
    x: Quantity
    y: Quantity
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()
    subject: str = ""
    title: str = ""
    log_x: bool = False
    log_y: bool = False

    @property
    def y_range(self) -> tuple[float, float]:
        """Smallest and largest value over all series."""
        values = [value for series in self.series for value in series.y]
        return min(values), max(values)


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of `items`."""
    return items[int(rng.integers(len(items)))]


def make_chart(rng: np.random.Generator) -> Chart:
    """A chart with known data, drawn from `rng` alone."""
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    field = pick(rng, FIELDS)
    chart = _MAKERS[kind](rng, field)
    chart = replace(chart, x=_renamed(rng, chart.x), y=_renamed(rng, chart.y))
    subject = pick(rng, field.subjects)
    title = _title(rng, chart, subject) if rng.random() < 0.35 else ""
    return replace(chart, subject=subject, title=title)


def _renamed(rng: np.random.Generator, quantity: Quantity) -> Quantity:
    """The quantity, or in half of the cases an invented one; what has no unit by nature (a count, a year) keeps its name."""
    plain = quantity.name in (
        "",
        "Fraction",
        "Count",
        "Frequency",
        "Number of samples",
        "Year",
        "Epoch",
        "Month",
        "Day",
    )
    return quantity if plain or rng.random() >= INVENTED_QUANTITY_SHARE else invent_quantity(rng, quantity)


def _title(rng: np.random.Generator, chart: Chart, subject: str) -> str:
    both = f"{chart.y.name} vs. {chart.x.name}" if chart.x.name else chart.y.name
    return pick(rng, (subject[0].upper() + subject[1:], both, chart.y.name, invent_names(rng, 1)[0]))


def _axis(rng: np.random.Generator, quantity: Quantity) -> tuple[float, float]:
    """A part of the quantity's usual range, at least half of it, from round to round."""
    if quantity.log:
        return quantity.low, quantity.high
    span = quantity.high - quantity.low
    step = 10 ** np.floor(np.log10(span)) / 10
    low = quantity.low + (rng.random() * 0.25 * span if rng.random() < 0.5 else 0)
    high = quantity.high - (rng.random() * 0.25 * span if rng.random() < 0.5 else 0)
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def _names(rng: np.random.Generator, families: tuple[tuple[str, ...], ...], count: int) -> tuple[str, ...]:
    if rng.random() < INVENTED_SHARE:
        return invent_names(rng, count)
    family = pick(rng, families)
    count = min(count, len(family))
    return tuple(family[index] for index in sorted(rng.choice(len(family), size=count, replace=False)))


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


def _line(rng: np.random.Generator, field: Field) -> Chart:
    x, y = pick(rng, field.across), pick(rng, field.measured)
    names = _names(rng, field.series, int(rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.25, 0.1])))
    low, high = _axis(rng, x)
    points = int(rng.integers(6, 30))
    log_x = x.log and low > 0
    grid = np.geomspace(low, high, points) if log_x else np.linspace(low, high, points)
    bottom, top = _axis(rng, y)
    common = str(rng.choice(list(SHAPES), p=[0.2, 0.15, 0.2, 0.15, 0.12, 0.08, 0.1]))
    noise = float(rng.choice([0.0, 0.01, 0.03]))
    series = []
    for name in names:
        shape = common if rng.random() < 0.7 else pick(rng, list(SHAPES))
        curve = SHAPES[shape](np.linspace(0, 1, points), float(rng.random()))
        floor, height = rng.random() * 0.3, 0.4 + rng.random() * 0.3
        values = floor + height * curve + noise * rng.standard_normal(points)
        numbers = _scaled(np.clip(values, 0.0, 1.0), bottom, top, log=y.log)
        series.append(Series(name=name, x=tuple(map(float, grid)), y=numbers, shape=shape))
    return Chart(kind="line", field=field.name, x=x, y=y, series=tuple(series), log_x=log_x, log_y=y.log)


def _scaled(values: np.ndarray, bottom: float, top: float, *, log: bool = False) -> tuple[float, ...]:
    """0..1 -> bottom..top, rounded to four significant digits of the span."""
    if log:
        return tuple(float(f"{value:.3g}") for value in bottom * (top / bottom) ** values)
    digits = 3 - int(np.floor(np.log10(top - bottom)))
    return tuple(float(value) for value in np.round(bottom + (top - bottom) * values, digits))


def _bar(rng: np.random.Generator, field: Field) -> Chart:
    y = pick(rng, [quantity for quantity in field.measured if quantity.low >= 0 and not quantity.log])
    categories = _names(rng, field.categories, int(rng.integers(3, 7)))
    names = _names(rng, field.series, int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])))
    if len(names) == 1 or set(names) & set(categories):
        names = ("",)
    bottom, top = _axis(rng, y)
    base = rng.random(len(categories)) * 0.7
    series = tuple(
        Series(
            name=name,
            x=tuple(float(index) for index in range(len(categories))),
            y=_scaled(np.clip(base + 0.3 * rng.random(len(categories)), 0.03, 1), max(bottom, 0), top),
        )
        for name in names
    )
    nothing = Quantity("", "", 0, 1)
    return Chart(kind="bar", field=field.name, x=nothing, y=y, series=series, categories=categories)


def _scatter(rng: np.random.Generator, field: Field) -> Chart:
    x, y = pick(rng, field.across), pick(rng, [quantity for quantity in field.measured if not quantity.log])
    names = _names(rng, field.series, int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])))
    low, high = _axis(rng, x)
    bottom, top = _axis(rng, y)
    log_x = x.log and low > 0
    series = []
    for name in names:
        count = int(rng.integers(15, 80))
        place = rng.random(count)
        shape = str(rng.choice(["positive", "negative", "none"], p=[0.45, 0.35, 0.2]))
        slope = {"positive": place, "negative": 1 - place, "none": np.full(count, 0.5)}[shape]
        spread = 0.22 if shape == "none" else 0.03 + 0.12 * rng.random()
        values = np.clip(0.1 + 0.75 * slope + spread * rng.standard_normal(count), 0.01, 0.99)
        grid = low * (high / low) ** place if log_x else low + (high - low) * place
        series.append(Series(name=name, x=tuple(map(float, grid)), y=_scaled(values, bottom, top), shape=shape))
    return Chart(kind="scatter", field=field.name, x=x, y=y, series=tuple(series), log_x=log_x)


def _histogram(rng: np.random.Generator, field: Field) -> Chart:
    x = pick(rng, [quantity for quantity in field.measured if not quantity.log])
    names = _names(rng, field.series, 2) if rng.random() < 0.25 else ("",)
    low, high = _axis(rng, x)
    bins = int(rng.integers(10, 30))
    edges = np.linspace(low, high, bins + 1)
    share = rng.random() < 0.3
    series = []
    for name in names:
        shape = str(rng.choice(["symmetric", "skewed"], p=[0.6, 0.4]))
        count = int(rng.integers(200, 3000))
        draws = _draws(rng, shape, count)
        heights, _ = np.histogram(low + (high - low) * draws, bins=edges)
        values = heights / max(heights.sum(), 1) if share else heights
        bars = tuple(float(round(value, 4)) for value in values)
        series.append(Series(name=name, x=tuple(map(float, edges)), y=bars, shape=shape))
    y = (
        Quantity("Fraction", "", 0, 1)
        if share
        else Quantity(pick(rng, ("Count", "Frequency", "Number of samples")), "", 0, 1)
    )
    return Chart(kind="histogram", field=field.name, x=x, y=y, series=tuple(series))


def _draws(rng: np.random.Generator, shape: str, count: int) -> np.ndarray:
    """(count,) numbers, mostly in 0..1."""
    if shape == "skewed":
        return rng.gamma(2.0, 0.12, count)
    return rng.normal(0.3 + 0.4 * rng.random(), 0.08 + 0.1 * rng.random(), count)


_MAKERS: dict[str, Callable[[np.random.Generator, Field], Chart]] = {
    "line": _line,
    "bar": _bar,
    "scatter": _scatter,
    "histogram": _histogram,
}
