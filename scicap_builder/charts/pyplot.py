"""Figures drawn with matplotlib. In: a plate and a random generator for its style. Out: a drawing with true text and boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.errors import MissingExtra
from llava_graph.record import OcrLine
from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.drawing import PALETTES, Drawing, encode, true_line
from scicap_builder.charts.plotting import axis_names, legend_entries
from scicap_builder.charts.pyplot_marks import Style, draw_marks
from scicap_builder.charts.tracing import data_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

FONTS = ("DejaVu Sans", "DejaVu Sans", "DejaVu Serif", "STIXGeneral", "DejaVu Sans Mono")
"""The fonts that matplotlib brings: the same picture on every machine."""
STYLES = (
    "default", "default", "default", "ggplot", "bmh", "classic", "fivethirtyeight", "seaborn-v0_8", "seaborn-v0_8-whitegrid",
    "seaborn-v0_8-darkgrid", "seaborn-v0_8-ticks", "seaborn-v0_8-paper", "grayscale", "tableau-colorblind10", "Solarize_Light2",
    "dark_background",
)  # fmt: skip
"""Style sheets that matplotlib brings."""
OWN_COLOURS = ("default", "classic", "seaborn-v0_8-ticks", "seaborn-v0_8-paper", "seaborn-v0_8-whitegrid")
"""Style sheets under which the colours are ours."""


@dataclass(frozen=True)
class _Drawn:
    """One chart on its axes, with what has to be read off afterwards."""

    axes: Axes
    legend: Any
    colour_bar: Any
    letter: str
    letter_text: Text | None
    printed: tuple[Text, ...]


def draw_plate(plate: Plate, rng: np.random.Generator) -> Drawing:
    """Draw `plate` in a style chosen by `rng`. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib import style as styles
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "charts", needed_for="drawing charts") from error
    from PIL import Image

    sheet = pick(rng, STYLES)
    count = len(plate.panels)
    rows = -(-count // plate.columns)
    with styles.context([sheet, _settings(rng, sheet, small=count > 1)]):
        shrink = 1.0 if count == 1 else float(rng.uniform(0.65, 0.85))
        size = (float(rng.uniform(4.2, 6.0)) * shrink * plate.columns, float(rng.uniform(3.0, 4.2)) * shrink * rows)
        canvas = Figure(figsize=size, dpi=int(rng.integers(66, 100)), layout="constrained" if count > 1 else None)
        agg = FigureCanvasAgg(canvas)
        look = _style(rng, sheet)
        drawn = []
        for index, (chart, letter) in enumerate(zip(plate.panels, plate.letters, strict=True)):
            if count == 1:
                _margins(canvas, chart, look)
            axes = canvas.add_subplot(rows, plate.columns, index + 1)
            drawn.append(_draw_chart(axes, chart, letter, look, rng))
        agg.draw()
        width, height = (int(side) for side in agg.get_width_height())
        ocr = tuple(line for one in drawn for line in _read(one, agg.get_renderer(), width, height))
        pixels = np.asarray(agg.buffer_rgba())[..., :3]
        places = tuple(
            tuple(_places(one.axes, points, (width, height)) for points in data_points(chart))
            for one, chart in zip(drawn, plate.panels, strict=True)
        )
    image = encode(Image.fromarray(pixels), rng)
    return Drawing(image=image, width=width, height=height, ocr=ocr, library="matplotlib", places=places)


def _places(axes: Axes, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n, 2) in the coordinates of the axes -> shares of the picture's width and height, from the top left."""
    shares = axes.transData.transform(points) / size if len(points) else points
    return np.stack([shares[:, 0], 1 - shares[:, 1]], axis=1)


def _settings(rng: np.random.Generator, sheet: str, *, small: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "font.family": pick(rng, FONTS),
        "font.size": float(rng.uniform(7.0, 9.0) if small else rng.uniform(8.0, 12.0)),
        "legend.frameon": bool(rng.random() < 0.6),
        "legend.fontsize": "small",
        "axes.labelsize": "medium",
        "axes.titlesize": "large",
        "xtick.labelsize": "small" if rng.random() < 0.4 else "medium",
        "ytick.labelsize": "small" if rng.random() < 0.4 else "medium",
        "axes.formatter.use_mathtext": bool(rng.random() < 0.1),  # slow: every tick label is typeset as a formula,
    }
    if sheet == "classic":
        settings["figure.facecolor"] = "white"  # as it saves figures
    if sheet == "default":
        top = bool(rng.random() < 0.6)
        settings |= {
            "axes.grid": bool(rng.random() < 0.4), "grid.alpha": 0.4, "axes.spines.top": top, "axes.spines.right": top,
            "xtick.direction": pick(rng, ("in", "out")), "ytick.direction": pick(rng, ("in", "out")),
            "axes.grid.axis": pick(rng, ("both", "y")),
        }  # fmt: skip
    return settings


def _style(rng: np.random.Generator, sheet: str) -> Style:
    from matplotlib import rcParams

    cycle = rcParams["axes.prop_cycle"].by_key().get("color", ["0.2", "0.4", "0.6", "0.8", "0.1"])
    palette = pick(rng, PALETTES) if sheet in OWN_COLOURS else tuple((cycle * 5)[:5])
    return Style(
        palette=palette,
        markers=pick(rng, (("",) * 5, ("o", "s", "^", "D", "v"), ("x", "+", "v", "*", "1"), ("o",) * 5, ("",) * 5)),
        line_width=float(rng.uniform(0.9, 2.4)),
        lines=pick(rng, (("-",) * 5, ("-", "--", "-.", ":", "-"))),
        legend=pick(rng, ("best", "best", "best", "upper right", "lower left", "outside", "top")),
        hatch=bool(rng.random() < 0.12),
        colour_map=pick(rng, ("viridis", "Blues", "Greys", "coolwarm", "magma", "YlOrRd", "cividis")),
        ink=str(rcParams["text.color"]),
    )


def _margins(canvas: Any, chart: Chart, style: Style) -> None:
    """By the length of the labels; much faster than matplotlib's own layout engines."""
    names = max((len(name) for name in chart.categories), default=0)
    rows = max((len(series.name) for series in chart.series), default=0)
    side = rows if chart.kind == "heatmap" else names if chart.sideways else 0
    outside = style.legend == "outside" and len(chart.series) > 1 and chart.kind != "heatmap"
    canvas.subplots_adjust(
        left=0.17 + min(0.22, 0.012 * side),
        right=max(0.55, 0.8 - 0.011 * rows) if outside else 0.96,
        bottom=0.17 + (0.0 if chart.sideways else min(0.12, 0.004 * names * len(chart.categories) / 4)),
        top=0.84 if style.legend == "top" and len(chart.series) > 1 else 0.9 if chart.title else 0.95,
    )


def _draw_chart(axes: Axes, chart: Chart, letter: str, style: Style, rng: np.random.Generator) -> _Drawn:
    entries = legend_entries(chart, rng)
    shown = [series for series in chart.series if series.name] if entries else []
    labels = {series.name: entry for series, entry in zip(shown, entries, strict=True)}
    texts, mappable = draw_marks(axes, chart, style, labels, rng)
    if chart.log_x:
        axes.set_xscale("log")
    if chart.log_y:
        axes.set_yscale("log")
    elif chart.kind == "line":
        low, high = chart.y_range
        bottom, top = axes.get_ylim()
        axes.set_ylim(min(bottom, low), max(top, high))
    x_name, y_name = axis_names(chart)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    if chart.title:
        axes.set_title(chart.title)
    bar = axes.figure.colorbar(mappable, ax=axes, label=chart.y.label) if mappable is not None else None
    legend = _add_legend(axes, style, len(entries)) if entries else None
    letter_text = None
    if letter:
        form = pick(rng, (f"({letter})", f"({letter})", letter, f"{letter})"))
        letter_text = axes.text(-0.02, 1.06, form, transform=axes.transAxes, ha="right", fontweight="bold")
    return _Drawn(axes, legend, bar, letter, letter_text, tuple(texts))


def _add_legend(axes: Axes, style: Style, count: int) -> Any:
    if style.legend == "outside" and count > 1:
        return axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    if style.legend == "top" and count > 1:
        return axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.01 if not axes.get_title() else 1.1), ncols=count)
    return axes.legend(loc=style.legend if style.legend not in ("outside", "top") else "best")


