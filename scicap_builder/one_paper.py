"""From one paper's files to its figure records: unpack, read by one route or all, join, open the images, read their text."""

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from llava_graph.errors import FetchError, ImageError, InputError, MissingExtra, PaperError, did_you_mean
from llava_graph.images import encode_png, open_image
from llava_graph.record import Box, Dropped, Figure, OcrLine, Paper, split_of
from ocr.merge import unread_parts
from scicap_builder.figure_order import by_number
from scicap_builder.loose_tex import stage
from scicap_builder.obtain import ROUTES, obtain
from scicap_builder.paper_ref import PaperFiles, PaperRef
from scicap_builder.papers import paper_at
from scicap_builder.parts import read_laid_out
from scicap_builder.progress import tell
from scicap_builder.reading import FoundFigure, PaperReading, with_ids

if TYPE_CHECKING:
    from scicap_builder.archive import Unpacked
    from scicap_builder.fetch import FetchOptions

KEPT_FORMATS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG begin: such bytes stay as they are, anything else becomes PNG."""
NO_OCR = "none"
JOINED = ("latex", "pdf", "html")
"""What "auto" reads, in the order in which `Readers.join` takes it."""
NAMES = {"latex": "its source", "pdf": "its PDF", "html": "its HTML page"}
_ONE_AT_A_TIME = threading.Lock()
"""PDFium may be used by one thread of a process only; a web page opens papers from many."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a paper is read."""

    route: str = "auto"
    """ "auto" reads source, PDF and HTML page, those that are there; "pdf", "latex" and "html" read only that."""
    dpi: int = 150
    """Pixels per inch of figures that are drawn from vectors; pdffigures2's default."""
    ocr: str = "rapidocr"
    """Name of the OCR engine, or "none": then only the text that the PDF itself has in the picture."""

    def __post_init__(self) -> None:
        if self.route not in ROUTES:
            raise InputError(f"unknown route {self.route!r}", next_step=did_you_mean(self.route, ROUTES))
        if not 36 <= self.dpi <= 600:
            raise InputError(f"dpi must be in 36..600, got {self.dpi}")


DEFAULT_READING = ReadOptions()


@dataclass(frozen=True, kw_only=True)
class Readers:
    """The parts that read, as arguments. All must be importable functions: they travel to worker processes by name."""

    unpack: "Callable[[Path, Path], Unpacked]"
    read_latex: Callable[..., PaperReading]
    """(root: Path, *, dpi: int)"""
    read_pdf: Callable[..., PaperReading]
    """(path: Path, *, dpi: int)"""
    read_html: Callable[..., PaperReading]
    """(path: Path, *, dpi: int)"""
    join: Callable[[PaperReading | None, PaperReading | None, PaperReading | None], PaperReading]
    """(from the source, from the PDF, from the HTML page); None for what was not read"""
    read_text: Callable[..., tuple[OcrLine, ...]]
    """(picture, lines that its file knows, embedded pictures in 0..1, engine or None) -> all lines, in order, with roles"""
    kind_of: Callable[[Image.Image, str, tuple[OcrLine, ...]], str] | None = None
    """(picture, caption, text in the picture) -> chart, diagram, photo, …; None: kinds stay empty"""


def default_readers() -> Readers:
    """The three routes of this package and the engines of `ocr`."""
    from ocr import read_figure_text
    from scicap_builder.archive import unpack
    from scicap_builder.html import read_html
    from scicap_builder.join import join
    from scicap_builder.kinds import kind_of
    from scicap_builder.latex import read_latex
    from scicap_builder.pdf import read_pdf

    return Readers(
        unpack=unpack,
        read_latex=read_latex,
        read_pdf=read_pdf,
        read_html=read_html,
        join=join,
        read_text=read_figure_text,
        kind_of=kind_of,
    )


@dataclass(frozen=True, kw_only=True)
class PaperRecords:
    """What one paper gave. `dropped` names what was seen and left out."""

    id: str
    figures: tuple[Figure, ...] = ()
    """In the order of their numbers, appendices and supplement last."""
    dropped: tuple[Dropped, ...] = ()
    title: str = ""
    abstract: str = ""
    unread: dict[str, tuple[Box, ...]] = field(default_factory=dict)
    """Read without an OCR engine: for each figure's id where only an engine can read its text, 0..1 of the figure (absent
    where there is no such place). `ocr.read_figure_text` takes them as its rasters, later."""


