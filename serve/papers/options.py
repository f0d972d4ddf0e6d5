"""How the shelf behaves: where it lies, how much it holds, and what reading one paper may cost."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from llava_graph.errors import InputError
from scicap_builder.fetch import FetchOptions
from scicap_builder.fetch.http import default_cache
from scicap_builder.one_paper import NO_OCR, ReadOptions

TWO_TRIES = FetchOptions(tries=2, read_timeout_s=30.0)
WITHOUT_OCR = ReadOptions(ocr=NO_OCR)


@dataclass(frozen=True, kw_only=True)
class ShelfOptions:
    """Limits, each with its reason."""

    folder: Path | None = None
    """None: the platform's cache folder (XDG_CACHE_HOME/llava-graph/papers)."""
    max_bytes: int = 2 * 2**30
    """A paper takes 2 to 20 MB with its PDF and pictures: a few hundred papers."""
    uploads_kept_s: float = 24 * 3600.0
    """s without use after which an uploaded paper is deleted; those of arXiv are public and stay until there is no room."""
    seconds: float = 180.0
    """For reading one paper; the longest of our test papers takes 20 s on one core."""
    memory_bytes: int = 2 * 2**30
    """For reading one paper; the largest of our test papers needs 0.7 GB."""
    at_once: int = 2
    """Papers that are read side by side."""
    max_openings: int = 24
    """Papers that may wait to be read; the next one is told that the page is busy."""
    latest_kept_s: float = 24 * 3600.0
    """s for which arXiv is not asked again which version of a paper is the newest."""
    fetch: FetchOptions = TWO_TRIES
    """How arXiv is asked; somebody waits."""
    reading: ReadOptions = WITHOUT_OCR
    """Text inside pictures is read when a figure is chosen: a paper is open sooner."""

    def __post_init__(self) -> None:
        if self.max_bytes < 0 or min(self.seconds, self.memory_bytes, self.at_once, self.max_openings) <= 0:
            raise InputError("limits of the papers' shelf must be positive")

    @property
    def place(self) -> Path:
        """The folder of the shelf."""
        return self.folder or default_cache().parent / "papers"

    @property
    def fetching(self) -> FetchOptions:
        """`fetch` with its downloads on the shelf, so that they are bounded with everything else."""
        return replace(self.fetch, cache=self.fetch.cache or self.place / "downloads")

    @property
    def suffix(self) -> str:
        """What tells papers apart that were read in different ways; empty for the usual one."""
        usual, mine = WITHOUT_OCR, self.reading
        return "" if mine == usual else f"-{mine.route}-{mine.dpi}dpi-{mine.ocr}"


USUAL = ShelfOptions()


def shelf_options(folder: Path | None, megabytes: int, contact: str) -> ShelfOptions:
    """As the serving commands give them. Raises InputError, also for a folder that cannot be one."""
    if folder is not None:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"--papers-cache {folder}: {there} is no folder in which this account can write")
    return ShelfOptions(folder=folder, max_bytes=megabytes * 10**6, fetch=replace(TWO_TRIES, contact=contact))
