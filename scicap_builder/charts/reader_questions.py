"""The questions that the page suggests (`llava_graph.asking`), answered from the data. In: a chart. Out: questions or None."""

import numpy as np

from scicap_builder.charts.chart import Chart
from scicap_builder.charts.comparisons import describe_caveats
from scicap_builder.charts.facts import apart, height_of, ranked, read_x, read_y, value_span
from scicap_builder.charts.question import Question
from scicap_builder.charts.value_questions import ask_trend
from scicap_builder.charts.wording import compared, say

NAMED = 4
"""Series that a question names, at most: else it says "the series"."""


def ask_end(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Which series is highest at the end of the axis, or at all."""
    names = compared(chart)
    if chart.kind not in ("line", "bar", "box") or chart.stacked or not names:
        return None
    quoted = [f"“{name}”" for name in names]
    called = f"{', '.join(quoted[:-1])} and {quoted[-1]}" if len(names) <= NAMED else "the series"
    if chart.categories:
        first, second = ranked(chart)[:2]
        if not apart(height_of(first), height_of(second), value_span(chart)):
            return None
        answer = say(rng, "[{b}|{b} is highest|On average, {b} is highest].", b=first.name)
        return Question("best", f"Which of {called} is highest?", answer, (first.name,))
    first, second, *_ = sorted(chart.series, key=lambda series: series.y[-1], reverse=True)
    if not apart(first.y[-1], second.y[-1], value_span(chart)):
        return None
    answer = say(rng, "{b}, with about {v}.", b=first.name, v=read_y(chart, first.y[-1]))
    return Question("best", f"Which of {called} is highest at the end?", answer, (first.name,))


def ask_difference(chart: Chart, rng: np.random.Generator) -> Question | None:
    """How two series differ: which is higher on average, and what both are at the end, or where they differ most."""
    if chart.kind not in ("line", "bar", "box") or chart.stacked or len(compared(chart)) < 2:
        return None
    one, other = (chart.series[int(index)] for index in rng.permutation(len(chart.series))[:2])
    text = f"How do “{one.name}” and “{other.name}” differ?"
    high, low = (one, other) if height_of(one) >= height_of(other) else (other, one)
    if not apart(height_of(high), height_of(low), value_span(chart)):
        return Question("difference", text, "They are about equal on average.")
    place = int(np.argmax(np.abs(np.subtract(high.y, low.y)))) if chart.categories else len(high.y) - 1
    answer = say(
        rng,
        "{h} is higher on average: [at|for] {x} it is about {v}, {l} about {w}.",
        h=high.name,
        l=low.name,
        x=read_x(chart, high.x[place]),
        v=read_y(chart, high.y[place]),
        w=read_y(chart, low.y[place]),
    )
    return Question("difference", text, answer, (high.name,))


def ask_main_trend(chart: Chart, rng: np.random.Generator) -> Question | None:
    """The trend of the only series, or of all where they share it."""
    if len({series.shape for series in chart.series}) > 1:
        return None
    found = ask_trend(chart, rng)
    return found and Question(found.kind, "What is the main trend?", found.answer, found.key)


def ask_meaning(chart: Chart, rng: np.random.Generator) -> Question | None:
    """What the words on an axis mean, of which the figure says no more than they do."""
    axis = "x" if not chart.categories and rng.random() < 0.5 else "y"
    thing = chart.x if axis == "x" else chart.y
    if not thing.name or chart.kind == "heatmap" or chart.sideways:
        return None
    unit = f", in {thing.unit}" if thing.unit else ""
    answer = f"It is what the {axis}-axis shows{unit}; the figure does not explain it further."
    return Question("meaning", f"What does “{thing.label}” on the {axis}-axis mean?", answer)


def ask_caveat(chart: Chart, rng: np.random.Generator) -> Question:
    """What the figure alone does not prove."""
    answer = " ".join(["It does not show why the values are as they are.", *describe_caveats(chart, rng)])
    return Question("caveat", "What should a reader not conclude from this figure?", answer)
