"""Questions about a chart and their answers, from its data. In: a chart and a random generator. Out: (question, answer) pairs."""

from collections.abc import Callable

import numpy as np

from scicap_builder.charts.data import Chart, pick
from scicap_builder.charts.facts import crossings, highest, lowest, peak_bin, read_x, read_y
from scicap_builder.charts.text import kind_name, listed, named, quantity

Pair = tuple[str, str]

MISSING = (
    "the standard deviation",
    "the number of participants",
    "the p-value",
    "the sampling error",
    "the name of the author",
)
"""What no chart of ours shows: the answer says so."""


def ask(chart: Chart, rng: np.random.Generator, count: int) -> list[Pair]:
    """`count` different questions with answers (fewer if the chart gives no more)."""
    makers = [_WRITERS[int(index)] for index in rng.permutation(len(_WRITERS))]
    pairs = (maker(chart, rng) for maker in makers)
    return [pair for pair in pairs if pair][:count]


def _kind(chart: Chart, rng: np.random.Generator) -> Pair:
    return pick(rng, ("What kind of chart is this?", "Which chart type is used?")), f"It is a {kind_name(chart, rng)}."


def _x_axis(chart: Chart, rng: np.random.Generator) -> Pair:
    question = pick(rng, ("What does the x-axis show?", "What is on the x-axis?"))
    if chart.kind == "bar":
        return "Which categories are compared?", f"The categories are {listed(chart.categories)}."
    return question, f"The x-axis shows {chart.x.label}."


def _y_axis(chart: Chart, rng: np.random.Generator) -> Pair:
    if chart.kind == "bar":
        return "Which quantity do the bars show?", f"The bars show {chart.y.label}."
    return pick(rng, ("What does the y-axis show?", "What is on the y-axis?")), f"The y-axis shows {chart.y.label}."


def _series(chart: Chart, rng: np.random.Generator) -> Pair | None:
    names = named(chart)
    if len(names) < 2:
        return None
    question = pick(rng, ("What is compared?", "Which series are shown?", "What does the legend list?"))
    return question, f"The chart compares {listed(names)}."


def _highest(chart: Chart, rng: np.random.Generator) -> Pair | None:
    if chart.kind in ("histogram", "scatter"):
        return None
    top = highest(chart)
    if chart.kind == "bar":
        by = f" for {top.series}" if top.series else ""
        category = f"{read_x(chart, top.at)}{by}"
        return "Which bar is the highest?", f"{category} is the highest with about {read_y(chart, top.value)}."
    by = f" for {top.series}" if top.series and len(chart.series) > 1 else ""
    question = pick(rng, ("What is the highest value?", f"What is the maximum of {quantity(chart.y)}?"))
    return question, f"The highest value is about {read_y(chart, top.value)}, at {read_x(chart, top.at)}{by}."


def _lowest(chart: Chart, rng: np.random.Generator) -> Pair | None:
    if chart.kind in ("histogram", "scatter"):
        return None
    bottom = lowest(chart)
    if chart.kind == "bar":
        by = f" for {bottom.series}" if bottom.series else ""
        return (
            "Which bar is the lowest?",
            f"{read_x(chart, bottom.at)}{by} is the lowest with about {read_y(chart, bottom.value)}.",
        )
    by = f" for {bottom.series}" if bottom.series and len(chart.series) > 1 else ""
    question = pick(rng, ("What is the lowest value?", f"What is the minimum of {quantity(chart.y)}?"))
    return question, f"The lowest value is about {read_y(chart, bottom.value)}, at {read_x(chart, bottom.at)}{by}."


_DIRECTIONS = {
    "rise": "It increases.",
    "fall": "It decreases.",
    "saturate": "It increases quickly and then levels off.",
    "decay": "It drops quickly and then levels off.",
    "peak": "It rises to a peak and then falls.",
    "valley": "It falls to a minimum and then rises.",
    "flat": "It stays nearly constant.",
    "positive": "It tends to increase.",
    "negative": "It tends to decrease.",
    "none": "There is no clear relation.",
}


def _trend(chart: Chart, rng: np.random.Generator) -> Pair | None:
    if chart.kind not in ("line", "scatter"):
        return None
    series = pick(rng, chart.series)
    of = f" for {series.name}" if series.name and len(chart.series) > 1 else ""
    return f"How does {quantity(chart.y)} change with {quantity(chart.x)}{of}?", _DIRECTIONS[series.shape]


def _crossing(chart: Chart, rng: np.random.Generator) -> Pair | None:
    if chart.kind != "line" or len(chart.series) < 2:
        return None
    first, second = chart.series[0], chart.series[1]
    places = crossings(first, second)
    question = pick(
        rng, (f"Do {first.name} and {second.name} cross?", f"Where do {first.name} and {second.name} cross?")
    )
    if not places:
        return question, f"{first.name} and {second.name} do not cross."
    if len(places) > 1:
        return (
            question,
            f"{first.name} and {second.name} cross {len(places)} times, first near {read_x(chart, places[0])}.",
        )
    return question, f"{first.name} and {second.name} cross near {read_x(chart, places[0])}."


def _peak(chart: Chart, rng: np.random.Generator) -> Pair | None:  # noqa: ARG001
    if chart.kind != "histogram":
        return None
    low, high = peak_bin(chart.series[0])
    return "Where is the peak?", f"The peak is near {read_x(chart, (low + high) / 2)}."


def _unanswerable(chart: Chart, rng: np.random.Generator) -> Pair | None:  # noqa: ARG001
    if rng.random() < 0.5:
        return None
    thing = pick(rng, MISSING)
    return f"What is {thing}?", f"The figure does not show {thing}."


_WRITERS: tuple[Callable[[Chart, np.random.Generator], Pair | None], ...] = (
    _kind,
    _x_axis,
    _y_axis,
    _series,
    _highest,
    _lowest,
    _trend,
    _crossing,
    _peak,
    _unanswerable,
)
