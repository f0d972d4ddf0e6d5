"""What can be read off a chart: numbers at a stated precision, extremes, crossings, comparisons. Pure functions over its data."""

from dataclasses import dataclass

import numpy as np

from scicap_builder.charts.data import Chart, Series


@dataclass(frozen=True, slots=True)
class Extreme:
    """The highest or lowest value of a chart."""

    series: str
    at: float
    """x of the value; a category's number in a bar chart."""
    value: float


def readable(value: float, span: float) -> str:
    """`value` as a reader takes it off an axis of length `span`: to about a fiftieth of it."""
    if span <= 0:
        return f"{value:.3g}"
    digits = -int(np.floor(np.log10(span / 50)))
    rounded = round(value, digits)
    return f"{rounded:.{digits}f}" if digits > 0 else f"{rounded:.0f}"


def read_y(chart: Chart, value: float) -> str:
    """A y value with its unit, as read off the chart."""
    low, high = chart.y_range
    # Bars and histograms start at zero.
    span = high - min(low, 0) if chart.kind in ("bar", "histogram") else high - low
    number = f"{value:.2g}" if chart.log_y else readable(value, span)
    return with_unit(number, chart.y.unit)


def read_x(chart: Chart, value: float) -> str:
    """An x value with its unit, or the category's name."""
    if chart.categories:
        return chart.categories[int(value)]
    ends = [x for series in chart.series for x in series.x]
    number = f"{value:.2g}" if chart.log_x else readable(value, max(ends) - min(ends))
    if chart.x.name in ("Year", "Epoch", "Day", "Month", "Age", "Quarter", "Number of layers"):
        number = f"{value:.0f}"
    return with_unit(number, chart.x.unit)


def with_unit(number: str, unit: str) -> str:
    """ "5 ms", "5 %", "$5", "5"."""
    if unit == "$":
        return f"${number}"
    return f"{number} {unit}".strip()


def highest(chart: Chart) -> Extreme:
    """The largest y of all series."""
    return _extreme(chart, np.argmax)


def lowest(chart: Chart) -> Extreme:
    """The smallest y of all series."""
    return _extreme(chart, np.argmin)


def _extreme(chart: Chart, which: object) -> Extreme:
    found = []
    for series in chart.series:
        index = int(which(series.y))  # type: ignore[operator]
        found.append(Extreme(series.name, series.x[index], series.y[index]))
    return found[int(which([extreme.value for extreme in found]))]  # type: ignore[operator]


def crossings(one: Series, other: Series) -> list[float]:
    """The x at which two lines over the same grid change places, by linear interpolation; touching is no crossing."""
    gap = np.subtract(one.y, other.y)
    found = []
    for index in range(len(gap) - 1):
        before, after = gap[index], gap[index + 1]
        if before * after < 0:
            share = before / (before - after)
            found.append(float(one.x[index] + share * (one.x[index + 1] - one.x[index])))
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
