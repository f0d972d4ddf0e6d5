"""Sentences that compare and read off: extremes, crossings, orders, single values, caveats. In: a chart. Out: text."""

import numpy as np

from scicap_builder.charts.chart import Chart, pick
from scicap_builder.charts.facts import (
    always_above,
    apart,
    column_totals,
    crossings,
    height_of,
    highest,
    is_clear,
    is_curve,
    lowest,
    ranked,
    read_x,
    read_y,
    value_at,
    value_span,
)
from scicap_builder.charts.wording import capital, compared, quantity, say


def describe_extremes(chart: Chart, rng: np.random.Generator) -> str:
    """Where the highest and the lowest value are; empty for charts of which nobody asks that."""
    if chart.kind in ("histogram", "scatter", "roc", "pr") or not is_clear(chart):
        return ""
    top, bottom = highest(chart), lowest(chart)
    what = {"bar": "total" if chart.stacked else "bar", "box": "median", "heatmap": "cell"}.get(chart.kind, "value")
    by, low_by = (f" [for|of] {end.series}" if end.series else "" for end in (top, bottom))
    slots = {
        "w": what, "v": read_y(chart, top.value), "x": read_x(chart, top.at),
        "lv": read_y(chart, bottom.value), "lx": read_x(chart, bottom.at),
    }  # fmt: skip
    both = rng.random() < 0.45 and is_clear(chart, low=True)
    if chart.categories:
        low = f", [the lowest|and the lowest is] {{lx}}{low_by} with [about|roughly] {{lv}}" if both else ""
        return say(
            rng,
            f"[The highest {{w}} is {{x}}{by} with [about|roughly] {{v}}"
            f"|{{x}}{by} has the highest {{w}}, [about|roughly] {{v}}]{low}.",
            **slots,
        )
    low = f"; the [lowest value|minimum] is about {{lv}} at {{lx}}{low_by}" if both else ""
    return say(
        rng,
        f"[The highest value, [about|roughly] {{v}}, is [reached|found] at {{x}}{by}"
        f"|The maximum of about {{v}} is found at {{x}}{by}"
        f"|At {{x}}{by}, the [maximum|highest value] of about {{v}} is reached]{low}.",
        **slots,
    )


def describe_comparison(chart: Chart, rng: np.random.Generator) -> list[str]:
    """Which of the series is above, where they cross, what comes first."""
    if len(chart.series) < 2 or chart.kind in ("scatter", "histogram") or chart.x.name == "Predicted":
        return []
    if chart.kind in ("roc", "pr"):
        return _areas(chart, rng)
    return _meetings(chart, rng) if is_curve(chart) else _averages(chart, rng)


def _averages(chart: Chart, rng: np.random.Generator) -> list[str]:
    best, *others = ranked(chart)
    if not apart(height_of(best), height_of(others[0]), value_span(chart)):
        return []
    what = "rows" if chart.kind == "heatmap" else "parts" if chart.stacked else "values"
    return [say(
        rng, "[On average, {a} has the [highest|largest] {w}|{a} is [highest|largest] on average]"
        "[|, {b} the [lowest|smallest]|, while {b} is [lowest|smallest]].", a=best.name, b=others[-1].name, w=what,
    )]  # fmt: skip


def _meetings(chart: Chart, rng: np.random.Generator) -> list[str]:
    """How the first two curves lie to each other."""
    first, second = chart.series[:2]
    for above, below in ((first, second), (second, first)):
        if always_above(above, below):
            everywhere = "{a} [lies|stays|is] above {b} [everywhere|over the whole range|throughout]."
            return [say(rng, everywhere, a=above.name, b=below.name)]
    places = crossings(first, second)
    if not places:  # they touch
        return []
    if len(places) > 1:
        return [say(rng, "{f} and {s} cross [several times|more than once].", f=first.name, s=second.name)]
    before, after = (first, second) if first.y[0] > second.y[0] else (second, first)
    return [say(
        rng, "[{f} and {s} [cross|intersect] [near|around] {x}|[Beyond|After] {x}, {b} is above {a}"
        "|{a} is higher [up to|until] [about|] {x}, {b} beyond].",
        f=first.name, s=second.name, a=before.name, b=after.name, x=read_x(chart, places[0]),
    )]  # fmt: skip


