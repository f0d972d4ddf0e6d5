"""Questions that the pixels alone answer, without a name or a number that is written in the figure: kind, panels, how many
series, how they run, where they stand. In: a plate and the places of its values. Out: questions.

With caption and text in its context a model from scratch answers by what usually goes with such words, and its vision tower
learns nothing: an image of nothing then changes no answer. These questions, asked without context, teach it to look first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scicap_builder.charts.chart import Chart, Plate
from scicap_builder.charts.facts import column_totals, crossings, is_clear
from scicap_builder.charts.name_questions import ask_type
from scicap_builder.charts.question import Question
from scicap_builder.charts.questions import about_panel
from scicap_builder.charts.tracing import Places, evenly
from scicap_builder.charts.value_questions import TRENDS
from scicap_builder.charts.wording import COUNTS, say

POINTS, LINES = 5, 4
"""Places of a series, and series, in the answer that traces all."""
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
RELATIONS = {
    "positive": "They rise together.",
    "negative": "One falls as the other rises.",
    "none": "There is no relation.",
}


def ask_looks(plate: Plate, places: Sequence[Places], rng: np.random.Generator) -> list[Question]:
    """All such questions about one panel, in random order; how many panels there are first."""
    panel = int(rng.integers(len(plate.panels)))
    chart, letter = plate.panels[panel], plate.letters[panel]
    found = [
        ask_type(chart, rng),
        *filter(None, (maker(chart, rng) for maker in MAKERS)),
        trace_all(places[panel]),
    ]
    asked = [about_panel(question, letter, rng) for question in found if question is not None]
    count = Question("panels", "How many panels are there?", f"There {_are(len(plate.panels))}.", ())
    return [count, *(asked[index] for index in rng.permutation(len(asked)))]


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {COUNTS[count]}"


def trace_all(places: Places) -> Question | None:
    """Up to LINES series, the highest in the image first, as up to POINTS places "x y" in per cent of the image."""
    lines = sorted((line for line in places if len(line)), key=lambda line: float(line[:, 1].mean()))
    if not lines:
        return None
    told = [
        ", ".join(f"{round(100 * x)} {round(100 * y)}" for x, y in line[evenly(len(line), POINTS)])
        for line in lines[:LINES]
    ]
    return Question("trace", "Trace all.", "; ".join(told) + ".")


def count_series(chart: Chart, rng: np.random.Generator) -> Question | None:  # noqa: ARG001  (one signature for all)
    """How many curves, clouds, or bars and boxes in a group."""
    if chart.kind in ("heatmap", "histogram"):
        return None
    thing = {"bar": "bars a group", "box": "boxes a group", "scatter": "clouds"}.get(chart.kind, "curves")
    return Question("count", f"How many {thing} are there?", f"There {_are(len(chart.series))}.")


def count_places(chart: Chart, rng: np.random.Generator) -> Question | None:  # noqa: ARG001
    """How many groups of bars or boxes, or columns of cells."""
    if not chart.categories or len(chart.categories) >= len(COUNTS):
        return None
    thing = {"heatmap": "columns"}.get(chart.kind, "groups")
    return Question("count", f"How many {thing} are there?", f"There {_are(len(chart.categories))}.")


def ask_run(chart: Chart, rng: np.random.Generator) -> Question | None:
    """How the only curve, or the highest at its end, runs; what relation the only cloud shows."""
    if chart.kind == "scatter" and len(chart.series) == 1 and chart.series[0].shape in RELATIONS:
        return Question("trend", "How do the two change together?", RELATIONS[chart.series[0].shape])
    if chart.kind != "line":
        return None
    which = max(chart.series, key=lambda series: series.y[-1])
    text = "How does the curve run?" if len(chart.series) == 1 else "How does the curve run that ends highest?"
    return Question("trend", text, f"It {say(rng, TRENDS[which.shape])}.")


def ask_extreme(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Which bar or box of the only series, or which stack, is highest or lowest, counted from the left or from below."""
    if chart.kind not in ("bar", "box") or not (chart.stacked or len(chart.series) == 1):
        return None
    low = rng.random() < 0.5
    if not is_clear(chart, low=low):
        return None
    values = column_totals(chart) if chart.stacked else chart.series[0].y
    place = int(np.argmin(values) if low else np.argmax(values))
    side, end = (
        ("below", "shortest" if low else "longest") if chart.sideways else ("the left", "lowest" if low else "highest")
    )
    return Question("lowest" if low else "highest", f"Which one is {end}, from {side}?", f"The {ORDINALS[place]}.")


def count_crossings(chart: Chart, rng: np.random.Generator) -> Question | None:  # noqa: ARG001
    """How often the two curves cross."""
    if chart.kind != "line" or len(chart.series) != 2:
        return None
    times = len(crossings(*chart.series))
    often = {0: "Never", 1: "Once", 2: "Twice"}.get(times, "Often")
    return Question("crossing", "How often do the curves cross?", f"{often}.")


MAKERS = (count_series, count_places, ask_run, ask_extreme, count_crossings)
