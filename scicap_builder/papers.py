"""From what a person lists (a file of lines, a folder, a path, an id) to papers to read and lines that were left out."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llava_graph.dataset import read_json
from llava_graph.errors import DatasetError, InputError
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.bulk import bulk_members, is_bulk
from scicap_builder.parts import Carried, Stored

ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar", ".gz")
"""What arXiv's e-prints are stored as: an archive of files, or one compressed file."""
PAGE_ENDINGS = (".html", ".htm")
PAGE_NAMES = frozenset(["index", "paper"])
"""What pages are called that lie beside their paper."""
MAX_LIST_BYTES = 64 * 2**20
"""arXiv has under 3 million papers; their ids fit in half of this."""


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
        return self.arxiv is not None and not self.parts


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


def list_papers(papers: Path | str) -> PaperList:
    """All papers of a list file, a folder, a single PDF, archive or .tex file, or a single arXiv id.

    Raises InputError if `papers` is none of these or holds nothing. A bad line costs only itself.
    """
    path = _path(papers)
    found: list[PaperRef | Dropped]
    if path.is_dir() or (path.is_file() and _kind(path)):
        found = list(_local_papers(path, str(papers)))
    elif path.is_file():
        found = list(_read_lines(path))
    else:
        found = [paper_at(str(papers))]
    listed = _settle(found)
    if not listed.papers and not listed.dropped:
        raise InputError(
            "no paper is named here",
            where=str(papers),
            next_step="Give arXiv ids or paths, one a line, or a folder of papers",
        )
    return listed


def paper_at(text: str, where: str = "") -> PaperRef:
    """One paper from an arXiv id in any form, or from a path. Raises InputError."""
    path = _path(text)
    if path.exists():
        found = list(_local_papers(path, where or text))
        if len(found) != 1 or isinstance(found[0], Dropped):
            raise InputError(
                "this is not one paper",
                where=text,
                next_step="Give a PDF, an e-print archive, a .tex file or a paper's folder",
            )
        return _settle(found).papers[0]
    try:
        return _arxiv_paper(parse_arxiv_id(text), where)
    except InputError as error:
        what = "no such file" if _looks_like_path(text) else f"{error.what}, and there is no such file"
        raise InputError(what, where=where or text, next_step=error.next_step) from error


def _read_lines(path: Path) -> Iterator[PaperRef | Dropped]:
    """The papers of a list file; a line that names none becomes Dropped("ids.txt:7", "bad-line", why)."""
    if path.stat().st_size > MAX_LIST_BYTES:
        raise InputError(f"the list has more than {MAX_LIST_BYTES // 2**20} MB", where=str(path), next_step="Split it")
    data = path.read_bytes()
    if b"\0" in data[:4096]:
        raise InputError(
            "this is not a text file",
            where=str(path),
            next_step="Give a file with an arXiv id or a path a line, or a folder",
        )
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), 1):
        text = line.partition(" #")[0].partition("\t#")[0].strip()
        if text and not text.startswith("#"):
            yield from _read_line(text, path.parent, f"{path.name}:{number}")


def _read_line(text: str, folder: Path, where: str) -> Iterator[PaperRef | Dropped]:
    """A path is meant from the list's folder first, then from the current one."""
    try:
        local = next((path for base in (folder, Path()) if (path := base / _path(text)).exists()), None)
        if local is not None:
            yield from _local_papers(local, where)
        else:
            yield paper_at(text, where)
    except (InputError, OSError) as error:
        detail = ". ".join(filter(None, (error.what, error.next_step))) if isinstance(error, InputError) else str(error)
        yield Dropped(item=where, reason="bad-line", detail=detail)


def _arxiv_paper(arxiv: ArxivId, where: str) -> PaperRef:
    return PaperRef(key=f"arxiv:{arxiv}", where=where, arxiv=arxiv)


def _local_papers(path: Path, where: str) -> Iterator[PaperRef | Dropped]:
    """The papers at a path. One is named after its file, or after the folder that holds nothing but it."""
    path = path.resolve()
    if path.is_dir():
        yield from _folder_papers(path, where)
    elif is_bulk(path):
        yield from _bulk_papers(path)
    elif _kind(path) == "pdf":
        yield PaperRef(key=str(path.with_name(bare_name(path))), where=where, pdf=path)
    elif _kind(path) == "html":
        yield PaperRef(key=_page_key(path), where=where, html=path)
    elif _kind(path):
        yield PaperRef(key=str(path.with_name(bare_name(path))), where=where, source=path)
    else:
        raise InputError(
            "not a PDF, a LaTeX file, an e-print archive or an HTML page",
            where=str(path),
            next_step=f"Known: .pdf .tex .html {' '.join(ARCHIVE_ENDINGS)}",
        )


def _bulk_papers(path: Path) -> Iterator[PaperRef | Dropped]:
    """The papers of one of arXiv's bulk archives."""
    for member in bulk_members(path):
        if isinstance(member, Dropped):
            yield member
        else:
            arxiv, part = member
            yield replace(_arxiv_paper(arxiv, f"{path.name}:{part.name}"), parts=(part,))


