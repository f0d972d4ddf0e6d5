"""What can be read off a chart: numbers at a stated precision, extremes, crossings, comparisons. Pure functions over its data."""

import itertools
from dataclasses import dataclass

import numpy as np

from scicap_builder.charts.chart import CURVES, Chart, Series

WHOLE = (
    "Year",
    "Epoch",
    "Day",
    "Month",
    "Age",
    "Quarter",
    "Number of layers",
    "Publication decade",
    "Release",
    "Session",
)
"""Quantities that are read as whole numbers."""


SEEN = 60
"""Differences below this part of the axis are not seen."""


@dataclass(frozen=True, slots=True)
class Extreme:
    """The highest or lowest value of a chart."""

    series: str
    """Empty where the chart has one series or the value is a total."""
    at: float
    """x of the value; a category's number where the chart has categories."""
    value: float


def readable(value: float, span: float) -> str:
    """`value` as a reader takes it off an axis of length `span`: to the next of 1, 2 or 5 times a power of ten that is not
    below a sixtieth of it.
    """
    if span <= 0:
        return f"{value:.3g}"
    power = 10.0 ** np.floor(np.log10(span / 60))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= span / 60)
    return _with_digits(round(value / step) * step, step)


def _with_digits(value: float, step: float) -> str:
    digits = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    return f"{value + 0.0:.{digits}f}"


def two_digits(value: float) -> str:
    """As it is read off a logarithmic axis: 0.032, 1500, 2e-06."""
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.1e}".replace("e+", "e").replace("e-0", "e-").replace("e0", "e")
    digits = max(0, 1 - int(np.floor(np.log10(abs(value)))))
    return f"{float(f'{value:.1e}'):.{digits}f}"


def value_span(chart: Chart) -> float:
    """Length of the axis of values; bars and histograms start at zero."""
    low, high = chart.y_range
    return high - min(low, 0) if chart.kind in ("bar", "histogram") else high - low


def cell_text(chart: Chart, value: float) -> str:
    """A value as it is printed in the chart itself: without unit, to about a two-hundredth of the axis."""
    span = value_span(chart)
    return _with_digits(value, 10.0 ** np.floor(np.log10(span / 50))) if span > 0 else f"{value:.3g}"


def read_y(chart: Chart, value: float) -> str:
    """A measured value with its unit, as read off the chart: exact where values are printed."""
    if chart.log_y:
        number = two_digits(value)
    else:
        number = cell_text(chart, value) if is_printed(chart) else readable(value, value_span(chart))
    return with_unit(number, chart.y.unit)


def is_printed(chart: Chart) -> bool:
    """Whether each value stands in the chart in figures."""
    return chart.printed and chart.kind in ("bar", "heatmap")


def read_x(chart: Chart, value: float) -> str:
    """An x value with its unit, or the category's name."""
    if chart.categories:
        return chart.categories[int(value)]
    low, high = chart.x_range
    number = two_digits(value) if chart.log_x else readable(value, high - low)
    if chart.x.name in WHOLE:
        number = f"{value:.0f}"
    return with_unit(number, chart.x.unit)


def with_unit(number: str, unit: str) -> str:
    """ "5 ms", "5 %", "$5", "5"."""
    if unit == "$":
        return f"${number}"
    return f"{number} {unit}".strip()


def highest(chart: Chart) -> Extreme:
    """The largest value of all series; the largest total where bars are stacked."""
    return _extreme(chart, 1)


def lowest(chart: Chart) -> Extreme:
    """The smallest value of all series; the smallest total where bars are stacked."""
    return _extreme(chart, -1)


def _extreme(chart: Chart, sign: int) -> Extreme:
    if chart.stacked:
        totals = column_totals(chart)
        place = int(np.argmax(np.multiply(sign, totals)))
        return Extreme("", float(place), totals[place])
    found = []
    for series in chart.series:
        index = int(np.argmax(np.multiply(sign, series.y)))
        found.append(Extreme(series.name if len(chart.series) > 1 else "", series.x[index], series.y[index]))
    return max(found, key=lambda extreme: sign * extreme.value)


def is_clear(chart: Chart, *, low: bool = False) -> bool:
    """Whether a reader sees which bar, cell or curve has the highest (lowest) value: the next one is visibly another."""
    sign = -1 if low else 1
    if chart.stacked:
        values = list(column_totals(chart))
    elif chart.categories:
        values = [value for series in chart.series for value in series.y]
    else:
        values = [sign * max(sign * value for value in series.y) for series in chart.series]
    best, *others = sorted((sign * value for value in values), reverse=True)
    if chart.log_y and others:
        return bool(abs(best / others[0]) > 1.1)
    return not others or best - others[0] > value_span(chart) / SEEN


def column_totals(chart: Chart) -> tuple[float, ...]:
    """Sum over the series at each category."""
    return tuple(float(total) for total in np.sum([series.y for series in chart.series], axis=0))


def crossings(one: Series, other: Series) -> list[float]:
    """The x at which two lines over the same grid change places, by linear interpolation; touching is no crossing."""
    gap = np.subtract(one.y, other.y)
    apart_at = np.flatnonzero(gap)
    found = []
    for before, after in itertools.pairwise(apart_at):
        if gap[before] * gap[after] < 0:
            share = gap[before] / (gap[before] - gap[after])
            found.append(float(one.x[before] + share * (one.x[after] - one.x[before])))
    return found


def always_above(one: Series, other: Series) -> bool:
    """Whether `one` is greater than `other` at every x."""
    return bool(np.all(np.greater(one.y, other.y)))


def peak_bin(series: Series) -> tuple[float, float]:
    """(low, high) of the fullest bin of a histogram."""
    index = int(np.argmax(series.y))
    return series.x[index], series.x[index + 1]


def turning_point(series: Series) -> float:
    """x of the maximum of a peak, of the minimum of a valley."""
    index = int(np.argmin(series.y) if series.shape == "valley" else np.argmax(series.y))
    return series.x[index]


def ranked(chart: Chart) -> list[Series]:
    """The series, the highest first."""
    return sorted(chart.series, key=height_of, reverse=True)


def height_of(series: Series) -> float:
    """The area under a ROC or precision-recall curve, else the mean."""
    return float(np.mean(series.y)) if series.area is None else series.area


def apart(one: float, other: float, span: float) -> bool:
    """Whether a reader sees that two values differ."""
    return abs(one - other) > span / SEEN


def value_at(series: Series, x: float) -> float:
    """y of a curve at x, by linear interpolation."""
    return float(np.interp(x, series.x, series.y))


def is_curve(chart: Chart) -> bool:
    """Whether the series are curves over x."""
    return chart.kind in CURVES
