"""What kind of picture a figure is: the pixels, the caption's words and the text inside in, one of `KINDS` out.

A multinomial logistic regression over some ninety measurements; `kinds.json` holds its weights, which
`python -m benchmarks.bench_kinds --write` makes from labelled figures (`docs/kinds.md`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from llava_graph.record import OcrLine
from scicap_builder.kind_words import measure_caption, measure_lines

KINDS = {
    "chart": "data drawn on axes: lines, bars, points, pies, heat maps, spectra, survival curves",
    "diagram": "drawn and not data: flow charts, architectures, mechanisms, chemical structures, trees, renderings",
    "photo": "what a camera saw: scenes, things, plates, patients, gels and blots",
    "micrograph": "what a microscope saw: stained tissue (pathology), cells, electron and fluorescence microscopy",
    "radiograph": "what passed through a body: X-ray, CT, MRI, ultrasound",
    "text": "words in rows: tables, code, alignments, screenshots of programs",
}
"""Every kind with what belongs to it. A compound figure has the kind that fills most of it."""

WEIGHTS = Path(__file__).with_name("kinds.json")
SIDE = 400
"""px; pictures are shrunk to this before they are measured, so that a kind does not depend on the resolution."""
TILE = 16
"""px of the shrunk picture; a tile is the unit that is photograph-like or not."""
SLOPES = (0, 5, 20, 40, 50, 70, 85, 90)
"""Degrees between an edge and upright."""
SHORTEST_LINE = 0.1
"""Share of the side; shorter strokes may be letters."""
MANY_LINES = 400
"""Lines that corners are sought among; a black surface has as many as it has rows."""


@dataclass(frozen=True, slots=True)
class KindGuess:
    """A kind and how sure the model is of it."""

    kind: str
    confidence: float
    """0..1: the model's probability; calibrated no better than `docs/kinds.md` says."""
    shares: tuple[tuple[str, float], ...]
    """The probability of every kind, the likeliest first."""


def kind_of(image: Image.Image, caption: str = "", lines: Sequence[OcrLine] = ()) -> str:
    """The kind of a figure, one of `KINDS`. `caption` and `lines` (the text inside) help and may be missing."""
    return guess_kind(image, caption, lines).kind


def guess_kind(image: Image.Image, caption: str = "", lines: Sequence[OcrLine] = ()) -> KindGuess:
    """The kind with its probability."""
    names, kinds, weights = _model()
    values = measure(image, caption, lines)
    scores = weights @ np.array([*(values[name] for name in names), 1.0])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    ranked = sorted(zip(kinds, map(float, shares), strict=True), key=lambda pair: -pair[1])
    return KindGuess(*ranked[0], tuple(ranked))


@cache
def _model() -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """(names of the measurements, kinds, weights (kinds, measurements + 1))."""
    data = json.loads(WEIGHTS.read_text())
    return tuple(data["measurements"]), tuple(data["kinds"]), np.array(data["weights"])


def measure(image: Image.Image, caption: str = "", lines: Sequence[OcrLine] = ()) -> dict[str, float]:
    """Everything the model looks at, by name; about 0..1 each."""
    pixels = shrunk(image)
    return measure_pixels(pixels) | measure_caption(caption) | measure_lines(lines)


