"""The tree of a page -> its numbered figures with captions, panels, picture files, and the ids that mean each of them."""

import re
from dataclasses import dataclass, replace

from llava_graph.record import Dropped, Panel
from scicap_builder.html.prose import read_prose
from scicap_builder.html.tree import Element, classes, tag
from scicap_builder.mentions import parse_label

_FLOATS = frozenset(["ltx_figure", "ltx_table", "ltx_float", "ltx_subfigure", "ltx_figure_panel"])
_NUMBERED = re.compile(r"^(?P<label>\D*?(?P<number>[A-Z]{0,2}[.\-]?\d+(?:[.\-]\d+)*|[IVX]+))\s*[.:|]?\s*$")
_PANEL_TAG = re.compile(r"\(?([A-Za-z]|[ivx]{1,4})\)?[.:]?$")


@dataclass(frozen=True, kw_only=True, slots=True)
class HtmlFigure:
    """One numbered figure as the page has it."""

    number: str
    label: str
    caption: str
    panels: tuple[Panel, ...] = ()
    files: tuple[str, ...] = ()
    """Addresses of its pictures, as written."""
    ids: tuple[str, ...] = ()
    """Everything in it that a link can mean: itself and its panels."""


@dataclass(frozen=True, slots=True)
class _Caption:
    """A caption with its tag, and the float it stands in."""

    tag: str
    names_figure: bool
    text: str
    home: Element


def is_float(element: Element) -> bool:
    """Whether the element is a figure, a table or a part of one."""
    return tag(element) == "figure" or bool(classes(element) & _FLOATS)


def find_figures(root: Element) -> tuple[tuple[HtmlFigure, ...], tuple[Dropped, ...]]:
    """All numbered figures in order of appearance, and the floats with pictures that have no number."""
    figures: list[HtmlFigure] = []
    dropped: list[Dropped] = []
    for element in root.iter():
        if tag(element) and is_float(element) and not any(is_float(above) for above in element.iterancestors()):
            found = _figures_of(element)
            figures += found
            if not found and "ltx_figure" in classes(element) and _files(element):
                dropped.append(Dropped(item="unnumbered figure", reason="no-number", detail=element.get("id") or ""))
    return tuple(figures), tuple(dropped)


def _figures_of(outer: Element) -> list[HtmlFigure]:
    """The figures of one outermost float: one, or several where minipages with captions of their own stand in it."""
    captions = _captions(outer)
    numbered = [caption for caption in captions if caption.names_figure]
    homes = [caption.home for caption in numbered]
    figures = []
    for caption in numbered:
        label, number = _number(caption.tag)
        alone = homes.count(caption.home) == 1
        inside = caption.home if alone and len(numbered) > 1 else outer
        figures.append(
            HtmlFigure(
                number=number,
                label=label,
                caption=caption.text,
                files=_files(inside) if alone or len(numbered) == 1 else (),
                ids=_ids(inside),
            )
        )
    for caption in captions:
        match = _PANEL_TAG.match(caption.tag)
        if caption.names_figure or not match or not figures:
            continue
        owner = _owner(caption, homes)
        panel = Panel(letter=match[1], caption=caption.text)
        figures[owner] = replace(figures[owner], panels=(*figures[owner].panels, panel))
    return figures


def _owner(panel: _Caption, homes: list[Element]) -> int:
    """Index of the figure whose float is the nearest around a panel."""
    for above in panel.home.iterancestors():
        if above in homes:
            return homes.index(above)
    return 0


def _captions(outer: Element) -> list[_Caption]:
    """The captions in a float, each once: LaTeXML repeats the first one of a float that has several."""
    found: list[_Caption] = []
    seen: set[tuple[str, str]] = set()
    for element in outer.iter():
        if "ltx_caption" not in classes(element):
            continue
        tags = [part for part in element.iter() if tag(part) and "ltx_tag" in classes(part)]
        name = " ".join("".join(tags[0].itertext()).split()) if tags else ""
        text = read_prose(element).text
        home = next((above for above in element.iterancestors() if is_float(above)), outer)
        names_figure = bool(tags) and _names_figure(name, tags[0], home)
        if names_figure and (name, text) in seen:
            continue
        seen.add((name, text))
        found.append(_Caption(name, names_figure, text, home))
    return found


def _names_figure(name: str, element: Element, home: Element) -> bool:
    """Whether a caption's tag numbers a figure, in whatever language: "Figure 3:", "Abb. 3"; not "Table 3", not "(a)"."""
    if parse_label(name) is not None:
        return True
    kinds = classes(element)
    is_figure = "ltx_tag_figure" in kinds and "ltx_table" not in classes(home)
    return is_figure and not _PANEL_TAG.match(name) and bool(_NUMBERED.match(name)) and name[:3].lower() != "tab"


def _number(name: str) -> tuple[str, str]:
    """(label, number) of a tag: "Figure 3:" -> ("Figure 3", "3")."""
    label = parse_label(name)
    if label is not None:
        return label.text, label.number
    match = _NUMBERED.match(name)
    return (match["label"].strip(), match["number"]) if match else (name, name)


def _files(element: Element) -> tuple[str, ...]:
    pictures = (image.get("src") or "" for image in element.iter("img") if "ltx_graphics" in classes(image))
    return tuple(source for source in pictures if source)


def _ids(element: Element) -> tuple[str, ...]:
    """The float's own id and those of the floats in it."""
    parts = [element, *(part for part in element.iter() if tag(part) and is_float(part))]
    return tuple(dict.fromkeys(part.get("id") for part in parts if part.get("id")))
