"""What a paper gives its published figures: it is read once, each figure looked for in it, and each published image read by OCR.

Runs in a worker process; a job carries all that it needs, so that it may be on another machine.
"""

from dataclasses import dataclass, field, replace
from functools import partial

from llava_graph.errors import PaperError, SampleRefused
from llava_graph.images import open_image
from llava_graph.record import Dropped, Figure, OcrLine, Paper
from scicap_builder.one_paper import (
    DEFAULT_READING,
    NO_OCR,
    PaperRecords,
    Readers,
    ReadOptions,
    default_readers,
    lines_of,
    read_files,
)
from scicap_builder.pairing.matching import Match, asked_for, match, with_seen
from scicap_builder.pairing.notes import ENGINE, PAPER, PUBLISHED, Note, compared_mentions, compared_ocr
from scicap_builder.pairing.published import PublishedFigure
from scicap_builder.paper_ref import PaperFiles
from scicap_builder.parts import read_laid_out
from scicap_builder.progress import tell
from scicap_builder.reading import FoundFigure, PaperReading
from scicap_builder.sources.importing import DUPLICATE, check_missing, digest
from scicap_builder.sources.pixels import BROKEN, NoImage, Picture, opened

OCR_FAILED = "ocr-failed"
"""Counted for figures that keep their published words."""
NO_ID, NOT_FOUND, UNREADABLE, NEVER_CITED = "no-paper-id", "paper-not-found", "paper-unreadable", "never-cited"
"""Why a figure has no paragraph, beside `matching.UNPAIRED`."""
READ = "read"
THE_PAPER, THE_IMAGES = "paper", "images"
UNPAIRED_POLICIES = ("keep", "drop")
_UNREAD = FoundFigure(number="", label="", caption="", route="")
"""A figure of which no file knows anything: the engine reads all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairJob(PaperFiles):
    """One paper's files, and its published figures. Without a file: `absent` says why."""

    published: tuple[PublishedFigure, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    """Rows that are no records."""
    absent: str = ""
    """One of NO_ID, NOT_FOUND, UNREADABLE."""
    detail: str = ""
    broke: str = ""
    """After a failure: THE_PAPER or THE_IMAGES, whatever is left alone in this try."""


@dataclass(frozen=True, kw_only=True)
class PairReading:
    """How figures are paired."""

    read: ReadOptions = DEFAULT_READING
    unpaired: str = UNPAIRED_POLICIES[0]
    """Figures without paragraphs out of their paper: kept as they are published, or dropped."""
    missing_images: str = "drop"
    link: bool = False
    """PNG and JPEG files stay where they are, and records have their paths."""


@dataclass(frozen=True, kw_only=True)
class PairedRecords(PaperRecords):
    """Records of one paper's published figures, and a note for each that was looked for."""

    paper: str = READ
    """READ, or why it was not: one of NO_ID, NOT_FOUND, UNREADABLE."""
    notes: tuple[Note, ...] = ()
    counts: tuple[str, ...] = ()
    """As `sources.importing.Settled` has them."""


def pairing_readers(readers: Readers | None = None) -> Readers:
    """The builder's readers; no page of a PDF is rendered, as the published pictures are kept."""
    if readers is not None:
        return readers
    from scicap_builder.pdf import read_pdf

    return replace(default_readers(), read_pdf=partial(read_pdf, images=False))


def pair_paper(job: PairJob, options: PairReading, readers: Readers) -> PairedRecords:
    """The records of one job. A paper that cannot be read costs its paragraphs, not its figures."""
    reading, absent, detail = PaperReading(), job.absent, job.detail
    if not absent:
        try:
            reading = read_laid_out(job, partial(read_files, options=options.read, readers=readers))
        except PaperError as error:
            absent, detail = UNREADABLE, f"{error.reason}: {error.what}"
    asked = [asked_for(one.entry.figure) for one in job.published]
    if absent:
        matches = [Match(reason=absent, detail=detail)] * len(asked)
    else:
        dropped = [f"{item.item}: {item.reason}" for item in reading.dropped]
        matches = list(with_seen(match(asked, reading.figures), asked, dropped))
    paper = None if absent else reading
    made = _Made(job=job, options=options, readers=readers, reading=paper)
    for number, (one, found) in enumerate(zip(job.published, matches, strict=True), 1):
        tell("reading figure", number, len(asked))
        made.add(one, found)
    return PairedRecords(
        id=job.id,
        figures=tuple(made.figures),
        dropped=(*job.dropped, *made.dropped),
        paper=absent or READ,
        notes=tuple(made.notes),
        counts=tuple(made.counts),
    )


@dataclass(kw_only=True)
class _Made:
    """What the figures of a job have become so far."""

    job: PairJob
    options: PairReading
    readers: Readers
    reading: PaperReading | None
    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    seen: dict[str, list[str]] = field(default_factory=dict)

    def add(self, one: PublishedFigure, found: Match) -> None:
        """Make a record of a published figure, or leave it out."""
        figure = one.entry.figure
        same = digest(figure, one.entry.pictures[0] if one.entry.pictures else "")
        before = self.seen.setdefault(figure.id, [])
        if same in before:
            detail = "a row with the same id, image and words came before"
            self.dropped.append(Dropped(item=figure.id, reason=DUPLICATE, detail=detail))
            return
        try:
            picture, counts = self._picture(one)
        except SampleRefused as error:
            self.dropped.append(Dropped(item=one.row, reason=error.reason, detail=str(error)))
            return
        before.append(same)
        if len(before) > 1:
            figure = replace(figure, id=f"{figure.id}~{len(before)}")
        reason = found.reason or ("" if found.figure and found.figure.mentions else NEVER_CITED)
        kept = not reason or self.options.unpaired == "keep"
        if kept:
            figure = replace(
                figure, mentions=_mentions(figure, found.figure), paper=self._paper(figure.paper, found.figure)
            )
            figure, ocr_from = self._seen(figure, one, picture)
            self.figures.append(figure)
            self.counts += counts
        else:
            ocr_from = ""
            self.dropped.append(Dropped(item=figure.id, reason=reason, detail=found.detail))
        self.notes.append(self._note(figure, one, found, reason=reason, kept=kept, ocr_from=ocr_from))

    def _picture(self, one: PublishedFigure) -> tuple[Picture | None, tuple[str, ...]]:
        """The image, and what is counted. Raises SampleRefused, and DatasetError under the policy "fail"."""
        try:
            if one.image is None:
                raise NoImage(one.lost, "")
            return opened(one.image, one.entry.figure.id), one.entry.repairs
        except NoImage as error:
            if error.reason == BROKEN:
                check_missing(error, one.entry.figure.id, self.options.missing_images)
            return None, (*one.entry.repairs, error.reason)

    def _seen(self, figure: Figure, one: PublishedFigure, picture: Picture | None) -> tuple[Figure, str]:
        """The figure with its pixels and the text in them, and where that text comes from."""
        published = PUBLISHED if figure.ocr else ""
        if picture is None:
            return figure, published
        kept = one.path if self.options.link and one.path and picture.image is one.image else picture.image
        figure = replace(figure, image=kept, width=picture.width, height=picture.height)
        image = open_image(picture.image, where=figure.id)
        lines: tuple[OcrLine, ...] = ()
        failure: list[Dropped] = []
        engine = NO_OCR if self.job.broke == THE_IMAGES else self.options.read.ocr
        if engine != NO_OCR:
            lines, failure = lines_of(_UNREAD, image, figure.id, engine, self.readers)
        if failure or engine != self.options.read.ocr:
            self.counts.append(OCR_FAILED)
        if not figure.kind and self.readers.kind_of:
            figure = replace(figure, kind=self.readers.kind_of(image, figure.caption, lines))
        if engine == NO_OCR or failure:
            return figure, published
        return replace(figure, ocr=lines), ENGINE if lines else ""

    def _paper(self, paper: Paper, found: FoundFigure | None) -> Paper:
        """What is known of the paper: by the publication, by arXiv, by its own pages."""
        job, reading = self.job, self.reading or PaperReading()
        known = replace(
            paper,
            title=paper.title or job.title or reading.title,
            abstract=paper.abstract or job.abstract or reading.abstract,
            categories=paper.categories or job.categories,
            licence=paper.licence or job.licence,
        )
        if found is None:
            return known
        known = replace(known, route=found.route, confidence=found.confidence, disagreements=found.disagreements)
        # Another version has its figures on other pages.
        same = job.id == paper.id or paper.id.startswith(f"{job.id}v")
        return replace(known, page=found.page, box=found.box) if same else known

    def _note(
        self, record: Figure, one: PublishedFigure, found: Match, *, reason: str, kept: bool, ocr_from: str
    ) -> Note:
        published, ours = one.entry.figure, found.figure.mentions if found.figure else ()
        words = tuple(line.text for line in published.ocr)
        read = [line.text for line in record.ocr] if ocr_from == ENGINE else []
        return Note(
            id=record.id,
            row=one.row,
            kept=kept,
            reason=reason,
            detail=found.detail,
            paper_read=self.job.id if self.reading else "",
            by=found.by,
            label_read=found.figure.label if found.figure else "",
            likeness=found.likeness,
            mentions_from="" if not kept else PAPER if ours else PUBLISHED if record.mentions else "",
            ocr_from=ocr_from,
            published_ocr=words,
            published_sentences=one.entry.sentences,
            published_paragraphs=published.mentions,
            **compared_mentions(ours, published.mentions),
            **compared_ocr(read, words),
        )


def _mentions(figure: Figure, found: FoundFigure | None) -> tuple[str, ...]:
    """The paper's own paragraphs; without any the published ones stay."""
    return found.mentions if found and found.mentions else figure.mentions


def next_try(job: PairJob, why: str, detail: str) -> PairJob | None:
    """The same figures after their worker was lost, it took too long, or a reader fell over: without the paper, then without
    OCR, then without either. None: nothing is left to leave out."""
    without_paper = replace(job, absent=UNREADABLE, detail=f"{why}: {detail}")
    if job.broke == THE_IMAGES:
        return None if job.absent else without_paper
    if job.absent:
        tried = job.broke == THE_PAPER
        return replace(job, broke=THE_IMAGES, absent="" if tried else job.absent, detail="" if tried else job.detail)
    return replace(without_paper, broke=THE_PAPER)
