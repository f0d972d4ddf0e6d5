"""The tree of a page -> the paragraphs of its running text in reading order, those that a float cuts in two joined."""

import re
from dataclasses import dataclass, field

from scicap_builder.html.figures import is_float
from scicap_builder.html.prose import EQUATIONS, Prose, read_prose
from scicap_builder.html.tree import MAX_DEPTH, Element, classes, tag

_SILENT = frozenset(["script", "style", "head", "nav", "header", "footer", "svg", "math", "table"])
_NOT_TEXT = frozenset(
    [
        "ltx_bibliography", "ltx_biblist", "ltx_TOC", "ltx_authors", "ltx_dates", "ltx_page_header", "ltx_page_footer",
        "ltx_page_navbar", "ltx_listing", "ltx_algorithm", "ltx_tabular", "ltx_keywords", "ltx_classification",
        "ltx_acknowledgement_title", "ltx_index", "ltx_glossary", "ltx_caption",
    ]
)  # fmt: skip
_RUN_IN = frozenset(["ltx_title_paragraph", "ltx_title_subparagraph"])
_TEXT = frozenset(["ltx_p"])
_ENDED = re.compile(r"[.!?:;][\"'”’)\]]*(?:\s*\[cite\])*$")
_GOES_ON = re.compile(r"[a-z(\[,;]")
_WORDS = re.compile(r"[^\W\d_]{2,}")


def find_paragraphs(root: Element) -> tuple[Prose, ...]:
    """Running text; headings, captions, tables, the bibliography and what surrounds the paper are left out."""
    walk = _Walk()
    walk.enter(root, 0)
    walk.end()
    return tuple(paragraph for paragraph in walk.done if _WORDS.search(paragraph.text))


@dataclass
class _Walk:
    done: list[Prose] = field(default_factory=list)
    parts: list[Element] = field(default_factory=list)
    heading: str = ""
    """A run-in heading, the first words of the paragraph after it."""
    cut: bool = False
    """Whether nothing but a float stands between the last paragraph and this place."""

    def enter(self, element: Element, depth: int) -> None:
        for child in element:
            if tag(child) and depth <= MAX_DEPTH:
                self.visit(child, depth)

    def visit(self, element: Element, depth: int) -> None:
        name, kinds = tag(element), classes(element)
        if kinds & EQUATIONS:
            self.parts.append(element)
        elif is_float(element):
            self.cut = self.cut or not self.parts
        elif name in _SILENT or kinds & _NOT_TEXT:
            return
        elif "ltx_title" in kinds or re.fullmatch(r"h[1-6]", name):
            self.end()
            self.cut = False
            self.heading = read_prose(element).text if kinds & _RUN_IN else ""
        elif name == "p" or kinds & _TEXT:
            self.parts.append(element)
        elif "ltx_para" in kinds or name in ("li", "ul", "ol", "dl", "dd", "blockquote"):
            self.end()
            self.enter(element, depth + 1)
            self.end()
        else:
            self.enter(element, depth + 1)

    def end(self) -> None:
        """The paragraph ends here."""
        if not self.parts:
            return
        found = read_prose(*self.parts, before=self.heading)
        before = self.done[-1] if self.done else None
        if self.cut and before and not self.heading and _GOES_ON.match(found.text) and not _ENDED.search(before.text):
            self.done[-1] = Prose(
                f"{before.text} {found.text}", before.links + found.links, f"{before.unlinked} {found.unlinked}"
            )
        else:
            self.done.append(found)
        self.parts, self.heading, self.cut = [], "", False
