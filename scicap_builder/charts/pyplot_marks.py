"""What matplotlib draws inside the axes. In: axes, a chart and its style. Out: the texts among the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scicap_builder.charts.chart import Chart
from scicap_builder.charts.facts import cell_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text


@dataclass(frozen=True, kw_only=True)
class Style:
    """How matplotlib draws one figure."""

    palette: tuple[str, ...]
    markers: tuple[str, ...]
    line_width: float
    lines: tuple[str, ...]
    legend: str
    """Where matplotlib puts it, or "outside" or "top"."""
    hatch: bool
    colour_map: str
    ink: str


Marks = tuple[list["Text"], Any]
"""Texts among the data, and what a colour bar is made for (or None)."""
Labels = Mapping[str, str]
"""Name of a series -> its legend entry; empty: no legend."""


def draw_marks(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:
    """Draw the data of `chart`."""
    kind = "curves" if chart.kind in ("line", "roc", "pr") else chart.kind
    return _DRAWERS[kind](axes, chart, style, labels, rng)


def _draw_curves(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:
    if chart.kind == "roc":
        axes.plot((0, 1), (0, 1), linestyle="--", color="0.6", linewidth=1)
    step = bool(rng.random() < 0.05)
    for index, series in enumerate(chart.series):
        look: dict[str, Any] = {
            "color": style.palette[index % 5], "linewidth": style.line_width, "linestyle": style.lines[index % 5],
            "marker": (style.markers[index % 5] or None) if len(series.x) < 40 else None, "markersize": 4,
            "label": labels.get(series.name),
        }  # fmt: skip
        if chart.interval == "bars":
            axes.errorbar(series.x, series.y, yerr=series.spread, capsize=2.5, elinewidth=0.9, **look)
            continue
        axes.plot(series.x, series.y, drawstyle="steps-mid" if step else "default", **look)
        if chart.interval == "band":
            low, high = np.subtract(series.y, series.spread), np.add(series.y, series.spread)
            axes.fill_between(series.x, low, high, color=style.palette[index % 5], alpha=0.2, linewidth=0)
    return [], None


def _draw_bars(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:
    place = np.arange(len(chart.categories))
    groups = 1 if chart.stacked else len(chart.series)
    width = float(rng.uniform(0.6, 0.85)) / groups
    base = np.zeros(len(place))
    texts: list[Text] = []
    for index, series in enumerate(chart.series):
        look: dict[str, Any] = {"color": style.palette[index % 5], "label": labels.get(series.name)}
        if style.hatch:
            look |= {"hatch": ("//", "..", "xx", "\\\\", "oo")[index % 5], "edgecolor": "black"}
        if series.spread:
            look |= {"xerr" if chart.sideways else "yerr": series.spread, "capsize": 3, "ecolor": style.ink}
        offset = place if chart.stacked else place + (index - (groups - 1) / 2) * width
        if chart.sideways:
            bars = axes.barh(offset, series.y, height=width * 0.95, left=base, **look)
        else:
            bars = axes.bar(offset, series.y, width=width * 0.95, bottom=base, **look)
        if chart.printed:
            shown = [cell_text(chart, value) for value in series.y]
            texts += axes.bar_label(
                bars, shown, fontsize="small", padding=1, label_type="center" if chart.stacked else "edge"
            )
        if chart.stacked:
            base += series.y
    _name_categories(axes, chart)
    return texts, None


def _name_categories(axes: Axes, chart: Chart) -> None:
    place = np.arange(len(chart.categories))
    if chart.sideways:
        axes.set_yticks(place, chart.categories)
        return
    letters = max(map(len, chart.categories)) * len(chart.categories)
    axes.set_xticks(place, chart.categories, rotation=90 if letters > 90 else 25 if letters > 40 else 0)


def _draw_boxes(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:
    groups = len(chart.series)
    width = 0.65 / groups
    filled = bool(rng.random() < 0.6)
    for index, series in enumerate(chart.series):
        stats = [
            {"whislo": box[0], "q1": box[1], "med": box[2], "q3": box[3], "whishi": box[4], "fliers": []}
            for box in series.boxes
        ]
        places = np.arange(len(stats)) + (index - (groups - 1) / 2) * (width + 0.05)
        colour = style.palette[index % 5]
        drawn = axes.bxp(
            stats, positions=places, widths=width, patch_artist=True, showfliers=False,
            orientation="horizontal" if chart.sideways else "vertical", manage_ticks=False,
            medianprops={"color": _contrast(colour) if filled else colour, "linewidth": 1.6},
            boxprops={"facecolor": colour if filled else "none", "edgecolor": style.ink},
        )  # fmt: skip
        if labels.get(series.name):
            drawn["boxes"][0].set_label(labels[series.name])
            if not filled:
                drawn["boxes"][0].set_edgecolor(colour)
    _name_categories(axes, chart)
    return [], None


def _contrast(colour: str) -> str:
    from matplotlib.colors import to_rgb

    return "black" if sum(to_rgb(colour)) > 1.2 else "white"


def _draw_cells(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:  # noqa: ARG001
    values = np.array([series.y for series in chart.series])
    image = axes.imshow(values, cmap=style.colour_map, aspect="auto")
    axes.grid(False)
    axes.set_yticks(np.arange(len(chart.series)), [series.name for series in chart.series])
    letters = max(map(len, chart.categories)) * len(chart.categories)
    axes.set_xticks(np.arange(len(chart.categories)), chart.categories, rotation=25 if letters > 34 else 0)
    texts: list[Text] = []
    if chart.printed:
        colours = np.asarray(image.cmap(image.norm(values)))
        for row, series in enumerate(chart.series):
            for column, value in enumerate(series.y):
                red, green, blue, _ = colours[row, column]
                ink = "black" if red + green + blue > 1.5 else "white"
                texts.append(
                    axes.text(
                        column, row, cell_text(chart, value), ha="center", va="center", color=ink, fontsize="small"
                    )
                )
    return texts, image


def _draw_points(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:
    size = float(rng.uniform(8, 26))
    for index, series in enumerate(chart.series):
        axes.scatter(
            series.x, series.y, s=size, color=style.palette[index % 5], marker=style.markers[index % 5] or "o",
            alpha=0.8, label=labels.get(series.name),
        )  # fmt: skip
    return [], None


def _draw_histogram(axes: Axes, chart: Chart, style: Style, labels: Labels, rng: np.random.Generator) -> Marks:
    edge = "white" if rng.random() < 0.5 else "black"
    for index, series in enumerate(chart.series):
        look: dict[str, Any] = {
            "facecolor": style.palette[index % 5],
            "edgecolor": edge,
            "alpha": 0.6 if index else 0.9,
        }
        if rng.random() < 0.5:  # bars with lines between them, else one outline
            axes.bar(
                series.x[:-1], series.y, width=np.diff(series.x), align="edge", label=labels.get(series.name), **look
            )
        else:
            axes.stairs(series.y, series.x, fill=True, label=labels.get(series.name), **look)
    return [], None


_DRAWERS: dict[str, Callable[[Axes, Chart, Style, Labels, np.random.Generator], Marks]] = {
    "curves": _draw_curves,
    "bar": _draw_bars,
    "box": _draw_boxes,
    "heatmap": _draw_cells,
    "scatter": _draw_points,
    "histogram": _draw_histogram,
}
