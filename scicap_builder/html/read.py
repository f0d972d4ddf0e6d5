"""The door of the HTML route: a page of LaTeXML's (arxiv.org/html, ar5iv) in, a `PaperReading` out."""

import re
from collections import Counter
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from llava_graph.errors import PaperError
from scicap_builder.html.figures import HtmlFigure, find_figures
from scicap_builder.html.paragraphs import find_paragraphs
from scicap_builder.html.prose import Prose, read_prose
from scicap_builder.html.tree import MAX_BYTES, Element, classes, parse
from scicap_builder.latex.graphics import MAX_GRAPHICS, Graphic
from scicap_builder.latex.pictures import figure_picture
from scicap_builder.mentions import cited_numbers
from scicap_builder.reading import FoundFigure, PaperReading

PICTURES = (".png", ".jpg", ".jpeg")
"""Pictures that are opened; an SVG is a program for a browser."""


def read_html(path: Path, *, dpi: int = 150) -> PaperReading:
    """Read the paper in the HTML file `path`; a figure has an image only if its files lie in the folder of the page.

    Nothing is fetched and nothing in the page is run. `dpi` is there for the sake of the other routes: pictures on a page have
    pixels of their own. Raises PaperError: missing-file, html-too-large, broken-html, not-latexml.
    """
    root = parse(_bytes(path), str(path))
    figures, dropped = find_figures(root)
    mentions = _mentions(figures, find_paragraphs(root))
    find = partial(_picture_file, path.parent.resolve())
    return PaperReading(
        title=_title(root),
        abstract=_abstract(root),
        figures=tuple(
            FoundFigure(
                number=figure.number,
                label=figure.label,
                caption=figure.caption,
                image=_picture(figure, find, dpi),
                mentions=texts,
                panels=figure.panels,
                route="html",
            )
            for figure, texts in zip(figures, mentions, strict=True)
        ),
        dropped=dropped,
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise PaperError(f"cannot be read ({error.strerror})", reason="missing-file", where=str(path)) from error


def _title(root: Element) -> str:
    found = next((part for part in root.iter("h1") if "ltx_title_document" in classes(part)), None)
    return re.sub(r" \[[^\]]*\]$", "", read_prose(found).text) if found is not None else ""


def _abstract(root: Element) -> str:
    found = next((part for part in root.iter() if "ltx_abstract" in classes(part)), None)
    if found is None:
        return ""
    return " ".join(read_prose(part).text for part in found if "ltx_title" not in classes(part)).strip()


def _mentions(figures: tuple[HtmlFigure, ...], paragraphs: tuple[Prose, ...]) -> list[tuple[str, ...]]:
    """For each figure the paragraphs that cite it: by a link, within a range of links, or by a typed number.

    Where a paper links to a figure, the same number typed elsewhere is most often a figure of another paper.
    """
    places: dict[str, list[int]] = {}
    for index, figure in enumerate(figures):
        for id_ in figure.ids:
            places.setdefault(id_, []).append(index)
    linked = [{_meant(places[id_], text, figures) for id_, text in paragraph.links if id_ in places}
              for paragraph in paragraphs]  # fmt: skip
    ever = set().union(*linked) if linked else set()
    count = Counter(figure.number for figure in figures)
    indices = {figure.number: index for index, figure in enumerate(figures) if count[figure.number] == 1}
    found: list[list[str]] = [[] for _ in figures]
    for paragraph, by_link in zip(paragraphs, linked, strict=True):
        numbers = {indices[number] for number in cited_numbers(paragraph.text) if number in indices}
        typed = {indices[number] for number in cited_numbers(paragraph.unlinked) if number in indices}
        between = range(min(by_link), max(by_link)) if len(by_link) > 1 else range(0)
        for index in sorted(by_link | (numbers & set(between)) | (typed - ever)):
            if paragraph.text not in found[index]:
                found[index].append(paragraph.text)
    return [tuple(texts) for texts in found]


def _meant(owners: list[int], text: str, figures: tuple[HtmlFigure, ...]) -> int:
    """Which figure a link means where several share a float: the one whose number it prints."""
    printed = re.findall(r"[\w.]+", text)
    return next((index for index in owners if figures[index].number in printed), owners[0])


def _picture(figure: HtmlFigure, find: "partial[Path | None]", dpi: int) -> bytes | None:
    graphics = [Graphic(name) for name in figure.files[:MAX_GRAPHICS]]
    picture = figure_picture(graphics, find, dpi)
    return picture.data if picture else None


def _picture_file(folder: Path, address: str) -> Path | None:
    """A picture beside the page; an address that leads anywhere else is none."""
    name = unquote(address).removeprefix("./")
    if ":" in name or "\0" in name or not name.lower().endswith(PICTURES):
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except OSError:
        return None
