"""Questions about what is shown: the kind of chart, its axes, series and categories. In: a chart. Out: questions or None."""

import numpy as np

from scicap_builder.charts.chart import Chart
from scicap_builder.charts.facts import is_curve
from scicap_builder.charts.question import Question
from scicap_builder.charts.wording import COUNTS, article, compared, kind_name, listed, say


def ask_type(chart: Chart, rng: np.random.Generator) -> Question:
    """What kind of chart it is."""
    name = kind_name(chart, rng)
    text = say(
        rng, "[What kind of chart is this?|Which chart type is used?|What type of plot is it?|How are the data shown?]"
    )
    answer = say(rng, "[It is|This is|The figure is] {k}.", k=article(name))
    return Question("type", text, answer, (chart.kind,))


def ask_x(chart: Chart, rng: np.random.Generator) -> Question | None:
    """What stands on the x-axis."""
    if chart.categories:
        text = say(rng, "[Which categories are [compared|shown]?|What are the categories?|Name the categories.]")
        answer = say(rng, "The categories are {c}.", c=listed(chart.categories))
        return Question("categories", text, answer, chart.categories)
    text = say(
        rng, "What [does the x-axis show|is on the x-axis|is plotted on the x-axis|does the horizontal axis show]?"
    )
    return Question("x-axis", text, say(rng, "The x-axis [shows|is|gives] {x}.", x=chart.x.label), (chart.x.name,))


def ask_y(chart: Chart, rng: np.random.Generator) -> Question:
    """What is measured."""
    if chart.kind == "heatmap":
        text = say(rng, "What [does the colour show|do the cells show|is the colour scale]?")
        return Question("y-axis", text, f"The colour shows {chart.y.label}.", (chart.y.name,))
    if chart.categories:
        things = "boxes" if chart.kind == "box" else "bars"
        axis = "x" if chart.sideways else "y"
        text = say(
            rng, "[Which quantity do the {t} show|What do the {t} show|What does the {a}-axis show]?", t=things, a=axis
        )
        return Question(
            "y-axis", text, say(rng, "The {t} [show|give] {y}.", t=things, y=chart.y.label), (chart.y.name,)
        )
    text = say(
        rng, "What [does the y-axis show|is on the y-axis|is plotted on the y-axis|does the vertical axis show]?"
    )
    return Question("y-axis", text, say(rng, "The y-axis [shows|is|gives] {y}.", y=chart.y.label), (chart.y.name,))


def ask_names(chart: Chart, rng: np.random.Generator) -> Question | None:
    """What the legend tells apart."""
    names = compared(chart)
    if not names:
        return None
    if chart.kind == "heatmap":
        return Question(
            "names", say(rng, "[What are the rows?|Which rows are shown?]"), f"The rows are {listed(names)}.", names
        )
    text = say(
        rng,
        "[What is compared?|Which series are shown?|What does the legend list?|Name the series."
        "|Which [curves|groups] are there?]",
    )
    return Question(
        "names", text, say(rng, "The [chart compares|series are|legend lists] {n}.", n=listed(names)), names
    )


def ask_count(chart: Chart, rng: np.random.Generator) -> Question | None:
    """How many series or categories there are."""
    if chart.categories and rng.random() < 0.5:
        count = len(chart.categories)
        text = say(rng, "How many [categories|different categories] are [shown|there]?")
        return Question(
            "count", text, f"There are {COUNTS[count]} categories: {listed(chart.categories)}.", (COUNTS[count],)
        )
    names = compared(chart)
    if chart.kind in ("heatmap", "histogram") or (chart.categories and not names):
        return None
    text = say(
        rng,
        "How many [series|curves|data series] are [shown|there|plotted]?"
        if is_curve(chart)
        else "How many series are [shown|there]?",
    )
    answer = f"There are {COUNTS[len(names)]}: {listed(names)}." if names else "There is one."
    return Question("count", text, answer, (COUNTS[len(names) or 1],))
