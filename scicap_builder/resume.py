"""Which papers of a list a data set holds already: arXiv papers by their id, local ones by the place that they were read at."""

import os
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from scicap_builder.paper_ref import PaperRef
from scicap_builder.papers import tail


def papers_left(papers: Sequence[PaperRef], done: Set[str], places: Mapping[str, Any], out: Path) -> list[PaperRef]:
    """The papers that are not in the data set `out` yet, whose keys are `done` and whose local papers lay at `places`.

    Short names are made for one list; another list may give the same name to another paper. That one gets a longer name
    here, instead of being taken for done. A paper that has moved, its files of the same size, is known again.
    """
    bases = {re.sub(r"v\d+$", "", key) for key in done if key.startswith("arxiv:")}
    known = {where for where, _ in places.values()}
    taken = {*done, *(paper.key for paper in papers)}
    left: list[PaperRef] = []
    for paper in papers:
        if paper.arxiv:
            if f"arxiv:{paper.arxiv.base}" not in bases:
                left.append(paper)
            continue
        where, size = place_of(paper, out)
        if where in known:
            continue
        if paper.key not in done:
            left.append(paper)
        elif paper.key in places and places[paper.key][1] != size:
            fresh = _free_name(paper, taken)
            taken.add(fresh)
            left.append(replace(paper, key=fresh))
    return left


def place_of(paper: PaperRef, out: Path) -> tuple[str, int]:
    """(path as seen from the data set, bytes of its files): what is written down about a local paper."""
    try:
        where = os.path.relpath(paper.place, out.resolve())
    except ValueError:  # another drive
        where = paper.place
    files = [file for file in (paper.pdf, paper.source) if file and file.is_file()]
    return where, sum(file.stat().st_size for file in files)


def _free_name(paper: PaperRef, taken: Set[str]) -> str:
    """The shortest name, by more and more of its path and then by a number, that nobody has."""
    path = Path(paper.place)
    names = [f"local:{tail(path, parts)}" for parts in range(1, len(path.parts))]
    names += [f"{names[-1]}-{number}" for number in range(2, len(taken) + 3)]
    return next(name for name in names if name not in taken)
