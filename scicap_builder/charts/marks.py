"""What stands inside the axes of our own renderer: lines, bars, boxes, points. In: a pen, a chart and its frame."""

from __future__ import annotations

import numpy as np

from scicap_builder.charts.canvas import Colour
from scicap_builder.charts.cells import draw_cells
from scicap_builder.charts.chart import CURVES, Chart
from scicap_builder.charts.facts import cell_text
from scicap_builder.charts.pen import Frame, Pen

DASHES: tuple[tuple[float, float] | None, ...] = (None, (7, 4), (2, 3), (10, 3), (4, 2))
GUIDE: Colour = (140, 140, 140)


def draw_marks(pen: Pen, chart: Chart, frame: Frame) -> None:
    """Draw the data of `chart`."""
    if chart.kind in CURVES:
        _draw_curves(pen, chart, frame)
    elif chart.kind == "scatter":
        size = float(pen.rng.uniform(3, 7))
        for index, series in enumerate(chart.series):
            for x, y in frame.curve(series.x, series.y):
                pen.canvas.marker(float(x), float(y), pen.marker(index) or "o", size, pen.colour(index))
    elif chart.kind == "histogram":
        _draw_bins(pen, chart, frame)
    elif chart.kind == "heatmap":
        draw_cells(pen, chart, frame)
    else:
        _draw_columns(pen, chart, frame)


def draw_sample(pen: Pen, chart: Chart, index: int, start: tuple[float, float], width: float) -> None:
    """The colour sample of series `index` in a legend, `width` px from `start` (x, y) px on."""
    x, y = start
    colour = pen.colour(index)
    if chart.kind in CURVES:
        _draw_line(pen, index, np.array([(x, y), (x + width, y)]))
        if pen.marker(index):
            pen.canvas.marker(x + width / 2, y, pen.marker(index), 5, colour)
    elif chart.kind == "scatter":
        pen.canvas.marker(x + width / 2, y, pen.marker(index) or "o", 5, colour)
    else:
        pen.canvas.rectangle(x, y - width * 0.22, x + width, y + width * 0.22, colour)


def _draw_line(pen: Pen, index: int, points: np.ndarray) -> None:
    dash = DASHES[index % len(DASHES)] if pen.look.dashes else None
    pen.canvas.polyline(points, pen.colour(index), pen.look.line_width, dash)


def _draw_curves(pen: Pen, chart: Chart, frame: Frame) -> None:
    if chart.kind == "roc":
        pen.canvas.polyline(frame.curve((0, 1), (0, 1)), GUIDE, 1, (4, 4))
    for index, series in enumerate(chart.series):
        points = frame.curve(series.x, series.y)
        if chart.interval == "band":
            upper = frame.curve(series.x, np.add(series.y, series.spread))
            lower = frame.curve(series.x, np.subtract(series.y, series.spread))
            pen.canvas.polygon(np.concatenate([upper, lower[::-1]]), pen.colour(index), alpha=0.25)
        elif chart.interval == "bars":
            for x, y, half in zip(series.x, series.y, series.spread, strict=True):
                _draw_whisker(pen, frame.curve((x, x), (y - half, y + half)), pen.colour(index))
        _draw_line(pen, index, points)
        if pen.marker(index) and len(points) < 40:
            for x, y in points:
                pen.canvas.marker(float(x), float(y), pen.marker(index), 5, pen.colour(index))


def _draw_bins(pen: Pen, chart: Chart, frame: Frame) -> None:
    look = pen.look
    for index, series in enumerate(chart.series):
        for low, high, height in zip(series.x[:-1], series.x[1:], series.y, strict=True):
            pen.canvas.rectangle(
                frame.at_x(low), frame.at_y(height), frame.at_x(high), frame.at_y(0), pen.colour(index),
                alpha=0.6 if index or not look.filled else 1.0, edge=look.ink if look.filled else look.plot,
            )  # fmt: skip


def _draw_whisker(pen: Pen, ends: np.ndarray, colour: Colour, cap: float = 3.0) -> None:
    """A bar between two points (2, 2) px with caps across its ends."""
    pen.canvas.polyline(ends, colour, 1)
    upright = abs(ends[0, 0] - ends[1, 0]) < abs(ends[0, 1] - ends[1, 1])
    across = np.array((cap, 0) if upright else (0, cap))
    for end in ends:
        pen.canvas.polyline(np.stack([end - across, end + across]), colour, 1)


def _path(chart: Chart, frame: Frame, *points: tuple[float, float]) -> np.ndarray:
    """(n, 2) px of points (category, value), upright or lying."""
    turned = [(value, place) if chart.sideways else (place, value) for place, value in points]
    return frame.curve(*zip(*turned, strict=True))


def _draw_columns(pen: Pen, chart: Chart, frame: Frame) -> None:
    """Bars and boxes."""
    groups = 1 if chart.stacked else len(chart.series)
    width = 0.78 / groups
    base = np.zeros(len(chart.categories))
    for index, series in enumerate(chart.series):
        for place, value in enumerate(series.y):
            middle = place if chart.stacked else place + (index - (groups - 1) / 2) * width
            reach = (middle - width * 0.46, middle + width * 0.46)
            if chart.kind == "box":
                _draw_box(pen, chart, frame, box=series.boxes[place], reach=reach, colour=pen.colour(index))
                continue
            start = base[place] if chart.stacked else 0.0
            (x0, y0), (x1, y1) = _path(chart, frame, (reach[0], start), (reach[1], start + value))
            pen.canvas.rectangle(
                x0, y0, x1, y1, pen.colour(index), edge=pen.look.ink if pen.look.frame == "box" else None
            )
            if series.spread:
                half = series.spread[place]
                _draw_whisker(pen, _path(chart, frame, (middle, value - half), (middle, value + half)), pen.look.ink)
            if chart.printed:
                _print_value(pen, chart, frame, value=value, at=(middle, start))
        if chart.stacked:
            base += series.y


def _print_value(pen: Pen, chart: Chart, frame: Frame, *, value: float, at: tuple[float, float]) -> None:
    """A bar's value above it, or in its middle where bars are stacked."""
    middle, start = at
    ((x, y),) = _path(chart, frame, (middle, start + value / 2 if chart.stacked else value))
    anchor = "mm" if chart.stacked else ("lm" if chart.sideways else "mb")
    dx, dy = (0, 0) if chart.stacked else ((3, 0) if chart.sideways else (0, -3))
    pen.write(x + dx, y + dy, cell_text(chart, value), role="annotation", size=0.85, anchor=anchor)


def _draw_box(
    pen: Pen, chart: Chart, frame: Frame, *, box: tuple[float, ...], reach: tuple[float, float], colour: Colour
) -> None:
    low, high = reach
    middle = (low + high) / 2
    lower, first, median, third, upper = box
    look = pen.look
    _draw_whisker(pen, _path(chart, frame, (middle, lower), (middle, first)), look.ink)
    _draw_whisker(pen, _path(chart, frame, (middle, third), (middle, upper)), look.ink)
    (x0, y0), (x1, y1) = _path(chart, frame, (low, first), (high, third))
    pen.canvas.rectangle(x0, y0, x1, y1, colour if look.filled else look.plot, edge=look.ink)
    contrast: Colour = (0, 0, 0) if sum(colour) > 300 else (255, 255, 255)
    pen.canvas.polyline(_path(chart, frame, (low, median), (high, median)), contrast if look.filled else colour, 2)