def _read(drawn: _Drawn, renderer: Any, width: int, height: int) -> Iterator[OcrLine]:
    """Every text with its box."""
    axes = drawn.axes
    texts: list[tuple[str, Text]] = [("title", axes.title), ("x-axis", axes.xaxis.label), ("y-axis", axes.yaxis.label)]
    texts += [("legend", text) for text in drawn.legend.get_texts()] if drawn.legend else []
    texts += [("panel", drawn.letter_text)] if drawn.letter_text is not None else []
    texts += [("annotation", text) for text in drawn.printed]
    texts += [(f"{axis.axis_name}-tick", text) for axis in (axes.xaxis, axes.yaxis) for text in _tick_texts(axis)]
    if drawn.colour_bar is not None:
        texts += [("tick", text) for text in _tick_texts(drawn.colour_bar.ax.yaxis)]
        texts.append(("other", drawn.colour_bar.ax.yaxis.label))
    for role, text in texts:
        words = plain_text(text.get_text())
        if words:
            box = text.get_window_extent(renderer)
            turned = round(text.get_rotation()) in range(60, 121)
            line = true_line(
                words, (box.x0, height - box.y1, box.x1, height - box.y0), (width, height),
                role=role, panel=drawn.letter, turned=turned,
            )  # fmt: skip
            wide, high = (line.box[2] - line.box[0]) * width, (line.box[3] - line.box[1]) * height
            if min(wide, high) >= 2:  # else it lies outside the picture
                yield line


def _tick_texts(axis: Any) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * (high - low)
    # Matplotlib keeps labels of ticks beyond the axis that it does not draw.
    yield from (tick.label1 for tick in axis.get_major_ticks() if low - margin <= tick.get_loc() <= high + margin)
    yield axis.get_offset_text()


def plain_text(text: str) -> str:
    """Matplotlib's mathtext as a reader sees it: $\\mathdefault{10^{-2}}$ -> 10^-2."""
    text = text.replace("−", "-")
    if "\\mathdefault" in text or "\\times" in text:
        text = "".join(
            char for char in text.replace("\\mathdefault", "").replace("\\times", "×") if char not in "${}\\"
        )
    return text.strip()
