"""Questions about what the data say: extremes, trends, crossings, single values. In: a chart. Out: questions or None."""

import numpy as np

from scicap_builder.charts.chart import Chart, pick
from scicap_builder.charts.courses import RELATIONS
from scicap_builder.charts.facts import (
    apart,
    column_totals,
    crossings,
    height_of,
    highest,
    is_clear,
    lowest,
    peak_bin,
    ranked,
    read_x,
    read_y,
    value_at,
    value_span,
)
from scicap_builder.charts.question import Question
from scicap_builder.charts.wording import COUNTS, capital, compared, quantity, say


def ask_highest(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Where the highest value is."""
    return _extreme(chart, rng, "highest")


def ask_lowest(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Where the lowest value is."""
    return _extreme(chart, rng, "lowest")


def _extreme(chart: Chart, rng: np.random.Generator, end: str) -> Question | None:
    if chart.kind in ("histogram", "scatter", "roc", "pr") or not is_clear(chart, low=end == "lowest"):
        return None
    found = highest(chart) if end == "highest" else lowest(chart)
    by = f" for {found.series}" if found.series else ""
    slots = {"v": read_y(chart, found.value), "x": read_x(chart, found.at), "e": end, "y": quantity(chart.y)}
    if chart.categories:
        what = {"box": "median", "heatmap": "cell"}.get(chart.kind, "total" if chart.stacked else "bar")
        text = say(
            rng, "[Which {w} is the {e}?|Where is the {e} {w}?|Which category has the {e} {w}?]", w=what, **slots
        )
        answer = say(
            rng,
            f"[{{x}}{by} is the {{e}} with about {{v}}|The {{e}} is {{x}}{by} with about {{v}}|{{x}}{by}, with about {{v}}].",
            **slots,
        )
        return Question(end, text, answer, (slots["x"], found.series) if found.series else (slots["x"],), found.value)
    other = "maximum" if end == "highest" else "minimum"
    text = say(
        rng,
        "[What is the {e} value?|What is the {o} of {y}?|Where is {y} {e}?|How {h} does {y} get at its {o}?]",
        h="high" if end == "highest" else "low",
        o=other,
        **slots,
    )
    answer = say(
        rng,
        f"[The {{e}} value is about {{v}}, at {{x}}{by}|About {{v}}, at {{x}}{by}"
        f"|The {{o}} is about {{v}}, [reached|found] at {{x}}{by}].",
        o=other,
        **slots,
    )
    return Question(end, text, answer, (found.series,) if found.series else (), found.value)


TRENDS = {
    "rise": "[increases|rises|goes up]",
    "fall": "[decreases|falls|goes down]",
    "saturate": "[increases|rises] quickly and then levels off",
    "decay": "[drops|decreases] quickly and then levels off",
    "peak": "rises to a peak and then falls",
    "valley": "falls to a minimum and then rises",
    "flat": "stays nearly constant",
}


def ask_trend(chart: Chart, rng: np.random.Generator) -> Question | None:
    """How a curve or a cloud runs."""
    if chart.kind not in ("line", "scatter"):
        return None
    series = pick(rng, chart.series)
    x, y = quantity(chart.x), quantity(chart.y)
    of = f" for {series.name}" if compared(chart) else ""
    text = say(
        rng,
        "[How does {y} change with {x}{of}?|What is the trend{of}?|Does {y} rise or fall with {x}{of}?"
        "|How does {y} [behave|develop]{of}?]",
        x=x,
        y=y,
        of=of,
    )
    if chart.kind == "scatter":
        return Question("trend", text, capital(say(rng, RELATIONS[series.shape], x=x, y=y)) + ".", (series.shape,))
    who = pick(rng, ("It", series.name or "It", capital(y))) if of else pick(rng, ("It", capital(y)))
    return Question("trend", text, f"{who} {say(rng, TRENDS[series.shape])}.", (series.shape,))


def ask_crossing(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Whether and where two curves cross."""
    if chart.kind != "line" or len(chart.series) < 2:
        return None
    order = rng.permutation(len(chart.series))
    first, second = chart.series[int(order[0])], chart.series[int(order[1])]
    places = crossings(first, second)
    text = say(
        rng,
        "[Do {a} and {b} cross?|Where do {a} and {b} cross?|Do the [curves|lines] of {a} and {b} intersect?]",
        a=first.name,
        b=second.name,
    )
    slots = {"a": first.name, "b": second.name}
    if not places:
        return Question(
            "crossing",
            text,
            say(rng, "[{a} and {b} do not cross|They do not cross|No, they do not cross].", **slots),
            ("not",),
        )
    where = read_x(chart, places[0])
    if len(places) > 1:
        answer = say(
            rng,
            "[{a} and {b}|They] cross {n} times, first near {x}.",
            n=COUNTS[len(places)] if len(places) < 8 else "many",
            x=where,
            **slots,
        )
    else:
        answer = say(rng, "[{a} and {b} cross near {x}|They cross near {x}|Near {x}].", x=where, **slots)
    return Question("crossing", text, answer, (), places[0])


def ask_value(chart: Chart, rng: np.random.Generator) -> Question | None:
    """A single value."""
    if chart.kind in ("scatter", "histogram"):
        return None
    series = pick(rng, chart.series)
    who = compared(chart)
    of = f" of {series.name}" if who else ""
    if chart.kind in ("roc", "pr"):
        if not chart.printed or series.area is None:
            return None
        what = "area under the curve" if chart.kind == "roc" else "average precision"
        return Question(
            "value",
            say(rng, "What is the {w}{of}?", w=what, of=of),
            say(rng, "[It is|About] {v}.", v=f"{series.area:.2f}"),
            (),
            series.area,
        )
    index = int(rng.integers(len(series.y)))
    y, place = quantity(chart.y), series.x[index]
    value = series.y[index] if chart.categories else value_at(series, place)
    if chart.stacked and rng.random() < 0.4:
        value = column_totals(chart)[index]
        text = say(rng, "[What is the total|How much in total] for {x}?", x=read_x(chart, place))
    else:
        text = say(
            rng, "[What is {y}{of} [at|for] {x}?|What is the value{of} [at|for] {x}?|How [large|high] is {y}{of} [at|for] {x}?"
            "|Read off {y}{of} [at|for] {x}.]", y=y, of=of, x=read_x(chart, place),
        )  # fmt: skip
    answer = say(
        rng, "[About {v}|It is about {v}|Roughly {v}|{Y} is about {v} there].", v=read_y(chart, value), Y=capital(y)
    )
    return Question("value", text, answer, (), value)


def ask_best(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Which of the series is highest on average."""
    names = compared(chart)
    if not names or chart.kind in ("scatter", "histogram") or chart.x.name == "Predicted":
        return None
    first, second = ranked(chart)[:2]
    if not apart(height_of(first), height_of(second), 1.0 if chart.kind in ("roc", "pr") else value_span(chart)):
        return None
    best = first.name
    text = say(
        rng, "[Which [series|one] is highest [on average|overall]?|Which has the highest values [on average|overall]?]"
    )
    if chart.kind in ("roc", "pr"):
        text = say(rng, "[Which curve is best?|Which one performs best?]")
    return Question(
        "best",
        text,
        say(rng, "[{b}|{b} is {w}|It is {b}].", b=best, w="best" if chart.kind in ("roc", "pr") else "highest"),
        (best,),
    )


def ask_peak(chart: Chart, rng: np.random.Generator) -> Question | None:
    """Where a histogram peaks."""
    if chart.kind != "histogram":
        return None
    series = pick(rng, chart.series)
    low, high = peak_bin(series)
    of = f" of {series.name}" if compared(chart) else ""
    text = say(rng, "[Where is the peak{of}?|Which value is most frequent{of}?|What is the mode{of}?]", of=of)
    return Question(
        "peak",
        text,
        say(rng, "[The peak is|It is|The mode is] near {x}.", x=read_x(chart, (low + high) / 2)),
        (),
        (low + high) / 2,
    )
