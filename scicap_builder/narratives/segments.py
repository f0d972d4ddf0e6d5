"""Stretches of a video whose background stands still: frames in, segments out, each with the median of its frames.

Quilt-1M (Ikezogwo et al. 2023): consecutive frames alike by SSIM > .98 on random 64 x 64 crops, for 3 s or longer; the picture is
the pixel median. Its code looks at one crop a pair, in the upper left quarter alone; here several lie anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from llava_graph.errors import InputError
from scicap_builder.narratives.video import Frame

OTHER_IMAGE_SSIM = 0.02
"""Published: without any stable stretch, a frame below it (at 512 x 512) is another image."""
OTHER_IMAGE_SIDE = 512
HELD_FRAMES = 2
"""So many frames that differ may pass before a stretch ends: the cursor lay in the crops, or something flashed."""
SMALL_SIDE = 320
"""px of the longer side at which backgrounds are compared: grain and the encoder's blocks are gone, a pan of .5 % is seen."""
OTHER_PLACE_SSIM = 0.7
"""At this size an H.264 file of crf 40 stays above it in 99.6 % of a still picture, another picture below it in 98 %."""
MEDIAN_ROWS = 64
"""Of the frames under a median at once."""


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """When the background stands still."""

    ssim: float = 0.98
    """Published."""
    crop: int = 64
    """px; published. A frame with a side below it is compared as a whole along that side."""
    crops: int = 8
    """A pair. With one, as published, a cursor in the crop would end a stretch."""
    still: float = 0.6
    """Share of the crops that must be alike."""
    blur: int = 5
    """px (odd) of a Gaussian over the crops, 0 as published: grain of 1 % alone takes SSIM below .98."""
    min_seconds: float = 3.0
    """Published."""
    max_seconds: float = 30.0
    """A longer stretch is parted: a caption has four boxes at most. The publication's `pair_chunk_time` differs by video."""
    median_frames: int = 21
    """Of a stretch, evenly spaced; more change nothing that is seen and lie in memory."""
    max_changed: float = 0.03
    """Share of the frame that may differ from the stretch's first: the cursor, twice. A new line of text is more."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.blur < 0 or (self.blur and self.blur % 2 == 0):
            raise InputError(f"blur must be 0 or odd, got {self.blur}")
        if not 0 < self.min_seconds <= self.max_seconds or self.median_frames < 1 or self.crops < 1 or self.crop < 8:
            raise InputError("segments need 0 < min_seconds <= max_seconds, a crop of 8 px and a frame or more")


DEFAULT_SEGMENTS = SegmentOptions()


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch from `start` to `end` (s) before one background: `image`, (height, width, 3) uint8 RGB."""

    start: float
    end: float
    image: np.ndarray


def stable_segments(frames: Iterable[Frame], options: SegmentOptions = DEFAULT_SEGMENTS) -> Iterator[Segment]:
    """The stretches of at least `min_seconds` in the order of time, long ones in equal parts of at most `max_seconds`."""
    rng = np.random.default_rng(options.seed)
    run: _Run | None = None
    held: list[Frame] = []
    for frame in frames:
        if run is None:
            run = _Run.begun(frame, options)
            continue
        held = run.after(held, frame, rng)
        if len(held) > HELD_FRAMES:
            yield from run.segments(end=held[0].time)
            run, rest, held = _Run.begun(held[0], options), held[1:], []
            for one in rest:
                held = run.after(held, one, rng)
    while run is not None:
        yield from run.segments(end=held[0].time if held else run.end)
        if not held:
            return
        run, rest, held = (
            _Run.begun(held[0], options),
            held[1:],
            [],
        )  # seconds, where frames come only with a new picture
        for one in rest:
            held = run.after(held, one, rng)


@dataclass(kw_only=True)
class _Run:
    """A stretch that may go on."""

    options: SegmentOptions
    first: Frame
    first_small: np.ndarray
    last: Frame
    step: float = 0.0
    """s between the last two frames"""
    kept: list[np.ndarray] = field(default_factory=list)
    """Frames for the median: every `every`-th."""
    every: int = 1
    count: int = 0

    @classmethod
    def begun(cls, frame: Frame, options: SegmentOptions) -> _Run:
        run = cls(options=options, first=frame, first_small=shrunk(frame.pixels), last=frame)
        run.add(frame)
        return run

    @property
    def end(self) -> float:
        """s until which the last frame is shown, as far as is known."""
        return self.last.time + self.step

    def goes_on(self, frame: Frame, rng: np.random.Generator) -> bool:
        """Whether a frame is like the last one, and its background that of the first: what creeps changes little at a time."""
        return alike(self.last.pixels, frame.pixels, self.options, rng) and self.has_background_of(frame)

    def has_background_of(self, frame: Frame) -> bool:
        return changed_share(self.first_small, shrunk(frame.pixels)) <= self.options.max_changed

    def stepped(self, held: list[Frame], rng: np.random.Generator) -> bool:
        """Whether frames that differ from the last are still and of one background with it: a key frame made the picture anew."""
        still = all(alike(one.pixels, other.pixels, self.options, rng) for one, other in pairwise(held))
        return still and self.has_background_of(held[-1])

    def after(self, held: list[Frame], frame: Frame, rng: np.random.Generator) -> list[Frame]:
        """The frames that are held back once this one has come: none if it is like the run, else one more."""
        held = [*held, frame]
        if not self.goes_on(frame, rng) and not (len(held) > HELD_FRAMES and self.stepped(held, rng)):
            return held
        for one in held:
            self.add(one)
        return []

    def add(self, frame: Frame) -> None:
        if self.count % self.every == 0:
            self.kept.append(frame.pixels)
            if len(self.kept) > self.options.median_frames:
                self.kept = self.kept[::2]
                self.every *= 2
        self.count += 1
        self.step = frame.time - self.last.time or self.step
        self.last = frame

    def segments(self, end: float) -> Iterator[Segment]:
        """What the stretch is, if it was long enough."""
        seconds = end - self.first.time
        # Times are floats: 3 s at 10 frames/s may be 2.9999.
        if seconds < self.options.min_seconds - 1e-6:
            return
        yield from parted(Segment(self.first.time, end, median(self.kept)), self.options.max_seconds)


