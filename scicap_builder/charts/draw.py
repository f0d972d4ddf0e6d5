"""Charts drawn with matplotlib.

In: a chart and a random generator for its style. Out: encoded pixels and the true text with its boxes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.errors import MissingExtra
from llava_graph.record import OcrLine
from scicap_builder.charts.data import Chart, pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

PALETTES = (
    ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"),
    ("#4477aa", "#ee6677", "#228833", "#ccbb44"),
    ("#000000", "#e41a1c", "#377eb8", "#4daf4a"),
    ("#264653", "#e76f51", "#2a9d8f", "#e9c46a"),
    ("#000000", "#555555", "#888888", "#bbbbbb"),
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
)
FONTS = ("DejaVu Sans", "DejaVu Serif", "STIXGeneral")
"""The fonts that matplotlib brings: the same picture on every machine."""
JPEG_SHARE = 0.15
GREY_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawn chart."""

    image: bytes
    """PNG or JPEG."""
    width: int
    """px"""
    height: int
    """px"""
    ocr: tuple[OcrLine, ...]
    """The text that was drawn, exactly, with the box in which it was drawn."""


@dataclass(frozen=True, kw_only=True)
class _Style:
    palette: tuple[str, ...]
    markers: tuple[str, ...]
    line_width: float
    lines: tuple[str, ...]
    legend: str
    """Where matplotlib puts it, or "outside"."""


