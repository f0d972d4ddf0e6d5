"""The folder of papers that a person gives (`--papers-root`): which of its files are which arXiv paper, by their names."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from llava_graph.errors import InputError
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId
from scicap_builder.folders import id_of_path
from scicap_builder.paper_ref import PaperRef, whole
from scicap_builder.papers import list_papers


@dataclass(kw_only=True)
class Library:
    """Papers by id without version, then by version (None: the name has none)."""

    papers: dict[str, dict[int | None, PaperRef]] = field(default_factory=dict)
    nameless: int = 0
    """Papers whose names are no arXiv ids; they are found for no figure."""
    dropped: tuple[Dropped, ...] = ()
    """What was left out while the folder was listed: archives that are cut off, folders that cannot be read."""

    def problems(self) -> Iterator[str]:
        """What a person should know of the folder, a sentence a reason."""
        if self.nameless:
            yield f"{self.nameless} papers of the folder are named after no arXiv id"
        for reason, count in Counter(item.reason for item in self.dropped).most_common():
            first = next(item for item in self.dropped if item.reason == reason)
            yield f"the folder of papers: {reason} {count}, such as {first.item}: {first.detail}"

    def find(self, wanted: ArxivId, key: str) -> PaperRef | None:
        """The paper under the key of a unit of work: in this version, in none that is named, else in the latest."""
        versions = self.papers.get(wanted.base)
        if not versions:
            return None
        version = next(
            (one for one in (wanted.version, None) if one in versions), max((v for v in versions if v), default=None)
        )
        found = versions[version]
        return replace(found, key=key, arxiv=ArxivId(base=wanted.base, version=version))


def library(folder: Path | None) -> Library:
    """The papers in and below a folder, PDFs, e-prints, pages and bulk archives. Raises InputError where there is none."""
    made = Library()
    if folder is None:
        return made
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder), next_step="--papers-root is a folder of arXiv's papers")
    listed = list_papers(folder)
    made.dropped = listed.dropped
    for paper in listed.papers:
        arxiv = paper.arxiv or next(_ids(paper), None)
        if arxiv is None:
            made.nameless += 1
        else:
            versions = made.papers.setdefault(arxiv.base, {})
            before = versions.get(arxiv.version)
            # Its PDF and its source may lie in two folders.
            versions[arxiv.version] = (whole(before, paper) or before) if before else paper
    if not made.papers:
        raise InputError(
            f"none of its {made.nameless} papers is named after an arXiv id" if made.nameless else "holds no paper",
            where=str(folder),
            next_step="; ".join(f"{item.item}: {item.reason}, {item.detail}" for item in listed.dropped[:1])
            or "Name them 1706.03762v7.pdf, cs0102003v1.tar.gz",
        )
    return made


def _ids(paper: PaperRef) -> Iterator[ArxivId]:
    """What the names of its folder and files say."""
    inside = sorted(paper.source.glob("*.tex")) if paper.source and paper.source.is_dir() else ()
    for path in (Path(paper.place), paper.pdf, paper.source, paper.html, *inside):
        if path is not None and (found := id_of_path(path)):
            yield found
