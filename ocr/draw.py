"""The overlay: an image and its lines in, the image with coloured boxes and their legend out."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

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
UNSURE = 0.9
"""Lines below this confidence are drawn dashed, with the confidence beside them."""
MOST_PX = 24_000_000
"""Larger images are drawn on smaller, so that the overlay of a poster stays a file that can be opened."""


def draw_overlay(image: Image.Image, lines: Sequence[OcrLine], *, legend: bool = False) -> Image.Image:
    """A copy of `image` with a box around each line, coloured by role; dashed where the reading is unsure.

    With `legend` a strip below the image names the roles, turned lines have a bar at the side where they begin, and unsure
    ones their confidence beside them.
    """
    canvas = image.convert("RGB")
    if canvas.width * canvas.height > MOST_PX:
        share = (MOST_PX / (canvas.width * canvas.height)) ** 0.5
        canvas = canvas.resize((round(canvas.width * share), round(canvas.height * share)))
    draw = ImageDraw.Draw(canvas)
    stroke = max(1, round(max(canvas.size) / 500))
    font = ImageFont.load_default(max(10, 5 * stroke))
    for line in lines:
        x0, y0, x1, y1 = line.box
        corners = (x0 * canvas.width, y0 * canvas.height, x1 * canvas.width, y1 * canvas.height)
        colour = COLOURS[line.role]
        if not legend or line.confidence >= UNSURE:
            draw.rectangle(corners, outline=colour, width=stroke)
        else:
            _dashed(draw, corners, colour, stroke)
            draw.text((corners[2] + stroke, corners[1]), f"{line.confidence:.2f}", fill=colour, font=font)
        if legend and line.orientation:
            draw.line(_beginning(corners, line.orientation), fill=colour, width=3 * stroke)
    return _with_legend(canvas, lines, font) if legend else canvas


def _beginning(corners: tuple[float, float, float, float], orientation: int) -> tuple[float, float, float, float]:
    """The side of the box at which a turned line begins."""
    x0, y0, x1, y1 = corners
    return {90: (x0, y1, x1, y1), 180: (x1, y0, x1, y1), 270: (x0, y0, x1, y0)}[orientation]


def _dashed(draw: ImageDraw.ImageDraw, corners: tuple[float, float, float, float], colour: str, stroke: int) -> None:
    x0, y0, x1, y1 = corners
    step = 4 * stroke
    for start in range(int(x0), int(x1), 2 * step):
        for y in (y0, y1):
            draw.line((start, y, min(start + step, x1), y), fill=colour, width=stroke)
    for start in range(int(y0), int(y1), 2 * step):
        for x in (x0, x1):
            draw.line((x, start, x, min(start + step, y1)), fill=colour, width=stroke)


def _with_legend(
    canvas: Image.Image, lines: Sequence[OcrLine], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Image.Image:
    """The roles that occur, with their count, in as many rows as they need under the image."""
    counts = {role: sum(line.role == role for line in lines) for role in COLOURS}
    entries = [(role, f"{role} {count}") for role, count in counts.items() if count] or [("other", "no text")]
    high = round(font.getbbox("Xg")[3] * 1.5)
    places: list[tuple[int, int]] = []
    x, y = high // 2, high // 4
    for _, text in entries:
        wide = round(font.getlength(text)) + 2 * high
        if x > high and x + wide > canvas.width:
            x, y = high // 2, y + high
        places.append((x, y))
        x += wide
    sheet = Image.new("RGB", (canvas.width, canvas.height + y + high + high // 4), "white")
    sheet.paste(canvas, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for (role, text), (left, top) in zip(entries, places, strict=True):
        low = canvas.height + top
        draw.rectangle((left, low + high // 5, left + high // 2, low + high * 7 // 10), fill=COLOURS[role])
        draw.text((left + round(0.7 * high), low), text, fill="black", font=font)
    return sheet
