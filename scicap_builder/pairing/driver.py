"""Pairing: published figures of arXiv's papers in, the same figures with what the papers say of them out. Killed, it goes on.

The unit of work is a paper with all its published figures: it is fetched once, opened once, and is in one shard.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from llava_graph.dataset import DatasetWriter
from llava_graph.durable import write_json
from llava_graph.errors import DatasetError, FetchError, InputError, LlavaGraphError, did_you_mean
from llava_graph.record import Dropped
from scicap_builder.fetch import DEFAULTS, SYSTEM_CLOCK, ArxivClient, Clock, FetchOptions
from scicap_builder.metadata import Known
from scicap_builder.obtain import Catalogue, Obtained, obtain
from scicap_builder.one_paper import PaperRecords, Readers
from scicap_builder.pairing.library import Library, library
from scicap_builder.pairing.notes import REPORT, Note, PairingReport, sums, write_notes
from scicap_builder.pairing.published import Group, PublishedFigure, figures_of, grouped
from scicap_builder.pairing.records import (
    NO_ID,
    NOT_FOUND,
    UNPAIRED_POLICIES,
    UNREADABLE,
    PairedRecords,
    PairJob,
    PairReading,
    next_try,
    pair_paper,
    pairing_readers,
)
from scicap_builder.paper_ref import PaperFiles, PaperRef
from scicap_builder.pipeline import catalogue_of
from scicap_builder.run import BuildResult, Progress, Run, start_engine
from scicap_builder.settings import DEFAULT_BUILD, BuildOptions, check_ocr
from scicap_builder.sources import SOURCES
from scicap_builder.sources.contract import ImportOptions, Part, Source
from scicap_builder.sources.importing import Imported, outcome_of, recorded
from scicap_builder.sources.root import Root
from scicap_builder.workers import Engine, Failure


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """How a data set is paired. `build.read`, `unpaired` and where papers come from are part of the data set."""

    build: BuildOptions = DEFAULT_BUILD
    """Workers, engine, limits of a paper, papers a shard."""
    papers_root: Path | None = None
    """Papers by their arXiv ids; None: they are fetched."""
    fetch_missing: bool = False
    """Fetch those that are not in `papers_root`."""
    unpaired: str = UNPAIRED_POLICIES[0]
    """Figures for which the paper has no paragraph: "keep" them as published, or "drop"."""

    def __post_init__(self) -> None:
        if self.unpaired not in UNPAIRED_POLICIES:
            raise InputError(
                f"unknown choice {self.unpaired!r} for unpaired figures",
                next_step=did_you_mean(self.unpaired, UNPAIRED_POLICIES),
            )

    @property
    def fetches(self) -> bool:
        """Whether papers are asked for at arXiv."""
        return self.papers_root is None or self.fetch_missing


DEFAULT_PAIRING = PairOptions()


@dataclass(frozen=True, kw_only=True)
class Paired:
    """What a pairing came to."""

    run: BuildResult
    imported: Imported
    report: PairingReport
    papers: Counter[str]
    """"read", or why it was not -> papers."""


def pair(
    source: Source,
    root: Path,
    out: Path,
    options: ImportOptions = ImportOptions(),  # noqa: B008
    pairing: PairOptions = DEFAULT_PAIRING,
    *,
    fetch: FetchOptions = DEFAULTS,
    metadata: Path | None = None,
    readers: Readers | None = None,
    clock: Clock = SYSTEM_CLOCK,
    engine: Callable[[Callable[[PaperFiles], PaperRecords]], Engine[PaperFiles]] | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Paired:
    """Read the published data set below `root` into `out`, each figure with the paragraphs of its paper and its text by OCR.

    `metadata` is a file of arXiv's catalogue, as for `build`; `readers`, `clock` and `engine` are seams. Raises InputError (a
    data set that has no papers of arXiv's, no such folder) and DatasetError as `import_source`; what stops the run later
    stands in the result's `run.error`.
    """
    if not source.of_arxiv:
        known = ", ".join(name for name, one in SOURCES.items() if one.of_arxiv)
        raise InputError(f"{source.name} names no papers of arXiv's", next_step=f"--pair is for {known}")
    check_ocr(pairing.build.read.ocr)
    subset = source.subset(options.subset)
    place = Root(root, options.image_folder)
    work = partial(pair_paper, options=_reading(options, pairing), readers=pairing_readers(readers))
    try:
        parts = source.parts(place, subset)
        papers = library(pairing.papers_root)
        groups = grouped(source, parts)
        state = recorded(source, subset, parts, options) | {"pairing": _recorded(pairing)}
        with DatasetWriter(out, options=state, overwrite=options.overwrite) as writer:
            waiting = [group for group in groups if group.key not in writer.done]
            units = _Units(
                groups={group.key: group for group in waiting},
                source=source,
                parts=parts,
                root=place,
                missing_images=options.missing_images,
                library=papers,
                fetches=pairing.fetches,
            )
            run = _PairingRun(
                papers=len(groups),
                waiting=units.references,
                writer=writer,
                options=pairing.build,
                on_progress=on_progress,
            )
            asks = partial(ArxivClient, fetch, clock=clock)
            jobs = units.jobs(pairing.build.read.route, asks, catalogue_of(metadata, units.references))
            start = engine or partial(start_engine, pairing.build)
            # The worker's function takes the jobs that this run gives, which are PaperFiles with more to them.
            result = run.to_its_end(jobs, start(cast(Callable[[PaperFiles], PaperRecords], work)))
            return _written(writer, result, units)
    finally:
        place.close()


def _reading(options: ImportOptions, pairing: PairOptions) -> PairReading:
    return PairReading(
        read=pairing.build.read,
        unpaired=pairing.unpaired,
        missing_images=options.missing_images,
        link=options.pixels == "link",
    )


def _recorded(pairing: PairOptions) -> dict[str, Any]:
    """What must be the same when a pairing goes on."""
    papers = "arXiv" if pairing.papers_root is None else "a folder, then arXiv" if pairing.fetch_missing else "a folder"
    return {
        "papers": papers,
        "route": pairing.build.read.route,
        "ocr": pairing.build.read.ocr,
        "unpaired": pairing.unpaired,
    }


@dataclass(frozen=True, kw_only=True)
class _Units:
    """What is to be done, and where each of its papers comes from."""

    groups: dict[str, Group]
    source: Source
    parts: list[Part]
    root: Root
    missing_images: str
    library: Library
    fetches: bool

    @cached_property
    def references(self) -> list[PaperRef]:
        """The units as papers; those that are not in the folder come last."""
        return sorted((self._reference(group) for group in self.groups.values()), key=lambda paper: paper.remote)

    def _reference(self, group: Group) -> PaperRef:
        local = self.library.find(group.arxiv, group.key) if group.arxiv else None
        return local or PaperRef(key=group.key, arxiv=group.arxiv)

    def jobs(self, route: str, client: Callable[[], ArxivClient], catalogue: Catalogue) -> Iterator[Obtained]:
        """A job for each unit; an error where another run may have its paper. Raises AccessDenied, DatasetError."""
        there: list[PaperRef] = []
        for paper in self.references:
            if paper.arxiv is None:
                yield (
                    paper,
                    self._job(paper, Dropped(item=paper.key, reason=NO_ID, detail="no possible arXiv id is published")),
                )
            elif paper.remote and not self.fetches:
                detail = "it is not in the folder of papers"
                yield paper, self._job(paper, Dropped(item=paper.key, reason=NOT_FOUND, detail=detail), catalogue)
            else:
                there.append(paper)
        for paper, found in obtain(there, route, client, catalogue):
            yield paper, found if isinstance(found, FetchError) else self._job(paper, found, catalogue)

    def _job(self, paper: PaperRef, found: PaperFiles | Dropped, catalogue: Catalogue = lambda _: None) -> PairJob:
        """The rows are read now, not before: a few papers are in memory, however many there are."""
        group = self.groups[paper.key]
        read = list(figures_of(group, self.source, self.parts, self.root, self.missing_images))
        rows: dict[str, Any] = {
            "published": tuple(row for row in read if isinstance(row, PublishedFigure)),
            "dropped": tuple(row for row in read if isinstance(row, Dropped)),
        }
        if isinstance(found, PaperFiles):
            files = {name: getattr(found, name) for name in PaperFiles.__dataclass_fields__}
            # A file's name has the version, which its key has not.
            return PairJob(**(files | rows | {"id": found.id if paper.remote else f"arxiv:{paper.arxiv}"}))
        known = (catalogue(paper.arxiv.base) if paper.arxiv else None) or Known(base="")
        about: dict[str, Any] = {
            "title": known.title,
            "abstract": known.abstract,
            "categories": known.categories,
            "licence": known.licence,
        }
        reason, detail = _absent(found)
        return PairJob(key=paper.key, id=paper.key, absent=reason, detail=detail, **rows, **about)


def _absent(found: Dropped) -> tuple[str, str]:
    """Why there is no paper, as a note says it."""
    if found.reason in (NO_ID, NOT_FOUND):
        return found.reason, found.detail
    if found.reason == "not-found":
        return NOT_FOUND, found.detail
    return UNREADABLE, f"{found.reason}: {found.detail}"


@dataclass(kw_only=True)
class _PairingRun(Run):
    """A run that keeps notes, and gives figures to a worker again, with less to do, where one was lost over them."""

    notes: list[Note] = field(default_factory=list)

    def collect(self, files: PaperFiles, outcome: PaperRecords | Failure) -> LlavaGraphError | None:
        """Keep what a worker made of a paper's figures. Returns the error if it concerns every paper."""
        job = cast(PairJob, files)
        if isinstance(outcome, PairedRecords):
            self.places[job.key] = {"paper": outcome.paper, "counts": dict(Counter(outcome.counts))}
            self.notes += outcome.notes
            self.done(job.key, outcome.figures, outcome.dropped)
            return None
        failure = cast(Failure, outcome)
        if isinstance(failure.error, DatasetError) or (
            failure.stops_run and isinstance(failure.error, LlavaGraphError)
        ):
            return failure.error
        detail = str(failure.error) if failure.error else failure.detail
        if another := next_try(job, failure.reason, detail):
            self.again.append(another)
            return None
        lost = [Dropped(item=one.row, reason=failure.reason, detail=detail) for one in job.published]
        self.places[job.key] = {"paper": job.absent, "counts": {}}
        self.done(job.key, dropped=[*job.dropped, *lost])
        return None

    def beside(self, folder: Path) -> None:
        """The notes of the shard."""
        write_notes(self.notes, folder)
        self.notes = []


def _written(writer: DatasetWriter, result: BuildResult, units: _Units) -> Paired:
    """The reports of the whole, earlier runs included, and their files."""
    counts: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for notes in writer.places.values():
        counts.update(notes["counts"])
        if notes["paper"] != NO_ID:
            states[notes["paper"]] += 1
    units.root.notes += units.library.problems()
    imported = outcome_of(units.source, units.root, units.parts, counts, writer=writer, summary=result.summary)
    report = sums(writer.out)
    write_json(writer.out / "integrity.json", asdict(imported.integrity))
    write_json(writer.out / REPORT, {"papers": dict(states.most_common()), **report.as_json()})
    return Paired(run=result, imported=imported, report=report, papers=states)