def draw_chart(chart: Chart, rng: np.random.Generator) -> Drawing:
    """Draw `chart` in a style chosen by `rng`. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "charts", needed_for="drawing charts") from error

    settings = {
        "font.family": pick(rng, FONTS),
        "font.size": float(rng.uniform(8.5, 11.5)),
        "axes.grid": bool(rng.random() < 0.4),
        "grid.alpha": 0.4,
        "axes.spines.top": bool(rng.random() < 0.6),
        "xtick.direction": pick(rng, ("in", "out")),
        "ytick.direction": pick(rng, ("in", "out")),
        "legend.frameon": bool(rng.random() < 0.6),
    }
    settings["axes.spines.right"] = settings["axes.spines.top"]
    style = _Style(
        palette=pick(rng, PALETTES),
        markers=pick(rng, (("",) * 4, ("o", "s", "^", "D"), ("x", "+", "v", "*"), ("o", "o", "o", "o"))),
        line_width=float(rng.uniform(0.9, 2.2)),
        lines=pick(rng, (("-",) * 4, ("-", "--", "-.", ":"))),
        legend=pick(rng, ("best", "best", "best", "upper right", "lower left", "outside")),
    )
    with rc_context(settings):
        canvas = Figure(
            figsize=(float(rng.uniform(4.2, 6.0)), float(rng.uniform(3.0, 4.2))), dpi=int(rng.integers(72, 100))
        )
        agg = FigureCanvasAgg(canvas)
        named = sum(bool(series.name) for series in chart.series)
        outside = style.legend == "outside" and named > 1
        canvas.subplots_adjust(
            left=0.18, right=0.72 if outside else 0.96, bottom=0.18, top=0.9 if chart.title else 0.95
        )
        axes = canvas.add_subplot()
        _DRAWERS[chart.kind](axes, chart, style, rng)
        legend = _dress(axes, chart, style, named, rng)
        agg.draw()
        width, height = (int(side) for side in agg.get_width_height())
        ocr = tuple(_read(axes, legend, agg.get_renderer(), width, height))
        pixels = np.asarray(agg.buffer_rgba())[..., :3]
    return Drawing(image=_encode(pixels, rng), width=width, height=height, ocr=ocr)


def _draw_lines(axes: Axes, chart: Chart, style: _Style, rng: np.random.Generator) -> None:
    band = rng.random() < 0.15
    for index, series in enumerate(chart.series):
        colour = style.palette[index % 4]
        axes.plot(
            series.x,
            series.y,
            color=colour,
            linewidth=style.line_width,
            linestyle=style.lines[index % 4],
            marker=style.markers[index % 4] or None,
            markersize=4,
            label=series.name,
        )
        if band and not chart.log_y:
            low, high = chart.y_range
            half = 0.04 * (high - low)
            axes.fill_between(
                series.x, np.subtract(series.y, half), np.add(series.y, half), color=colour, alpha=0.2, linewidth=0
            )


def _draw_bars(axes: Axes, chart: Chart, style: _Style, rng: np.random.Generator) -> None:
    place = np.arange(len(chart.categories))
    width = 0.8 / len(chart.series)
    hatch = rng.random() < 0.15
    sideways = len(chart.series) == 1 and rng.random() < 0.2
    for index, series in enumerate(chart.series):
        look: dict[str, Any] = {"color": style.palette[index % 4], "label": series.name or None}
        if hatch:
            look |= {"hatch": ("//", "..", "xx")[index % 3], "edgecolor": "black"}
        offset = place + (index - (len(chart.series) - 1) / 2) * width
        if sideways:
            axes.barh(offset, series.y, height=width * 0.92, **look)
        else:
            axes.bar(offset, series.y, width=width * 0.92, **look)
    if sideways:
        axes.set_yticks(place, chart.categories)
        axes.set_xlabel(chart.y.label)
    else:
        turned = max(map(len, chart.categories)) * len(chart.categories) > 44
        axes.set_xticks(place, chart.categories, rotation=20 if turned else 0)
        axes.set_ylabel(chart.y.label)


def _draw_points(axes: Axes, chart: Chart, style: _Style, rng: np.random.Generator) -> None:
    size = float(rng.uniform(8, 26))
    for index, series in enumerate(chart.series):
        marker = style.markers[index % 4] or "o"
        axes.scatter(
            series.x, series.y, s=size, color=style.palette[index % 4], marker=marker, alpha=0.8, label=series.name
        )


def _draw_histogram(axes: Axes, chart: Chart, style: _Style, rng: np.random.Generator) -> None:
    edge = "white" if rng.random() < 0.5 else "black"
    for index, series in enumerate(chart.series):
        look: dict[str, Any] = {
            "facecolor": style.palette[index % 4],
            "edgecolor": edge,
            "alpha": 0.6 if index else 0.9,
        }
        axes.stairs(series.y, series.x, fill=True, label=series.name or None, **look)


_DRAWERS = {"line": _draw_lines, "bar": _draw_bars, "scatter": _draw_points, "histogram": _draw_histogram}


def _dress(axes: Axes, chart: Chart, style: _Style, named: int, rng: np.random.Generator) -> Any:
    """Labels, scales, title and legend. Returns the legend or None."""
    if chart.log_x:
        axes.set_xscale("log")
    if chart.log_y:
        axes.set_yscale("log")
    if chart.kind != "bar":
        axes.set_xlabel(chart.x.label)
        axes.set_ylabel(chart.y.label)
    if chart.title:
        axes.set_title(chart.title)
    # A single series is usually named by the caption alone.
    if named > 1 or (named == 1 and chart.kind != "bar" and rng.random() < 0.6):
        if style.legend == "outside" and named > 1:
            return axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small")
        return axes.legend(loc="best" if style.legend == "outside" else style.legend, fontsize="small")
    return None


def _read(axes: Axes, legend: Any, renderer: Any, width: int, height: int) -> Iterator[OcrLine]:
    """Every text with its box, in 0..1 from the top left."""
    texts: list[tuple[str, Text]] = [("title", axes.title), ("x-axis", axes.xaxis.label), ("y-axis", axes.yaxis.label)]
    texts += [("legend", text) for text in legend.get_texts()] if legend else []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        margin = 1e-9 * (high - low)
        # Matplotlib keeps labels of ticks beyond the axis that it does not draw.
        drawn = [tick for tick in axis.get_major_ticks() if low - margin <= tick.get_loc() <= high + margin]
        texts += [
            (f"{axis.axis_name}-tick", text) for text in (*(tick.label1 for tick in drawn), axis.get_offset_text())
        ]
    for role, text in texts:
        words = plain_text(text.get_text())
        if words:
            box = text.get_window_extent(renderer)
            x0, x1 = (float(np.clip(value / width, 0, 1)) for value in (box.x0, box.x1))
            y0, y1 = (float(np.clip(1 - value / height, 0, 1)) for value in (box.y1, box.y0))
            turned = 90 if text.get_rotation() == 90 else 0
            yield OcrLine(text=words, box=(x0, y0, x1, y1), role=role, orientation=turned, source="drawn")


def plain_text(text: str) -> str:
    """Matplotlib's mathtext as a reader sees it: $\\mathdefault{10^{-2}}$ -> 10^-2."""
    text = text.replace("−", "-")
    if "\\mathdefault" in text:
        text = "".join(
            char for char in text.replace("\\mathdefault", "").replace("\\times", "×") if char not in "${}\\"
        )
    return text.strip()


def _encode(pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    from PIL import Image

    image = Image.fromarray(pixels)
    if rng.random() < GREY_SHARE:
        image = image.convert("L")
    buffer = io.BytesIO()
    if rng.random() < JPEG_SHARE:
        image.save(buffer, "JPEG", quality=int(rng.integers(50, 92)))
    else:
        image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
