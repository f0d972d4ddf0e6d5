"""From what a person gave (an arXiv id in any form, an uploaded file) to the name under which its paper lies on the shelf."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from llava_graph.errors import FetchError, InputError, PaperError
from llava_graph.examples import example_paper
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.fetch import ArxivClient
from scicap_builder.folders import ARCHIVE_ENDINGS, kind_of_file
from scicap_builder.obtain import local_files, obtain
from scicap_builder.paper_ref import PaperFiles, PaperRef
from scicap_builder.papers import paper_at
from scicap_builder.progress import tell

HASH_LETTERS = 32
"""Of an uploaded file's SHA-256, 128 bits: whoever does not have the file cannot guess under which name it is kept."""
_UPLOAD = re.compile(rf"upload:[0-9a-f]{{{HASH_LETTERS}}}")
EXAMPLE = "example"
"""Id of the paper that comes with the package."""
MAX_ASKED_CHARS = 300
TAKEN = (".pdf", *ARCHIVE_ENDINGS, ".tex", ".html", ".htm")
"""Endings of files that are papers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to open: an arXiv paper, or a file."""

    arxiv: ArxivId | None = None
    file: Path | None = None
    digest: str = ""
    """Of the file; empty for the paper that comes with the package."""

    @property
    def key(self) -> str:
        """The paper's id as far as it is known: without a version, an arXiv paper means the newest one."""
        if self.arxiv:
            return f"arxiv:{self.arxiv}"
        return f"upload:{self.digest}" if self.digest else EXAMPLE


def asked(source: str | Path) -> Asked:
    """What is wanted, without any network. Raises InputError that says what is wrong with it."""
    if isinstance(source, Path):
        if not kind_of_file(source):
            raise InputError(
                "this file is neither a paper nor a picture",
                next_step=f"Papers: {' '.join(TAKEN)}. Pictures: PNG, JPEG, WebP, GIF, BMP, TIFF.",
            )
        return Asked(file=source, digest=_digest(source))
    text = source.strip()
    if text == EXAMPLE:
        return Asked(file=example_paper())
    if not text:
        raise InputError("no paper is named", next_step="Write an arXiv id such as 1706.03762, or its address.")
    if _UPLOAD.fullmatch(text):
        raise InputError(
            "this uploaded paper is not kept any more", next_step="Drop its file here again: it gets the same name."
        )
    return Asked(arxiv=parse_arxiv_id(text[:MAX_ASKED_CHARS]))


def folder_name(paper_id: str) -> str:
    """ "arxiv:1706.03762v7" -> "arxiv-1706.03762v7". Empty for what is no id with an exact version: no path is made of it."""
    if _UPLOAD.fullmatch(paper_id):
        return paper_id.replace(":", "-")
    if paper_id == EXAMPLE:
        # Another release may come with another paper.
        return f"{EXAMPLE}-{_digest(example_paper())[:12]}"
    if not paper_id.startswith("arxiv:"):
        return ""
    try:
        arxiv = parse_arxiv_id(paper_id.removeprefix("arxiv:"))
    except InputError:
        return ""
    return f"arxiv-{arxiv.file_key}" if arxiv.version else ""


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:HASH_LETTERS]


def newest_version(arxiv: ArxivId, client: ArxivClient) -> ArxivId:
    """The same paper at its newest version. One request. Raises PaperError if there is none, FetchError."""
    tell("asking arXiv for the newest version")
    known = client.metadata([arxiv]).get(arxiv)
    if known is None:
        raise _no_such_paper(arxiv)
    return known.id


def fetch_paper(arxiv: ArxivId, route: str, client: ArxivClient) -> PaperFiles:
    """The files of a paper at an exact version. Raises PaperError, FetchError."""
    paper = PaperRef(key=f"arxiv:{arxiv}", arxiv=arxiv)
    [(_, found)] = obtain([paper], route, lambda: client)
    if isinstance(found, FetchError):
        raise found
    if isinstance(found, Dropped):
        raise _no_such_paper(arxiv) if found.reason == "not-found" else PaperError(found.detail, reason=found.reason)
    return found


def uploaded_paper(file: Path) -> PaperFiles:
    """The files of an uploaded paper. Raises InputError."""
    return local_files(paper_at(str(file)))


def _no_such_paper(arxiv: ArxivId) -> PaperError:
    return PaperError(
        f"there is no paper {arxiv} on arXiv",
        reason="not-found",
        next_step="Look at the number again, or leave out the version.",
    )
