"""An element of LaTeXML's HTML -> clean Unicode text in the spelling of the LaTeX route, and the places it links to.

Citations become [cite], displayed equations [eq], footnotes stand in brackets; maths is read from the TeX that LaTeXML keeps
beside its MathML, by the LaTeX route's own function.
"""

import re
from dataclasses import dataclass, field

from scicap_builder.html.tree import MAX_DEPTH, Element, classes, fragment, tag
from scicap_builder.latex.maths import math_text
from scicap_builder.latex.prose import CITE, EQUATION, tidy, to_prose
from scicap_builder.latex.references import UNKNOWN
from scicap_builder.latex.tokens import join, tokenize

MAX_MATH_CHARS = 20_000
"""A formula longer than this is a table or a drawing."""
_SILENT = frozenset(
    [
        "script", "style", "noscript", "template", "head", "svg", "img", "object", "iframe", "canvas", "audio", "video",
        "button", "nav",
    ]
)  # fmt: skip
_LEFT_OUT = frozenset(
    ["ltx_ERROR", "ltx_note_mark", "ltx_tag", "ltx_tag_note", "ltx_rule", "ltx_pagination", "ltx_graphics", "ltx_svg"]
)
EQUATIONS = frozenset(["ltx_equation", "ltx_equationgroup", "ltx_eqn_table", "ltx_eqn_div"])
"""Classes of displayed maths."""
_BLOCKS = frozenset(
    [
        "p", "div", "section", "li", "ul", "ol", "dl", "dd", "dt", "table", "tr", "td", "th", "br", "blockquote", "pre",
        "figcaption",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prose:
    """Text and what it links to."""

    text: str
    links: tuple[tuple[str, str], ...] = ()
    """(id of the place, text of the link), in order."""
    unlinked: str = ""
    """The text without that of its links: what it cites by typing alone."""


def read_prose(*elements: Element, before: str = "") -> Prose:
    """The text of some elements that stand one after the other; their tails are not part of them."""
    writer = _Writer()
    text = before + " " + " ".join(writer.read(element, 0) for element in elements)
    bare = _Writer(with_links=False)
    unlinked = before + " " + " ".join(bare.read(element, 0) for element in elements) if writer.links else text
    return Prose(tidy(text), tuple(writer.links), tidy(unlinked))


def math_of(element: Element) -> str:
    """One line for a <math> element: from its TeX where it has it, else from its letters."""
    source = element.get("alttext") or "".join(
        note.text or "" for note in element.iter("annotation") if "tex" in (note.get("encoding") or "").lower()
    )
    if source and len(source) <= MAX_MATH_CHARS:
        source = re.sub(r"(?<!\\)%\s*\n?", "", source)
        return math_text(tokenize(source), lambda tokens: to_prose(join(tokens)).text).strip()
    return "".join(piece for piece in _letters(element)).strip()


def _letters(element: Element) -> list[str]:
    return [
        "".join(part.itertext())
        for part in element.iter("mi", "mn", "mo", "mtext")
        if not any(tag(above).startswith("annotation") for above in part.iterancestors())
    ]


@dataclass
class _Writer:
    with_links: bool = True
    links: list[tuple[str, str]] = field(default_factory=list)

    def read(self, element: Element, depth: int) -> str:
        """The text of an element with all that is in it."""
        name, kinds = tag(element), classes(element)
        if not name or depth > MAX_DEPTH or name in _SILENT or kinds & _LEFT_OUT:
            return ""
        whole = _whole(element, name, kinds)
        if whole is not None:
            return whole
        text = (element.text or "") + "".join(self.read(child, depth + 1) + (child.tail or "") for child in element)
        if "ltx_note" in kinds:
            return _footnote(text)
        if name == "a" and "ltx_ref" in kinds:
            return self._link(element, text)
        if name == "sup" and text.strip().isdigit():
            return "^" + text.strip()
        return f" {text} " if name in _BLOCKS else text

    def _link(self, element: Element, text: str) -> str:
        place = fragment(element.get("href") or "")
        if place:
            self.links.append((place, text))
        return text if self.with_links or not place else " "


def _whole(element: Element, name: str, kinds: frozenset[str]) -> str | None:
    """What an element is that is not read piece by piece; None for all others."""
    if name == "math":
        return math_of(element)
    if kinds & EQUATIONS:
        return f" {EQUATION} "
    if "ltx_missing_label" in kinds:
        return UNKNOWN
    if "ltx_cite" in kinds or (name == "a" and fragment(element.get("href") or "").startswith("bib")):
        return CITE
    return None


def _footnote(text: str) -> str:
    """In brackets where it stands; one that is only an address is left out."""
    note = tidy(text)
    return "" if not note or re.fullmatch(r"\W*(?:https?://|www\.)\S+\W*", note) else f" [{note}]"
