"""What a person names on the command line (files, folders, arXiv ids) -> sources of figures, each opened when its turn comes.

Papers are read by whoever registers at the entry point `llava_graph.paper_openers` (`scicap_builder` does), text in figures by
`llava_graph.text_readers` (`ocr` does): this floor imports no room above it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from llava_graph.dataset import is_dataset, read_dataset
from llava_graph.errors import AccessDenied, InputError, LlavaGraphError
from llava_graph.images import encode_png, open_image
from llava_graph.printable import readable_name
from llava_graph.record import Dropped, Figure, OcrLine, Paper

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""What is taken for a figure in a folder; what a file truly holds is found out when it is opened."""

IMAGE_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
"""How image files begin, whatever they are called."""


class PaperRead(Protocol):
    """A paper that has been opened."""

    @property
    def id(self) -> str:
        """ "arxiv:1706.03762v7", "local:name" """

    @property
    def title(self) -> str:
        """Its title; may be empty."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All its figures, in order."""

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """What was seen and left out."""

    def with_text(self, figure: Figure) -> Figure:
        """The figure with the text in it read, as far as that was left for later: reading takes seconds a figure."""


@dataclass(frozen=True, kw_only=True)
class FoundPaper:
    """A paper that has not been opened yet."""

    name: str
    open: Callable[[Callable[[str], None]], PaperRead]
    """Called with what hears about its steps. Raises LlavaGraphError."""
    fingerprint: str = ""
    """Another one when the paper has changed."""
    place: Path | None = None
    """Its file or folder; None for a paper that is fetched."""


FindPapers = Callable[..., tuple[Sequence[FoundPaper], Sequence[Dropped]]]
"""(path or id: str, *, read_text: bool) -> the papers named by it, and what names none. Raises InputError for nothing at all."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A source that has been opened. `figures` may be read one by one."""

    figures: Iterable[Figure]
    paper: Paper = Paper()
    dropped: tuple[Dropped, ...] = ()
    with_text: Callable[[Figure], Figure] = lambda figure: figure
    """See PaperRead."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something with figures in it: an image file, a paper, a data set."""

    name: str
    """As it was named, or the file found in a folder."""
    open: Callable[[Callable[[str], None]], Opened]
    """See FoundPaper."""
    fingerprint: str = ""
    is_paper: bool = True
    """Whether its figures can be chosen by number."""


def find_sources(
    names: Sequence[str],
    *,
    read_text: bool = True,
    caption: str | None = None,
    find_papers: FindPapers | None = None,
) -> tuple[list[Source], list[Dropped]]:
    """The sources of all names in their order, and what is none. `read_text`: text in figures is read when they are opened.

    `caption` is that of image files.
    """
    finder = find_papers or paper_finder()
    found: list[Source | _Image] = []
    lost: list[Dropped] = []
    for name in names:
        try:
            sources, dropped = _named(name, read_text, finder)
        except (LlavaGraphError, OSError) as error:
            lost.append(_readable(Dropped(item=name, reason=reason_of(error), detail=told(error, name))))
            continue
        found += sources
        lost += map(_readable, dropped)
    distinct = list({source.name: source for source in reversed(found)}.values())[::-1]
    shared = Counter(source.path.name for source in distinct if isinstance(source, _Image))
    return [
        source.source(source.name if shared[source.path.name] > 1 else source.path.name, caption or "", read_text)
        if isinstance(source, _Image)
        else source
        for source in distinct
    ], lost


@dataclass(frozen=True)
class _Image:
    """An image file that was named, or found in a folder."""

    path: Path
    name: str

    def source(self, id_: str, caption: str, read_text: bool) -> Source:
        """Its one figure is called `id_`."""

        def open_file(_: Callable[[str], None]) -> Opened:
            figure = figure_of_image(self.path, caption, id_=readable_name(id_))
            return Opened(figures=[figure], with_text=with_text_read if read_text else lambda figure: figure)

        return Source(
            name=readable_name(self.name), open=open_file, fingerprint=fingerprint([self.path]), is_paper=False
        )


def _named(name: str, read_text: bool, find_papers: FindPapers) -> tuple[Sequence[Source | _Image], Sequence[Dropped]]:
    if not name.strip():
        raise InputError("a name is empty", next_step="Name an image, a paper, a folder or an arXiv id")
    path = _path(name)
    if path.is_dir() and is_dataset(path):
        return [_data_set(path, name)], ()
    if path.is_file() and _is_image(path):
        return [_Image(path, name)], ()
    if not path.is_dir():
        papers, dropped = find_papers(name, read_text=read_text)
        if not papers and dropped and all(drop.reason == "bad-line" for drop in dropped):
            raise InputError("neither an image, nor a paper, nor a list of papers", where=name)
        return [_paper(paper) for paper in papers], dropped
    papers, dropped = _papers_in(path, read_text, find_papers)
    homes = [paper.place for paper in papers if paper.place and paper.place.is_dir()]
    images = [
        _Image(file, str(Path(name) / file.relative_to(path)))
        for file in _images_below(path)
        if not any(file.resolve().is_relative_to(home) for home in homes)
    ]
    if not papers and not images and not dropped:
        raise InputError("the folder holds no figures: no image, no paper, no data set", where=name)
    return [*(_paper(paper) for paper in papers), *images], dropped


