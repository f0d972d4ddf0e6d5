"""The overlay: an image and its lines in, the image with coloured boxes out."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from llava_graph.record import OcrLine

COLOURS = {
    "title": "#0072B2",
    "x-axis": "#009E73",
    "y-axis": "#D55E00",
    "x-tick": "#7FCDB5",
    "y-tick": "#E8A77C",
    "tick": "#999999",
    "legend": "#CC79A7",
    "panel": "#000000",
    "annotation": "#56B4E9",
    "other": "#E69F00",
}
"""Okabe and Ito's palette, which colour-blind readers can tell apart; ticks in a paler shade of their axis."""


def draw_overlay(image: Image.Image, lines: Sequence[OcrLine]) -> Image.Image:
    """A copy of `image` with a box around each line, coloured by role."""
    canvas = image.convert("RGB")
    draw = ImageDraw.Draw(canvas)
    stroke = max(1, round(max(canvas.size) / 500))
    for line in lines:
        x0, y0, x1, y1 = line.box
        corners = (x0 * canvas.width, y0 * canvas.height, x1 * canvas.width, y1 * canvas.height)
        draw.rectangle(corners, outline=COLOURS[line.role], width=stroke)
    return canvas
