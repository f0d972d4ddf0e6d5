"""Captions and paragraphs of a chart, written from its data. In: a chart and a random generator. Out: text as a paper has it."""

from collections.abc import Sequence

import numpy as np

from scicap_builder.charts.data import Chart, Series, pick
from scicap_builder.charts.facts import (
    always_above,
    crossings,
    highest,
    lowest,
    peak_bin,
    read_x,
    read_y,
    turning_point,
)
from scicap_builder.charts.vocabulary import Quantity

KIND_NAMES = {
    "line": ("line chart", "line plot", "line chart"),
    "bar": ("bar chart", "bar chart", "bar plot"),
    "scatter": ("scatter plot", "scatter plot", "scatter chart"),
    "histogram": ("histogram",),
}
GROUPED = "grouped bar chart"
COUNTS = ("no", "one", "two", "three", "four")


def write_caption(chart: Chart, rng: np.random.Generator) -> str:
    """From terse ("IIPS") to full; empty in a few charts, as for an image somebody pastes."""
    names = listed(named(chart))
    style = float(rng.random())
    if style < 0.08:
        return ""
    if style < 0.22:
        return pick(rng, (chart.title or chart.y.name, capital(chart.subject), chart.y.name))
    short = _short_caption(chart, rng)
    if style < 0.5:
        return short + (f" for {names}" if names and rng.random() < 0.5 else "") + pick(rng, ("", "."))
    where = pick(rng, (f" for {chart.subject}", f" in the case of {chart.subject}", f" ({chart.subject})"))
    comparison = f" {pick(rng, ('We compare', 'Shown are', 'Curves:', 'Comparison of'))} {names}." if names else ""
    return f"{short}{where}.{comparison}"


def _short_caption(chart: Chart, rng: np.random.Generator) -> str:
    if chart.kind == "histogram":
        return f"{pick(rng, ('Distribution', 'Histogram'))} of {quantity(chart.x)}"
    y = capital(quantity(chart.y))
    if chart.kind == "bar":
        groups = f"{pick(rng, ('per', 'by'))} {pick(rng, ('category', 'group', 'class'))}"
        return f"{y} {groups}" if rng.random() < 0.5 else f"{y} for {listed(chart.categories)}"
    relation = pick(rng, ("versus", "as a function of", "against", "for different values of"))
    return f"{y} {relation} {quantity(chart.x)}"


def write_paragraph(chart: Chart, rng: np.random.Generator, label: str = "", *, context: bool = True) -> str:
    """What a paper's text says about the figure: what is plotted, the axes, the course, extremes, comparisons.

    `label` ("Figure 3") opens the paragraph if given; `context` allows the subject, which only a caption or title tells.
    """
    sentences = [_opening(chart, rng, label, context=context)]
    if rng.random() < 0.75:
        sentences.append(_axes(chart, rng))
    sentences += _body(chart, rng)
    if len(chart.series) > 1 and chart.kind in ("line", "bar"):
        sentences += _comparison(chart, rng)
    if chart.kind != "histogram" and (rng.random() < 0.7 or len(sentences) < 3):
        sentences.append(_extremes(chart, rng))
    if chart.log_y or (chart.log_x and rng.random() < 0.6):
        axes = "both axes are" if chart.log_x and chart.log_y else f"the {'y' if chart.log_y else 'x'}-axis is"
        sentences.append(f"Note that {axes} logarithmic.")
    return " ".join(sentence for sentence in sentences if sentence)


def kind_name(chart: Chart, rng: np.random.Generator) -> str:
    """ "line chart", "grouped bar chart", …"""
    if chart.kind == "bar" and len(chart.series) > 1:
        return GROUPED
    return pick(rng, KIND_NAMES[chart.kind])


def quantity(thing: Quantity) -> str:
    """The quantity's name inside a sentence: "Test accuracy" -> "test accuracy", "F1 score" stays."""
    return thing.name[:1].lower() + thing.name[1:] if thing.name[1:2].islower() else thing.name


