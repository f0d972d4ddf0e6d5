"""arXiv's bulk archives (info.arxiv.org/help/bulk_data_s3): `arXiv_src_1706_001.tar`, `arXiv_pdf_1706_001.tar` -> papers to read.

Only the headers are read here, one a paper; a paper's bytes are copied out of the archive when its turn comes.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from llava_graph.errors import InputError
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.parts import Stored

_NAME = re.compile(r"arxiv_(?:src|pdf)_\d{4}_\d+\.tar", re.IGNORECASE)
_ENDING = re.compile(r"(?:\.tar)?\.gz$|\.pdf$|\.tex$", re.IGNORECASE)
_SQUASHED = re.compile(r"([a-z-]+)(?:\.[A-Z]{2})?(\d{7}(?:v\d+)?)", re.IGNORECASE)
"""Ids of before April 2007 lose their slash in file names: hep-th9901001."""


def is_bulk(path: Path) -> bool:
    """Whether a file is named as arXiv names its bulk archives."""
    return bool(_NAME.fullmatch(path.name))


def bulk_members(path: Path) -> Iterator[tuple[ArxivId, Stored] | Dropped]:
    """Every paper's file in one bulk archive, `1706/1706.03762.gz` or `.pdf`; what is none is dropped with a reason.

    An archive that is cut off gives what it holds before the cut, and one "broken-archive".
    """
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.offset_data + member.size > size:
                    raise EOFError(f"it ends within {member.name}")
                if member.isfile():
                    yield _member(path, member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        yield Dropped(item=path.name, reason="broken-archive", detail=f"the bulk archive is broken ({error})")


def _member(path: Path, member: tarfile.TarInfo) -> tuple[ArxivId, Stored] | Dropped:
    name = PurePosixPath(member.name).name
    where = f"{path.name}:{member.name}"
    try:
        arxiv = parse_arxiv_id(_SQUASHED.sub(r"\1/\2", _ENDING.sub("", name)))
    except InputError as error:
        return Dropped(item=where, reason="bad-member", detail=error.what)
    field = "pdf" if name.lower().endswith(".pdf") else "source"
    safe = f"{arxiv.file_key}{'.pdf' if field == 'pdf' else '.gz'}"
    return arxiv, Stored(field=field, name=safe, archive=path, offset=member.offset_data, size=member.size)
