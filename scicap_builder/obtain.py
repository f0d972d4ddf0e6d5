"""From papers asked for to files on this machine, one after the other, so that arXiv sees one polite visitor."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from llava_graph.errors import AccessDenied, FetchError
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId
from scicap_builder.fetch import ArxivClient, Metadata, is_passing
from scicap_builder.metadata import Known
from scicap_builder.paper_ref import PaperFiles, PaperRef
from scicap_builder.progress import tell

ROUTES = ("auto", "pdf", "latex", "html")
FAILURES_IN_A_ROW = 3
"""So many papers that fail for passing reasons mean that the network or arXiv is down: the rest is left for another run."""
METADATA_BATCH = 100

Catalogue = Callable[[str], Known | None]
"""What a metadata file says of an id without version."""
Obtained = tuple[PaperRef, PaperFiles | Dropped | FetchError]
"""The paper asked for, and its files, the reason why it has none, or an error that another run may not meet."""


def obtain(
    papers: Sequence[PaperRef],
    route: str,
    client: Callable[[], ArxivClient],
    catalogue: Catalogue = lambda _: None,
) -> Iterator[Obtained]:
    """The files of each paper in turn. `client` is called if one has to be fetched. Raises AccessDenied."""
    with ExitStack() as stack:
        arxiv: ArxivClient | None = None
        for remote, group in groupby(papers, lambda paper: paper.remote):
            if not remote:
                yield from ((paper, local_files(paper, catalogue)) for paper in group)
                continue
            arxiv = arxiv or stack.enter_context(client())
            yield from _from_arxiv(list(group), route, arxiv, catalogue)


def local_files(paper: PaperRef, catalogue: Catalogue = lambda _: None) -> PaperFiles:
    """A paper that is on this machine already."""
    known = (catalogue(paper.arxiv.base) if paper.arxiv else None) or Known(base="")
    return PaperFiles(
        key=paper.key,
        id=paper.key,
        pdf=paper.pdf,
        source=paper.source,
        html=paper.html,
        parts=paper.parts,
        title=known.title,
        abstract=known.abstract,
        categories=known.categories,
        licence=known.licence or paper.licence,
    )


def _from_arxiv(papers: list[PaperRef], route: str, client: ArxivClient, catalogue: Catalogue) -> Iterator[Obtained]:
    failures = 0
    down: FetchError | None = None
    for start in range(0, len(papers), METADATA_BATCH):
        batch = papers[start : start + METADATA_BATCH]
        tell("asking arXiv what it has")
        try:
            known = {} if down else client.metadata([paper.arxiv for paper in batch if paper.arxiv])
        except AccessDenied:
            raise
        except FetchError as error:
            known, down = {}, error
        for paper in batch:
            found = down or arxiv_files(paper, known, route, client, catalogue)
            yield paper, found
            failures = failures + 1 if isinstance(found, FetchError) else 0
            if isinstance(found, FetchError) and (found.reason == "busy" or failures >= FAILURES_IN_A_ROW):
                down = found


def arxiv_files(
    paper: PaperRef,
    known: Mapping[ArxivId, Metadata],
    route: str,
    client: ArxivClient,
    catalogue: Catalogue = lambda _: None,
) -> PaperFiles | Dropped | FetchError:
    """One paper's files by `route` (see ROUTES): source, PDF and page of the same version. Raises AccessDenied."""
    about = known.get(paper.arxiv) if paper.arxiv else None
    if about is None:
        return Dropped(item=paper.key, reason="not-found", detail="arXiv knows no paper under this id")
    try:
        source = None if route in ("pdf", "html") else _source(client, about, needed=route == "latex")
        pdf = None if route in ("latex", "html") or _is_pdf(source) else _pdf(client, about)
        html = None if route in ("pdf", "latex") else _html(client, about, needed=route == "html")
        listed = catalogue(about.id.base)
        licence = listed.licence if listed else _licence(client, about)
    except AccessDenied:
        raise
    except FetchError as error:
        if is_passing(error):
            return error
        reason = "withdrawn" if about.withdrawn and error.reason in ("no-source", "no-pdf") else error.reason
        return Dropped(item=f"arxiv:{about.id}", reason=reason, detail=str(error))
    return PaperFiles(
        key=paper.key,
        id=f"arxiv:{about.id}",
        pdf=pdf,
        source=source,
        html=html,
        title=about.title,
        abstract=about.abstract,
        categories=about.categories,
        licence=licence,
    )


def _source(client: ArxivClient, about: Metadata, *, needed: bool) -> Path | None:
    """The source; None where arXiv has none and the PDF will do."""
    tell("fetching its source from arXiv")
    try:
        return client.source(about.id)
    except FetchError as error:
        if error.reason not in ("no-source", "source-not-public") or needed or about.withdrawn:
            raise
        return None


def _pdf(client: ArxivClient, about: Metadata) -> Path:
    tell("fetching its PDF from arXiv")
    return client.pdf(about.id)


def _html(client: ArxivClient, about: Metadata, *, needed: bool) -> Path | None:
    """The HTML page where it is in the cache or asked for; the other routes do without it."""
    if not needed and not client.options.html:
        return client.cached_html(about.id)
    tell("fetching its HTML page from arXiv")
    try:
        return client.html(about.id)
    except AccessDenied:
        raise
    except FetchError as error:
        if needed or is_passing(error):
            raise
        return None


def _is_pdf(source: Path | None) -> bool:
    """Whether the paper was given to arXiv as a PDF, which then comes as its source: it is not asked for twice."""
    if source is None:
        return False
    with source.open("rb") as opened:
        return opened.read(5) == b"%PDF-"


def _licence(client: ArxivClient, about: Metadata) -> str:
    """The licence; where arXiv's answer says nothing it stays empty. What another run may learn is left for it."""
    tell("asking arXiv for its licence")
    try:
        return client.licence(about.id)
    except AccessDenied:
        raise
    except FetchError as error:
        if is_passing(error):
            raise
        return ""
