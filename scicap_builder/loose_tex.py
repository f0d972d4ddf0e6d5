"""One .tex file that somebody points at -> a folder as arXiv would have it: the file, what may belong to it, and a 00README."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

TEX_FILES = (".tex", ".ltx", ".sty", ".cls", ".def", ".bbl", ".bib", ".tikz", ".pgf")
PICTURES = (".pdf", ".png", ".jpg", ".jpeg", ".eps", ".ps", ".svg")
BELONGING = frozenset((*TEX_FILES, *PICTURES))
MAX_FILES = 2000
MAX_BYTES = 2**30
"""Limits for a file that lies in a folder of everything: beyond them the rest of the folder is not looked at."""


def stage(main: Path, into: Path) -> Path:
    """Link (or copy) `main` and what lies beside and below it into the folder `into`, with `main` named as the paper."""
    for file in [main, *_beside(main)]:
        place = into / file.relative_to(main.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            _link(file, place)
    (into / "00README.XXX").write_text(f"{main.name} toplevelfile\n", encoding="utf-8")
    return into


def _beside(main: Path) -> Iterator[Path]:
    files = size = 0
    for folder, folders, names in os.walk(main.parent, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix.lower() not in BELONGING or file.is_symlink():
                continue
            files, size = files + 1, size + file.stat().st_size
            if files > MAX_FILES or size > MAX_BYTES:
                return
            yield file


def _link(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, place)
