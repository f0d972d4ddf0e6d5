"""Our own light renderer: a plate of charts and a random generator for its style in, a drawing out.

Several times as fast as matplotlib, and a second hand beside it: other margins, ticks, legends and fonts.
"""

from __future__ import annotations

import numpy as np

from scicap_builder.charts.canvas import FONT_FILES, Canvas
from scicap_builder.charts.cells import BAR_ROOM
from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.drawing import Drawing, encode
from scicap_builder.charts.marks import draw_marks, draw_sample
from scicap_builder.charts.pen import Frame, Pen, choose_look
from scicap_builder.charts.scale import Scale
from scicap_builder.charts.tracing import data_points

Area = tuple[float, float, float, float]
"""(x0, y0, x1, y1) px."""
Ticks = list[tuple[float, str]]
SMALL = 0.92
"""Text of the legend, relative to the other."""


def draw_plate(plate: Plate, rng: np.random.Generator, *, raster: bool = True) -> Drawing:
    """Draw `plate` in a style chosen by `rng`; without `raster` only its texts are laid out. Raises MissingExtra."""
    look = choose_look(rng)
    count = len(plate.panels)
    rows = -(-count // plate.columns)
    scale = 1.0 if count == 1 else rng.uniform(0.72, 0.9)
    width = int(rng.integers(340, 560) * scale) * plate.columns
    height = int(rng.integers(250, 400) * scale) * rows
    canvas = Canvas(width, height, font=pick(rng, FONT_FILES), background=look.page, raster=raster)
    places = []
    for index, (chart, letter) in enumerate(zip(plate.panels, plate.letters, strict=True)):
        row, column = divmod(index, plate.columns)
        step = (width / plate.columns, height / rows)
        area = (column * step[0], row * step[1], (column + 1) * step[0], (row + 1) * step[1])
        frame = _draw_chart(Pen(canvas, look, rng, letter), chart, area)
        places.append(tuple(frame.curve(*points.T) / (width, height) for points in data_points(chart)))
    picture = canvas.finish()
    image = encode(picture, rng) if picture is not None else None
    ocr = tuple(canvas.lines)
    return Drawing(image=image, width=width, height=height, ocr=ocr, library="own", places=tuple(places))


def scales(chart: Chart, rng: np.random.Generator) -> tuple[Scale, Scale]:
    """(x, y) as drawn: with room around the data, bars and histograms from zero, categories as they come."""
    if chart.kind == "heatmap":
        rows = tuple(series.name for series in chart.series)
        columns = Scale(low=-0.5, high=len(chart.categories) - 0.5, names=chart.categories)
        return columns, Scale(low=len(rows) - 0.5, high=-0.5, names=rows)
    if chart.kind in ("roc", "pr"):
        return Scale(low=0, high=1), Scale(low=0, high=1.02)
    value = _value_scale(chart, rng)
    if chart.categories:
        across = Scale(low=-0.6, high=len(chart.categories) - 0.4, names=chart.categories)
        return (value, across) if chart.sideways else (across, value)
    left, right = chart.x_range
    if chart.log_x:
        return Scale(low=left / 1.2, high=right * 1.2, log=True), value
    room = (right - left) * (0.0 if chart.kind == "histogram" else rng.uniform(0.0, 0.06))
    return Scale(low=left - room, high=right + room), value


def _value_scale(chart: Chart, rng: np.random.Generator) -> Scale:
    low, high = chart.y_range
    if chart.interval:
        half = max(max(series.spread) for series in chart.series)
        low, high = low - half, high + half
    if chart.kind in ("bar", "histogram"):
        return Scale(low=0.0, high=high * rng.uniform(1.05, 1.3) or 1.0)
    if chart.log_y:
        return Scale(low=low / rng.uniform(1.1, 3), high=high * rng.uniform(1.1, 3), log=True)
    room = (high - low or 1.0) * rng.uniform(0.04, 0.2)
    return Scale(low=0.0 if 0 <= low < 0.4 * high and rng.random() < 0.5 else low - room, high=high + room)


def axis_names(chart: Chart) -> tuple[str, str]:
    """What stands at the x-axis and at the y-axis."""
    if chart.kind == "heatmap":
        return chart.x.label, chart.side.label
    return (chart.y.label, chart.x.label) if chart.sideways else (chart.x.label, chart.y.label)


def legend_entries(chart: Chart, rng: np.random.Generator) -> tuple[str, ...]:
    """The names of the series, with their areas where these are printed; a single series is usually named by the caption."""
    if chart.kind == "heatmap":
        return ()
    named = [series for series in chart.series if series.name]
    areas = chart.printed and chart.kind in ("roc", "pr")
    if not named or (len(named) == 1 and not areas and (chart.categories or rng.random() < 0.4)):
        return ()
    if not areas:
        return tuple(series.name for series in named)
    what = "AUC" if chart.kind == "roc" else "AP"
    form = pick(rng, ("{name} ({what} = {area:.2f})", "{name} ({what}={area:.2f})", "{name}, {what} {area:.2f}"))
    return tuple(form.format(name=series.name, what=what, area=series.area or 0) for series in named)


def _draw_chart(pen: Pen, chart: Chart, area: Area) -> Frame:
    look = pen.look
    x_scale, y_scale = scales(chart, pen.rng)
    x_ticks, y_ticks = x_scale.ticks(look.ticks, look.form), y_scale.ticks(look.ticks, look.form)
    entries = legend_entries(chart, pen.rng)
    left, top, right, bottom = _plot_area(pen, chart, area, y_ticks, entries)
    widest = max((pen.width(text) for _, text in x_ticks), default=0.0)
    turned = bool(x_scale.names) and widest * len(x_ticks) > (right - left) * 0.95
    x_name, y_name = axis_names(chart)
    foot = (widest if turned else look.size) + look.size * (0.8 + (1.7 if x_name else 0))
    bottom = max(bottom - foot, top + 40)
    frame = Frame(left=left, top=top, right=right, bottom=bottom, x=x_scale, y=y_scale)
    pen.canvas.rectangle(left, top, right, bottom, look.plot)
    grid = "" if chart.kind == "heatmap" else look.grid
    _draw_x_axis(pen, frame, x_ticks, turned=turned, grid="x" in grid)
    _draw_y_axis(pen, frame, y_ticks, grid="y" in grid)
    draw_marks(pen, chart, frame)
    _draw_frame(pen, frame)
    middle = (left + right) / 2
    if x_name:
        pen.write(middle, bottom + foot - look.size * 0.5, x_name, role="x-axis", size=1.05)
    if y_name:
        pen.write(area[0] + look.size * 1.1, (top + bottom) / 2, y_name, role="y-axis", size=1.05, turned=True)
    _draw_head(pen, chart, area, middle)
    if entries:
        _draw_legend(pen, chart, frame, entries)
    return frame


def _plot_area(pen: Pen, chart: Chart, area: Area, y_ticks: Ticks, entries: tuple[str, ...]) -> Area:
    """The plot's rectangle, before the x-axis takes its room at the foot."""
    size = pen.look.size
    x0, y0, x1, y1 = area
    side = max((pen.width(text) for _, text in y_ticks), default=0.0)
    left = x0 + size * 1.2 + (size * 1.5 if axis_names(chart)[1] else 0) + side
    right = x1 - size * 1.4
    top = y0 + size * 0.9 + (size * 1.8 if chart.title or pen.letter else 0)
    if entries and pen.look.legend == "right":
        right -= max(pen.width(text, SMALL) for text in entries) + size * 2.4
    elif entries and pen.look.legend == "top":
        top += size * 1.7
    if chart.kind == "heatmap":
        right -= size * BAR_ROOM
    return left, top, max(right, left + 40), y1 - size * 0.5


def _draw_x_axis(pen: Pen, frame: Frame, ticks: Ticks, *, turned: bool, grid: bool) -> None:
    reach = pen.look.size * (-0.35 if pen.look.inward else 0.35)
    for value, text in ticks:
        x = frame.at_x(value)
        if grid and not frame.x.names:
            pen.canvas.polyline(np.array([(x, frame.top), (x, frame.bottom)]), pen.look.grid_colour, 1)
        pen.canvas.polyline(np.array([(x, frame.bottom), (x, frame.bottom + reach)]), pen.look.ink, 1)
        pen.write(x, frame.bottom + pen.look.size * 0.6, text, role="x-tick", anchor="mt", turned=turned)


def _draw_y_axis(pen: Pen, frame: Frame, ticks: Ticks, *, grid: bool) -> None:
    reach = pen.look.size * (0.35 if pen.look.inward else -0.35)
    for value, text in ticks:
        y = frame.at_y(value)
        if grid and not frame.y.names:
            pen.canvas.polyline(np.array([(frame.left, y), (frame.right, y)]), pen.look.grid_colour, 1)
        pen.canvas.polyline(np.array([(frame.left, y), (frame.left + reach, y)]), pen.look.ink, 1)
        pen.write(frame.left - pen.look.size * 0.6, y, text, role="y-tick", anchor="rm")


def _draw_frame(pen: Pen, frame: Frame) -> None:
    corners = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)]
    if pen.look.frame == "box":
        corners += [(frame.right, frame.top), (frame.left, frame.top)]
    if pen.look.frame != "none":
        pen.canvas.polyline(np.array(corners), pen.look.ink, 1)


