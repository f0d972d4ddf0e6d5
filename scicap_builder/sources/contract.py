"""What a published data set is to us: its files, its licence, and how a row of it becomes a figure record without pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llava_graph.errors import InputError, did_you_mean
from llava_graph.record import Figure, Turn

if TYPE_CHECKING:
    from scicap_builder.sources.root import Root

ACCESS = ("public", "on request", "credentialed", "yours")
"""Who gets the files: everybody; who fills in a form; who has signed and trained (PhysioNet); they are your own."""
GATED = ("on request", "credentialed")
MISSING_IMAGES = ("drop", "keep", "fail")
"""A record whose image is missing or broken: left out and counted; kept without image; the import stops."""
PIXELS = ("embed", "link")
"""Images are copied into the shards, or stay where they are and the record has their path."""
HASHED = "by hash of the paper"
PUBLISHED = "as published"


class Rows(Protocol):
    """A table: rows by place. `[n]` may raise SampleRefused for a row that is damaged."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One figure record of a source, still without its pixels."""

    figure: Figure
    pictures: tuple[str, ...] = ()
    """Where its image may lie below the root, the likeliest first; empty: the record has none."""
    pixels: bytes | None = None
    """The image itself, where the table holds it."""
    sentences: tuple[str, ...] = ()
    """Citing sentences that are published beside the paragraphs, which are the figure's mentions."""
    repairs: tuple[str, ...] = ()
    """What was mended to read it, by kind."""
    max_pixels: int = 0
    """A larger image is left out, as the publication does; 0: none but our own limits hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One table of a source: a file, or a folder with a file a row."""

    name: str
    """As the data set calls it: "train.json"."""
    rows: Rows
    read: Callable[[Any, int], Entry]
    """(row, its number from 1) -> its record. Raises SampleRefused with the reason under which the row is left out."""
    path: Path
    published: int = 0
    """Rows that the publication states; 0: none that we know."""
    names: Sequence[str] = ()
    """Files of the rows, where each has one."""

    def item(self, index: int) -> str:
        """What a row is called where it is dropped: "train.json:5", "captions/train/1001.0025v1-Figure2-1.json"."""
        return f"{self.name}/{self.names[index]}" if self.names else f"{self.name}:{index + 1}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFile:
    """A file or folder of the published layout."""

    name: str
    holds: str
    required: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A published data set."""

    name: str
    title: str
    home: str
    """Where it is published."""
    licence: str
    """Of every record, unless the source states one for each."""
    access: str
    """One of ACCESS."""
    split: str
    """PUBLISHED or HASHED, and what the publication calls its splits."""
    files: tuple[PublishedFile, ...]
    parts: Callable[[Root, str], list[Part]]
    """(root, subset) -> the tables, opened. Raises DatasetError for what makes the whole unreadable."""
    subsets: tuple[str, ...] = ()
    """Names for --subset, the default first."""
    hub: str = ""
    """`owner/name` on the Hugging Face hub of the files that `parts` reads; empty: they are given out elsewhere."""
    of_arxiv: bool = False
    """Its records are figures of arXiv's papers, in which `--pair` finds what they lack."""

    def __post_init__(self) -> None:
        if self.access not in ACCESS:
            raise InputError(f"unknown access {self.access!r}", next_step=did_you_mean(self.access, ACCESS))

    @property
    def record_licence(self) -> str:
        """What every record carries: the licence, and the access class where not everybody gets the files."""
        gated = f"access {self.access}" if self.access in GATED else ""
        return f"{self.licence} ({gated})" if self.licence and gated else self.licence or gated

    def subset(self, name: str) -> str:
        """The subset that is read for `name` (empty: the default). Raises InputError."""
        if name and name not in self.subsets:
            hint = did_you_mean(name, self.subsets) if self.subsets else "Leave --subset out"
            raise InputError(f"{self.name} has no subset {name!r}", next_step=hint)
        return name or (self.subsets[0] if self.subsets else "")


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How a data set is imported."""

    subset: str = ""
    missing_images: str = "drop"
    pixels: str = "embed"
    image_folder: Path | None = None
    """Images lie here; None: below the root."""
    workers: int = 1
    """Threads that decode images."""
    overwrite: bool = False
    check: bool = False
    """Read everything and report; write nothing."""

    def __post_init__(self) -> None:
        for value, known in ((self.missing_images, MISSING_IMAGES), (self.pixels, PIXELS)):
            if value not in known:
                raise InputError(f"unknown choice {value!r}", next_step=did_you_mean(value, known))
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")


def asked(question: str, answer: str) -> tuple[Turn, ...]:
    """One question and its answer as a dialogue."""
    return Turn(role="user", text=question), Turn(role="assistant", text=answer)


def in_order(items: Sequence[Part | None]) -> list[Part]:
    """The parts that are there."""
    return [item for item in items if item is not None]
