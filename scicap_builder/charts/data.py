"""The data behind a figure: a random generator in, a frozen plate of charts out. No drawing, no text."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scicap_builder.charts.chart import KINDS, Chart, Plate, pick
from scicap_builder.charts.curves import make_line, make_pr, make_roc
from scicap_builder.charts.groups import (
    CATEGORY_AXES,
    COUNT_NAMES,
    SHARE_NAMES,
    make_bar,
    make_box,
    make_heatmap,
    make_histogram,
    make_scatter,
)
from scicap_builder.charts.invent import invent_names, invent_quantity
from scicap_builder.charts.vocabulary import Field, Quantity, load_fields

MAKERS: dict[str, Callable[[np.random.Generator, Field], Chart]] = {
    "line": make_line,
    "bar": make_bar,
    "scatter": make_scatter,
    "histogram": make_histogram,
    "box": make_box,
    "heatmap": make_heatmap,
    "roc": make_roc,
    "pr": make_pr,
}
KIND_SHARES = (0.34, 0.22, 0.12, 0.1, 0.08, 0.07, 0.04, 0.03)
"""Line charts are the most common kind in papers (SciCap 2021: "graph plots" lead by far)."""
COMPOUND_SHARE = 0.12
"""Share of figures with two to four panels."""
INVENTED_QUANTITY_SHARE = 0.7
"""Share of axes whose quantity no vocabulary lists: a model of known labels alone would guess instead of reading."""
KEPT_NAMES = frozenset(
    {
        "", "Year", "Epoch", "Month", "Day", "Hour of day", "Quarter", "Predicted", "True", "Recall", "Precision",
        *COUNT_NAMES, *SHARE_NAMES, *CATEGORY_AXES,
    }
)  # fmt: skip
"""What has no unit by nature, or goes with its kind of chart."""


def make_plate(rng: np.random.Generator, vocabulary: str = "known") -> Plate:
    """A figure with known data, drawn from `rng` alone. `vocabulary`: see vocabulary.VOCABULARIES."""
    field = pick(rng, load_fields(vocabulary))
    subject = pick(rng, field.subjects)
    invented = INVENTED_QUANTITY_SHARE if field.known else 0.0
    first = make_chart(rng, field, subject=subject, invented=invented)
    if rng.random() >= COMPOUND_SHARE:
        return Plate(panels=(first,))
    count = int(rng.choice([2, 3, 4], p=[0.5, 0.2, 0.3]))
    same_kind = rng.random() < 0.4
    panels = [first]
    while len(panels) < count:
        panels.append(make_chart(rng, field, subject=subject, kind=first.kind if same_kind else "", invented=invented))
    alphabet = "ABCD" if rng.random() < 0.3 else "abcd"
    columns = 2 if count == 4 else pick(rng, (1, count, count))
    return Plate(panels=tuple(panels), letters=tuple(alphabet[:count]), columns=columns)


def make_chart(
    rng: np.random.Generator, field: Field, *, subject: str = "", kind: str = "", invented: float = 0.0
) -> Chart:
    """One chart of `field`; `kind` is drawn too when it is not given. `invented`: share of quantities under new names."""
    kind = kind or str(rng.choice(KINDS, p=KIND_SHARES))
    chart = MAKERS[kind](rng, field)
    fixed = kind in ("roc", "pr")
    chart = chart if fixed else replace(chart, x=_renamed(rng, chart.x, invented), y=_renamed(rng, chart.y, invented))
    title = _title(rng, chart, subject) if rng.random() < 0.3 else ""
    return replace(chart, subject=subject, title=title)


def _renamed(rng: np.random.Generator, quantity: Quantity, share: float) -> Quantity:
    if quantity.name in KEPT_NAMES or rng.random() >= share:
        return quantity
    return invent_quantity(rng, quantity)


def _title(rng: np.random.Generator, chart: Chart, subject: str) -> str:
    both = f"{chart.y.name} vs. {chart.x.name}" if chart.x.name else chart.y.name
    return pick(rng, (subject[:1].upper() + subject[1:], both, chart.y.name, invent_names(rng, 1)[0]))
