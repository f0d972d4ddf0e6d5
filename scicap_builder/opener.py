"""Papers for commands that explain them: what a path or an id names, opened when its turn comes.

Registered as entry point `llava_graph.paper_openers`; `llava_graph.sources` says what is asked for.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from llava_graph.images import open_image
from llava_graph.record import Dropped, Figure
from llava_graph.sources import FoundPaper, fingerprint
from scicap_builder.fetch import FetchOptions
from scicap_builder.one_paper import DEFAULT_READING, NO_OCR, PaperRecords, open_listed
from scicap_builder.paper_ref import PaperRef
from scicap_builder.papers import list_papers
from scicap_builder.progress import listening

CONTACT_VARIABLE = "SCICAP_BUILDER_CONTACT"


@dataclass(frozen=True, kw_only=True)
class OpenPaper:
    """A paper whose pictures are read by an OCR engine only when they are asked for."""

    records: PaperRecords
    read_text: bool

    @property
    def id(self) -> str:
        """See `llava_graph.sources.PaperRead`."""
        return self.records.id

    @property
    def title(self) -> str:
        """See PaperRead."""
        return self.records.title

    @property
    def figures(self) -> tuple[Figure, ...]:
        """See PaperRead."""
        return self.records.figures

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """See PaperRead."""
        return self.records.dropped

    def with_text(self, figure: Figure) -> Figure:
        """See PaperRead. Raises what the engine raises."""
        parts = self.records.unread.get(figure.id, ())
        if not parts or not self.read_text or figure.image is None:
            return figure
        from ocr import read_figure_text

        image = open_image(figure.image, where=figure.id)
        return replace(figure, ocr=read_figure_text(image, figure.ocr, parts, DEFAULT_READING.ocr))


def find_papers(
    name: str, *, read_text: bool = True, fetch: FetchOptions | None = None
) -> tuple[list[FoundPaper], list[Dropped]]:
    """The papers of a path (a PDF, an archive, a .tex or HTML file, a folder, a list of ids) or of an arXiv id.

    Raises InputError where nothing is named.
    """
    asking = fetch or FetchOptions(contact=os.environ.get(CONTACT_VARIABLE, ""))
    listed = list_papers(name)
    found = [
        FoundPaper(
            name=_name(paper),
            open=partial(_open, paper, read_text, asking),
            fingerprint=fingerprint(_files(paper)) or paper.key,
            place=paper.source or paper.pdf or paper.html,
        )
        for paper in listed.papers
    ]
    return found, list(listed.dropped)


def _name(paper: PaperRef) -> str:
    """A paper in one file has the file's name; one in several is called by what their names share."""
    files = [path for path in (paper.pdf, paper.source, paper.html) if path is not None]
    if paper.place and len(files) == 1 and files[0].name.startswith(stem := Path(paper.place).name):
        return paper.place + files[0].name.removeprefix(stem)
    return paper.place or paper.key.removeprefix("arxiv:")


def _open(paper: PaperRef, read_text: bool, fetch: FetchOptions, tell: Callable[[str], None]) -> OpenPaper:
    with listening(lambda step: tell(str(step))):
        records = open_listed(paper, replace(DEFAULT_READING, ocr=NO_OCR), fetch=fetch)
    return OpenPaper(records=records, read_text=read_text)


def _files(paper: PaperRef) -> Iterator[Path]:
    """Every file that the paper is read from."""
    for path in (paper.pdf, paper.source, paper.html):
        if path is not None and path.is_dir():
            yield from _below(path)
        elif path is not None:
            yield path


def _below(folder: Path) -> Iterable[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
