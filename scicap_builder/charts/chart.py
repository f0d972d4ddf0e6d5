"""What a chart says before anything is drawn: frozen values that drawing, text and questions share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scicap_builder.charts.vocabulary import NOTHING, Quantity

T = TypeVar("T")

KINDS = ("line", "bar", "scatter", "histogram", "box", "heatmap", "roc", "pr")
CURVES = ("line", "roc", "pr")
"""Kinds whose series are curves over x."""
LEAST_SPAN = 0.3


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, bar group, cloud of points, group of boxes or row of a heat map."""

    name: str
    x: tuple[float, ...]
    """Category numbers 0, 1, … where the chart has categories; bin edges (one more than y) in a histogram."""
    y: tuple[float, ...]
    """Values; the medians in a box plot."""
    shape: str = ""
    """How it was made: rise, fall, saturate, decay, peak, valley, flat, positive, negative, none, symmetric, skewed."""
    spread: tuple[float, ...] = ()
    """Half the length of the error bar or the width of the band at each x; empty: none is drawn."""
    boxes: tuple[tuple[float, float, float, float, float], ...] = ()
    """Lower whisker, first quartile, median, third quartile, upper whisker at each x of a box plot."""
    area: float | None = None
    """Area under a ROC curve; average precision of a precision-recall curve."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One pair of axes with all that stands in it."""

    kind: str
    field: str
    x: Quantity
    """NOTHING where categories have no common name."""
    y: Quantity
    """What is measured; the colour's quantity in a heat map."""
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()
    side: Quantity = NOTHING
    """The name of a heat map's rows."""
    subject: str = ""
    title: str = ""
    log_x: bool = False
    log_y: bool = False
    stacked: bool = False
    sideways: bool = False
    """Bars and boxes that lie."""
    interval: str = ""
    """How `Series.spread` is drawn: "bars", "band" or not at all."""
    interval_of: str = ""
    """What it means: "one standard deviation"; empty where nobody says."""
    printed: bool = False
    """Whether the values stand in the chart: above bars, in cells, areas in the legend."""

    @property
    def y_range(self) -> tuple[float, float]:
        """Smallest and largest value over all series; of the totals, from zero, where bars are stacked.

        A line chart shows at least LEAST_SPAN of its quantity's usual range: an axis drawn around the noise of a constant
        would make it anything but constant.
        """
        if self.stacked:
            return 0.0, float(np.sum([series.y for series in self.series], axis=0).max())
        if self.kind == "box":
            return (
                min(box[0] for series in self.series for box in series.boxes),
                max(box[4] for series in self.series for box in series.boxes),
            )
        values = [value for series in self.series for value in series.y]
        low, high = min(values), max(values)
        least = 0.0 if self.log_y or self.kind != "line" else LEAST_SPAN * (self.y.high - self.y.low)
        room = max(0.0, least - (high - low)) / 2
        return low - room, high + room

    @property
    def x_range(self) -> tuple[float, float]:
        """Smallest and largest x over all series."""
        ends = [x for series in self.series for x in series.x]
        return min(ends), max(ends)


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A whole figure: one chart, or two to four with letters."""

    panels: tuple[Chart, ...]
    letters: tuple[str, ...] = ("",)
    columns: int = 1

    @property
    def subject(self) -> str:
        """What is studied; the same in all panels."""
        return self.panels[0].subject


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of `items`."""
    return items[int(rng.integers(len(items)))]
