"""Expanded TeX of one paragraph, caption or title -> clean Unicode text as a reader sees it, and the labels it refers to.

Citations become [cite], displayed equations [eq]; maths stays readable ("χ^2 ≤ 10^-3"). Never raises: what is not
understood is left out, its arguments are kept as text.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scicap_builder.latex.counters import as_style
from scicap_builder.latex.maths import math_text
from scicap_builder.latex.reader import GroupReader
from scicap_builder.latex.references import NO_REFERENCES, References
from scicap_builder.latex.symbols import ACCENTS, CITES, DROPPED, KEPT, symbol_table
from scicap_builder.latex.tokens import is_control_word, join, tokenize
from scicap_builder.latex.units import COMMANDS as UNIT_COMMANDS
from scicap_builder.latex.units import quantity

CITE = "[cite]"
EQUATION = "[eq]"
MAX_DEPTH = 40
"""Groups within groups; deeper ones are read flat."""
_DASHES = (("---", "—"), ("--", "–"), ("``", "“"), ("''", "”"), ("`", "‘"), ("'", "’"))
_ENVIRONMENT_ARGUMENTS = {
    "minipage": 1,
    "tabular": 1,
    "adjustbox": 1,
    "multicols": 1,
    "spacing": 1,
    "textblock": 1,
    "CJK": 2,
}
_ENVIRONMENT_ARGUMENTS |= {"CJK*": 2, "otherlanguage": 1, "adjustwidth": 2, "changemargin": 2, "wrapfigure": 2}
_DRAWN = frozenset(("tikzpicture", "pgfpicture", "picture"))
"""Environments without running text."""


@dataclass(frozen=True, slots=True)
class Prose:
    """Text and what it refers to."""

    text: str
    keys: tuple[str, ...] = ()
    """Labels cited with \\ref and its relatives, in order."""


def to_prose(source: str, references: References = NO_REFERENCES) -> Prose:
    """Read one stretch of expanded TeX; references are resolved by `references`."""
    writer = _Writer(references)
    text = writer.read(tokenize(source), 0)
    return Prose(tidy(text), tuple(writer.keys))


def tidy(text: str) -> str:
    """One line, single blanks, none before punctuation or within brackets, composed accents."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()
    text = re.sub(r" +([,.;:!)\]]|\?(?!\?))", r"\1", text)
    text = re.sub(r"([(\[]) +", r"\1", text)
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"\[cite\](?:,?\s*\[cite\])+", CITE, text)
    return re.sub(r" {2,}", " ", text).strip()


