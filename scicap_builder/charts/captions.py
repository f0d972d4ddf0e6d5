"""Captions of a figure. In: a plate and a random generator. Out: text from nothing over "IIPS" to a full caption."""

import numpy as np

from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.wording import capital, compared, kind_name, listed, quantity, say


def write_caption(plate: Plate, rng: np.random.Generator) -> str:
    """From terse ("IIPS") to full; empty in a few figures, as for an image somebody pastes."""
    style = float(rng.random())
    first = plate.panels[0]
    if style < 0.1:
        return ""
    if style < 0.2:
        return _terse(first, rng)
    if len(plate.panels) > 1:
        return _of_panels(plate, rng, subject=style > 0.45)
    short = _short(first, rng)
    names = listed(compared(first))
    if style < 0.5:
        return short + (f" for {names}" if names and rng.random() < 0.5 else "") + pick(rng, ("", "."))
    where = say(rng, "[ for {s}| in the case of {s}| ({s})|, {s}| of {s}]", s=first.subject)
    return " ".join(part for part in (f"{short} {where}.".replace(" ,", ","), _more(first, rng)) if part)


def _terse(chart: Chart, rng: np.random.Generator) -> str:
    initials = "".join(word[0] for word in chart.subject.split() if word[0].isalpha()).upper()
    return pick(
        rng, (chart.title or chart.y.name, capital(chart.subject), chart.y.name, initials, "Results", "Results.")
    )


def _of_panels(plate: Plate, rng: np.random.Generator, *, subject: bool) -> str:
    head = say(rng, "[Results for|Overview of|Experiments on|Analysis of|] {s}. ", s=plate.subject) if subject else ""
    form = pick(rng, ("({letter}) {text}", "{letter}) {text}", "{letter}: {text}"))
    parts = [
        form.format(letter=letter, text=_short(chart, rng))
        for chart, letter in zip(plate.panels, plate.letters, strict=True)
    ]
    return capital(head) + " " * bool(head) + pick(rng, (". ", "; ", ", ")).join(parts) + "."


FIXED = {
    "histogram": "[Distribution|Histogram|Frequency distribution] of {x}",
    "roc": "[ROC curves|Receiver operating characteristic|ROC analysis]",
    "pr": "[Precision-recall curves|Precision versus recall|Precision and recall]",
    "confusion": "[Confusion matrix|Confusion matrix ({y})|Classification results]",
    "heatmap": "[Heat map of {y}|{Y} by {side} and {across}|{Y} for all combinations]",
    "categories": "[{Y} [per|by] [{across}|group|class]|{Y} for {groups}|[Comparison|Overview] of {y}|{Y}]",
    "numbers": "[{Y} [versus|vs.|as a function of|against|over|for different values of] {x}|[Effect|Influence] of {x} on {y}"
    "|[Dependence of {y} on {x}|Relation between {x} and {y}]]",
}


def _short(chart: Chart, rng: np.random.Generator) -> str:
    x, y = quantity(chart.x), quantity(chart.y)
    style = chart.kind if chart.kind in FIXED else "categories" if chart.categories else "numbers"
    if chart.x.name == "Predicted":
        style = "confusion"
    return say(
        rng, FIXED[style], x=x, y=y, Y=capital(y), side=quantity(chart.side) or "row", across=x or "category",
        groups=listed(chart.categories),
    )  # fmt: skip


def _more(chart: Chart, rng: np.random.Generator) -> str:
    """What a full caption adds: the names, the kind of chart, the meaning of bars and bands."""
    parts = []
    names = compared(chart)
    if names and rng.random() < 0.7:
        parts.append(say(
            rng, "[We compare {n}|Shown are {n}|[Curves|Series|Colours]: {n}|Comparison of {n}|The legend lists {n}].",
            n=listed(names),
        ))  # fmt: skip
    if rng.random() < 0.2:
        parts.append(f"Shown as {kind_name(chart, rng)}.")
    if chart.interval and chart.interval_of:
        shown = "Error bars" if chart.interval == "bars" else "Shaded bands"
        parts.append(say(rng, "{s} [show|indicate|are|denote] {w}.", s=shown, w=chart.interval_of))
    if chart.kind == "box" and rng.random() < 0.5:
        parts.append(
            say(rng, "[Boxes show the quartiles, the line the median|Whiskers span 1.5 times the interquartile range].")
        )
    return " ".join(parts)
