"""Papers in files and folders on this machine: which files belong together, and what each paper is called."""

from collections.abc import Iterator
from pathlib import Path

from llava_graph.dataset import read_json
from llava_graph.errors import DatasetError, InputError
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId, id_of_name
from scicap_builder.bulk import bulk_members, is_bulk
from scicap_builder.paper_ref import PaperRef, whole

ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar", ".gz")
"""What arXiv's e-prints are stored as: an archive of files, or one compressed file."""
PAGE_ENDINGS = (".html", ".htm")
PAGE_NAMES = frozenset(["index", "paper"])
"""What pages are called that lie beside their paper."""


def local_papers(path: Path, where: str) -> Iterator[PaperRef | Dropped]:
    """The papers at a path. One is named after its file, or after the folder that holds nothing but it."""
    path = path.resolve()
    if path.is_dir():
        yield from _folder_papers(path, where)
    elif is_bulk(path):
        yield from _bulk_papers(path)
    elif kind_of_file(path) == "pdf":
        yield PaperRef(key=str(path.with_name(bare_name(path))), where=where, pdf=path)
    elif kind_of_file(path) == "html":
        yield PaperRef(key=_page_key(path), where=where, html=path)
    elif kind_of_file(path):
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
            yield PaperRef(key=f"arxiv:{arxiv}", where=f"{path.name}:{part.name}", arxiv=arxiv, parts=(part,))


def _folder_papers(folder: Path, where: str) -> Iterator[PaperRef | Dropped]:
    """One paper if the folder holds one (LaTeX files; or one PDF, one archive, or both), else all in and below it.

    A page belongs to the paper beside it (`_page_of`). Files that are named after different arXiv ids are papers of their own.
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
    pdfs = [file for file in files if kind_of_file(file) == "pdf"]
    archives = [file for file in files if kind_of_file(file) == "archive"]
    sources = [file for file in files if kind_of_file(file) == "tex"]
    pages = [file for file in files if kind_of_file(file) == "html"]
    papers = [*pdfs, *archives, *sources, *pages]
    if _is_shelf(folder, entries, papers):
        yield from _several(folder, entries, papers, where, bulk=bool(bulk))
    elif sources:
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
        yield from _several(folder, entries, papers, where, bulk=bool(bulk))


def _is_shelf(folder: Path, entries: list[Path], files: list[Path]) -> bool:
    """Whether a folder's files say that it holds papers: they are named after several arXiv ids, or after one that is not
    the folder's and there are folders beside it."""
    first: ArxivId | None = None
    for file in files:
        found = id_of_path(file)
        if found and first and found != first:
            return True
        first = first or found
    loose = any(kind_of_file(file) == "tex" and not id_of_path(file) for file in files)
    alone = loose or id_of_path(folder) or not any(entry.is_dir() for entry in entries)
    return first is not None and not alone


def _several(
    folder: Path, entries: list[Path], files: list[Path], where: str, *, bulk: bool
) -> Iterator[PaperRef | Dropped]:
    """The papers among these files of the folder, and those below it; `bulk` says that bulk archives gave some already."""
    below: list[PaperRef | Dropped] = [*_pairs(folder, files, where)]
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
        key = _page_key(file) if kind_of_file(file) == "html" else str(folder / bare_name(file))
        new = PaperRef(
            key=key,
            where=where,
            pdf=file if kind_of_file(file) == "pdf" else None,
            source=file if kind_of_file(file) in ("archive", "tex") else None,
            html=file if kind_of_file(file) == "html" else None,
        )
        joined = whole(by_name[key], new) if key in by_name else new
        if joined:
            by_name[key] = joined
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


def id_of_path(path: Path) -> ArxivId | None:
    """The arXiv id that a file or folder is named after, "hep-th/9901001v2.pdf" also by the folder that it lies in."""
    name = bare_name(path)
    return id_of_name(name) or id_of_name(f"{path.parent.name}/{name}")


def kind_of_file(path: Path) -> str:
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