@dataclass
class _Writer:
    references: References
    keys: list[str] = field(default_factory=list)

    def read(self, tokens: list[str], depth: int) -> str:
        if depth > MAX_DEPTH:
            return " ".join(lexeme for lexeme in tokens if lexeme[0] not in "\\{}[]$&#^_~")
        reader = GroupReader(tokens)
        parts: list[str] = []
        while reader:
            parts.append(self._piece(reader, depth))
        return "".join(parts)

    def _piece(self, reader: GroupReader, depth: int) -> str:
        lexeme = reader.next()
        if lexeme == "{":
            return self.read(reader.rest_of_group(), depth + 1)
        if lexeme in ("$", r"\(", r"\["):
            return self._math(lexeme, reader, depth)
        if lexeme[0] != "\\" or len(lexeme) < 2:
            return _plain(lexeme)
        if is_control_word(lexeme):
            return self._command(lexeme[1:], reader, depth)
        return _verbatim(lexeme) if len(lexeme) > 2 else self._control_symbol(lexeme[1], reader, depth)

    def _math(self, opening: str, reader: GroupReader, depth: int) -> str:
        closing = {"$": "$", r"\(": r"\)", r"\[": r"\]"}[opening]
        if opening == "$" and reader.peek() == "$":
            reader.next()
            inside = reader.until("$")
            if reader.peek() == "$":
                reader.next()
            return f" {EQUATION} " if inside else ""
        inside = reader.until(closing)
        return f" {EQUATION} " if opening == r"\[" else self._inline(inside, depth)

    def _inline(self, tokens: list[str], depth: int) -> str:
        """Maths within a line; text in it is read by this writer, so that a \\ref in it counts."""
        return math_text(tokens, lambda inner: re.sub(r"\s+", " ", self.read(inner, depth + MAX_DEPTH // 5)))

    def _command(self, name: str, reader: GroupReader, depth: int) -> str:
        star = reader.star()
        handler = self._handler(name, reader)
        if handler is not None:
            return handler(name, reader, depth + 1)
        if star:
            reader.back("*")
        reader.skip_blanks()
        symbol = symbol_table().get(name)
        if not symbol:
            reader.skip_option_before_group()
        return symbol or ""

    def _handler(self, name: str, reader: GroupReader) -> Callable[[str, GroupReader, int], str] | None:
        """What deals with a command that does something with its arguments; None for symbols and unknown commands."""
        if name in _HANDLERS:
            return partial(_HANDLERS[name], self)
        if self.references.knows(name) or (name.lower().endswith("ref") and self.references.has(reader)):
            return self._reference
        if CITES.match(name):
            return self._cite
        if name in ACCENTS and len(name) == 1:
            return self._accent
        if name in DROPPED:
            return self._drop
        return self._keep if name in KEPT else None

    def _footnote(self, _: str, reader: GroupReader, depth: int) -> str:
        """Left out: it stands at the foot of the page. What it refers to counts for the paragraph that it hangs on."""
        reader.option()
        self.read(reader.argument(), depth)
        return ""

    def _drop(self, name: str, reader: GroupReader, _: int) -> str:
        reader.option()
        for _argument in range(DROPPED[name]):
            reader.argument()
        return ""

    def _keep(self, name: str, reader: GroupReader, depth: int) -> str:
        count, which = KEPT[name]
        for _ in range(2):
            reader.option()
        arguments = [reader.argument(after_option=True) for _ in range(count)]
        return self.read(arguments[which], depth)

    def _maths_in_text(self, name: str, reader: GroupReader, depth: int) -> str:
        if name == "ensuremath":
            return self._inline(reader.argument(), depth)
        return self._inline([f"\\{name}", *reader.groups()], depth)

    def _address(self, _name: str, reader: GroupReader, _depth: int) -> str:
        return "".join(reader.argument())

    def _script(self, name: str, reader: GroupReader, depth: int) -> str:
        raised = self.read(reader.argument(), depth)
        return ("^" if name == "textsuperscript" and re.fullmatch(r"[-+−±\d]+", raised) else "") + raised

    def _skip(self, _name: str, reader: GroupReader, _depth: int) -> str:
        reader.drop_dimension()
        return ""

    def _break(self, _name: str, reader: GroupReader, _depth: int) -> str:
        reader.option()
        return " "

    def _control_symbol(self, char: str, reader: GroupReader, depth: int) -> str:
        if char in ACCENTS:
            return self._accent(char, reader, depth + 1)
        if char == "\\":
            reader.star()
            reader.option()
            return " "
        if char in " ,;:~\n\t>":
            return " "
        return char if char in "%&$#_{}" else ""

    def _accent(self, name: str, reader: GroupReader, depth: int) -> str:
        base = self.read(reader.argument(), depth).replace("ı", "i").replace("ȷ", "j")
        return base[:1] + ACCENTS[name] + base[1:] if base.strip() else base

    def _cite(self, _name: str, reader: GroupReader, _depth: int) -> str:
        for _ in range(2):
            reader.option()
        reader.argument()
        return CITE

    def _reference(self, name: str, reader: GroupReader, depth: int) -> str:
        if name == "hyperref":
            option = reader.option()
            if option is not None:
                self.keys += _keys(join(option))
            return self.read(reader.argument(), depth)
        reader.option()
        keys = _keys(join(reader.argument()))
        if self.references.takes_two(name):
            keys += _keys(join(reader.argument()))
        self.keys += keys
        return self.references.text(name, keys)

    def _environment(self, name: str, reader: GroupReader, _depth: int) -> str:
        environment = "".join(reader.argument())
        if name == "begin" and environment in _DRAWN:
            reader.past_end(environment)
        elif name == "begin":
            reader.option()
            for _ in range(_ENVIRONMENT_ARGUMENTS.get(environment, 0)):
                reader.argument(after_option=True)
        return " "

    def _quantity(self, name: str, reader: GroupReader, depth: int) -> str:
        return quantity(name, reader, lambda tokens: self.read(tokens, depth))

    def _chemistry(self, _name: str, reader: GroupReader, depth: int) -> str:
        """mhchem: the formula as typed, with real arrows."""
        formula = self.read(reader.argument(), depth)
        for typed, arrow in (("<=>", "⇌"), ("<->", "↔"), ("->", "→"), ("<-", "←")):
            formula = formula.replace(typed, arrow)
        return formula

    def _fraction(self, name: str, reader: GroupReader, depth: int) -> str:
        """\\nicefrac{1}{2} and \\unitfrac[3]{m}{s} within text."""
        value = self.read(reader.option() or [], depth) + " " if name == "unitfrac" else ""
        return value.lstrip() + "/".join(self.read(reader.argument(), depth) for _ in range(2))

    def _ion(self, _name: str, reader: GroupReader, depth: int) -> str:
        """AASTeX's \\ion{Fe}{2}: Fe II."""
        element, stage = (self.read(reader.argument(), depth).strip() for _ in range(2))
        return f"{element} {as_style(int(stage), 'Roman') if re.fullmatch('[1-9][0-9]?', stage) else stage.upper()}"

    def _drawing(self, _name: str, reader: GroupReader, _depth: int) -> str:
        """\\tikz[…]{…} and \\tikz … ; leave no text."""
        reader.option()
        if reader.peek() == "{":
            reader.argument()
        else:
            reader.past_sign(";")
        return ""


_Handler = Callable[[_Writer, str, GroupReader, int], str]
_HANDLERS: dict[str, _Handler] = {
    **dict.fromkeys(("begin", "end"), _Writer._environment),
    **dict.fromkeys(("footnote", "footnotetext", "blfootnote", "tablefootnote"), _Writer._footnote),
    **dict.fromkeys(
        ("ensuremath", "mathrm", "mathbf", "mathcal", "mathbb", "mathit", "mathsf", "frac"), _Writer._maths_in_text
    ),
    **dict.fromkeys(("sqrt", "boldsymbol", "bm"), _Writer._maths_in_text),
    **dict.fromkeys(("url", "path", "nolinkurl"), _Writer._address),
    **dict.fromkeys(UNIT_COMMANDS, _Writer._quantity),
    **dict.fromkeys(("ce", "ch"), _Writer._chemistry),
    **dict.fromkeys(("nicefrac", "sfrac", "unitfrac", "textfrac"), _Writer._fraction),
    "ion": _Writer._ion,
    "tikz": _Writer._drawing,
    **dict.fromkeys(
        ("kern", "hskip", "vskip", "parindent", "parskip", "baselineskip", "raise", "lower"), _Writer._skip
    ),
    **dict.fromkeys(("textsuperscript", "textsubscript"), _Writer._script),
    **dict.fromkeys(
        ("item", "par", "newline", "linebreak", "hfill", "hfil", "break", "smallskip", "cr"), _Writer._break
    ),
    **dict.fromkeys(("medskip", "bigskip"), _Writer._break),
}


def _verbatim(lexeme: str) -> str:
    """\\verb|text| -> text; a verbatim environment is no running text."""
    match = re.match(r"\\(?:verb|lstinline)\*?(.)(.*)\1$", lexeme, re.DOTALL)
    return match[2] if match else " "


def _plain(lexeme: str) -> str:
    """Words and single special characters."""
    if lexeme in "}$^#":
        return "" if lexeme != "^" else "^"
    if lexeme in "~&":
        return " "
    for source, target in _DASHES:
        if source in lexeme:
            lexeme = lexeme.replace(source, target)
    return lexeme


def _keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]
