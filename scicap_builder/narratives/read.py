"""One video and its transcript in, its localized narratives as figure records out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from llava_graph.errors import SampleRefused
from llava_graph.images import encode_png
from llava_graph.record import Dropped, Figure, Paper, Turn
from scicap_builder.narratives.classifier import vote_of
from scicap_builder.narratives.cursor import cursor_trace
from scicap_builder.narratives.localize import localize
from scicap_builder.narratives.options import VideoJob
from scicap_builder.narratives.segments import Segment, other_images, stable_segments
from scicap_builder.narratives.speech import BAD_SPEECH, NO_SPEECH, Speech, read_speech
from scicap_builder.narratives.text import Narrated, write_narrative
from scicap_builder.narratives.video import Frame, Spans, read_frames, video_facts

SOURCE = "narratives"
BOXED, PLAIN, UNSTABLE = f"{SOURCE}/boxes", f"{SOURCE}/plain", f"{SOURCE}/unstable"
"""With boxes; said before a still background, but the cursor was nowhere long enough; from the fallback."""
ASK_BOXES = "Narrate what is seen in this image. After each part give the box that it is about, as [x1, y1, x2, y2]."
ASK = "Narrate what is seen in this image."
CUT_OFF_S = 2.0
"""A file that ends so much earlier than it states, and by more than 2 %, is cut off."""


@dataclass(kw_only=True)
class VideoRecords:
    """What a video gave. `counts` are of its utterances: all of them, those outside every segment, bad entries."""

    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def read_video(job: VideoJob) -> VideoRecords:
    """A record for every segment in which something is said. What makes the video unreadable is its one dropped item."""
    done = VideoRecords()
    try:
        if job.transcript is None:
            raise SampleRefused("no transcript is called as the video is", reason=NO_SPEECH, where=str(job.video))
        speech = read_speech(job.transcript)
        _read(job, speech, done)
    except SampleRefused as error:
        done.dropped.append(Dropped(item=job.key, reason=error.reason, detail=str(error)))
    return done


def _read(job: VideoJob, speech: Speech, done: VideoRecords) -> None:
    options = job.options
    watch = _Watch()
    said = 0
    stable = False
    again = Spans(_frames(job, options.rate))
    for segment in stable_segments(watch.of(_frames(job, options.rate)), options.segments):
        stable = True
        said += _segment(job, segment, speech, done, again)
    if watch.last is None:
        raise SampleRefused("not one frame can be decoded", reason="no-frames", where=str(job.video))
    if not stable and options.fallback:
        frames = _frames(job, 1 / options.segments.min_seconds)
        for segment in other_images(frames, options.segments):
            said += _segment(job, segment, speech, done, None)
    elif not stable:
        done.dropped.append(Dropped(item=job.key, reason="no-stable-segment", detail=str(job.video)))
    if not done.figures and speech.utterances[0].start > watch.last + options.segments.min_seconds:
        detail = (
            f"{job.transcript}: it begins at {speech.utterances[0].start:.0f} s, when the video has ended "
            f"({watch.last:.0f} s): another unit, or another beginning"
        )
        done.dropped.append(Dropped(item=job.key, reason=BAD_SPEECH, detail=detail))
    stated = video_facts(job.video).seconds
    if stated - watch.last > max(CUT_OFF_S, 0.02 * stated):
        detail = f"{watch.last:.1f} of {stated:.1f} s can be decoded; what was read of them is kept"
        done.dropped.append(Dropped(item=job.key, reason="cut-off", detail=detail))
    done.counts.update({
        "utterances": len(speech.utterances),
        "outside segments": len(speech.utterances) - said,
        "bad entries": speech.bad,
    })  # fmt: skip


def _frames(job: VideoJob, rate: float) -> Iterator[Frame]:
    """See `read_frames`; the hidden parts are black."""
    for frame in read_frames(job.video, rate):
        height, width = frame.pixels.shape[:2]
        for left, top, right, bottom in job.options.hidden:
            rows = slice(math.floor(top * height), math.ceil(bottom * height))
            frame.pixels[rows, math.floor(left * width) : math.ceil(right * width)] = 0
        yield frame


@dataclass
class _Watch:
    """Sees frames pass, to know how far the video could be decoded."""

    last: float | None = None

    def of(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.last = frame.time
            yield frame


def _segment(job: VideoJob, segment: Segment, speech: Speech, done: VideoRecords, again: Spans | None) -> int:
    """Keep one segment, or why it is left out; `again` are the frames once more, None where no cursor is looked for.

    Returns how many utterances it has.
    """
    options = job.options
    name = f"{job.key}#{segment.start:.1f}-{segment.end:.1f}s"
    utterances = [one for one in speech.utterances if segment.start <= one.middle < segment.end]
    if not utterances:
        done.dropped.append(Dropped(item=name, reason="no-speech", detail="nothing is said in this segment"))
        return 0
    if options.classifiers and not vote_of(options.classifiers, options.label)(segment.image):
        done.dropped.append(
            Dropped(item=name, reason="other-image", detail=f"no classifier takes it for {options.label}")
        )
        return len(utterances)
    parts: tuple[Narrated, ...] = (Narrated(" ".join(one.text for one in utterances)),)
    if again is not None:
        trace = cursor_trace(again.span(segment.start, segment.end), segment.image, options.cursor)
        parts = localize(trace, utterances, options.clusters)
    height, width = segment.image.shape[:2]
    figure = Figure(
        id=name,
        image=encode_png(Image.fromarray(segment.image)),
        width=width,
        height=height,
        kind=options.kind,
        paper=Paper(id=job.key),
        turns=narrative_turns(parts),
        source=UNSTABLE if again is None else BOXED if any(part.box for part in parts) else PLAIN,
        licence=options.licence,
    )
    done.figures.append(figure)
    return len(utterances)


def narrative_turns(parts: tuple[Narrated, ...]) -> tuple[Turn, ...]:
    """A narrative as a dialogue of one question."""
    question = ASK_BOXES if any(part.box for part in parts) else ASK
    return Turn(role="user", text=question), Turn(role="assistant", text=write_narrative(parts))


def video_key(prefix: str, path: Path, root: Path) -> str:
    """ "video:folder/name" of a video below `root`."""
    return f"{prefix}:{path.relative_to(root).with_suffix('').as_posix()}"
