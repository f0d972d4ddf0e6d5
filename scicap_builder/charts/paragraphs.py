"""Paragraphs as a paper's text has them, written from a figure's data. In: a plate and a random generator. Out: text.

What is plotted, the axes, the course, comparisons, extremes, values, caveats; in varied order, number and wording.
"""

import numpy as np

from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.comparisons import (
    describe_caveats,
    describe_comparison,
    describe_extremes,
    describe_gap,
    describe_single,
)
from scicap_builder.charts.courses import describe_courses
from scicap_builder.charts.facts import read_x
from scicap_builder.charts.wording import (
    COUNTS,
    article,
    capital,
    compared,
    kind_name,
    listed,
    quantity,
    say,
)


def write_paragraph(plate: Plate, rng: np.random.Generator, label: str = "", *, context: bool = True) -> str:
    """What a paper's text says about the figure.

    `label` ("Figure 3") opens the paragraph if given; `context` allows the subject, which only a caption or title tells.
    """
    subject = plate.subject if context and rng.random() < 0.5 else ""
    if len(plate.panels) > 1:
        return _of_panels(plate, rng, label, subject)
    chart = plate.panels[0]
    sentences = [_opening(chart, rng, label, subject)]
    if rng.random() < 0.7:
        sentences.append(_axes(chart, rng))
    sentences += _body(chart, rng, short=False)
    return _joined(sentences)


def _of_panels(plate: Plate, rng: np.random.Generator, label: str, subject: str) -> str:
    count = COUNTS[len(plate.panels)]
    this = label or pick(rng, ("The figure", "This figure"))
    about = f" {pick(rng, ('for', 'on'))} {subject}" if subject else ""
    sentences = [say(rng, "{t} [has|consists of|combines] {n} [panels|parts|plots]{s}.", t=this, n=count, s=about)]
    for chart, letter in zip(plate.panels, plate.letters, strict=True):
        where = pick(rng, (f"({letter})", f"({letter})", f"Panel ({letter})", f"Panel {letter}"))
        sentences.append(f"{where} {_shown(chart, rng)}.")
        sentences += _body(chart, rng, short=True)
    return _joined(sentences)


def _body(chart: Chart, rng: np.random.Generator, *, short: bool) -> list[str]:
    """The course first or the comparison first; then, more or less of it, extremes, single values and caveats."""
    courses, comparison = describe_courses(chart, rng), describe_comparison(chart, rng)
    if short:
        courses, comparison = courses[:2], comparison[:1] if rng.random() < 0.4 else []
    main = [*comparison, *courses] if rng.random() < 0.25 else [*courses, *comparison]
    more = [describe_extremes(chart, rng)] if rng.random() < (0.5 if short else 0.75) else []
    if rng.random() < (0.15 if short else 0.4):
        more.append(describe_single(chart, rng))
    if rng.random() < (0.05 if short else 0.25):
        more.append(describe_gap(chart, rng))
    if rng.random() < 0.3:
        more = more[::-1]
    caveats = [] if short and rng.random() < 0.6 else describe_caveats(chart, rng)
    return [*main, *more, *caveats]


def _joined(sentences: list[str]) -> str:
    return " ".join(sentence for sentence in dict.fromkeys(sentences) if sentence)


def _opening(chart: Chart, rng: np.random.Generator, label: str, subject: str) -> str:
    style = rng.random()
    of = f" {pick(rng, ('for', 'in the case of'))} {subject}" if subject else ""
    if not label and style < 0.25:
        return f"The {kind_name(chart, rng)} {_shown(chart, rng, kind=False)}{of}."
    if not label and style < 0.4:
        return capital(say(rng, "[shown is|we see|this is|here we see] {k} [of|with] {what}{of}.",
                           k=article(kind_name(chart, rng)), what=_plotted(chart, rng), of=of))  # fmt: skip
    this = label or pick(rng, ("The figure", "This figure", "The plot", "The graph"))
    return f"{this} {_shown(chart, rng)}{of}."


def _shown(chart: Chart, rng: np.random.Generator, *, kind: bool = True) -> str:
    """ "shows a line chart of accuracy over epoch for A and B", as it follows the name of the figure."""
    verb = pick(rng, ("shows", "shows", "plots", "presents", "depicts", "displays", "gives"))
    named_kind = f"{article(kind_name(chart, rng))} of " if kind else ""
    return f"{verb} {named_kind}{_plotted(chart, rng)}"


def _plotted(chart: Chart, rng: np.random.Generator) -> str:
    """What is plotted over what, and for whom."""
    x, y, names = quantity(chart.x), quantity(chart.y), compared(chart)
    who = listed(names) if names and rng.random() < 0.85 else f"{COUNTS[len(names)]} series" if names else ""
    for_whom = say(rng, "[ for {n}| of {n}|, comparing {n}|, with {n} in the legend]", n=who) if who else ""
    for_whom = for_whom if for_whom.startswith(",") or not for_whom else f" {for_whom}"
    if chart.kind == "histogram":
        return f"{pick(rng, ('', 'the distribution of ', 'the frequency of '))}{x}{for_whom}"
    if chart.kind == "heatmap":
        rows, columns = listed(names), listed(chart.categories)
        if chart.x.name == "Predicted":
            return say(
                rng, "[a confusion matrix|the {y} of predicted and true classes] [over|for|of] {c}", y=y, c=columns
            )
        return say(rng, "{y} [for|of] {r} [in the rows and|by|against] {c} [in the columns|]", y=y, r=rows, c=columns)
    if chart.categories:
        over = listed(chart.categories) if rng.random() < 0.7 else f"{COUNTS[len(chart.categories)]} {_plural(chart)}"
        return f"{y} {pick(rng, ('for', 'of', 'across'))} {over}{for_whom}"
    relation = pick(rng, ("as a function of", "against", "versus", "over", "depending on"))
    return f"{y} {relation} {x}{for_whom}"


def _plural(chart: Chart) -> str:
    name = quantity(chart.x)
    if not name:
        return "categories"
    return name[:-1] + "ies" if name.endswith("y") else name + ("es" if name.endswith("s") else "s")


def _axes(chart: Chart, rng: np.random.Generator) -> str:
    if chart.kind == "heatmap":
        return say(rng, "[The colour|Colour|The shade of a cell] [shows|gives|stands for] {y}.", y=chart.y.label)
    if chart.categories:
        across = (
            say(rng, "[, the {c} axis {x}|]", c="vertical" if chart.sideways else "horizontal", x=chart.x.label)
            if chart.x.name
            else ""
        )
        axis = "x-axis" if chart.sideways else "y-axis"
        things = "box" if chart.kind == "box" else "bar"
        return say(
            rng,
            "[The {a} [shows|gives|is] {y}{more}|Each {t} [gives|shows|stands for] {y}|[Values|Numbers] on the {a} are {y}].",
            a=axis, y=chart.y.label, t=things, more=across,
        )  # fmt: skip
    low, high = chart.x_range
    span = say(rng, "[, from {a} to {b}|]", a=read_x(chart, low), b=read_x(chart, high))
    return say(
        rng, "[The x-axis [shows|is|gives] {x}{s}, the y-axis {y}|The x-axis is {x}{s} and the y-axis is {y}"
        "|{x} is on the x-axis{s} and {y} on the y-axis|The [horizontal|x] axis [shows|gives] {x}{s}, the [vertical|y] axis {y}"
        "|{y} is [plotted|shown|given] on the y-axis, {x} on the x-axis].",
        x=chart.x.label, y=chart.y.label, s=span,
    )  # fmt: skip
