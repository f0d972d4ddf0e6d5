"""Videos of slides over which a cursor moves while something is said, with the truth: which region it showed during which words.

A slide is a made-up tissue (or a real picture that is given). The cursor goes through a region on a smooth path, as a hand does,
and on to the next while nothing is said. The file is encoded, so that the frames have the noise of a real one.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scicap_builder.narratives.own_time import overlap

Box = tuple[float, float, float, float]
SIZE = (480, 320)
FPS = 10.0
WORDS_S = 2.5
"""Words said in a second."""
WAY_S = 0.8
"""s from one region to the next; nothing is said meanwhile."""
SPEECH = (
    "here this gland is lined by tall columnar cells with basal nuclei and some goblet cells while the stroma below shows a "
    "dense infiltrate of lymphocytes around small vessels next to normal crypts whose lumen holds mucin and debris"
)
WORDS = SPEECH.split()


@dataclass(frozen=True)
class Visit:
    """The cursor goes through `box` (0..1, origin top left) while the `texts` are said, one after the other."""

    box: Box
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """One utterance from `start` to `end` (s), and the region that the cursor showed meanwhile."""

    text: str
    start: float
    end: float
    box: Box


@dataclass(frozen=True)
class Slide:
    """One background and what is shown on it."""

    seed: int
    visits: tuple[Visit, ...]


def random_slides(seed: int, count: int, visits: tuple[int, int] = (1, 4)) -> list[Slide]:
    """Slides with some visits each, to regions that hardly overlap."""
    rng = random.Random(seed)
    slides = []
    for number in range(count):
        boxes: list[Box] = []
        for _ in range(rng.randint(*visits)):
            for _ in range(50):
                wide, high = rng.uniform(0.2, 0.42), rng.uniform(0.2, 0.42)
                left, top = rng.uniform(0.03, 0.95 - wide), rng.uniform(0.03, 0.92 - high)
                box = (left, top, left + wide, top + high)
                if all(overlap(box, other) < 0.05 for other in boxes):
                    boxes.append(box)
                    break
        slides.append(Slide(seed * 1000 + number, tuple(Visit(box, _sentences(rng)) for box in boxes)))
    return slides


def _sentences(rng: random.Random) -> tuple[str, ...]:
    """One to three utterances as speech recognition parts them."""
    return tuple(" ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 12))) for _ in range(rng.randint(1, 3)))


def render(
    path: Path,
    slides: Sequence[Slide],
    *,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
    fourcc: str = "mp4v",
    noise: float = 2.0,
    seed: int = 0,
) -> list[list[Said]]:
    """Write the video and, beside it, its transcript (NAME.json). Returns what is said on every slide, with the truth."""
    import cv2

    rng = np.random.default_rng(seed)
    grains = [rng.normal(0, noise, (size[1], size[0], 1)).astype(np.float32).repeat(3, axis=2) for _ in range(5)]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, size)
    if not writer.isOpened():
        raise OSError(f"this OpenCV encodes no {fourcc}")
    number, truth = 0, []
    for slide in slides:
        background = tissue(size, slide.seed)
        said, points = walked(slide, number / fps, fps)
        truth.append(said)
        for point in points:
            frame = cv2.add(background, grains[number % len(grains)], dtype=cv2.CV_8U)
            draw_cursor(frame, point)
            writer.write(frame)
            number += 1
    writer.release()
    rows = [{"utterance": one.text, "start_time": one.start, "end_time": one.end} for each in truth for one in each]
    path.with_suffix(".json").write_text(json.dumps(rows))
    return truth


def walked(slide: Slide, start: float, fps: float) -> tuple[list[Said], list[tuple[float, float]]]:
    """What is said on the slide, from `start` (s) on, and where the cursor's tip is in every frame."""
    said: list[Said] = []
    points: list[tuple[float, float]] = []
    for visit in slide.visits:
        target = _path(visit.box, 0.0)
        begin = points[-1] if points else target
        steps = round(WAY_S * fps)
        for step in range(steps if points else 2):
            share = (1 - math.cos(math.pi * (step + 1) / steps)) / 2
            points.append((begin[0] + (target[0] - begin[0]) * share, begin[1] + (target[1] - begin[1]) * share))
        shown = 0
        for text in visit.texts:
            begun = start + len(points) / fps
            frames = round(len(text.split()) / WORDS_S * fps)
            points += [_path(visit.box, (shown + step) / fps) for step in range(frames)]
            shown += frames
            said.append(Said(text, round(begun, 3), round(start + len(points) / fps, 3), visit.box))
    return said, points


def _path(box: Box, seconds: float) -> tuple[float, float]:
    """A loop that fills the box, about one turn in 3 s."""
    across = 0.5 + 0.5 * math.sin(2 * math.pi * seconds / 3.1)
    down = 0.5 + 0.5 * math.cos(2 * math.pi * seconds / 2.3)
    return box[0] + across * (box[2] - box[0]), box[1] + down * (box[3] - box[1])


def tissue(size: tuple[int, int], seed: int) -> np.ndarray:
    """(height, width, 3) uint8 BGR: pink ground with violet spots, in several sizes."""
    import cv2

    rng = np.random.default_rng(seed)
    width, height = size
    coarse, fine = (
        cv2.resize(
            rng.random((height // cell + 2, width // cell + 2)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC
        )
        for cell in (40, 9)
    )
    mix = np.clip(0.6 * coarse + 0.4 * fine, 0, 1)[..., None]
    eosin, haematoxylin = np.array([215, 170, 235]), np.array([150, 85, 120])
    image = eosin * (1 - mix) + haematoxylin * mix
    for _ in range(width * height // 900):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(image, centre, int(rng.integers(2, 5)), (135, 60, 95), -1, cv2.LINE_AA)
    return np.clip(image, 0, 255).astype(np.uint8)


def draw_cursor(frame: np.ndarray, point: tuple[float, float], height: int = 14) -> None:
    """An arrow, white with a black edge, its tip at `point` (0..1)."""
    import cv2

    shape = np.array([(0, 0), (0, 1), (0.24, 0.78), (0.4, 1.1), (0.55, 1.03), (0.4, 0.72), (0.72, 0.72)]) * height
    tip = np.array(point) * (frame.shape[1], frame.shape[0])
    corners = np.round(shape + tip).astype(np.int32)
    cv2.fillPoly(frame, [corners], (255, 255, 255), cv2.LINE_AA)
    cv2.polylines(frame, [corners], True, (0, 0, 0), 1, cv2.LINE_AA)