def _papers_in(
    folder: Path, read_text: bool, find_papers: FindPapers
) -> tuple[Sequence[FoundPaper], Sequence[Dropped]]:
    """Papers of a folder that may hold images only."""
    try:
        papers, dropped = find_papers(str(folder), read_text=read_text)
    except InputError:
        return (), ()
    return papers, [drop for drop in dropped if drop.reason != "no-papers"]


def _is_image(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() in IMAGE_ENDINGS or file.read(12).startswith(IMAGE_BEGINNINGS)


def _images_below(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if not hidden and file.suffix.lower() in IMAGE_ENDINGS and file.is_file():
            yield file


def _paper(found: FoundPaper) -> Source:
    def open_paper(tell: Callable[[str], None]) -> Opened:
        read = found.open(tell)
        paper = read.figures[0].paper if read.figures else Paper(id=read.id, title=read.title)
        about = Paper(
            id=read.id, title=read.title, abstract=paper.abstract, categories=paper.categories, licence=paper.licence
        )
        return Opened(figures=read.figures, paper=about, dropped=read.dropped, with_text=read.with_text)

    return Source(name=readable_name(found.name), open=open_paper, fingerprint=found.fingerprint)


def _data_set(folder: Path, name: str) -> Source:
    def open_data_set(_: Callable[[str], None]) -> Opened:
        return Opened(figures=read_dataset(folder), paper=Paper(title=readable_name(folder.resolve().name)))

    return Source(name=readable_name(name), open=open_data_set, fingerprint=fingerprint([folder / "build.json"]))


def figure_of_image(path: Path, caption: str = "", *, id_: str = "") -> Figure:
    """A record of one image file, the text in it not read. Raises ImageError."""
    picture = open_image(path)
    return Figure(
        id=id_ or readable_name(path.name),
        image=encode_png(picture),
        width=picture.width,
        height=picture.height,
        caption=caption,
        source="local",
    )


def with_text_read(figure: Figure) -> Figure:
    """The figure with the text in it. Raises InputError (no reader), and what the reader raises."""
    return replace(figure, ocr=text_reader()(open_image(figure.image, where=figure.id))) if figure.image else figure


def text_reader() -> Callable[[Any], tuple[OcrLine, ...]]:
    """The reader registered as entry point `llava_graph.text_readers` (the package `ocr` does). Raises InputError."""
    return _registered("llava_graph.text_readers", "no reader of figure text is installed", "or use --no-ocr")


def paper_finder() -> FindPapers:
    """What finds papers, registered as entry point `llava_graph.paper_openers`. Raises InputError."""
    return _registered("llava_graph.paper_openers", "no reader of papers is installed", "or give image files")


def _registered(group: str, missing: str, else_: str) -> Any:
    found = list(entry_points(group=group))
    if not found:
        raise InputError(missing, next_step=f"Reinstall llava-graph, {else_}")
    return found[0].load()


def fingerprint(files: Iterable[Path]) -> str:
    """Size and time of files, as one short text; another one when a file has changed."""
    marks = []
    for file in files:
        try:
            state = file.stat()
        except OSError:
            continue
        marks.append(f"{readable_name(file.name)}:{state.st_size}:{state.st_mtime_ns}")
    return " ".join(marks)


def is_wanted(figure: Figure, wanted: Sequence[str]) -> bool:
    """Whether a figure is one of those named: "3", "S1", "fig3", "Figure 3", or its id. All are where none is named."""
    if not wanted:
        return True
    names = {_bare(figure.id), _bare(figure.id.rpartition("#")[2]), _bare(figure.label)}
    return any(_bare(name) in names for name in wanted)


def _bare(name: str) -> str:
    """ "Figure 3", "Fig. 3", "fig3" and "3" are one figure."""
    flat = re.sub(r"[\s.:]+", "", name.casefold())
    return re.sub(r"^fig(?:ure)?(?=[\da-z])", "", flat)


def reason_of(error: Exception) -> str:
    """The short name under which a failure is counted. AccessDenied is not counted: it ends the run."""
    if isinstance(error, AccessDenied):
        raise error
    known = getattr(error, "reason", "")
    if known:
        return str(known)
    name = type(error).__name__.removesuffix("Error")
    return "bad-" + name.lower() if isinstance(error, InputError) else re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def told(error: Exception, item: str = "") -> str:
    """An error's words without the item they are about."""
    if not isinstance(error, LlavaGraphError):
        return readable_name(str(error))
    where = readable_name(error.where)
    where = f"{where}: " if where and where != readable_name(item) else ""
    return where + ". ".join(part.rstrip(".") for part in (error.what, error.next_step) if part)


def _readable(dropped: Dropped) -> Dropped:
    return replace(dropped, item=readable_name(dropped.item), detail=readable_name(dropped.detail))


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # "~nobody/…"
        return Path(name)