def open_paper(
    path_or_id: Path | str,
    options: ReadOptions = DEFAULT_READING,
    *,
    fetch: "FetchOptions | None" = None,
    readers: Readers | None = None,
) -> PaperRecords:
    """All figures of one paper, in memory: a PDF, an e-print archive, a .tex file, an HTML page, a paper's folder or an arXiv id.

    An id is fetched from arXiv (at most five requests, 3 s apart; nothing if it is in the cache).
    Raises InputError (no such paper), PaperError (it cannot be read; `reason` says why) and FetchError.
    """
    return open_listed(paper_at(str(path_or_id)), options, fetch=fetch, readers=readers)


def open_listed(
    paper: PaperRef,
    options: ReadOptions = DEFAULT_READING,
    *,
    fetch: "FetchOptions | None" = None,
    readers: Readers | None = None,
) -> PaperRecords:
    """The same for a paper that has been listed (`papers.list_papers`)."""
    from scicap_builder.fetch import ArxivClient, FetchOptions

    [(_, found)] = obtain([paper], options.route, lambda: ArxivClient(fetch or FetchOptions()))
    if isinstance(found, FetchError):
        raise found
    if isinstance(found, Dropped):
        raise PaperError(found.detail, reason=found.reason, where=found.item)
    readers = readers or default_readers()
    with _ONE_AT_A_TIME:
        return read_laid_out(found, lambda files: read_paper(files, options, readers))


def read_paper(files: PaperFiles, options: ReadOptions, readers: Readers) -> PaperRecords:
    """One paper's records. Raises PaperError when none of its files can be read."""
    reading = read_files(files, options, readers)
    figures: list[Figure] = []
    dropped: list[Dropped] = []
    unread: dict[str, tuple[Box, ...]] = {}
    # Ids count what has no number, or one number twice, in order of appearance.
    named = list(with_ids(files.id, reading.figures))
    for count, (id_, found) in enumerate(by_number(named, [found.number for _, found in named]), 1):
        tell("opening figure", count, len(reading.figures))
        try:
            image, data = open_figure(found, id_)
        except ImageError as error:
            dropped.append(
                Dropped(item=id_, reason="no-image" if found.image is None else "bad-image", detail=error.what)
            )
            continue
        lines, failure = lines_of(found, image, id_, options.ocr, readers)
        dropped += failure
        if options.ocr == NO_OCR and (parts := unread_parts(image.size, found.text, found.rasters)):
            unread[id_] = tuple(parts)
        seen = {"id": id_, "image": data, "width": image.width, "height": image.height, "ocr": lines}
        kind = readers.kind_of(image, found.caption, lines) if readers.kind_of else ""
        figures.append(to_record(files, reading, found, kind=kind, **seen))
    dropped += [
        Dropped(item=f"{files.id} {item.item}", reason=item.reason, detail=item.detail) for item in reading.dropped
    ]
    if not figures and not dropped:
        pages = f"{reading.pages or 'no'} page{'s' * (reading.pages != 1)}"
        dropped.append(Dropped(item=files.id, reason="no-figures", detail=f"{pages}, no numbered figure"))
    title, abstract = files.title or reading.title, files.abstract or reading.abstract
    return PaperRecords(
        id=files.id, figures=tuple(figures), dropped=tuple(dropped), title=title, abstract=abstract, unread=unread
    )


