"""Figures that are no charts: box-and-arrow diagrams, pictures, empty images. The model is to decline them.

In: a random generator. Out: a drawing and what is said of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scicap_builder.charts.canvas import FONT_FILES, Canvas, Colour
from scicap_builder.charts.chart import pick
from scicap_builder.charts.drawing import Drawing, encode
from scicap_builder.charts.invent import invent_names
from scicap_builder.charts.vocabulary import load_fields, words
from scicap_builder.charts.wording import capital, listed, say

STEPS = words("""Input; Encoder; Decoder; Output; Preprocessing; Feature extraction; Classifier; Attention; Loss; Data; Server;
    Client; Controller; Sensor; Database; Training; Evaluation; Model; User; Planner; Filter; Fusion; Pooling; Embedding; Start;
    End; Sampling; Segmentation; Registration; Queue; Scheduler; Pump; Valve; Reactor; Amplifier; Mixer; Camera; Questionnaire;
    Randomized; Excluded""")
SHAPES = ("diagram", "diagram", "photo", "photo", "blank")


@dataclass(frozen=True, kw_only=True)
class Other:
    """A figure that is no chart."""

    kind: str
    """diagram, photo or blank."""
    drawing: Drawing
    caption: str
    paragraph: str


def make_other(rng: np.random.Generator, vocabulary: str = "known", *, raster: bool = True) -> Other:
    """Draw one, with a caption and the sentence that declines it."""
    kind = pick(rng, SHAPES)
    width, height = int(rng.integers(260, 620)), int(rng.integers(200, 480))
    canvas = Canvas(width, height, font=pick(rng, FONT_FILES), background=(255, 255, 255), raster=raster)
    names: tuple[str, ...] = ()
    if kind == "diagram":
        names = _draw_diagram(canvas, rng)
    subject = pick(rng, pick(rng, load_fields(vocabulary)).subjects)
    picture = canvas.finish()
    if picture is not None and kind == "photo":
        from PIL import Image

        picture = Image.fromarray(_photo(rng, width, height))
    image = encode(picture, rng) if picture is not None else None
    drawing = Drawing(image=image, width=width, height=height, ocr=tuple(canvas.lines), library="own")
    return Other(kind=kind, drawing=drawing, caption=_caption(kind, subject, rng), paragraph=_decline(kind, names, rng))


def _draw_diagram(canvas: Canvas, rng: np.random.Generator) -> tuple[str, ...]:
    """Boxes on a loose grid with arrows from one to the next."""
    width, height = canvas.size
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    count = max(2, int(columns * rows * rng.uniform(0.6, 1)))
    pool = list(STEPS) if rng.random() < 0.7 else list(invent_names(rng, 12))
    names = tuple(pool[int(index)] for index in rng.permutation(len(pool))[:count])
    fill: Colour = pick(rng, ((255, 255, 255), (220, 232, 250), (253, 231, 205), (226, 240, 217), (238, 238, 238)))
    size = float(rng.integers(9, 13))
    places = []
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        x = width * (column + 0.5) / columns + rng.uniform(-6, 6)
        y = height * (row + 0.5) / rows + rng.uniform(-8, 8)
        half = (canvas.measure(name, size)[0] / 2 + 8, size + 5)
        places.append((x, y))
        if index:
            _arrow(canvas, places[index - 1], (x, y), half)
        canvas.rectangle(x - half[0], y - half[1], x + half[0], y + half[1], fill, edge=(60, 60, 60))
        canvas.text(x, y, name, size, (0, 0, 0), role="other")
    return names


def _arrow(canvas: Canvas, start: tuple[float, float], end: tuple[float, float], half: tuple[float, float]) -> None:
    line = np.array([start, end])
    step = (line[1] - line[0]) / (np.hypot(*(line[1] - line[0])) or 1.0)
    share = min(half[0] / max(abs(step[0]), 1e-6), half[1] / max(abs(step[1]), 1e-6))
    tip = line[1] - step * share
    across = np.array([-step[1], step[0]])
    canvas.polyline(np.array([line[0] + step * share, tip]), (60, 60, 60), 1)
    canvas.polygon(np.array([tip, tip - 7 * step + 3.5 * across, tip - 7 * step - 3.5 * across]), (60, 60, 60))


def _photo(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 3) of soft blobs and grain, in colour or grey: as photographs and micrographs look from afar."""
    import cv2

    small = rng.integers(0, 256, (int(rng.integers(3, 14)), int(rng.integers(3, 14)), 3)).astype(np.uint8)
    soft = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    for _ in range(int(rng.integers(0, 25))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        axes = (int(rng.integers(4, 60)), int(rng.integers(4, 60)))
        cv2.ellipse(soft, centre, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(soft, (0, 0), float(rng.uniform(0.8, 5)))
    if rng.random() < 0.4:
        soft = np.repeat(soft.mean(axis=2, keepdims=True), 3, axis=2)
    grain = rng.normal(0, float(rng.uniform(0, 22)), (height, width, 1)).astype(np.float32)
    return np.clip(soft + grain, 0, 255).astype(np.uint8)


def _caption(kind: str, subject: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.25 or kind == "blank":
        return "" if rng.random() < 0.5 else capital(subject)
    if kind == "diagram":
        return say(
            rng, "[Overview|Architecture|Flow chart|Schematic|Block diagram|Pipeline|Structure] of {s}[.|]", s=subject
        )
    return say(rng, "[Photograph|Image|Micrograph|Example|Appearance|Picture] of {s}[.|]", s=subject)


def _decline(kind: str, names: tuple[str, ...], rng: np.random.Generator) -> str:
    if kind == "blank":
        return say(
            rng,
            "[The image is empty|There is nothing to see in this image]: [no chart can be read|I see no chart in it].",
        )
    looks = "a diagram" if kind == "diagram" else "a photograph or another picture"
    shown = ""
    if names and rng.random() < 0.7:
        shown = say(rng, " [It names|The words in it are|Its parts are] {n}.", n=listed(names))
    return say(
        rng, "[This is not a chart that I can read|I cannot read this as a chart|This figure is no chart that I know]:"
        " it looks like {k}."
        " {s} [I do not explain what it shows|What it means I cannot tell|I can only explain charts].", k=looks, s=shown,
    )  # fmt: skip
