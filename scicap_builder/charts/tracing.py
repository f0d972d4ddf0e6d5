"""Where the values of a series stand in the image, and what they are, all in one answer. In: a chart and places. Out: questions.

One such answer holds as many readings as a dozen questions about single values: it is what a model learns to look from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scicap_builder.charts.chart import Chart, Series, pick
from scicap_builder.charts.facts import column_totals, read_x, read_y
from scicap_builder.charts.question import Question
from scicap_builder.charts.wording import compared, say

TRACED = 7
"""Places in an answer at most."""
LISTED = 6
"""Values in an answer at most."""
Places = Sequence[np.ndarray]
"""Per series (n, 2): x and y of its values as shares of the image's width and height; (0, 2) where it has none."""


def data_points(chart: Chart) -> list[np.ndarray]:
    """Per series (n, 2): where its values stand in the coordinates of the axes (x-axis, y-axis).

    The tops of bars (of the stack up to the series) and bins, the medians of boxes, the points of curves; of bars beside
    each other the place of their category. None in heat maps and clouds of points.
    """
    if chart.kind in ("heatmap", "scatter"):
        return [np.zeros((0, 2)) for _ in chart.series]
    found = []
    below = np.zeros(len(chart.series[0].y))
    for series in chart.series:
        across = (
            np.convolve(series.x, (0.5, 0.5), "valid") if chart.kind == "histogram" else np.asarray(series.x, float)
        )
        upper = below + np.asarray(series.y) if chart.stacked else np.asarray(series.y, float)
        below = upper if chart.stacked else below
        found.append(np.stack([upper, across] if chart.sideways else [across, upper], axis=1))
    return found


def ask_trace(chart: Chart, places: Places, rng: np.random.Generator) -> Question | None:
    """Where a series runs: up to TRACED places "x y" in per cent of the image, as the places of the text are told."""
    if not places:
        return None
    index = int(rng.integers(len(chart.series)))
    points = places[index]
    if not len(points):
        return None
    things = {"bar": "bars", "box": "boxes", "histogram": "bars"}.get(chart.kind, "curve")
    who = chart.series[index].name if compared(chart) else f"the {things}"
    text = say(rng, "[Trace|Follow] {w}.", w=who)
    told = (f"{round(100 * x)} {round(100 * y)}" for x, y in points[evenly(len(points), TRACED)])
    return Question("trace", text, ", ".join(told) + ".")


def ask_list(chart: Chart, rng: np.random.Generator) -> Question | None:
    """The values of a series, up to LISTED of them, without units."""
    if chart.kind not in ("line", "bar", "box", "heatmap"):
        return None
    series = pick(rng, chart.series)
    of = f" of {series.name}" if compared(chart) else ""
    what = "medians" if chart.kind == "box" else "values"
    text = say(rng, "[List|Read off] the {w}{of}.", w=what, of=of)
    return Question("list", text, ", ".join(_readings(chart, series)) + ".")


def ask_totals(chart: Chart, rng: np.random.Generator) -> Question | None:
    """The heights of stacked bars."""
    if not chart.stacked:
        return None
    bare = _bare(chart)
    told = (
        f"{name}: {read_y(bare, total)}" for name, total in zip(chart.categories, column_totals(chart), strict=True)
    )
    return Question("list", say(rng, "[List|Read off] the totals."), ", ".join(told) + ".")


def _readings(chart: Chart, series: Series) -> list[str]:
    bare = _bare(chart)
    chosen = evenly(len(series.y), LISTED)
    return [f"{read_x(bare, series.x[index])}: {read_y(bare, series.y[index])}" for index in chosen]


def _bare(chart: Chart) -> Chart:
    """Without units: in a list they would stand behind every number."""
    return replace(chart, x=replace(chart.x, unit=""), y=replace(chart.y, unit=""))


def evenly(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of `count` indexes, evenly from the first to the last."""
    if count <= wanted:
        return list(range(count))
    return [round(index * (count - 1) / (wanted - 1)) for index in range(wanted)]
