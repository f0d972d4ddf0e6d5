"""The door of the LaTeX route: a folder of unpacked sources in, a `PaperReading` out."""

import posixpath
import re
from collections.abc import Callable, Container
from dataclasses import replace
from functools import partial
from pathlib import Path

from llava_graph.errors import PaperError
from llava_graph.record import Dropped, Panel
from scicap_builder.latex.expand import expand
from scicap_builder.latex.paper import SourceFigure, SourcePaper, read_paper, read_targets
from scicap_builder.latex.pictures import Picture, figure_picture
from scicap_builder.latex.references import Target
from scicap_builder.latex.sources import Sources, find_main, named_by_readme, supplements
from scicap_builder.reading import FoundFigure, PaperReading

_EXTERNAL = re.compile(r"\\externaldocument\s*(?:\[([^\]]*)\])?\s*(?:\[[^\]]*\])?\s*\{([^{}]+)\}")
MAX_EXTERNAL = 5
"""Other documents whose labels are read; real papers name one or two."""


def read_latex(root: Path, *, dpi: int = 150) -> PaperReading:
    """Read the paper whose sources lie in the folder `root`; vector pictures are rendered at `dpi`.

    A figure that TeX draws itself, or whose files are missing, has no image; its page and box are not known here: `join` takes
    both from the PDF. Nothing in the sources is executed. Raises PaperError (reason no-tex) when no file is a paper.
    """
    sources, main = _open(root)
    paper = _read_text(sources, main)
    figures = _with_pictures(paper, sources, main, dpi)
    dropped = list(paper.dropped)
    for name in named_by_readme(sources)[1:]:  # all that 00README calls top level is in the paper's PDF
        part = _read_text(sources, name)
        known = {figure.label for figure in figures}
        figures += [figure for figure in _with_pictures(part, sources, name, dpi) if figure.label not in known]
        dropped += [*part.dropped, *_left_out(part, "number-twice", name, known)]
    for name in supplements(sources, main) if len(named_by_readme(sources)) < 2 else ():
        dropped += _left_out(_read_text(sources, name), "in-supplement", name)
    return PaperReading(title=paper.title, abstract=paper.abstract, figures=tuple(figures), dropped=tuple(dropped))


def _left_out(part: SourcePaper, reason: str, name: str, labels: Container[str] | None = None) -> list[Dropped]:
    """Figures of a further document that are not delivered: all of them, or those with `labels`."""
    return [
        Dropped(item=figure.label, reason=reason, detail=name)
        for figure in part.figures
        if labels is None or figure.label in labels
    ]


def _with_pictures(paper: SourcePaper, sources: Sources, main: str, dpi: int) -> list[FoundFigure]:
    find = partial(_file_of, sources, _folders(posixpath.dirname(main), paper.picture_folders))
    return [
        _found(figure, None if figure.drawn else figure_picture(figure.graphics, find, dpi)) for figure in paper.figures
    ]


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
    text = _expanded(sources, main)
    return read_paper(text, _external(text, sources, main))


def _expanded(sources: Sources, main: str) -> str:
    return expand(sources.text(main), _reader(sources, posixpath.dirname(main)))


def _external(text: str, sources: Sources, main: str) -> dict[str, Target]:
    """Labels of the documents that \\externaldocument[prefix]{file} names (xr): they print as numbers and cite nothing here."""
    targets: dict[str, Target] = {}
    for prefix, file in _EXTERNAL.findall(text)[:MAX_EXTERNAL]:
        found = sources.find(file, (posixpath.dirname(main), ""), (".tex", ""))
        if found and found != main:
            labels = read_targets(_expanded(sources, found))
            targets |= {prefix + key: replace(target, figure=None) for key, target in labels.items()}
    return targets


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
