"""Localized narratives against the truth: how well the boxes of what is said are where the cursor was (intersection over union).

    python benchmarks/bench_narratives.py [--slides 32] [--traces 300] [--seed 1]

Videos of slides are rendered and encoded, with grain; a cursor goes through known regions while utterances are said; the pipeline
decodes them. Printed: stable segments and the cursor against the truth; then the IoU of every utterance's region and box (0 where
it has no box) for the published time weighting and ours, at the beginning of a video and late in it. Clustering alone is measured
on more slides, whose traces are the true ones with a hand's tremor; then with words that come up to 2 s late, or 1 s early.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.narrated_videos import FPS, Box, Said, random_slides, render, walked
from scicap_builder.narratives.clusters import MATCHES, ClusterOptions, Trace
from scicap_builder.narratives.cursor import cursor_trace
from scicap_builder.narratives.localize import localize
from scicap_builder.narratives.own_time import overlap
from scicap_builder.narratives.segments import SegmentOptions, stable_segments
from scicap_builder.narratives.speech import Utterance
from scicap_builder.narratives.text import Narrated
from scicap_builder.narratives.video import Spans, read_frames, video_facts

RATE = 5.0
SLIDES_A_VIDEO = 4
TREMOR = 0.006
"""Of the frame: what a hand adds to the path."""
WHOLE = SegmentOptions(max_seconds=600.0)
"""Stretches are not parted, so that their ends can be held against the truth."""
OFFSETS = {"0 min": 0.0, "10 min": 600.0, "40 min": 2400.0}
VARIANTS = {
    "published: e^(-.2 t), t in s of the video": ClusterOptions(weighting="published"),
    "e^(-.2 t), t in s of the chunk": ClusterOptions(weighting="chunk"),
    "e^(-.2 t), t from 0 to 1 over the chunk": ClusterOptions(weighting="scaled"),
    "no weighting": ClusterOptions(weighting="scaled", decay=0.0),
    "no clusters: own time": ClusterOptions(boxes="own-time"),
}


@dataclass(frozen=True)
class Chunk:
    """A trace, and what was said meanwhile with its true regions."""

    trace: Trace
    said: Sequence[Said]


def rendered(folder: Path, count: int, seed: int) -> list[Chunk]:
    """Chunks that the pipeline finds in rendered videos; prints how well it finds segments and cursor."""
    chunks: list[Chunk] = []
    slides = random_slides(seed, count)
    off, segments, long, seen, frames, seconds = [], 0, 0, 0, 0, 0.0
    errors: list[float] = []
    for number in range(0, count, SLIDES_A_VIDEO):
        path = folder / f"{number}.mp4"
        batch = slides[number : number + SLIDES_A_VIDEO]
        truth = render(path, batch, seed=seed + number)
        clock = time.process_time()
        found = list(stable_segments(read_frames(path, RATE), WHOLE))
        again = Spans(read_frames(path, RATE))
        traces = [cursor_trace(again.span(one.start, one.end), one.image) for one in found]
        seconds += time.process_time() - clock
        frames += round(video_facts(path).seconds * RATE)
        for slide, said in zip(batch, truth, strict=True):
            long += said[-1].end - said[0].start + 2 / FPS >= WHOLE.min_seconds
            middle = (said[0].start + said[-1].end) / 2
            _, points = walked(slide, said[0].start, FPS)
            first = said[0].start - 2 / FPS  # the cursor is there two frames before the first word
            for segment, trace in zip(found, traces, strict=True):
                if segment.start <= middle < segment.end:
                    segments += 1
                    off += [abs(segment.start - first), abs(segment.end - (first + len(points) / FPS))]
                    seen += len(trace)
                    for x, y, at in trace:
                        tip = points[min(max(round((at - first) * FPS), 0), len(points) - 1)]
                        errors.append(float(np.hypot(x - tip[0], y - tip[1])))
                    chunks.append(Chunk(trace, said))
    print(
        f"{count} slides in {frames / RATE:.0f} s of video (480 x 320, MPEG-4, grain): {segments} of {long} that last 3 s "
        f"found, ends off by {statistics.median(off):.2f} s in the median, {max(off):.2f} s at most; "
        f"cursor seen in {100 * seen / frames:.0f} % of the frames looked at, off by "
        f"{100 * statistics.median(errors):.1f} % of the frame in the median ({100 * np.quantile(errors, 0.95):.1f} % at the "
        f"95th percentile); {frames / RATE / seconds:.0f} s of video a CPU second\n"
    )
    return chunks


def made(count: int, seed: int, lag: float) -> list[Chunk]:
    """Chunks whose traces are the truth with a tremor. The words come up to `lag` s after the cursor, or half of it before."""
    rng = np.random.default_rng(seed)
    chunks = []
    for slide in random_slides(seed + 1, count):
        said, points = walked(slide, 0.0, RATE)
        xy = np.array(points) + rng.normal(0, TREMOR, (len(points), 2))
        shifts = rng.uniform(-lag / 2, lag, len(said))
        heard = [replace(one, start=one.start + by, end=one.end + by) for one, by in zip(said, shifts, strict=True)]
        chunks.append(Chunk(np.column_stack([xy, np.arange(len(points)) / RATE]), heard))
    return chunks


def score(chunks: Sequence[Chunk], options: ClusterOptions, offset: float) -> list[float]:
    """The IoU of every utterance: 0 where it got no box."""
    ious: list[float] = []
    for chunk in chunks:
        trace = chunk.trace + np.array([0.0, 0.0, offset])
        said = [Utterance(one.text, one.start + offset, one.end + offset) for one in chunk.said]
        boxes = boxes_of(localize(trace, said, options), [one.text for one in said])
        ious += [overlap(box, one.box) if box else 0.0 for box, one in zip(boxes, chunk.said, strict=True)]
    return ious


def boxes_of(parts: Sequence[Narrated], texts: Sequence[str]) -> list[Box | None]:
    """The box of every utterance: a part holds some of them, in their order."""
    found: list[Box | None] = []
    left = [part.text for part in parts]
    for text in texts:
        place = next(number for number, rest in enumerate(left) if rest.startswith(text))
        left[place] = left[place].removeprefix(text).lstrip()
        found.append(parts[place].box)
    return found


def table(title: str, chunks: Sequence[Chunk]) -> None:
    """One row a variant, with the mean IoU and the share of utterances with an IoU of .5 or more, at every offset."""
    utterances = sum(len(chunk.said) for chunk in chunks)
    print(f"{title}: {len(chunks)} chunks, {utterances} utterances; mean IoU (share with IoU ≥ .5, %)\n")
    print("| time weighting | utterance matched by its | " + " | ".join(f"chunk at {name}" for name in OFFSETS) + " |")
    print("|---" * (2 + len(OFFSETS)) + "|")
    for (name, options), match in itertools.product(VARIANTS.items(), MATCHES):
        if options.boxes == "own-time" and match == MATCHES[0]:
            continue  # it matches nothing: one row is enough
        cells = []
        for offset in OFFSETS.values():
            ious = score(chunks, replace(options, match=match), offset)
            good = 100 * sum(one >= 0.5 for one in ious) / len(ious)
            cells.append(f"{statistics.mean(ious):.3f} ({good:.0f})")
        print(f"| {name} | {'–' if options.boxes == 'own-time' else match} | " + " | ".join(cells) + " |")
    print()


def main(arguments: list[str] | None = None) -> None:
    """Render, read, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=32)
    parser.add_argument("--traces", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        table("Rendered videos, decoded", rendered(Path(folder), given.slides, given.seed))
    for lag in (0.0, 2.0):
        title = f"True traces with a tremor, words up to {lag:g} s late" if lag else "True traces with a tremor"
        table(title, made(given.traces, given.seed, lag))


if __name__ == "__main__":
    main()
