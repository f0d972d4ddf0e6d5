"""The door of the LaTeX route: a folder of unpacked sources in, a `PaperReading` out."""

import posixpath
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from llava_graph.errors import PaperError
from llava_graph.record import Panel
from scicap_builder.latex.expand import expand
from scicap_builder.latex.paper import SourceFigure, SourcePaper, read_paper
from scicap_builder.latex.pictures import Picture, figure_picture
from scicap_builder.latex.sources import Sources, find_main
from scicap_builder.reading import FoundFigure, PaperReading


def read_latex(root: Path, *, dpi: int = 150) -> PaperReading:
    """Read the paper whose sources lie in the folder `root`; vector pictures are rendered at `dpi`.

    A figure that TeX draws itself, or whose files are missing, has no image; its page and box are not known here: `join` takes
    both from the PDF. Nothing in the sources is executed. Raises PaperError (reason no-tex) when no file is a paper.
    """
    sources, main = _open(root)
    paper = _read_text(sources, main)
    folders = _folders(posixpath.dirname(main), paper.picture_folders)
    find = partial(_file_of, sources, folders)
    figures = tuple(
        _found(figure, None if figure.drawn else figure_picture(figure.graphics, find, dpi)) for figure in paper.figures
    )
    return PaperReading(title=paper.title, abstract=paper.abstract, figures=figures, dropped=paper.dropped)


def _open(root: Path) -> tuple[Sources, str]:
    sources = Sources(root)
    main = find_main(sources)
    if main is None:
        raise PaperError(
            "no TeX file that could be a paper",
            reason="no-tex",
            where=str(root),
            next_step="Read its PDF instead (--route pdf)",
        )
    return sources, main


def _read_text(sources: Sources, main: str) -> SourcePaper:
    return read_paper(expand(sources.text(main), _reader(sources, posixpath.dirname(main))))


def _reader(sources: Sources, folder: str) -> Callable[[str, tuple[str, ...]], str | None]:
    """Looks a file up beside the main file, then in the root of the archive."""

    def read(name: str, extensions: tuple[str, ...]) -> str | None:
        found = sources.find(name, (folder, ""), extensions)
        return None if found is None else sources.text(found)

    return read


def _folders(main_folder: str, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Where pictures are looked for, in TeX's order: beside the main file, then along \\graphicspath, then in the root."""
    below = [posixpath.join(main_folder, folder) for folder in listed]
    return tuple(dict.fromkeys([main_folder, *below, *listed, ""]))


def _file_of(sources: Sources, folders: tuple[str, ...], name: str) -> Path | None:
    found = sources.picture(name, folders)
    return None if found is None else sources.root / found


def _found(figure: SourceFigure, picture: Picture | None) -> FoundFigure:
    return FoundFigure(
        number=figure.number,
        label=figure.label,
        caption=figure.caption,
        image=None if picture is None else picture.data,
        mentions=figure.mentions,
        panels=_with_boxes(figure, picture),
        route="latex",
    )


def _with_boxes(figure: SourceFigure, picture: Picture | None) -> tuple[Panel, ...]:
    """The panels, with their places where the picture is composed of exactly them."""
    if picture is None or not picture.boxes or not figure.graphic_of_panel:
        return figure.panels
    return tuple(
        replace(panel, box=picture.boxes[graphic])
        for panel, graphic in zip(figure.panels, figure.graphic_of_panel, strict=True)
    )
