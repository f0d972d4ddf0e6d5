"""The published figures, paper by paper: which rows belong to which paper, and each of them read when its turn comes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llava_graph.errors import InputError, RecordError, SampleRefused
from llava_graph.record import Dropped
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.progress import tell
from scicap_builder.sources.contract import Entry, Part, Source
from scicap_builder.sources.importing import check_missing, entry_at, left_out, row_at
from scicap_builder.sources.names import scicap_figure
from scicap_builder.sources.pixels import MISSING, NoImage, read_bytes
from scicap_builder.sources.root import Root

NAMELESS_ROWS = 32
"""Rows of no known paper that are worked off together: as many as a shard of papers has figures, about."""
Row = tuple[int, int]
"""(place of the table, place of the row in it)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The rows of one paper, in the tables' order."""

    key: str
    """ "arxiv:1001.0025", without a version; "train.json[7]" where no paper is known."""
    arxiv: ArxivId | None
    """In the version that most of the rows name."""
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFigure:
    """One row as a record without its image, and the image's bytes as they lie there."""

    row: str
    entry: Entry
    image: bytes | None = None
    path: Path | None = None
    """Where the image lies, if it is a file of its own."""
    lost: str = ""
    """Why there are no bytes: "image-missing", "image-broken"."""


def grouped(source: Source, parts: Sequence[Part]) -> list[Group]:
    """All rows by paper, in the order in which papers come first. Names of files say the paper; tables without are gone through.

    Rows that share an id are in one group, so that a repeated one is seen wherever it stands.
    """
    rows: dict[str, list[Row]] = {}
    versions: dict[str, Counter[int]] = {}
    of_id: dict[str, str] = {}
    nameless = 0
    for number, part in enumerate(parts):
        for index in range(len(part.rows)):
            if not part.names and not index % 1000:
                tell(f"looking for papers in {part.name}", index, len(part.rows))
            id_, paper = _paper_of(source, part, index)
            key = of_id.get(id_) if id_ else None
            arxiv = _arxiv(paper)
            if key is None and arxiv:
                key = f"arxiv:{arxiv.base}"
            elif key is None:
                key = f"{part.name}[{nameless // NAMELESS_ROWS}]"
                nameless += 1
            if id_:
                of_id[id_] = key
            rows.setdefault(key, []).append((number, index))
            if arxiv and arxiv.version:
                versions.setdefault(key, Counter())[arxiv.version] += 1
    return [Group(key=key, arxiv=_version(key, versions), rows=tuple(places)) for key, places in rows.items()]


def _paper_of(source: Source, part: Part, index: int) -> tuple[str, str]:
    """(id of the record where it may come twice, its paper); both are empty where the row is broken."""
    if part.names:
        name = part.names[index].removesuffix(".json")
        paper = scicap_figure(name).paper
        # Ids are made of these names: with their paper they are in one group anyhow.
        return "" if paper else name, paper
    try:
        entry = entry_at(source, part, index, row_at(part, index))
    except (SampleRefused, RecordError):
        return "", ""
    return entry.figure.id, entry.figure.paper.id


def _arxiv(paper: str) -> ArxivId | None:
    if not paper.startswith("arxiv:"):
        return None
    try:
        return parse_arxiv_id(paper)
    except InputError:
        return None


def _version(key: str, versions: dict[str, Counter[int]]) -> ArxivId | None:
    arxiv = _arxiv(key)
    if arxiv is None or key not in versions:
        return arxiv
    return arxiv.at_version(max(versions[key].items(), key=lambda item: (item[1], item[0]))[0])


def figures_of(
    group: Group, source: Source, parts: Sequence[Part], root: Root, missing_images: str
) -> Iterator[PublishedFigure | Dropped]:
    """A group's rows, read. Raises DatasetError where an image is missing under the policy "fail"."""
    for number, index in group.rows:
        part = parts[number]
        item = part.item(index)
        try:
            entry = entry_at(source, part, index, row_at(part, index))
            yield _with_image(item, entry, root, missing_images)
        except (SampleRefused, RecordError) as error:
            yield left_out(item, error)


def _with_image(row: str, entry: Entry, root: Root, missing_images: str) -> PublishedFigure:
    """Raises SampleRefused, also where a record is left out for its image."""
    found = root.picture(entry.pictures)
    try:
        if found is None:
            raise NoImage(MISSING, f"no image {' or '.join(entry.pictures)}")
        path = found.resolve() if isinstance(found, Path) else None
        return PublishedFigure(row=row, entry=entry, image=read_bytes(root, found), path=path)
    except NoImage as error:
        check_missing(error, entry.figure.id, missing_images, root.half_downloaded)
        return PublishedFigure(row=row, entry=entry, lost=error.reason)
