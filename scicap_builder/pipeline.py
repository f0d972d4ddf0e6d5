"""The build: a list of papers in, a data set of figure records out. Killed, it goes on where it was."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from llava_graph.dataset import DatasetWriter
from scicap_builder.fetch import DEFAULTS, SYSTEM_CLOCK, ArxivClient, Clock, FetchOptions
from scicap_builder.metadata import MetadataFile
from scicap_builder.obtain import Catalogue, obtain
from scicap_builder.one_paper import PaperRecords, Readers, default_readers, read_paper
from scicap_builder.paper_ref import PaperFiles, PaperList, PaperRef
from scicap_builder.papers import list_papers
from scicap_builder.parts import read_laid_out
from scicap_builder.resume import papers_left, place_of
from scicap_builder.run import BuildResult, Progress, Run, start_engine
from scicap_builder.settings import DEFAULT_BUILD, BuildOptions, check_ocr
from scicap_builder.workers import Engine


def build(
    papers: Path | str | PaperList,
    out: Path | str,
    options: BuildOptions = DEFAULT_BUILD,
    *,
    fetch: FetchOptions = DEFAULTS,
    metadata: Path | None = None,
    readers: Readers | None = None,
    clock: Clock = SYSTEM_CLOCK,
    engine: Callable[[Callable[[PaperFiles], PaperRecords]], Engine[PaperFiles]] | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> BuildResult:
    """Read all `papers` (see `list_papers`) into the data set `out`.

    `metadata` is a file of arXiv's catalogue (see `MetadataFile`): licences, and titles of papers from bulk archives.
    `readers`, `clock` and `engine` are seams. Raises InputError (no such list, unknown engine) and DatasetError (`out` was
    begun with other options, or another build writes there) before any work, and DatasetError when `out` cannot be written; what
    else goes wrong is counted, or stands in the result's `error`.
    """
    check_ocr(options.read.ocr)
    listed = papers if isinstance(papers, PaperList) else list_papers(papers)
    read = partial(read_paper, options=options.read, readers=readers or default_readers())
    work = partial(read_laid_out, read=read)
    start = engine or partial(start_engine, options)
    with DatasetWriter(Path(out), options=options.recorded, overwrite=options.overwrite) as writer:
        waiting = papers_left(listed.papers, writer.done, writer.places, writer.out)
        run = Run(
            papers=len(listed.papers),
            waiting=waiting,
            writer=writer,
            options=options,
            on_progress=on_progress,
            places={paper.key: place_of(paper, writer.out) for paper in waiting if not paper.arxiv},
            bad_lines=listed.dropped,
        )
        run.write_dropped()
        catalogue = catalogue_of(metadata, waiting)
        source = obtain(waiting, options.read.route, lambda: ArxivClient(fetch, clock=clock), catalogue)
        return run.to_its_end(source, start(work))


def catalogue_of(metadata: Path | None, papers: Sequence[PaperRef]) -> Catalogue:
    """What a metadata file says of these papers; nothing without one."""
    if metadata is None:
        return lambda _: None
    return MetadataFile(metadata, {paper.arxiv.base for paper in papers if paper.arxiv}).get
