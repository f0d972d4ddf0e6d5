"""How narratives are made: frozen options, each with its unit; and what one video is to a worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llava_graph.errors import InputError
from llava_graph.record import Box
from scicap_builder.narratives.clusters import DEFAULT_CLUSTERS, ClusterOptions
from scicap_builder.narratives.cursor import DEFAULT_CURSOR, CursorOptions
from scicap_builder.narratives.segments import DEFAULT_SEGMENTS, SegmentOptions
from scicap_builder.workers import Limits

ABOUT = (
    "Localized narratives made of videos with LLaVA-Graph: the still background as image, what was said as answer, "
    "with the boxes that the cursor went through while it was said."
)
MAX_RATE = 60.0


@dataclass(frozen=True, kw_only=True)
class NarrativeOptions:
    """All but the last four are part of the data set: it goes on only with the same."""

    rate: float = 5.0
    """Frames/s that are looked at, the video's own at most. A cursor that points is slower."""
    segments: SegmentOptions = DEFAULT_SEGMENTS
    cursor: CursorOptions = DEFAULT_CURSOR
    clusters: ClusterOptions = DEFAULT_CLUSTERS
    hidden: tuple[Box, ...] = ()
    """Parts of the frame (0..1, origin top left) painted black before anything is looked at: a camera picture, a clock."""
    fallback: bool = True
    """A video without a stable stretch gives its different images, without boxes, as published."""
    classifiers: tuple[str, ...] = ()
    """Folders of transformers image classifiers; an image is kept that one of them takes for `label`."""
    label: str = ""
    kind: str = "pathology"
    licence: str = ""
    prefix: str = "video"
    """Of ids: "youtube" for files named by YouTube's ids, so that no video is in two splits beside Quilt's own sets."""
    workers: int = 1
    timeout_s: float = 7200.0
    """For one video."""
    memory_gb: float = 4.0
    """GiB resident for one video."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MAX_RATE:
            raise InputError(f"a rate is above 0 and at most {MAX_RATE:.0f} frames/s, got {self.rate:g}")
        if self.workers < 1 or self.timeout_s <= 0 or self.memory_gb <= 0:
            raise InputError("workers, timeout_s and memory_gb must be positive")
        for box in self.hidden:
            if not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
                raise InputError(f"no part of a frame: {box} (x1, y1, x2, y2 in 0..1, origin top left)")
        if bool(self.classifiers) != bool(self.label):
            raise InputError("a classifier and the label that it must give belong together")
        if not self.prefix or ":" in self.prefix or "#" in self.prefix:
            raise InputError(f"a prefix of ids has no ':' or '#', got {self.prefix!r}")

    @property
    def recorded(self) -> dict[str, Any]:
        """What build.json keeps."""
        made = {name: value for name, value in asdict(self).items() if name not in RUN_ONLY}
        return {"builder": "narratives", "about": ABOUT, "split": "by hash of the video", **made}

    @property
    def limits(self) -> Limits:
        """What one video may use."""
        return Limits(seconds=self.timeout_s, memory_bytes=int(self.memory_gb * 2**30))


DEFAULT_NARRATIVES = NarrativeOptions()
RUN_ONLY = frozenset({"workers", "timeout_s", "memory_gb", "overwrite"})


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One video to be read."""

    key: str
    """ "video:folder/name", unique in a data set."""
    video: Path
    transcript: Path | None
    options: NarrativeOptions
