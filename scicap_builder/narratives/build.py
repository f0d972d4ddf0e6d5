"""Videos and their transcripts in, a data set of localized narratives out. Killed, the same call goes on with the next video."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from llava_graph.dataset import BuildSummary, DatasetWriter
from llava_graph.errors import EXTRA_OF, DatasetError, InputError, MissingExtra
from llava_graph.record import Dropped, Figure
from scicap_builder.narratives.options import DEFAULT_NARRATIVES, NarrativeOptions, VideoJob
from scicap_builder.narratives.read import VideoRecords, read_video, video_key
from scicap_builder.narratives.speech import FORMS
from scicap_builder.narratives.video import SUFFIXES
from scicap_builder.progress import tell
from scicap_builder.workers import Engine, Failure, Workers

PACKAGES = ("skimage", "sklearn")
"""Of the extra."""
PATIENCE_S = 0.2
LANGUAGE = re.compile(r"\.[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")
"""In a transcript's name: ".en", ".de-AT", ".en-orig"; not ".info" and ".live_chat", which yt-dlp writes beside it."""
SHARD_RECORDS = 64
SHARD_S = 120.0
"""s of reading that a kill may cost, and so long a video takes more."""


@dataclass(frozen=True, kw_only=True)
class NarrativeResult:
    """What a run came to. `summary` is of the whole data set, and so are the utterances' counts."""

    out: Path
    summary: BuildSummary
    videos: int
    counts: dict[str, int]
    stale: tuple[str, ...] = ()
    """Videos that were read with another transcript than they have now, or without one; they are not read again."""


def build_narratives(
    videos: Sequence[Path],
    out: Path,
    options: NarrativeOptions = DEFAULT_NARRATIVES,
    *,
    transcripts: Path | None = None,
    engine: Engine[VideoJob] | None = None,
) -> NarrativeResult:
    """Read `videos` (files, or folders of them) into the data set `out`.

    `transcripts` is the folder of the transcripts, or the file of the one video; None: they lie beside the videos. `engine`
    works the videos off; None: processes of this machine. Raises InputError (no such video), DatasetError (`out` begun
    otherwise) and MissingExtra.
    """
    _need_extra(options)
    jobs = list_videos(videos, transcripts, options)
    with DatasetWriter(out, options=options.recorded, overwrite=options.overwrite) as writer:
        run = _Run(writer=writer, total=len(jobs))
        waiting = [job for job in jobs if not run.holds(job)]
        with engine or Workers(read_video, options.workers, limits=options.limits) as workers:
            try:
                run.work_off(waiting, workers)
            finally:
                run.flush()
        counts: Counter[str] = Counter()
        for notes in writer.places.values():
            counts.update(notes["counts"])
        return NarrativeResult(
            out=out, summary=writer.finish(), videos=len(jobs), counts=dict(counts), stale=tuple(run.stale)
        )


def _need_extra(options: NarrativeOptions) -> None:
    for package in (*PACKAGES, *(("torch", "transformers") if options.classifiers else ())):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, EXTRA_OF[package], needed_for="narratives")