def parted(segment: Segment, max_seconds: float) -> Iterator[Segment]:
    """A stretch in equal parts of at most `max_seconds`, before the same picture."""
    seconds = segment.end - segment.start
    parts = max(int(np.ceil(seconds / max_seconds - 1e-6)), 1)
    for number in range(parts):
        begin = segment.start + seconds * number / parts
        yield Segment(begin, segment.start + seconds * (number + 1) / parts, segment.image)


def alike(one: np.ndarray, other: np.ndarray, options: SegmentOptions, rng: np.random.Generator) -> bool:
    """Whether enough random crops of two frames of one size have an SSIM above the limit."""
    if one.shape != other.shape:
        return False
    needed = int(np.ceil(options.still * options.crops))
    found = 0
    for number in range(options.crops):
        found += crop_ssim(one, other, options, rng) > options.ssim
        left = options.crops - number - 1
        if found >= needed or found + left < needed:
            break
    return found >= needed


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """(height, width) uint8 grey, the longer side SMALL_SIDE px at most."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = SMALL_SIDE / max(grey.shape)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return cv2.GaussianBlur(small, (3, 3), 0)  # a small video has not lost its grain by shrinking


def changed_share(one: np.ndarray, other: np.ndarray) -> float:
    """Share of two small grey pictures in which their structure differs."""
    if np.array_equal(one, other):
        return 0.0
    from skimage.metrics import structural_similarity

    return float((structural_similarity(one, other, full=True)[1] < OTHER_PLACE_SSIM).mean())


def crop_ssim(one: np.ndarray, other: np.ndarray, options: SegmentOptions, rng: np.random.Generator) -> float:
    """SSIM (mean over colours, 7 x 7 window) of one random crop of both."""
    (height, width), side = one.shape[:2], options.crop
    top = int(rng.integers(max(height - side, 0) + 1))
    left = int(rng.integers(max(width - side, 0) + 1))
    first, second = (frame[top : top + side, left : left + side] for frame in (one, other))
    if np.array_equal(first, second):  # most of a screen recording
        return 1.0
    from skimage.metrics import structural_similarity

    if options.blur:
        import cv2

        first, second = (cv2.GaussianBlur(crop, (options.blur, options.blur), 0) for crop in (first, second))
    return float(structural_similarity(first, second, channel_axis=2))


def median(frames: list[np.ndarray]) -> np.ndarray:
    """(height, width, 3) the pixel median over time, without what moves. Of an even number, the lower middle one."""
    if len(frames) == 1:
        return frames[0]
    middle = (len(frames) - 1) // 2
    height = frames[0].shape[0]
    rows = [
        np.partition(np.stack([frame[top : top + MEDIAN_ROWS] for frame in frames]), middle, axis=0)[middle]
        for top in range(0, height, MEDIAN_ROWS)
    ]
    return np.concatenate(rows)


def other_images(frames: Iterable[Frame], options: SegmentOptions = DEFAULT_SEGMENTS) -> Iterator[Segment]:
    """Published fallback for a video without a stable stretch: every frame that is nothing like the image before it.

    An image lasts until the next one, long ones in parts as above; frames of `min_seconds` apart are enough.
    Its background moves, so no cursor is found.
    """
    import cv2

    rng = np.random.default_rng(options.seed)
    options = replace(options, blur=0)  # as published: whatever is smoothed is a little alike
    image: Frame | None = None
    small: np.ndarray | None = None
    last = 0.0
    for frame in frames:
        last = frame.time
        frame_small = cv2.resize(frame.pixels, (OTHER_IMAGE_SIDE, OTHER_IMAGE_SIDE))
        if image is None or small is None or crop_ssim(small, frame_small, options, rng) < OTHER_IMAGE_SSIM:
            if image is not None:
                yield from parted(Segment(image.time, frame.time, image.pixels), options.max_seconds)
            image, small = frame, frame_small
    if image is not None:
        yield from parted(Segment(image.time, last + options.min_seconds, image.pixels), options.max_seconds)