def shrunk(image: Image.Image) -> np.ndarray:
    """RGB values (height, width, 3) in 0..255, at most `SIDE` px long, transparency over white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB")
    factor = -(-max(image.size) // SIDE)
    if factor > 1:
        image = image.reduce(factor)
    # A strip narrower than a tile still fills one.
    width, height = max(image.width, TILE), max(image.height, TILE)
    if (width, height) != image.size:
        image = image.resize((width, height))
    return np.asarray(image, np.int16)


def measure_pixels(pixels: np.ndarray) -> dict[str, float]:
    """Measurements of an RGB picture (height, width, 3)."""
    luma = (pixels[..., 0] * 77 + pixels[..., 1].astype(np.int32) * 150 + pixels[..., 2] * 29) >> 8
    luma = luma.astype(np.int16)
    high, low = pixels.max(2), pixels.min(2)
    colour = (high - low).astype(np.float32) / np.maximum(high, 24)
    across = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    down = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    steps = np.maximum(across, down)
    flat, soft = steps <= 2, (steps > 2) & (steps <= 28)
    values = {
        "wide": float(np.clip(np.log2(pixels.shape[1] / pixels.shape[0]) / 2, -1, 1)),
        "white": float(np.mean(low >= 243)),
        "black": float(np.mean(high < 32)),
        "flat": float(flat.mean()),
        "soft steps": float(soft.mean()),
        "hard steps": float(np.mean(steps > 64)),
        "grey balance": float(np.mean(colour < 0.08)),
    }
    light, still, rough = _tiled(luma), _tiled(flat), _tiled(soft)
    photo = (still < 0.6) & (rough > 0.3) & (light < 250)
    drawn = _without(luma < 190, photo)
    values |= _slopes(across[steps > 24], down[steps > 24]) | _palette(pixels, luma, colour) | _strokes(drawn)
    values |= _photographed(pixels, luma, colour, photo, light)
    inked = (still < 0.95) & ~photo
    content = max(1, int(photo.sum() + inked.sum()))
    both = float(photo.sum() * inked.sum() / content**2)
    return values | {
        "blank tiles": float(np.mean((still > 0.98) & (light > 235))),
        "photo roughness": float(rough[photo].mean()) if photo.any() else 0.0,
        "photo of content": float(photo.sum() / content),
        "photo and drawing": 4 * both,
    }


def _slopes(across: np.ndarray, down: np.ndarray) -> dict[str, float]:
    """How edges lie: charts have level and upright ones, chemical bonds stand at 30 degrees, letters have all."""
    angles = np.degrees(np.arctan2(down, across))
    counts = np.histogram(angles, bins=SLOPES)[0] / max(1, angles.size)
    return {f"edges to {limit}°": float(count) for limit, count in zip(SLOPES[1:], counts, strict=True)}


def _without(ink: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """`ink` with the marked tiles wiped, so that only what is drawn is left."""
    marked = np.zeros_like(ink)
    spread = tiles.repeat(TILE, 0).repeat(TILE, 1)
    marked[: spread.shape[0], : spread.shape[1]] = spread
    return ink & ~marked


def _palette(pixels: np.ndarray, luma: np.ndarray, colour: np.ndarray) -> dict[str, float]:
    """How many colours there are, and which."""
    bins = ((pixels[..., 0] >> 4) << 8 | (pixels[..., 1] >> 4) << 4 | pixels[..., 2] >> 4).ravel()
    shares = np.sort(np.bincount(bins, minlength=4096) / bins.size)[::-1]
    greys = np.bincount((luma >> 3).ravel(), minlength=32) / luma.size
    vivid = colour > 0.3
    r, g, b = (pixels[..., channel][vivid] for channel in range(3))
    count = max(1, luma.size)
    return {
        "first colour": float(shares[0]),
        "second colour": float(shares[1]),
        "colours for 90 %": float(np.log2(1 + np.searchsorted(np.cumsum(shares), 0.9)) / 12),
        "grey entropy": float(-np.sum(greys * np.log2(greys + 1e-9)) / 5),
        "vivid": float(vivid.mean()),
        "vivid hues": float(np.mean([np.mean(x) if x.size else 0 for x in (r > g, g > b, b > r)])),
        "pink": float(np.sum((r > g + 20) & (b > g + 20)) / count),
        "green": float(np.sum((g > r + 20) & (g > b + 20)) / count),
        "brown": float(np.sum((r > g) & (g > b + 10)) / count),
        "blue": float(np.sum((b > r + 20) & (b > g + 10)) / count),
    }


def _tiled(values: np.ndarray) -> np.ndarray:
    """Means over tiles (rows, columns); what does not fill a tile at the right and bottom is left out."""
    rows, columns = values.shape[0] // TILE, values.shape[1] // TILE
    cut = values[: rows * TILE, : columns * TILE].astype(np.float32)
    return cut.reshape(rows, TILE, columns, TILE).mean((1, 3))


def _photographed(
    pixels: np.ndarray, luma: np.ndarray, colour: np.ndarray, photo: np.ndarray, light: np.ndarray
) -> dict[str, float]:
    """How much of the picture is photograph-like (the tiles `photo`), and what that part looks like."""
    dark = light < 50
    share = float(photo.mean())
    seen = photo | dark
    spread = np.sqrt(np.maximum(_tiled(luma.astype(np.float32) ** 2) - light**2, 0))
    none = np.zeros(1, np.float32)
    red, green, blue, tint = (
        _tiled(plane)[seen] if seen.any() else none for plane in (*np.moveaxis(pixels, 2, 0), colour)
    )
    amount = float(seen.mean())
    return {
        "photo": share,
        "photo or dark": amount,
        "dark": float(dark.mean()),
        "photo columns": float(np.mean(photo.mean(0) > 0.8)),
        "photo rows": float(np.mean(photo.mean(1) > 0.8)),
        "photo light": float(light[photo].mean() / 255) if share else 0.0,
        "photo contrast": float(light[photo].std() / 80) if share else 0.0,
        "photo grain": float(spread[photo].mean() / 40) if share else 0.0,
        "photo colour": float(tint.mean()),
        "photo grey": float(np.mean(tint < 0.06)) * amount,
        "photo pink": float(np.mean((red > green + 12) & (blue > green + 4))) * amount,
        "photo brown": float(np.mean((red > green + 8) & (green > blue + 8))) * amount,
        "photo green": float(np.mean((green > red + 6) & (green > blue + 6))) * amount,
        "photo blue": float(np.mean((blue > red + 10) & (blue > green + 6))) * amount,
    }


def _strokes(ink: np.ndarray) -> dict[str, float]:
    """Straight lines (axes, frames, grids) and rows of letters in a picture of ink."""
    level, upright = _runs(ink), _runs(ink.T)
    values: dict[str, float] = {}
    for name, runs in (("level", level), ("upright", upright)):
        values |= {
            f"{name} longest": float(runs[:, 3].max(initial=0)),
            f"{name} long lines": _few(_apart(runs[runs[:, 3] > 0.3, 0]), 16),
            f"{name} lines": _few(_apart(runs[:, 0]), 32),
        }
    corner = _corners(level, upright)
    changes = np.mean(ink[:, 1:] != ink[:, :-1], axis=1)
    bands = np.sum(np.diff((changes > 0.08).astype(np.int8), prepend=0) == 1)
    return values | {
        "corners": _few(len(corner), 16),
        "largest corner": float(corner.max(initial=0)),
        "ink": float(ink.mean()),
        "changes": float(min(1.0, changes.mean() * 4)),
        "busy rows": float(np.mean(changes > 0.08)),
        "bands of text": _few(int(bands), 32),
        "uneven rows": float(min(1.0, changes.std() * 10)),
    }


def _few(count: int, many: int) -> float:
    """A count on a scale where the first ones matter most; `many` gives 1."""
    return float(np.log1p(count) / np.log1p(many))


def _runs(ink: np.ndarray) -> np.ndarray:
    """Rows of ink of at least `SHORTEST_LINE` of the side: (row, start px, end px, share of the side)."""
    padded = np.pad(ink, ((0, 0), (1, 1))).astype(np.int8).ravel()
    edges = np.diff(padded)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    width = ink.shape[1] + 2
    long = ends - starts >= SHORTEST_LINE * ink.shape[1]
    starts, ends = starts[long], ends[long]
    return np.stack((starts // width, starts % width, ends % width, (ends - starts) / ink.shape[1]), axis=1)


def _apart(rows: np.ndarray) -> int:
    """How many different lines: neighbouring rows are one thick line."""
    return int(np.sum(np.diff(np.unique(rows), prepend=-9) > 2))


def _corners(level: np.ndarray, upright: np.ndarray) -> np.ndarray:
    """The sizes (share of the picture) of the corners of two axes: a level line that begins where an upright one ends."""
    level, upright = level[:MANY_LINES], upright[:MANY_LINES]
    across = np.abs(level[:, None, 1] - upright[None, :, 0]) <= 4
    down = np.abs(level[:, None, 0] - upright[None, :, 2]) <= 4
    return (level[:, None, 3] * upright[None, :, 3])[across & down]