def capital(text: str) -> str:
    """The first letter as a sentence begins."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """ "A", "A and B", "A, B and C"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def named(chart: Chart) -> tuple[str, ...]:
    """The names of the series that have one."""
    return tuple(series.name for series in chart.series if series.name)


def _opening(chart: Chart, rng: np.random.Generator, label: str, *, context: bool) -> str:
    this = label or pick(rng, ("The figure", "This figure", "The figure", f"The {kind_name(chart, rng)}"))
    verb = pick(rng, ("shows", "shows", "plots", "presents", "depicts"))
    kind = f"a {kind_name(chart, rng)} of " if not this.startswith("The ") or this == "The figure" else ""
    names = named(chart)
    many = f" for {listed(names)}" if len(names) > 1 else ""
    subject = f" for {chart.subject}" if context and not many and rng.random() < 0.6 else ""
    if chart.kind == "histogram":
        return f"{this} {verb} {kind or 'the distribution of '}{quantity(chart.x)}{many}{subject}."
    if chart.kind == "bar":
        over = f" for {listed(chart.categories)}" if rng.random() < 0.7 else f" for {len(chart.categories)} categories"
        compared = f", comparing {listed(names)}" if len(names) > 1 else ""
        return f"{this} {verb} {kind}{quantity(chart.y)}{over}{compared}{subject if not compared else ''}."
    relation = pick(rng, ("as a function of", "against", "versus", "over"))
    return f"{this} {verb} {kind}{quantity(chart.y)} {relation} {quantity(chart.x)}{many}{subject}."


def _axes(chart: Chart, rng: np.random.Generator) -> str:
    if chart.kind == "bar":
        return pick(
            rng,
            (
                f"The axis of values shows {chart.y.label}.",
                f"Each bar gives {chart.y.label}.",
                f"Bar lengths give {chart.y.label}.",
            ),
        )
    ends = [x for series in chart.series for x in series.x]
    span = f", from {read_x(chart, min(ends))} to {read_x(chart, max(ends))}" if rng.random() < 0.5 else ""
    return pick(
        rng,
        (
            f"The x-axis shows {chart.x.label}{span}, the y-axis {chart.y.label}.",
            f"The x-axis is {chart.x.label}{span} and the y-axis is {chart.y.label}.",
            f"{chart.x.label} is on the x-axis{span} and {chart.y.label} on the y-axis.",
        ),
    )


def _body(chart: Chart, rng: np.random.Generator) -> list[str]:
    if chart.kind == "line":
        return _trends(chart, rng)
    if chart.kind == "scatter":
        return [_relation(series, chart, rng) for series in chart.series]
    if chart.kind == "histogram":
        return [_distribution(series, chart, rng) for series in chart.series]
    return []


_COURSES = {
    "rise": ("rises from {a} to {b}", "increases steadily from {a} to {b}", "grows from {a} to {b}"),
    "fall": ("falls from {a} to {b}", "decreases steadily from {a} to {b}", "drops from {a} to {b}"),
    "saturate": (
        "rises quickly from {a} and levels off near {b}",
        "increases fast at first and saturates at about {b}",
    ),
    "decay": ("drops quickly from {a} and levels off near {b}", "decays fast at first and flattens at about {b}"),
    "peak": ("rises to a peak of {m} near {x} and falls again", "peaks at {m} around {x}"),
    "valley": ("falls to a minimum of {m} near {x} and rises again", "has its minimum of {m} around {x}"),
    "flat": ("stays nearly constant at about {a}", "hardly changes and stays near {a}"),
}


