"""The style of our own renderer, the pen that writes in it, and the frame of one pair of axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scicap_builder.charts.canvas import Canvas, Colour
from scicap_builder.charts.chart import Chart, pick
from scicap_builder.charts.drawing import PALETTES
from scicap_builder.charts.scale import Scale

BACKGROUNDS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((255, 255, 255), (255, 255, 255), (215, 215, 215)),
    ((255, 255, 255), (255, 255, 255), (215, 215, 215)),
    ((255, 255, 255), (234, 234, 242), (255, 255, 255)),
    ((255, 255, 255), (240, 240, 240), (205, 205, 205)),
    ((250, 248, 240), (250, 248, 240), (220, 215, 200)),
)
"""Page, plot and grid."""
DARK: tuple[Colour, Colour, Colour] = ((32, 34, 40), (32, 34, 40), (75, 78, 86))
DARK_SHARE = 0.04


@dataclass(frozen=True, kw_only=True)
class Look:
    """A style, the same for all panels of a figure."""

    palette: tuple[Colour, ...]
    page: Colour
    plot: Colour
    grid_colour: Colour
    ink: Colour
    size: float
    """px of the text"""
    grid: str
    """"", "y" or "xy"."""
    frame: str
    """box, corner or none."""
    inward: bool
    ticks: int
    form: str
    """How large numbers are written; see Scale.ticks."""
    markers: str
    """One per series; " " for none."""
    dashes: bool
    line_width: float
    legend: str
    """inside, right or top."""
    filled: bool
    """Histograms and boxes with colour inside."""


def choose_look(rng: np.random.Generator) -> Look:
    """A style drawn from `rng`."""
    dark = rng.random() < DARK_SHARE
    page, plot, grid = DARK if dark else pick(rng, BACKGROUNDS)
    palette = tuple(_rgb(colour) for colour in pick(rng, PALETTES))
    if dark:
        palette = tuple((max(r, 90), max(g, 90), max(b, 90)) for r, g, b in palette)
    return Look(
        palette=palette,
        page=page,
        plot=plot,
        grid_colour=grid,
        ink=(225, 225, 225) if dark else pick(rng, ((0, 0, 0), (0, 0, 0), (40, 40, 40), (80, 80, 80))),
        size=float(rng.integers(18, 28)) / 2,
        grid=pick(rng, ("", "", "y", "xy", "xy")) if plot == page else "xy",
        frame=pick(rng, ("box", "box", "corner", "corner", "none")),
        inward=bool(rng.random() < 0.3),
        ticks=int(rng.integers(3, 8)),
        form=pick(rng, ("plain", "plain", "comma", "short")),
        markers=pick(rng, ("     ", "     ", "os^Dx", "ooooo", "x+o^s", "o    ")),
        dashes=bool(rng.random() < 0.35),
        line_width=float(pick(rng, (1, 1, 2, 2, 3))),
        legend=pick(rng, ("inside", "inside", "right", "top")),
        filled=bool(rng.random() < 0.7),
    )


def _rgb(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@dataclass(frozen=True, slots=True)
class Pen:
    """What one chart is drawn with."""

    canvas: Canvas
    look: Look
    rng: np.random.Generator
    letter: str
    """Of the panel; empty in a single figure."""

    def colour(self, index: int) -> Colour:
        """Of series `index`."""
        return self.look.palette[index % len(self.look.palette)]

    def marker(self, index: int) -> str:
        """Of series `index`; empty for none."""
        return self.look.markers[index % len(self.look.markers)].strip()

    def width(self, text: str, size: float = 1.0) -> float:
        """px of `text`, `size` times as large as the look's."""
        return self.canvas.measure(text, self.look.size * size)[0]

    def write(
        self, x: float, y: float, text: str, *, role: str, size: float = 1.0, anchor: str = "mm", turned: bool = False,
        ink: Colour | None = None,
    ) -> None:  # fmt: skip
        """Write `text` at (x, y) px, `size` times as large as the look's; see Canvas.text."""
        colour = self.look.ink if ink is None else ink
        pixels = self.look.size * size
        self.canvas.text(x, y, text, pixels, colour, role=role, panel=self.letter, anchor=anchor, turned=turned)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The plot's rectangle in px and the scales of its axes."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale

    def at_x(self, value: float) -> float:
        """px of a value of the x-axis."""
        return self.left + float(self.x.place(value)) * (self.right - self.left)

    def at_y(self, value: float) -> float:
        """px of a value of the y-axis."""
        return self.bottom - float(self.y.place(value)) * (self.bottom - self.top)

    def curve(self, x: object, y: object) -> np.ndarray:
        """(n, 2) px of values of both axes."""
        across = self.left + self.x.place(x) * (self.right - self.left)
        down = self.bottom - self.y.place(y) * (self.bottom - self.top)
        return np.stack([across, down], axis=1)

    def points(self, chart: Chart) -> np.ndarray:
        """(n, 2) px of what a legend should leave free: the data and, below, what fills bars."""
        if chart.sideways or chart.kind == "heatmap":
            return np.zeros((0, 2))
        fill = (1.0, 0.7, 0.4) if chart.kind in ("bar", "histogram") else (1.0,)
        curves = [
            self.curve(np.repeat(series.x[: len(series.y)], len(fill)), np.outer(series.y, fill).ravel())
            for series in chart.series
        ]
        return np.concatenate(curves)
