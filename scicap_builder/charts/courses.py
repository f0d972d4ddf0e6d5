"""Sentences about how the data of a chart run: trends, relations, distributions. In: a series and its chart. Out: text."""

import numpy as np

from scicap_builder.charts.chart import Chart, Series, pick
from scicap_builder.charts.facts import peak_bin, read_x, read_y, turning_point
from scicap_builder.charts.wording import COUNTS, capital, compared, quantity, say

COURSES = {
    "rise": "[[rises|increases|grows|climbs] [steadily|continuously|] from {a} [to|up to] {b}"
    "|[goes|moves] up from {a} [at|when {xn} is] {x0} to {b} at {x1}"
    "|[starts|begins] at {a} and [reaches|ends at] {b}, [an increase|rising]]",
    "fall": "[[falls|decreases|drops|declines] [steadily|continuously|] from {a} to {b}"
    "|goes down from {a} [at|when {xn} is] {x0} to {b} at {x1}"
    "|[starts|begins] at {a} and [ends at|is down to] {b}, [a decrease|falling]]",
    "saturate": "[[rises|increases|grows] [quickly|fast|steeply] [at first|]"
    " from {a} and [levels off|saturates] [near|at about] {b}"
    "|[saturates|levels off] [near|at about] {b} after a [quick|steep] rise from {a}]",
    "decay": "[[drops|falls|decays|decreases] [quickly|fast|steeply] [at first|]"
    " from {a} and [levels off|flattens] [near|at about] {b}"
    "|[flattens|levels off] [near|at about] {b} after a [quick|steep] drop from {a}]",
    "peak": "[[rises|grows] to a [peak|maximum] of {m} [near|around] {x} and [falls|drops|decreases] again"
    "|[peaks|has its peak] [near|around] {x} with [about|roughly] {m}]",
    "valley": "[[falls|drops] to a minimum of {m} [near|around] {x} and [rises|grows|increases] again"
    "|[dips|reaches its minimum] [near|around] {x} with [about|roughly] {m} and [rises|increases] again]",
    "flat": "[[stays|remains|is] [nearly|almost] constant [at about|near] {a}"
    "|[hardly|barely] changes and [stays|remains] near {a}]",
}
TOGETHER = {
    "rise": "[increase|rise|grow]",
    "fall": "[decrease|fall|decline]",
    "saturate": "[rise|increase] [quickly|steeply] and then [saturate|level off]",
    "decay": "[drop|fall] [quickly|steeply] and then [level off|flatten]",
    "peak": "rise to a [peak|maximum] and fall again",
    "valley": "fall to a minimum and rise again",
    "flat": "[stay|remain] [nearly|almost] constant",
}
RELATIONS = {
    "positive": "[{y} [tends to increase|increases|grows] with {x}|there is a positive [correlation|relation] between {x} and {y}"
    "|[larger|higher] {x} goes with [larger|higher] {y}]",
    "negative": "[{y} [tends to decrease|decreases|falls] with {x}|there is a negative [correlation|relation] between {x} and {y}"
    "|[larger|higher] {x} goes with [smaller|lower] {y}]",
    "none": "[there is no clear [relation|correlation] between {x} and {y}|{y} does not depend clearly on {x}"
    "|no trend of {y} with {x} can be seen]",
}
FORMS = {
    "symmetric": "[is roughly symmetric|is bell-shaped|looks symmetric] and [peaks near|is centred near|has its mode near] {m}",
    "skewed": "[is skewed with a long tail to the right|has a long right tail|is right-skewed]"
    " and [peaks near|has its mode near] {m}",
}


def describe_courses(chart: Chart, rng: np.random.Generator) -> list[str]:
    """A sentence a series; or one for all where they share a course."""
    if chart.kind == "scatter":
        return [_relation(series, chart, rng) for series in chart.series]
    if chart.kind == "histogram":
        return [_distribution(series, chart, rng) for series in chart.series]
    if chart.kind != "line":
        return []
    shapes = {series.shape for series in chart.series}
    if len(chart.series) > 1 and len(shapes) == 1 and rng.random() < 0.5:
        all_of = say(rng, "[All|All {n}] [curves|lines|series]", n=COUNTS[len(chart.series)]) if len(chart.series) > 2 else say(
            rng, "[Both [curves|lines]|{a} and {b} both]", a=chart.series[0].name, b=chart.series[1].name)  # fmt: skip
        with_x = pick(rng, (f" with {quantity(chart.x)}", f" as {quantity(chart.x)} grows", ""))
        return [f"{all_of} {say(rng, TOGETHER[shapes.pop()])}{with_x}."]
    sentences = [course(series, chart, rng) for series in chart.series]
    if len(sentences) == 2 and rng.random() < 0.35:
        link = pick(rng, ("while", "whereas", "but", "and"))
        return [f"{sentences[0][:-1]}, {link} {sentences[1]}"]
    return sentences


def course(series: Series, chart: Chart, rng: np.random.Generator) -> str:
    """How one line runs, with values read off."""
    who = series.name if compared(chart) else pick(rng, ("The curve", "The line", capital(quantity(chart.y)), "It"))
    turn = turning_point(series)
    values = {
        "a": read_y(chart, series.y[0]),
        "b": read_y(chart, series.y[-1]),
        "m": read_y(chart, min(series.y) if series.shape == "valley" else max(series.y)),
        "x": read_x(chart, turn),
        "x0": read_x(chart, series.x[0]),
        "x1": read_x(chart, series.x[-1]),
        "xn": quantity(chart.x),
    }
    return f"{who} {say(rng, COURSES[series.shape], **values)}."


def _relation(series: Series, chart: Chart, rng: np.random.Generator) -> str:
    chosen = say(rng, RELATIONS[series.shape], x=quantity(chart.x), y=quantity(chart.y))
    return f"For {series.name}, {chosen}." if compared(chart) else f"{capital(chosen)}."


def _distribution(series: Series, chart: Chart, rng: np.random.Generator) -> str:
    low, high = peak_bin(series)
    chosen = say(rng, FORMS[series.shape], m=read_x(chart, (low + high) / 2))
    who = series.name if compared(chart) else pick(rng, ("The distribution", "The histogram", "It"))
    return f"{who} {chosen}."