def _areas(chart: Chart, rng: np.random.Generator) -> list[str]:
    what = "area under the curve" if chart.kind == "roc" else "average precision"
    best, *rest = ranked(chart)
    lead = say(rng, "{a} [performs best|is best|has the [largest|highest] {w}]", a=best.name, w=what)
    if chart.printed:
        lead += " " + say(rng, "[with a value of|at] {v:.2f}", v=best.area or 0)
    tail = say(rng, "[, followed by|, ahead of|, then] {b}", b=rest[0].name) if rest and rng.random() < 0.6 else ""
    return [f"{lead}{tail}."]


def describe_single(chart: Chart, rng: np.random.Generator) -> str:
    """One value read off, or the difference of two."""
    if chart.kind in ("scatter", "histogram", "pr"):
        return ""
    series = pick(rng, chart.series)
    if chart.kind == "roc":
        rate = float(pick(rng, (0.1, 0.2, 0.5)))
        who = series.name if compared(chart) else "the curve"
        return say(rng, "At a {xn} of {x}, {who} reaches a {yn} of about {v}.", xn=quantity(chart.x), yn=quantity(chart.y),
                   x=rate, who=who, v=read_y(chart, value_at(series, rate)))  # fmt: skip
    index = int(rng.integers(len(series.y)))
    x, value = read_x(chart, series.x[index]), read_y(chart, series.y[index])
    if chart.stacked and rng.random() < 0.5:
        return say(
            rng,
            "[The bar of {x} adds up to|In total, {x} reaches] about {v}.",
            x=x,
            v=read_y(chart, column_totals(chart)[index]),
        )
    who = series.name if compared(chart) else quantity(chart.y)
    if chart.categories and compared(chart):
        return say(
            rng,
            "[For {x}, {who} [is|has|reaches] [about|roughly] {v}|{who} [is at|has] [about|roughly] {v} for {x}].",
            x=x,
            who=who,
            v=value,
        )
    if chart.categories:
        return say(
            rng,
            "[{x} [has|is at|reaches] [about|roughly] {v}|For {x}, {who} is [about|roughly] {v}].",
            x=x,
            who=who,
            v=value,
        )
    return say(
        rng, "[At {x}, {who} is [about|roughly] {v}|{Who} [is|reads] [about|roughly] {v} at {x}].",
        x=x, who=who, Who=who if compared(chart) else capital(who), v=value,
    )  # fmt: skip


def describe_gap(chart: Chart, rng: np.random.Generator) -> str:
    """How far the highest is above the lowest category of a chart with one series."""
    if not chart.categories or len(chart.series) > 1 or chart.kind not in ("bar", "box"):
        return ""
    top, bottom = highest(chart), lowest(chart)
    if bottom.value > 0 and top.value / bottom.value > 1.8:
        times = f"{top.value / bottom.value:.1f}"
        return say(
            rng,
            "{a} [is|has] about {t} times [as high as|the value of] {b}.",
            a=read_x(chart, top.at),
            b=read_x(chart, bottom.at),
            t=times,
        )
    if not apart(top.value, bottom.value, value_span(chart) * 3):
        return say(
            rng,
            "[The differences between the {n} are small|All are close to each other].",
            n=quantity(chart.x) + "s" if chart.x.name else "categories",
        )
    return say(rng, "The [difference|gap] between {a} and {b} is about {d}.", a=read_x(chart, top.at), b=read_x(chart, bottom.at),
               d=read_y(chart, top.value - bottom.value))  # fmt: skip


def describe_caveats(chart: Chart, rng: np.random.Generator) -> list[str]:
    """What a careful reader adds: logarithmic axes, what is not said about bars and bands, how well values can be read."""
    found = []
    if chart.log_y or chart.log_x:
        axes = "both axes are" if chart.log_x and chart.log_y else f"the {'y' if chart.log_y else 'x'}-axis is"
        found.append(
            say(
                rng,
                "[Note that {a} logarithmic|{A} logarithmic|{A} on a [log|logarithmic] scale].",
                a=axes,
                A=capital(axes),
            )
        )
    if chart.interval:
        shown = "error bars" if chart.interval == "bars" else "shaded bands"
        if chart.interval_of:
            found.append(
                say(rng, "[The {s}|{S}] [show|indicate|give] {w}.", s=shown, S=capital(shown), w=chart.interval_of)
            )
        else:
            found.append(say(rng, "[The figure does not say|It is not stated] what the {s} [mean|stand for].", s=shown))
    if not chart.printed and rng.random() < 0.12:
        found.append(
            say(
                rng,
                "[Values are read off the axis and approximate|The numbers are read off the plot and so approximate].",
            )
        )
    if chart.kind == "scatter" and rng.random() < 0.15:
        found.append(
            say(rng, "[This shows an association, not a cause|A relation of this kind says nothing about causes].")
        )
    return found