def read_files(files: PaperFiles, options: ReadOptions, readers: Readers) -> PaperReading:
    """What the routes find. With "auto" one route's failure is counted and made up for by the others. Raises PaperError."""
    wanted = (options.route,) if options.route != "auto" else JOINED
    sides: dict[str, PaperReading] = {}
    failures: dict[str, PaperError] = {}
    with tempfile.TemporaryDirectory(prefix="llava-graph-") as folder:
        root, pdf = None, files.pdf
        if files.source is not None and ("latex" in wanted or ("pdf" in wanted and pdf is None)):
            try:
                root, inner = _open_source(files.source, Path(folder), readers)
                pdf = pdf or inner
            except PaperError as error:
                failures["latex"] = error
        jobs = {
            "latex": (readers.read_latex, root),
            "pdf": (readers.read_pdf, pdf),
            "html": (readers.read_html, files.html),
        }
        for route, (read, path) in jobs.items():
            if path is None or route not in wanted:
                continue
            tell(f"reading {NAMES[route]}")
            try:
                sides[route] = read(path, dpi=options.dpi)
            except PaperError as error:
                failures[route] = error
    if not sides:
        raise next(iter(failures.values())) if failures else _nothing(files, options.route)
    reading = next(iter(sides.values())) if len(sides) == 1 else readers.join(*(sides.get(route) for route in JOINED))
    lost = (
        Dropped(item=f"({NAMES[route]})", reason=error.reason, detail=error.what) for route, error in failures.items()
    )
    return replace(reading, dropped=(*reading.dropped, *lost))


def _open_source(source: Path, folder: Path, readers: Readers) -> tuple[Path | None, Path | None]:
    """(the folder of the LaTeX files, the PDF that was given instead of them). Raises PaperError."""
    if source.is_dir():
        return source, None
    if source.suffix.lower() in (".tex", ".ltx"):
        return stage(source, folder), None
    unpacked = readers.unpack(source, folder)
    if unpacked.kind == "tex":
        return unpacked.root, None
    pdfs = [unpacked.root / file for file in unpacked.files if file.suffix.lower() == ".pdf"]
    if unpacked.kind == "pdf" and pdfs:
        return None, max(pdfs, key=lambda file: file.stat().st_size)
    reason = "withdrawn" if unpacked.kind == "withdrawn" else f"source-is-{unpacked.kind}"
    raise PaperError(f"the source is {unpacked.kind}, not LaTeX", reason=reason, where=str(source))


def _nothing(files: PaperFiles, route: str) -> PaperError:
    if files.pdf is None and files.source is None and files.html is None:
        return PaperError("there is neither a PDF nor a source nor an HTML page", reason="no-files", where=files.id)
    missing = {"latex": "source", "html": "html"}.get(route, "pdf")
    name = {"source": "LaTeX source", "html": "HTML page", "pdf": "PDF"}[missing]
    return PaperError(
        f"there is no {name}, which the route {route!r} reads",
        reason=f"no-{missing}",
        where=files.id,
        next_step="Use --route auto",
    )


def open_figure(found: FoundFigure, where: str) -> tuple[Image.Image, bytes]:
    """The picture, opened under our limits, and the bytes to keep. Raises ImageError."""
    if found.image is None:
        raise ImageError("the route found no picture for it", where=where)
    image = open_image(found.image, where=where)
    return image, found.image if found.image.startswith(KEPT_FORMATS) else encode_png(image)


def lines_of(
    found: FoundFigure, image: Image.Image, id_: str, engine: str, readers: Readers
) -> tuple[tuple[OcrLine, ...], list[Dropped]]:
    """The text in the picture: what its file knows, and what the engine reads where there are pixels only.

    An engine that breaks on it costs the figure what the engine would have read, counted.
    """
    try:
        return readers.read_text(image, found.text, found.rasters, None if engine == NO_OCR else engine), []
    except MissingExtra:
        raise
    except Exception as error:  # noqa: BLE001  (engines are foreign code: onnxruntime, OpenCV, subprocesses)
        return readers.read_text(image, found.text, (), None), [
            Dropped(item=f"{id_} (its text)", reason="ocr-failed", detail=f"{type(error).__name__}: {error}"[:500])
        ]


def to_record(files: PaperFiles, reading: PaperReading, found: FoundFigure, **image: Any) -> Figure:
    """One found figure as a record with its id, kind and picture; what arXiv says of the paper goes before what was read."""
    return Figure(
        **image,
        label=found.label,
        caption=found.caption,
        mentions=found.mentions,
        panels=found.panels,
        paper=Paper(
            id=files.id,
            title=files.title or reading.title,
            abstract=files.abstract or reading.abstract,
            categories=files.categories,
            licence=files.licence,
            page=found.page,
            box=found.box,
            route=found.route,
            confidence=found.confidence,
            disagreements=found.disagreements,
        ),
        source="arxiv" if files.id.startswith("arxiv:") else "local",
        licence=files.licence,
        split=split_of(files.id),
    )
