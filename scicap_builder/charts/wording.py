"""Sentences from alternatives, and the names of things inside them. In: a random generator and a template. Out: text.

A template writes alternatives as [one|other|], also nested, and slots as {name}: "[The figure|This plot] shows {y}."
"""

import re
from collections.abc import Sequence

import numpy as np

from scicap_builder.charts.chart import Chart, pick
from scicap_builder.charts.vocabulary import Quantity

_CHOICE = re.compile(r"\[([^\[\]]*)\]")

KIND_NAMES = {
    "line": ("line chart", "line plot", "line graph"),
    "scatter": ("scatter plot", "scatter chart", "scatter diagram"),
    "histogram": ("histogram",),
    "box": ("box plot", "box-and-whisker plot"),
    "heatmap": ("heat map", "heatmap"),
    "roc": ("ROC curve plot", "plot of ROC curves"),
    "pr": ("precision-recall plot", "plot of precision-recall curves"),
}
BAR_NAMES = {
    "plain": ("bar chart", "bar plot", "bar graph"),
    "grouped": ("grouped bar chart", "grouped bar plot"),
    "stacked": ("stacked bar chart", "stacked bar plot"),
}
PROPER = ("Reynolds", "Shannon", "Gini", "Dice")
"""First words that are names of people."""
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven")


def say(rng: np.random.Generator, template: str, **slots: object) -> str:
    """One of the sentences that `template` stands for."""
    while found := _CHOICE.search(template):
        template = template[: found.start()] + pick(rng, found[1].split("|")) + template[found.end() :]
    return " ".join(template.format(**slots).split()).replace(" ,", ",").replace(" .", ".")


def kind_name(chart: Chart, rng: np.random.Generator) -> str:
    """ "line chart", "grouped bar chart", "horizontal bar plot", …"""
    if chart.kind != "bar":
        return pick(rng, KIND_NAMES[chart.kind])
    style = "stacked" if chart.stacked else "grouped" if len(chart.series) > 1 else "plain"
    lying = "horizontal " if chart.sideways and rng.random() < 0.7 else ""
    return lying + pick(rng, BAR_NAMES[style])


def quantity(thing: Quantity) -> str:
    """The quantity's name inside a sentence: "Test accuracy" -> "test accuracy"; "F1 score" and "Gini index" stay."""
    if thing.name.split(" ")[0] in PROPER:
        return thing.name
    return thing.name[:1].lower() + thing.name[1:] if thing.name[1:2].islower() else thing.name


def capital(text: str) -> str:
    """The first letter as a sentence begins."""
    return text[:1].upper() + text[1:]


def article(words: str) -> str:
    """ "a line chart", "an ROC curve plot"."""
    return f"{'an' if words[:1].lower() in 'aeio' or words.startswith('ROC') else 'a'} {words}"


def listed(names: Sequence[str]) -> str:
    """ "A", "A and B", "A, B and C"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def named(chart: Chart) -> tuple[str, ...]:
    """The names of the series that have one."""
    return tuple(series.name for series in chart.series if series.name)


def compared(chart: Chart) -> tuple[str, ...]:
    """The names that a legend tells apart: of two series or more."""
    return named(chart) if len(chart.series) > 1 else ()
