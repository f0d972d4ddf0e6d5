"""Expanded TeX of one paragraph, caption or title -> clean Unicode text as a reader sees it, and the labels it refers to.

Citations become [cite], displayed equations [eq]; maths stays readable ("χ^2 ≤ 10^-3"). Never raises: what is not
understood is left out, its arguments are kept as text.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from scicap_builder.latex.maths import math_text
from scicap_builder.latex.reader import GroupReader
from scicap_builder.latex.references import REFERENCES, References
from scicap_builder.latex.symbols import ACCENTS, CITES, DROPPED, KEPT, UNITS, symbol_table
from scicap_builder.latex.tokens import is_control_word, join, tokenize

CITE = "[cite]"
EQUATION = "[eq]"
MAX_DEPTH = 40
"""Groups within groups; deeper ones are read flat."""
_FOOTNOTES = {"footnote", "footnotetext", "blfootnote", "tablefootnote"}
_SKIPS = {
    "kern",
    "hskip",
    "vskip",
    "parindent",
    "parskip",
    "baselineskip",
    "mkern",
    "mskip",
    "raise",
    "lower",
    "hangindent",
}
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


@dataclass(frozen=True, slots=True)
class Prose:
    """Text and what it refers to."""

    text: str
    keys: tuple[str, ...] = ()
    """Labels cited with \\ref and its relatives, in order."""


def to_prose(source: str, references: References = References()) -> Prose:
    """Read one stretch of expanded TeX; references are resolved by `references`."""
    writer = _Writer(references)
    text = writer.read(tokenize(source), 0)
    return Prose(tidy(text), tuple(writer.keys))


def tidy(text: str) -> str:
    """One line, single blanks, none before punctuation or within brackets, composed accents."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()
    text = re.sub(r" +([,.;:!?)\]])", r"\1", text)
    text = re.sub(r"([(\[]) +", r"\1", text)
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"(?:\[cite\][,;]?\s*){2,}", lambda run: CITE + (" " if run.group()[-1].isspace() else ""), text)
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
            return self._math(lexeme, reader)
        if lexeme[0] == "\\" and len(lexeme) > 1:
            return self._command(lexeme, reader, depth)
        return _plain(lexeme)

    def _math(self, lexeme: str, reader: GroupReader) -> str:
        closing = {"$": "$", r"\(": r"\)", r"\[": r"\]"}[lexeme]
        if lexeme == "$" and reader.peek() == "$":
            reader.next()
            inside = reader.until("$")
            if reader.peek() == "$":
                reader.next()
            return f" {EQUATION} " if inside else ""
        inside = reader.until(closing)
        return f" {EQUATION} " if lexeme == r"\[" else self._inline(inside)

    def _inline(self, tokens: list[str]) -> str:
        """Maths within a line; \\ref in it still counts."""
        body = join(tokens)
        if REFERENCES.search(body):
            self.keys += [key for match in REFERENCES.finditer(body) for key in _keys(match["keys"])]
        return math_text(tokens, lambda inner: tidy_inner(self.read(inner, MAX_DEPTH // 2)))

    def _command(self, lexeme: str, reader: GroupReader, depth: int) -> str:
        if lexeme.startswith(r"\begin") and len(lexeme) > 6 and lexeme[6] in " {":
            return " "  # a verbatim stretch is one token
        if not is_control_word(lexeme):
            return self._control_symbol(lexeme, reader, depth)
        name = lexeme[1:]
        if name in ACCENTS and len(name) == 1:
            return self._accent(name, reader, depth)
        if name == "verb" or lexeme.startswith((r"\verb", r"\lstinline")):
            return lexeme
        special = self._special(name, reader, depth)
        if special is not None:
            return special
        symbol = symbol_table().get(name)
        reader.skip_blanks()
        if symbol:
            return symbol
        if reader.peek() == "[" and not symbol:
            reader.skip_option_before_group()
        return ""

    def _special(self, name: str, reader: GroupReader, depth: int) -> str | None:
        """Commands that do something with their arguments; None when `name` is none of them."""
        star = reader.star()
        if self.references.knows(name) or (name.lower().endswith("ref") and self.references.has(reader)):
            return self._reference(name, reader, depth)
        if CITES.match(name):
            return self._cite(reader)
        if name in ("begin", "end"):
            return self._environment(name, reader)
        if name in _FOOTNOTES:
            reader.option()
            note = tidy(self.read(reader.argument(), depth + 1))
            return "" if re.fullmatch(r"\W*(?:https?://|www\.)\S+\W*", note) or not note else f" [{note}]"
        if name in DROPPED:
            reader.option()
            for _ in range(DROPPED[name]):
                reader.argument()
            return ""
        if name in KEPT:
            count, which = KEPT[name]
            reader.option()
            return self.read(
                [reader.argument(after_option=True) for _ in range(count)][which] if count else [], depth + 1
            )
        if star:
            reader.back("*")
        return self._text_command(name, reader, depth)

    def _text_command(self, name: str, reader: GroupReader, depth: int) -> str | None:
        if name in (
            "ensuremath",
            "mathrm",
            "mathbf",
            "mathcal",
            "mathbb",
            "mathit",
            "frac",
            "sqrt",
            "boldsymbol",
            "bm",
            "mathsf",
        ):
            reader.back(f"\\{name}") if name != "ensuremath" else None
            inside = reader.argument() if name == "ensuremath" else reader.command_with_groups()
            return self._inline(inside)
        if name in ("url", "path", "nolinkurl"):
            return "".join(reader.argument())
        if name in ("num", "ang", "SI", "qty", "si", "unit"):
            return self._quantity(name, reader, depth)
        if name in _SKIPS:
            reader.drop_dimension()
            return ""
        if name in ("textsuperscript", "textsubscript"):
            raised = self.read(reader.argument(), depth + 1)
            return ("^" if name == "textsuperscript" and raised.isdigit() else "") + raised
        if name in (
            "item",
            "par",
            "newline",
            "linebreak",
            "hfill",
            "hfil",
            "break",
            "smallskip",
            "medskip",
            "bigskip",
            "cr",
        ):
            reader.option()
            return " "
        return None

    def _control_symbol(self, lexeme: str, reader: GroupReader, depth: int) -> str:
        char = lexeme[1]
        if char in ACCENTS:
            return self._accent(char, reader, depth)
        if char == "\\":
            reader.star()
            reader.option()
            return " "
        if char in " ,;:~\n\t/>":
            return " " if char != "/" else ""
        return char if char in "%&$#_{}" else ""

    def _accent(self, name: str, reader: GroupReader, depth: int) -> str:
        base = self.read(reader.argument(), depth + 1).replace("ı", "i").replace("ȷ", "j")
        return base[:1] + ACCENTS[name] + base[1:] if base.strip() else base

    def _cite(self, reader: GroupReader) -> str:
        for _ in range(2):
            reader.option()
        reader.argument()
        return CITE

    def _reference(self, name: str, reader: GroupReader, depth: int) -> str:
        if name == "hyperref":
            option = reader.option()
            if option is not None:
                self.keys += _keys(join(option))
            return self.read(reader.argument(), depth + 1)
        reader.option()
        keys = _keys(join(reader.argument()))
        if self.references.takes_two(name):
            keys += _keys(join(reader.argument()))
        self.keys += keys
        return self.references.text(name, keys)

    def _environment(self, name: str, reader: GroupReader) -> str:
        environment = "".join(reader.argument())
        if name == "begin":
            reader.option()
            for _ in range(_ENVIRONMENT_ARGUMENTS.get(environment, 0)):
                reader.argument(after_option=True)
        return " "

    def _quantity(self, name: str, reader: GroupReader, depth: int) -> str:
        reader.option()
        number = "" if name in ("si", "unit") else self.read(reader.argument(), depth + 1).strip()
        number = re.sub(r"(?<=\d)\s*[eE]\s*(?=[-+]?\d)", " × 10^", number)
        if name == "num":
            return number
        unit = "°" if name == "ang" else _unit(reader.argument(after_option=True))
        return (number + ("" if unit[:1] in "°%" or not number else " ") + unit).strip()


def _unit(tokens: list[str]) -> str:
    return "".join(
        UNITS.get(lexeme[1:], "") if lexeme[0] == "\\" else lexeme.replace("~", " ")
        for lexeme in tokens
        if lexeme not in "{}"
    )


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


def tidy_inner(text: str) -> str:
    """Text within maths: blanks at its ends count."""
    return re.sub(r"\s+", " ", text)
