"""Tokens of inline maths -> one readable line of Unicode: "χ^2 ≤ 10^-3", "(a+b)/c", "√x", "x_{i,j}"."""

import re
import unicodedata
from collections.abc import Callable

from scicap_builder.latex.reader import GroupReader
from scicap_builder.latex.symbols import LETTERS_BLACKBOARD, MATH_ACCENTS, symbol_table
from scicap_builder.latex.tokens import is_control_word
from scicap_builder.latex.units import COMMANDS as UNIT_COMMANDS
from scicap_builder.latex.units import UNITS

MAX_DEPTH = 25
"""Fractions within fractions; deeper ones are left out."""
Inner = Callable[[list[str]], str]
"""Reads text within maths (\\text{…})."""

_TEXT = {
    "text",
    "mathrm",
    "textrm",
    "textit",
    "textbf",
    "mbox",
    "hbox",
    "operatorname",
    "textsf",
    "texttt",
    "textnormal",
    "textsc",
}
_TEXT |= {
    "mathsf",
    "mathtt",
    "mathit",
    "rm",
    "textup",
    "emph",
    "textmd",
    "operatornamewithlimits",
    "DeclareMathOperator",
}
_SAME = {
    "mathbf",
    "mathcal",
    "mathscr",
    "mathfrak",
    "boldsymbol",
    "bm",
    "pmb",
    "bold",
    "underline",
    "underbrace",
    "overbrace",
}
_SAME |= {
    "ensuremath",
    "displaystyle",
    "boxed",
    "mathop",
    "mathrel",
    "mathbin",
    "mathord",
    "mathopen",
    "mathclose",
    "substack",
}
_SAME |= {"cancel", "smash", "mathstrut", "hphantom", "vcenter", "operatorname*", "bar*"}
_BLACKBOARD = {"mathbb", "mathds", "mathbbm", "Bbb"}
_ARROWS = {"xrightarrow": "→", "xleftarrow": "←"}
_WITH_ARGUMENT = _SAME | set(MATH_ACCENTS) | _BLACKBOARD | set(_ARROWS) | {"not"}
_OF_PROSE = {"cite", "citep", "citet", "footnote", "textcolor", "url", "ce", "ch", *UNIT_COMMANDS}
_AROUND = {
    "bra": ("⟨", "|"), "ket": ("|", "⟩"), "braket": ("⟨", "⟩"), "expval": ("⟨", "⟩"), "ev": ("⟨", "⟩"), "abs": ("|", "|"),
    "norm": ("‖", "‖"), "order": ("O(", ")"), "floor": ("⌊", "⌋"), "ceil": ("⌈", "⌉"), "set": ("{", "}"),
}  # fmt: skip
"""Commands of physics and braket (and what authors call so) -> what they put around their argument."""
_DERIVATIVES = {"dv": "d", "pdv": "∂", "derivative": "d", "partialderivative": "∂"}
_FRACTIONS = {"frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "textfrac"}
_SIZES = re.compile(r"^(?:left|right|middle|[bB]igg?[lrm]?|[bB]igg?)$")
_SKIPPED = {
    "label": 1,
    "tag": 1,
    "vspace": 1,
    "hspace": 1,
    "color": 1,
    "vphantom": 1,
    "phantom": 1,
    "begin": 1,
    "end": 1,
    "kern": 0,
}
_SPACES = {",", ";", ":", " ", ">", "quad", "qquad", "thinspace", "enspace", "space", "~"}
_RELATIONS = frozenset("=<>≤≥≈∼≃≅≡≠∝→←↔⇒⇐⇔↦∈∉⊂⊆⊃⊇≪≫±∓×≲≳≔≜⟶⟵⊕⊗∪∩∧∨⩽⩾↑↓")
_APPENDED = frozenset("′″‴*†‡°")
_FUNCTIONS = {
    "log", "ln", "exp", "sin", "cos", "tan", "min", "max", "arg", "lim", "sup", "inf", "det", "dim", "ker", "Pr",
    "Tr", "tr", "tanh",
}  # fmt: skip
_FUNCTIONS |= {
    "sinh", "cosh", "argmin", "argmax", "deg", "gcd", "lg", "cot", "sec", "csc", "arcsin", "arccos", "arctan",
}  # fmt: skip
_ENDS_IN_FUNCTION = re.compile(r"(?:^|[^A-Za-z\\])(?:" + "|".join(sorted(_FUNCTIONS)) + r")$")


def math_text(tokens: list[str], inner: Inner, depth: int = 0) -> str:
    """One line for the maths in `tokens`."""
    if depth > MAX_DEPTH:
        return ""
    reader = GroupReader(list(tokens))
    parts: list[str] = []
    while reader:
        piece = _atom(reader, inner, depth)
        if piece:
            parts.append(piece)
    return _space_out(parts)


def _space_out(parts: list[str]) -> str:
    """Put blanks around relations and function names, and where a script would run into what follows: "∑_i x"."""
    text, before = "", ""
    for part in parts:
        if part in _RELATIONS:
            text = text.rstrip() + (f" {part} " if text.strip() else part)
        elif _needs_blank(text, before, part):
            text += " " + part
        else:
            text += part
        before = part
    return re.sub(r"\s+", " ", text)


def _needs_blank(text: str, before: str, part: str) -> bool:
    if not text or not part[0].isalnum():
        return False
    if _ENDS_IN_FUNCTION.search(text):
        return True
    if part in _FUNCTIONS:
        return text[-1].isalnum() or text[-1] == ")"
    runs_on = text[-1].isalpha() if part[0].isalpha() else text[-1].isdigit()
    return before[:1] in ("_", "^") and len(before) > 1 and runs_on


def _atom(reader: GroupReader, inner: Inner, depth: int) -> str:
    lexeme = reader.next()
    if lexeme == "{":
        return math_text(reader.rest_of_group(), inner, depth + 1)
    if lexeme in "_^":
        return _script(lexeme, _argument(reader, inner, depth))
    if lexeme[0] == "\\" and len(lexeme) > 1:
        return _command(lexeme, reader, inner, depth)
    if lexeme in "&~":
        return " "
    return "" if lexeme.isspace() or lexeme in "}$#" else _letters(lexeme)


def _letters(lexeme: str) -> str:
    """A run of characters: signs become typographic, relations get blanks."""
    lexeme = re.sub(r"'+", lambda primes: "′″‴"[min(len(primes.group()), 3) - 1], lexeme)
    lexeme = lexeme.replace("`", "‘").replace(",", ", ")
    return re.sub(r"([=<>])", r" \1 ", lexeme) if len(lexeme) > 1 else lexeme


def _argument(reader: GroupReader, inner: Inner, depth: int) -> str:
    """The argument of a command or script: a group, or one atom with its own arguments."""
    reader.skip_blanks()
    lexeme = reader.peek()
    if lexeme[:1] == "\\" and len(lexeme) > 1:
        return _atom(reader, inner, depth + 1) if depth < MAX_DEPTH else ""
    return math_text(reader.argument(), inner, depth + 1)


def _script(sign: str, text: str) -> str:
    """`^` or `_` and its argument: bare when that is one word or number, braced when it is more."""
    text = text.strip().replace("∘", "°").replace("∗", "*").replace(", ", ",")
    if not text or text == "°" or (sign == "^" and set(text) <= _APPENDED):
        return text
    if re.fullmatch(r"[-+−±]?[\w.*′]+|[-+*]", text) or len(text) == 1:
        return sign + text
    return f"{sign}{{{text}}}"


def _command(lexeme: str, reader: GroupReader, inner: Inner, depth: int) -> str:
    name = lexeme[1:]
    if not is_control_word(lexeme):
        return _control_symbol(name)
    if _SIZES.match(name):
        reader.skip_blanks()
        if reader.peek()[:1] == ".":
            reader.argument()
        return ""
    if name in _LAYOUTS:
        return _LAYOUTS[name](name, reader, lambda: _argument(reader, inner, depth).strip())
    return _named(name, reader, inner, depth)


def _fraction(_name: str, _reader: GroupReader, argument: Callable[[], str]) -> str:
    return f"{_wrapped(argument())}/{_wrapped(argument())}"


def _choose(_name: str, _reader: GroupReader, argument: Callable[[], str]) -> str:
    return f"({argument()} choose {argument()})"


def _over(_name: str, _reader: GroupReader, argument: Callable[[], str]) -> str:
    """What stands above or below a sign is left out."""
    argument()
    return argument()


def _root(_name: str, reader: GroupReader, argument: Callable[[], str]) -> str:
    degree = reader.option()
    return {"3": "∛", "4": "∜"}.get("".join(degree or []), "√") + _wrapped(argument())


def _around(name: str, reader: GroupReader, argument: Callable[[], str]) -> str:
    if reader.peek() != "{":
        return symbol_table().get(name, "")
    before, after = _AROUND[name]
    return before + argument() + after


def _derivative(name: str, _reader: GroupReader, argument: Callable[[], str]) -> str:
    sign = _DERIVATIVES[name]
    return f"{sign}{_wrapped(argument())}/{sign}{_wrapped(argument())}"


_LAYOUTS: dict[str, Callable[[str, GroupReader, Callable[[], str]], str]] = {
    **dict.fromkeys(_FRACTIONS, _fraction),
    **dict.fromkeys(("binom", "dbinom", "tbinom"), _choose),
    **dict.fromkeys(("overset", "underset", "stackrel"), _over),
    "sqrt": _root,
    **dict.fromkeys(_AROUND, _around),
    **dict.fromkeys(_DERIVATIVES, _derivative),
}
"""Commands that set their arguments around a sign."""


def _named(name: str, reader: GroupReader, inner: Inner, depth: int) -> str:
    if name in _TEXT:
        reader.star()
        reader.skip_blanks()
        return inner(reader.argument()) if reader.peek() == "{" or name != "rm" else ""
    if name in _OF_PROSE or name.endswith("ref"):
        return inner([f"\\{name}", *reader.groups()])
    if name in _SKIPPED:
        for _ in range(_SKIPPED[name]):
            reader.argument()
        return " "
    if name in _WITH_ARGUMENT:
        reader.star()
        reader.option()
        return _changed(name, _argument(reader, inner, depth))
    if name in _FUNCTIONS:
        return name
    return " " if name in _SPACES else symbol_table().get(name, UNITS.get(name, "")).strip(" ")


def _changed(name: str, base: str) -> str:
    """A command that sets its argument in another way: accents, blackboard letters, arrows with text above."""
    if name in MATH_ACCENTS:
        return unicodedata.normalize("NFC", base + MATH_ACCENTS[name]) if len(base) == 1 else base
    if name in _BLACKBOARD:
        return "".join(LETTERS_BLACKBOARD.get(letter, letter) for letter in base)
    if name == "not":
        return unicodedata.normalize("NFC", base + "\u0338")
    return _ARROWS.get(name, base)


def _control_symbol(name: str) -> str:
    if name == "\\" or name in _SPACES:
        return " "
    if name == "|":
        return "‖"
    return name if name in "{}%&$#_" else ""


def _wrapped(text: str) -> str:
    """In brackets unless it is one word, number or bracketed already."""
    return text if re.fullmatch(r"[-+]?[\w.′^]+|\([^()]*\)", text) else f"({text})"
