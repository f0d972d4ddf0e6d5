"""From what a person lists (a file of lines, a folder, a path, an id) to papers to read and lines that were left out."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from llava_graph.errors import InputError
from llava_graph.printable import readable_name
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.folders import kind_of_file, local_papers
from scicap_builder.paper_ref import PaperList, PaperRef, whole

MAX_LIST_BYTES = 64 * 2**20
"""arXiv has under 3 million papers; their ids fit in half of this."""


def list_papers(papers: Path | str) -> PaperList:
    """All papers of a list file, a folder, a single PDF, archive or .tex file, or a single arXiv id.

    Raises InputError if `papers` is none of these or holds nothing. A bad line costs only itself.
    """
    path = _path(papers)
    found: list[PaperRef | Dropped]
    if path.is_dir() or (path.is_file() and kind_of_file(path)):
        found = list(local_papers(path, str(papers)))
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
        found = list(local_papers(path, where or text))
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
            yield from local_papers(local, where)
        else:
            yield paper_at(text, where)
    except (InputError, OSError) as error:
        detail = ". ".join(filter(None, (error.what, error.next_step))) if isinstance(error, InputError) else str(error)
        yield Dropped(item=where, reason="bad-line", detail=detail)


def _arxiv_paper(arxiv: ArxivId, where: str) -> PaperRef:
    return PaperRef(key=f"arxiv:{arxiv}", where=where, arxiv=arxiv)


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
        if same in kept and (joined := whole(kept[same], item)):
            kept[same] = joined
        elif same in kept:
            dropped.append(Dropped(item=item.where, reason="duplicate", detail=f"the same paper as {kept[same].where}"))
        else:
            kept[same] = item
    return PaperList(papers=tuple(_short_names(list(kept.values()))), dropped=tuple(dropped))


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
    return readable_name("/".join(path.parts[-parts:]))