def list_videos(videos: Sequence[Path], transcripts: Path | None, options: NarrativeOptions) -> list[VideoJob]:
    """The videos named, and all below the folders named, each with its transcript if there is one. Raises InputError."""
    jobs: dict[str, VideoJob] = {}
    found: list[tuple[Path, Path]] = []
    for named in videos:
        if named.is_dir():
            below = sorted(path for path in named.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
            if not below:
                raise InputError("holds no video", where=str(named), next_step=f"Known: {', '.join(SUFFIXES)}")
            found += [(path, named) for path in below]
        elif named.is_file():
            found.append((named, named.parent))
        else:
            raise InputError("no such video or folder", where=str(named))
    if transcripts is not None and not transcripts.exists():
        raise InputError("no such transcript or folder", where=str(transcripts))
    if transcripts is not None and transcripts.is_file() and len(found) > 1:
        raise InputError(
            f"one transcript for {len(found)} videos",
            where=str(transcripts),
            next_step="Give the folder that holds one for each, called as the video is",
        )
    by_name = cache(_by_name)
    for path, root in found:
        key = video_key(options.prefix, path, root)
        if key in jobs:
            if jobs[key].video.samefile(path):
                continue
            key += path.suffix.lower()
        if key in jobs:
            raise InputError(f"two videos are called {key!r}", where=str(path), next_step="Give their common folder")
        words = _transcript(path, root, transcripts, by_name)
        jobs[key] = VideoJob(key=key, video=path, transcript=words, options=options)
    return list(jobs.values())


def _digest(transcript: Path | None) -> str:
    """Of what is in the file; empty without one, or where it cannot be read."""
    try:
        return hashlib.sha256(transcript.read_bytes()).hexdigest()[:16] if transcript else ""
    except OSError:
        return ""


def _transcript(
    video: Path, root: Path, transcripts: Path | None, by_name: Callable[[Path], dict[str, Path]]
) -> Path | None:
    """The transcript called as the video is, with a language or not: name.json, name.en.vtt."""
    if transcripts is None:
        return by_name(video.parent).get(video.stem)
    if transcripts.is_file():
        return transcripts
    same = transcripts / video.relative_to(root).parent
    return by_name(same).get(video.stem) or by_name(transcripts).get(video.stem)


def _by_name(folder: Path) -> dict[str, Path]:
    """name -> transcript, of a folder; one without a language goes first, then one in English, then by the alphabet."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMS)
    for path in files:
        found.setdefault(path.stem, path)
    in_languages = [path for path in files if LANGUAGE.fullmatch(Path(path.stem).suffix)]
    for path in sorted(in_languages, key=lambda path: not Path(path.stem).suffix.lower().startswith(".en")):
        found.setdefault(Path(path.stem).stem, path)
    return found


@dataclass(kw_only=True)
class _Run:
    """What is collected for the next shard."""

    writer: DatasetWriter
    total: int
    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    places: dict[str, Any] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def holds(self, job: VideoJob) -> bool:
        """Whether the data set has the video. Raises DatasetError where another file of the name was read."""
        if job.key not in self.writer.done:
            return False
        before = self.writer.places[job.key]
        if before["transcript"] != _digest(job.transcript):
            self.stale.append(job.key)
        if before["bytes"] != job.video.stat().st_size:
            raise DatasetError(
                f"the video {job.key} is not the file that was read before",
                where=str(self.writer.out),
                next_step="Give another --out, or --overwrite to begin anew",
            )
        return True

    def work_off(self, waiting: list[VideoJob], workers: Engine[VideoJob]) -> None:
        """All of them, each as soon as a worker is free. Raises what concerns every video."""
        left = list(reversed(waiting))
        while left or workers.busy:
            tell("videos", self.total - len(left) - workers.busy, self.total)
            while left and workers.free:
                workers.give(left.pop())
            for job, outcome in workers.results(PATIENCE_S):
                self.keep(job, outcome)

    def keep(self, job: VideoJob, outcome: VideoRecords | Failure) -> None:
        if isinstance(outcome, Failure):
            if outcome.error is not None:  # read_video counts what is wrong with a video; these are about all of them
                raise outcome.error
            outcome = VideoRecords(dropped=[Dropped(item=job.key, reason=outcome.reason, detail=outcome.detail)])
        self.figures += outcome.figures
        self.dropped += outcome.dropped
        self.places[job.key] = {
            "bytes": job.video.stat().st_size,
            "transcript": _digest(job.transcript),
            "counts": dict(outcome.counts),
        }
        if len(self.figures) >= SHARD_RECORDS or time.monotonic() - self.since > SHARD_S:
            self.flush()

    def flush(self) -> None:
        if self.places:
            self.writer.write_shard(list(self.places), self.figures, self.dropped, places=self.places)
            self.figures, self.dropped, self.places = [], [], {}
        self.since = time.monotonic()
