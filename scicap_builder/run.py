"""A run over papers: they go to workers as they are fetched, what comes back goes into shards, the rest waits for another run.

`pipeline.build` and `pairing.pair` are such runs.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llava_graph.dataset import BuildSummary, DatasetWriter
from llava_graph.errors import LlavaGraphError, PaperError
from llava_graph.record import Dropped, Figure
from scicap_builder.ahead import Ahead
from scicap_builder.obtain import Obtained
from scicap_builder.one_paper import PaperRecords
from scicap_builder.paper_ref import PaperFiles, PaperRef
from scicap_builder.settings import BuildOptions
from scicap_builder.workers import Engine, Failure, Workers

PATIENCE_S = 0.1
"""s that the loop waits for a worker or a paper before it looks at the other."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a build stands."""

    papers: int
    """All papers asked for."""
    papers_done: int
    figures: int
    dropped: int
    now: str = ""
    """The paper that was finished last."""


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a build came to."""

    out: Path
    summary: BuildSummary
    """Of the whole data set, earlier runs included."""
    papers: int
    papers_done: int
    """Papers in the data set, read or dropped."""
    bad_lines: tuple[Dropped, ...] = ()
    later: tuple[Dropped, ...] = ()
    """Papers that could not be fetched now and may be in another run; they are not part of the data set yet."""
    interrupted: bool = False
    """Ctrl-C was pressed; the same command goes on."""
    error: LlavaGraphError | None = None
    """What stopped the run before its end: arXiv's 403, a missing OCR package."""

    @property
    def papers_left(self) -> int:
        """Papers that another run has to do."""
        return self.papers - self.papers_done


def start_engine(options: BuildOptions, work: Callable[[PaperFiles], PaperRecords]) -> Engine[PaperFiles]:
    """What works the papers off: processes of this machine, or a Ray cluster. Raises MissingExtra, InputError."""
    if options.engine == "ray":
        from scicap_builder.ray_engine import RayWorkers

        return RayWorkers(work, options.workers, limits=options.limits, address=options.address)
    return Workers(work, options.workers, limits=options.limits)


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that it never falls into the writing of a shard; pressed again it ends everything."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def pressed(*_: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(kw_only=True)
class Run:
    """One run: what is collected for the next shard, and what is left for another run."""

    papers: int
    """All papers asked for."""
    waiting: Sequence[PaperRef]
    """Those that are not in the data set yet."""
    writer: DatasetWriter
    options: BuildOptions
    on_progress: Callable[[Progress], None]
    places: dict[str, Any] = field(default_factory=dict)
    """key -> what is written down with it (`DatasetWriter.places`)."""
    bad_lines: tuple[Dropped, ...] = ()
    keys: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    later: list[Dropped] = field(default_factory=list)
    again: list[PaperFiles] = field(default_factory=list)
    """Papers to be given to a worker once more, in another form."""
    papers_done: int = 0
    figures_done: int = 0
    dropped_done: int = 0

    def __post_init__(self) -> None:
        before = self.writer.summary()
        self.figures_done, self.dropped_done = before.figures, sum(before.dropped.values())
        self.papers_done = self.papers - len(self.waiting)

    def to_its_end(self, source: Iterator[Obtained], engine: Engine[PaperFiles]) -> BuildResult:
        """Work all papers of `source` off, and finish the data set if nothing is left for another run."""
        with ctrl_c() as interrupted, engine as workers:
            error = self.work_off(Ahead(source), workers, interrupted)
            self.flush()
        complete = not interrupted.is_set() and error is None
        return BuildResult(
            out=self.writer.out,
            summary=self.writer.finish() if complete else self.writer.summary(),
            papers=self.papers,
            papers_done=self.papers_done,
            bad_lines=self.bad_lines,
            later=tuple(self.later),
            interrupted=interrupted.is_set(),
            error=error,
        )

    def work_off(
        self, ahead: Ahead, workers: Engine[PaperFiles], interrupted: threading.Event
    ) -> LlavaGraphError | None:
        """Give papers to workers as they are fetched and collect what they read. Returns what stopped the run early.

        After an error that concerns every paper, what is under way is still finished; after Ctrl-C it is left.
        """
        self.report("")
        stopped: LlavaGraphError | None = None
        while (not ahead.exhausted or workers.busy or self.again) and not interrupted.is_set():
            while self.again and workers.free:
                workers.give(self.again.pop())
            while stopped is None and workers.free and (obtained := ahead.take(0 if workers.busy else PATIENCE_S)):
                self.accept(obtained, workers)
            stopped = stopped or ahead.error
            for files, outcome in self.results(workers):
                stopped = self.collect(files, outcome) or stopped
            if stopped:
                ahead.stop()
        ahead.stop()
        return stopped

    def results(self, workers: Engine[PaperFiles]) -> list[tuple[PaperFiles, Any]]:
        """What workers have finished; if no more of them start, what is read is kept before that is raised."""
        try:
            return workers.results(PATIENCE_S)
        except LlavaGraphError:
            self.flush()
            raise

    def accept(self, obtained: Obtained, workers: Engine[PaperFiles]) -> None:
        paper, found = obtained
        if isinstance(found, PaperFiles):
            workers.give(found)
        elif isinstance(found, Dropped):
            self.done(paper.key, dropped=[found])
        else:
            self.later.append(Dropped(item=paper.key, reason=found.reason, detail=str(found)))

    def collect(self, files: PaperFiles, outcome: PaperRecords | Failure) -> LlavaGraphError | None:
        """Keep what a worker made of a paper. Returns the error if it concerns every paper."""
        if isinstance(outcome, PaperRecords):
            self.done(files.key, outcome.figures, outcome.dropped)
            return None
        if outcome.stops_run and isinstance(outcome.error, LlavaGraphError):
            return outcome.error
        reason = outcome.error.reason if isinstance(outcome.error, PaperError) else outcome.reason
        detail = str(outcome.error) if outcome.error else outcome.detail
        self.done(files.key, dropped=[Dropped(item=files.id, reason=reason, detail=detail)])
        return None

    def done(
        self, key: str, figures: tuple[Figure, ...] = (), dropped: tuple[Dropped, ...] | list[Dropped] = ()
    ) -> None:
        self.keys.append(key)
        self.figures += figures
        self.dropped += dropped
        self.papers_done += 1
        self.figures_done += len(figures)
        self.dropped_done += len(dropped)
        size = sum(len(figure.image) for figure in self.figures if isinstance(figure.image, bytes))
        if len(self.keys) >= self.options.papers_per_shard or size >= self.options.max_shard_bytes:
            self.flush()
        self.report(key)

    def write_dropped(self) -> None:
        """Bad lines are counted once, however often the build is taken up again."""
        new = [line for line in self.bad_lines if line.item not in self.writer.done]
        if new:
            self.writer.write_shard([line.item for line in new], [], new)
            self.dropped_done += len(new)

    def flush(self) -> None:
        if self.keys:
            places = {key: self.places[key] for key in self.keys if key in self.places}
            self.writer.write_shard(self.keys, self.figures, self.dropped, places=places, beside=self.beside)
            self.keys, self.figures, self.dropped = [], [], []

    def beside(self, folder: Path) -> None:
        """Put more files into a shard's folder, before it is there: nothing, unless a run has some."""

    def report(self, now: str) -> None:
        self.on_progress(
            Progress(
                papers=self.papers,
                papers_done=self.papers_done,
                figures=self.figures_done,
                dropped=self.dropped_done,
                now=now,
            )
        )