def _trends(chart: Chart, rng: np.random.Generator) -> list[str]:
    shapes = {series.shape for series in chart.series}
    if len(chart.series) > 2 and len(shapes) == 1 and rng.random() < 0.6:
        course = {
            "rise": "increase",
            "fall": "decrease",
            "saturate": "rise quickly and then saturate",
            "decay": "drop quickly and then level off",
            "peak": "rise to a peak and fall again",
            "valley": "fall to a minimum and rise again",
            "flat": "stay nearly constant",
        }[shapes.pop()]
        return [f"All {COUNTS[len(chart.series)]} curves {course} with {quantity(chart.x)}."]
    sentences = []
    for series in chart.series:
        turn = turning_point(series)
        values = {
            "a": read_y(chart, series.y[0]),
            "b": read_y(chart, series.y[-1]),
            "m": read_y(chart, min(series.y) if series.shape == "valley" else max(series.y)),
            "x": read_x(chart, turn),
        }
        who = series.name if len(chart.series) > 1 else "The curve"
        sentences.append(f"{who} {pick(rng, _COURSES[series.shape]).format(**values)}.")
    return sentences


def _relation(series: Series, chart: Chart, rng: np.random.Generator) -> str:
    x, y = quantity(chart.x), quantity(chart.y)
    of = f"For {series.name}, " if series.name and len(chart.series) > 1 else ""
    sentence = {
        "positive": (f"{y} tends to increase with {x}", f"there is a positive correlation between {x} and {y}"),
        "negative": (f"{y} tends to decrease with {x}", f"there is a negative correlation between {x} and {y}"),
        "none": (f"there is no clear relation between {x} and {y}", f"{y} does not depend clearly on {x}"),
    }[series.shape]
    chosen = pick(rng, sentence)
    return f"{of}{chosen}." if of else f"{capital(chosen)}."


def _distribution(series: Series, chart: Chart, rng: np.random.Generator) -> str:
    low, high = peak_bin(series)
    who = series.name if len(chart.series) > 1 else "the distribution"
    middle = read_x(chart, (low + high) / 2)
    form = {
        "symmetric": ("is roughly symmetric", "is bell-shaped"),
        "skewed": ("is skewed with a long tail to the right", "has a long right tail"),
    }[series.shape]
    place = pick(rng, ("peaks near", "is centred near" if series.shape == "symmetric" else "has its mode near"))
    sentence = f"{who} {pick(rng, form)} and {place} {middle}."
    return sentence if who == series.name else capital(sentence)


def _comparison(chart: Chart, rng: np.random.Generator) -> list[str]:
    if chart.kind == "bar":
        means = [float(np.mean(series.y)) for series in chart.series]
        best = chart.series[int(np.argmax(means))].name
        return [pick(rng, (f"On average, {best} has the highest bars.", f"{best} is highest on average."))]
    first, second = chart.series[0], chart.series[1]
    for above, below in ((first, second), (second, first)):
        if always_above(above, below):
            return [
                pick(
                    rng,
                    (
                        f"{above.name} lies above {below.name} everywhere.",
                        f"{above.name} stays above {below.name} over the whole range.",
                    ),
                )
            ]
    places = crossings(first, second)
    if len(places) == 1:
        return [f"{first.name} and {second.name} cross near {read_x(chart, places[0])}."]
    return []


def _extremes(chart: Chart, rng: np.random.Generator) -> str:
    top, bottom = highest(chart), lowest(chart)
    by = f" for {top.series}" if top.series and len(chart.series) > 1 else ""
    if chart.kind == "bar":
        low_by = f" for {bottom.series}" if bottom.series and len(chart.series) > 1 else ""
        return (
            f"The highest bar is {read_x(chart, top.at)}{by} with about {read_y(chart, top.value)}, "
            f"the lowest {read_x(chart, bottom.at)}{low_by} with about {read_y(chart, bottom.value)}."
        )
    return pick(
        rng,
        (
            f"The highest value, about {read_y(chart, top.value)}, is reached at {read_x(chart, top.at)}{by}.",
            f"The maximum of about {read_y(chart, top.value)} is found at {read_x(chart, top.at)}{by}.",
        ),
    )
