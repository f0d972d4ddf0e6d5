"""What a paper is before it is read: asked for (`PaperRef`), and with its files on this machine (`PaperFiles`)."""

from dataclasses import dataclass, replace
from pathlib import Path

from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId
from scicap_builder.parts import Carried, Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRef:
    """One paper somebody asked for: an arXiv id, or files on this machine."""

    key: str
    """Stable name under which a build remembers the paper: "arxiv:1706.03762", "local:frustum"."""
    where: str = ""
    """The line it was asked for in ("ids.txt:7"), or its folder."""
    arxiv: ArxivId | None = None
    pdf: Path | None = None
    source: Path | None = None
    """An e-print archive, one .tex file, or a folder that holds .tex files."""
    html: Path | None = None
    """A page as LaTeXML writes it (arxiv.org/html, ar5iv)."""
    licence: str = ""
    parts: tuple[Stored, ...] = ()
    """Its files in a bulk archive."""
    place: str = ""
    """Where a local paper lies: its path without the ending."""

    @property
    def remote(self) -> bool:
        """Whether it has to be fetched from arXiv."""
        return self.arxiv is not None and not (self.parts or self.pdf or self.source or self.html)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperFiles:
    """One paper whose files lie on this machine, ready to be read."""

    key: str
    id: str
    """The key with the exact version: "arxiv:1706.03762v7"."""
    pdf: Path | None = None
    source: Path | None = None
    html: Path | None = None
    title: str = ""
    abstract: str = ""
    categories: tuple[str, ...] = ()
    licence: str = ""
    parts: tuple[Stored | Carried, ...] = ()
    """Those of its files that have to be laid out before it is read (`parts.read_laid_out`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperList:
    """The papers in the order asked for, each once, and the lines that name none."""

    papers: tuple[PaperRef, ...] = ()
    dropped: tuple[Dropped, ...] = ()


def whole(one: PaperRef, other: PaperRef) -> PaperRef | None:
    """The whole of a paper whose PDF, source and page were listed apart under one name; None if it is the same file again.

    A paper in a source and a PDF archive of arXiv's is one; a paper that was given as PDF lies in both.
    """
    if one.arxiv and (one.parts or other.parts):
        names = {part.field for part in one.parts}
        return replace(one, parts=(*one.parts, *(part for part in other.parts if part.field not in names)))
    both = [(one.pdf, other.pdf), (one.source, other.source), (one.html, other.html)]
    if one.arxiv or other.arxiv or any(mine and theirs for mine, theirs in both):
        return None
    return replace(one, pdf=one.pdf or other.pdf, source=one.source or other.source, html=one.html or other.html)
