"""Heat maps of our own renderer: coloured cells, printed values and a colour bar. In: a pen, a chart and its frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scicap_builder.charts.canvas import Colour
from scicap_builder.charts.chart import Chart, pick
from scicap_builder.charts.facts import cell_text
from scicap_builder.charts.pen import Frame, Pen
from scicap_builder.charts.scale import Scale

COLOUR_MAPS: tuple[tuple[Colour, ...], ...] = (
    ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    ((247, 251, 255), (158, 202, 225), (66, 146, 198), (8, 48, 107)),
    ((255, 255, 255), (150, 150, 150), (20, 20, 20)),
    ((59, 76, 192), (221, 221, 221), (180, 4, 38)),
    ((255, 247, 236), (253, 187, 132), (215, 48, 31), (127, 0, 0)),
)
BAR_STEPS = 24
BAR_ROOM = 5.5
"""Text sizes that the colour bar with its labels takes on the right."""


def draw_cells(pen: Pen, chart: Chart, frame: Frame) -> None:
    """A cell a value; light is low in some maps and high in others."""
    colour_of = _colour_map(pen.rng)
    low, high = chart.y_range
    for row, series in enumerate(chart.series):
        for column, value in enumerate(series.y):
            (x0, y0), (x1, y1) = frame.curve((column - 0.5, column + 0.5), (row - 0.5, row + 0.5))
            colour = colour_of((value - low) / ((high - low) or 1))
            pen.canvas.rectangle(x0, y0, x1, y1, colour)
            if chart.printed:
                ink: Colour = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
                pen.write((x0 + x1) / 2, (y0 + y1) / 2, cell_text(chart, value), role="annotation", size=0.9, ink=ink)
    _draw_colour_bar(pen, chart, frame, colour_of)


def _colour_map(rng: np.random.Generator) -> Callable[[float], Colour]:
    anchors = np.array(pick(rng, COLOUR_MAPS), dtype=float)
    places = np.arange(len(anchors))

    def colour_of(share: float) -> Colour:
        red, green, blue = (int(np.interp(share * places[-1], places, anchors[:, part])) for part in range(3))
        return red, green, blue

    return colour_of


def _draw_colour_bar(pen: Pen, chart: Chart, frame: Frame, colour_of: Callable[[float], Colour]) -> None:
    size = pen.look.size
    left, right = frame.right + size * 0.7, frame.right + size * 1.5
    step = (frame.bottom - frame.top) / BAR_STEPS
    for index in range(BAR_STEPS):
        bottom = frame.bottom - index * step
        pen.canvas.rectangle(left, bottom - step, right, bottom, colour_of(index / (BAR_STEPS - 1)))
    low, high = chart.y_range
    scale = Scale(low=low, high=high if high > low else low + 1)
    for value, text in scale.ticks(4, pen.look.form):
        y = frame.bottom - float(scale.place(value)) * (frame.bottom - frame.top)
        pen.write(right + 4, y, text, role="tick", size=0.9, anchor="lm")
    middle = (frame.top + frame.bottom) / 2
    pen.write(right + size * 3.4, middle, chart.y.label, role="other", turned=True)
