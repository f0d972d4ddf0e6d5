"""Kinds of figures: any picture has one, what is drawn plainly is told, and the labels of the benchmark are whole."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from llava_graph.record import OcrLine
from scicap_builder.charts import make_figure
from scicap_builder.kinds import KINDS, WEIGHTS, guess_kind, kind_of, measure

LABELS = Path(__file__).resolve().parent.parent / "benchmarks" / "kinds_labels.json"


def texture(mean: float, seed: int = 0, size: tuple[int, int] = (420, 560)) -> Image.Image:
    """A grey picture with grain and soft shapes, as a microscope gives it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (size[0] // 14, size[1] // 14), np.uint8)).resize(
        size[::-1], Image.Resampling.BICUBIC
    )
    pixels = mean + 0.4 * (np.asarray(coarse, np.float32) - 128) + rng.normal(0, 9, size)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def flow_chart() -> tuple[Image.Image, tuple[OcrLine, ...]]:
    """Three boxes with a sentence each and arrows between them, and the sentences."""
    image = Image.new("RGB", (600, 500), "white")
    draw = ImageDraw.Draw(image)
    lines = []
    for row, words in enumerate(("Assessed for eligibility", "Randomised into two groups", "Included in the analysis")):
        top = 40 + 160 * row
        draw.rectangle((150, top, 450, top + 80), outline="black", width=2)
        draw.text((190, top + 30), words, fill="black", font_size=18)
        lines.append(OcrLine(text=words, box=(0.31, (top + 30) / 500, 0.7, (top + 50) / 500)))
        if row:
            draw.line((300, top - 80, 300, top), fill="black", width=2)
            draw.polygon(((294, top - 10), (306, top - 10), (300, top)), fill="black")
    return image, tuple(lines)


def test_drawn_charts_are_charts_with_and_without_words():
    figures = [figure for index in range(26) if (figure := make_figure(7, index)).kind == "chart"][:24]
    images = [Image.open(io.BytesIO(figure.image)) for figure in figures]
    told = [kind_of(image, figure.caption, figure.ocr) for image, figure in zip(images, figures, strict=True)]
    alone = [kind_of(image) for image in images]
    assert told.count("chart") >= 22
    assert alone.count("chart") >= 20


def test_a_flow_chart_is_a_diagram():
    image, lines = flow_chart()
    assert kind_of(image, "Flow diagram of the study.", lines) == "diagram"


@pytest.mark.parametrize("seed", range(3))
def test_the_caption_counts_for_a_grey_texture(seed):
    image = texture(120, seed)
    alone, told = (
        dict(guess_kind(image, caption).shares)
        for caption in ("", "SEM micrographs of the pristine electrode surface.")
    )
    assert kind_of(image) in ("micrograph", "photo", "radiograph")
    assert told["micrograph"] > alone["micrograph"]


def test_numbers_on_a_scale_speak_for_a_chart():
    image, lines = flow_chart()
    numbers = tuple(OcrLine(text=str(n), box=(0.1, 0.1 + 0.1 * n, 0.15, 0.13 + 0.1 * n)) for n in range(6))
    ticks = tuple(replace(line, role="y-tick") for line in numbers)
    loose, scaled = (dict(guess_kind(image, "", (*lines, *more)).shares)["chart"] for more in (numbers, ticks))
    assert scaled > loose


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_every_mode_has_a_kind(mode):
    image = texture(120).convert("L")
    image = Image.fromarray(np.asarray(image, np.uint16) * 256) if mode == "I;16" else image.convert(mode)
    assert kind_of(image) in KINDS


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (1200, 2), (15, 15), (4001, 3001)])
def test_every_size_has_a_kind(size):
    values = measure(Image.new("RGB", size, "white"))
    assert all(np.isfinite(value) for value in values.values())
    assert kind_of(Image.new("RGB", size)) in KINDS


def test_the_kind_hardly_depends_on_the_resolution():
    image, lines = flow_chart()
    large = image.resize((1800, 1500), Image.Resampling.LANCZOS)
    assert kind_of(large, "Study flow.", lines) == kind_of(image, "Study flow.", lines) == "diagram"


def test_transparent_paper_is_white():
    image, _ = flow_chart()
    clear = image.convert("RGBA")
    clear.putalpha(image.convert("L").point(lambda level: 0 if level > 250 else 255))
    assert measure(clear)["white"] == pytest.approx(measure(image)["white"], abs=0.01)


def test_a_guess_ranks_all_kinds():
    guess = guess_kind(*flow_chart()[:1])
    assert {kind for kind, _ in guess.shares} == set(KINDS)
    assert sum(share for _, share in guess.shares) == pytest.approx(1)
    assert guess.shares[0] == (guess.kind, guess.confidence)
    assert [share for _, share in guess.shares] == sorted((share for _, share in guess.shares), reverse=True)


def test_the_weights_fit_the_measurements():
    data = json.loads(WEIGHTS.read_text())
    assert set(data["measurements"]) == set(measure(Image.new("RGB", (40, 40))))
    assert tuple(data["kinds"]) == tuple(KINDS)
    assert np.array(data["weights"]).shape == (len(KINDS), len(data["measurements"]) + 1)


def test_the_labels_name_known_kinds_and_where_each_paper_is():
    labels = json.loads(LABELS.read_text())
    assert set(labels["figures"]) == set(labels["papers"])
    kinds = [kind for figures in labels["figures"].values() for kinds in figures.values() for kind in kinds.split("+")]
    assert set(kinds) <= set(KINDS)
    assert len(kinds) >= 400


def test_no_torch_is_loaded():
    code = "import sys, scicap_builder.kinds as k; from PIL import Image; k.kind_of(Image.new('L', (50, 50))); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