def _draw_head(pen: Pen, chart: Chart, area: Area, middle: float) -> None:
    """The title and the letter of the panel."""
    y = area[1] + pen.look.size * 1.25
    start = area[0] + pen.look.size * 0.5
    if pen.letter:
        shown = pick(pen.rng, (f"({pen.letter})", f"({pen.letter})", pen.letter, f"{pen.letter})"))
        pen.write(start, y, shown, role="panel", size=1.2, anchor="lm")
        start += pen.width(shown, 1.2) + pen.look.size
    if chart.title:
        middle = max(middle, start + pen.width(chart.title, 1.15) / 2)
        pen.write(middle, y, chart.title, role="title", size=1.15)


def _draw_legend(pen: Pen, chart: Chart, frame: Frame, entries: tuple[str, ...]) -> None:
    look = pen.look
    size = look.size * SMALL
    step, sample = size * 1.5, size * 1.6
    widths = [pen.width(text, SMALL) for text in entries]
    if look.legend == "top":
        x, y = frame.left, frame.top - size * 0.9
        for index, (text, width) in enumerate(zip(entries, widths, strict=True)):
            draw_sample(pen, chart, index, (x, y), sample)
            pen.write(x + sample + 4, y, text, role="legend", size=SMALL, anchor="lm")
            x += sample + width + size * 1.4
        return
    wide, high = sample + max(widths) + 10, step * len(entries) + 4
    inside = look.legend == "inside"
    x, y = _free_corner(chart, frame, wide, high) if inside else (frame.right + 6, frame.top + 4)
    if inside:
        pen.canvas.rectangle(x, y, x + wide, y + high, look.plot, alpha=0.85, edge=look.grid_colour)
    for index, text in enumerate(entries):
        middle = y + 2 + step * (index + 0.5)
        draw_sample(pen, chart, index, (x + 3, middle), sample)
        pen.write(x + sample + 7, middle, text, role="legend", size=SMALL, anchor="lm")


def _free_corner(chart: Chart, frame: Frame, wide: float, high: float) -> tuple[float, float]:
    """The corner (left top of a box of that size) with the fewest data points in it."""
    points = frame.points(chart)
    rows, columns = (frame.top + 5, frame.bottom - high - 5), (frame.right - wide - 5, frame.left + 5)

    def crowd(corner: tuple[float, float]) -> int:
        x, y = corner
        inside = (points[:, 0] > x) & (points[:, 0] < x + wide) & (points[:, 1] > y) & (points[:, 1] < y + high)
        return int(inside.sum())

    return min(((x, y) for y in rows for x in columns), key=crowd)