def _folder_papers(folder: Path, where: str) -> Iterator[PaperRef | Dropped]:
    """One paper if the folder holds one (LaTeX files; or one PDF, one archive, or both), else all in and below it.

    A page belongs to the paper beside it (`_page_of`).
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        yield Dropped(item=where, reason="unreadable", detail=f"{folder}: {error.strerror}")
        return
    bulk = [entry for entry in entries if entry.is_file() and is_bulk(entry)]
    for archive in bulk:
        yield from _bulk_papers(archive)
    files = [entry for entry in entries if entry.is_file() and entry not in bulk]
    pdfs = [file for file in files if _kind(file) == "pdf"]
    archives = [file for file in files if _kind(file) == "archive"]
    sources = [file for file in files if _kind(file) == "tex"]
    pages = [file for file in files if _kind(file) == "html"]
    if sources:
        # The tree's other PDFs are figures; the paper itself is compiled from one of the .tex files.
        stems = {file.stem for file in sources} | {"paper", folder.name}
        compiled = [pdf for pdf in pdfs if pdf.stem in stems]
        yield PaperRef(
            key=str(folder),
            where=where,
            source=folder,
            pdf=compiled[0] if len(compiled) == 1 else None,
            html=_page_of(pages, stems),
            licence=_licence(folder),
        )
    elif (pdfs or archives) and len(pdfs) <= 1 and len(archives) <= 1:
        source, pdf = next(iter(archives), None), next(iter(pdfs), None)
        html = _page_of(pages, {folder.name, *(bare_name(file) for file in (source, pdf) if file)})
        yield PaperRef(key=str(folder), where=where, source=source, pdf=pdf, html=html, licence=_licence(folder))
    else:
        below: list[PaperRef | Dropped] = [*_pairs(folder, [*pdfs, *archives, *pages], where)]
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                below.extend(
                    paper
                    for paper in _folder_papers(entry, str(entry))
                    if isinstance(paper, PaperRef) or paper.reason != "no-papers"
                )
        if not below and not bulk:
            below = [Dropped(item=where, reason="no-papers", detail=f"{folder} holds no PDF and no LaTeX source")]
        yield from below


def _pairs(folder: Path, files: list[Path], where: str) -> list[PaperRef]:
    """Several papers in one folder: a PDF, an archive and a page of the same name are one."""
    by_name: dict[str, PaperRef] = {}
    again: list[PaperRef] = []
    for file in files:
        key = _page_key(file) if _kind(file) == "html" else str(folder / bare_name(file))
        new = PaperRef(
            key=key,
            where=where,
            pdf=file if _kind(file) == "pdf" else None,
            source=file if _kind(file) == "archive" else None,
            html=file if _kind(file) == "html" else None,
        )
        whole = _whole(by_name[key], new) if key in by_name else new
        if whole:
            by_name[key] = whole
        else:
            again.append(new)
    return [*by_name.values(), *again]


def _page_of(pages: list[Path], names: set[str]) -> Path | None:
    """The page that belongs to a paper beside it: named as the paper is, or as people name a page."""
    return next((page for page in pages if bare_name(page) in {*names, *PAGE_NAMES}), None)


def _page_key(page: Path) -> str:
    """A page is named after its file; index.html and paper.html say nothing and are named after their folder."""
    return str(page.parent if bare_name(page) in PAGE_NAMES else page.with_name(bare_name(page)))


def bare_name(path: Path) -> str:
    """A file's name without the ending of a paper: "2305.03393v1.tar.gz" -> "2305.03393v1"."""
    for ending in (*ARCHIVE_ENDINGS, ".pdf", ".tex", *PAGE_ENDINGS):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _kind(path: Path) -> str:
    """ "pdf", "tex", "html", "archive" or "" by the file's ending; what it truly holds is found out when it is read."""
    name = path.name.lower()
    if name.endswith(".pdf"):
        return "pdf"
    if name.endswith((".tex", ".ltx")):
        return "tex"
    if name.endswith(PAGE_ENDINGS):
        return "html"
    return "archive" if name.endswith(ARCHIVE_ENDINGS) else ""


def _licence(folder: Path) -> str:
    """The licence that a meta.json beside the paper states; empty when there is none."""
    try:
        meta = read_json(folder / "meta.json")
    except DatasetError:
        return ""
    value = next((meta[name] for name in ("licence", "license") if name in meta), "") if isinstance(meta, dict) else ""
    return " ".join(value.split()) if isinstance(value, str) else ""


def _path(text: Path | str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~nobody/…"
        return Path(text)


def _looks_like_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or bool(re.search(r"\.[A-Za-z]\w*$", text) and "arxiv" not in text.lower())


def _settle(found: Iterable[PaperRef | Dropped]) -> PaperList:
    """Each paper once (one arXiv paper in two versions is one paper: the first line counts), local ones under short names."""
    kept: dict[str, PaperRef] = {}
    dropped: list[Dropped] = []
    for item in found:
        if isinstance(item, Dropped):
            dropped.append(item)
            continue
        same = item.arxiv.base if item.arxiv else item.key
        if same in kept and (whole := _whole(kept[same], item)):
            kept[same] = whole
        elif same in kept:
            dropped.append(Dropped(item=item.where, reason="duplicate", detail=f"the same paper as {kept[same].where}"))
        else:
            kept[same] = item
    return PaperList(papers=tuple(_short_names(list(kept.values()))), dropped=tuple(dropped))


def _whole(one: PaperRef, other: PaperRef) -> PaperRef | None:
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


def _short_names(papers: list[PaperRef]) -> Iterator[PaperRef]:
    """Local papers are named by as many parts of their path, from its end, as tell them apart."""
    depth = {Path(paper.key): 1 for paper in papers if not paper.arxiv}
    while clashes := {name for name, count in Counter(tail(*item) for item in depth.items()).items() if count > 1}:
        depth = {path: parts + (tail(path, parts) in clashes) for path, parts in depth.items()}
    for paper in papers:
        if paper.arxiv:
            yield paper
        else:
            yield replace(paper, place=paper.key, key=f"local:{tail(Path(paper.key), depth[Path(paper.key)])}")


def tail(path: Path, parts: int) -> str:
    """The last `parts` parts of a path."""
    return "/".join(path.parts[-parts:])
