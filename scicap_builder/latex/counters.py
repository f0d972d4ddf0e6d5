"""LaTeX counters without LaTeX: stepping, resetting with a parent, and printing by the paper's own \\thefigure."""

import re
from dataclasses import dataclass, field

from scicap_builder.latex.dialects import FLOATS, Dialect, dialect_of, is_chaptered

SECTIONS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
_FORMAT = re.compile(
    r"\\(?P<style>arabic|alph|Alph|roman|Roman|value|number|fnsymbol)\s*\*?\s*\{(?P<counter>[A-Za-z*]+)\}"
    r"|\\(?:number|the)?\\value\s*\{(?P<value>[A-Za-z*]+)\}"
    r"|\\@(?P<inner>arabic|alph|Alph|roman|Roman)\s*\{?\s*\\c@(?P<register>[A-Za-z]+)"
    r"|\\the(?P<the>[A-Za-z]+)"
)
_ARTICLE_FORMATS = {
    "section": r"\arabic{section}",
    "subsection": r"\thesection.\arabic{subsection}",
    "subsubsection": r"\thesubsection.\arabic{subsubsection}",
    "subfigure": r"\alph{subfigure}",
    "subtable": r"\alph{subtable}",
}
_ARTICLE_PARENTS = {"subsection": "section", "subsubsection": "subsection"}
_SUBFIGURE_PACKAGE = re.compile(r"\\usepackage\s*(?:\[[^\]]*\])?\s*\{(?:[^}]*,)?\s*subfigure\s*(?:,[^}]*)?\}")
"""The package whose \\ref prints 3(b) where others print 3b."""
_FIGURE_NAME = re.compile(r"\bfigurename\s*=\s*\{?([^,{}\]\\]+)")
"""The caption package's option."""
MAX_DEPTH = 5
"""\\thefigure that prints \\thesection that prints …; deeper is a loop."""


@dataclass
class Counters:
    """The counters of one paper as they stand at one place of its text."""

    values: dict[str, int] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=lambda: {"figure": "Figure", "table": "Table"})
    """What a caption of this kind is called."""
    chaptered: bool = False
    in_appendix: bool = False
    dialect: Dialect = field(default_factory=Dialect)

    @classmethod
    def of_class(cls, preamble: str) -> "Counters":
        """Counters as the document's class sets them up."""
        counters = cls(chaptered=is_chaptered(preamble), dialect=dialect_of(preamble))
        counters.formats = dict(_ARTICLE_FORMATS) | dict(counters.dialect.formats)
        counters.parents = dict(_ARTICLE_PARENTS) | dict(counters.dialect.parents)
        counters.names |= dict(counters.dialect.names)
        if _SUBFIGURE_PACKAGE.search(preamble):
            counters.formats["subfigure"] = r"(\alph{subfigure})"
        named = _FIGURE_NAME.search(preamble)
        if named:
            counters.names["figure"] = named[1].strip()
        return counters

    def step(self, name: str) -> str:
        """Add one, reset what hangs below; returns what is printed."""
        self.values[name] = self.values.get(name, 0) + 1
        self._reset_below(name, 0)
        return self.printed(name)

    def _reset_below(self, name: str, depth: int) -> None:
        for child, parent in self.parents.items():
            if parent == name and child != name and depth < MAX_DEPTH:
                self.values[child] = 0
                self._reset_below(child, depth + 1)

    def set(self, name: str, value: int) -> None:
        """\\setcounter"""
        self.values[name] = value

    def within(self, child: str, parent: str, *, keep_format: bool = False) -> None:
        """\\numberwithin and \\counterwithin."""
        self.parents[child] = parent
        if not keep_format:
            self.formats[child] = rf"\the{parent}.\arabic{{{child}}}"

    @property
    def top(self) -> str:
        """The highest kind of heading that is numbered: "chapter" or "section"."""
        return "chapter" if self.chaptered else "section"

    def section_name(self, level: str) -> str:
        """What a heading of `level` is called."""
        return "Appendix" if self.in_appendix else ("Chapter" if level == "chapter" else "Section")

    def begin_appendix(self) -> None:
        """\\appendix: sections (or chapters) start again as A, B, C."""
        top = self.top
        self.in_appendix = True
        self.values[top] = 0
        self._reset_below(top, 0)
        self.formats[top] = rf"\Alph{{{top}}}"
        self.formats |= self.dialect.appendix
        self.values |= dict.fromkeys(self.dialect.appendix_resets, 0)
        self.parents |= dict.fromkeys(self.dialect.appendix_within, top)

    def restart_in_appendix(self) -> None:
        """AASTeX's \\restartappendixnumbering: A1, A2, B1 for floats and equations."""
        for name in FLOATS:
            self.values[name] = 0
            self.parents[name] = "section"
            self.formats[name] = rf"\thesection\arabic{{{name}}}"

    def printed(self, name: str, depth: int = 0) -> str:
        """\\thename as text."""
        if depth > MAX_DEPTH:
            return ""
        text = self.formats.get(name, rf"\arabic{{{name}}}")
        if self.chaptered and text.startswith(r"\thechapter.") and not self.values.get("chapter"):
            text = text[len(r"\thechapter.") :]
        text = _FORMAT.sub(lambda match: self._one(match, depth), text)
        return re.sub(r"\s+", " ", re.sub(r"[{}$]|\\[A-Za-z@]+\s?|\\.", "", text.replace("~", " "))).strip()

    def _one(self, match: re.Match[str], depth: int) -> str:
        if match["the"]:
            return self.printed(match["the"], depth + 1)
        name = match["counter"] or match["value"] or match["register"]
        style = match["style"] or match["inner"] or "arabic"
        return as_style(self.values.get(name, 0), style)


def as_style(value: int, style: str) -> str:
    """A number as \\arabic, \\alph, \\Alph, \\roman or \\Roman print it."""
    if style in ("alph", "Alph"):
        letter = chr(ord("a") + value - 1) if 1 <= value <= 26 else str(value)
        return letter if style == "alph" else letter.upper()
    if style in ("roman", "Roman"):
        numeral = _roman(value)
        return numeral if style == "roman" else numeral.upper()
    return str(value)


def _roman(value: int) -> str:
    if not 0 < value < 4000:
        return str(value)
    signs: tuple[tuple[int, str], ...] = (
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
    )
    signs += ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
    text = ""
    for worth, sign in signs:
        text += sign * (value // worth)
        value %= worth
    return text
