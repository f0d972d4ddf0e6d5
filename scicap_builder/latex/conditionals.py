"""TeX's conditionals as far as text depends on them: \\iffalse, \\newif flags, \\ifx and \\ifdefined on user macros.

What cannot be decided without running TeX takes its first branch.
"""

import re

from scicap_builder.latex.definitions import Definitions
from scicap_builder.latex.stream import TokenStream
from scicap_builder.latex.tokens import is_blank

_TEX_IFS = frozenset(
    [
        r"\if",
        r"\ifcat",
        r"\ifnum",
        r"\ifdim",
        r"\ifodd",
        r"\ifvmode",
        r"\ifhmode",
        r"\ifmmode",
        r"\ifinner",
        r"\ifvoid",
        r"\ifhbox",
        r"\ifvbox",
        r"\ifx",
        r"\ifeof",
        r"\iftrue",
        r"\iffalse",
        r"\ifcase",
        r"\ifdefined",
        r"\ifcsname",
        r"\ifpdf",
        r"\ifxetex",
        r"\ifluatex",
        r"\ifPDFTeX",
        r"\ifpdftex",
    ]
)
_KNOWN = {r"\iftrue": True, r"\iffalse": False, r"\ifpdf": True, r"\ifPDFTeX": True, r"\ifpdftex": True}
_KNOWN |= {r"\ifxetex": False, r"\ifluatex": False, r"\ifmmode": False, r"\ifeof": False}
_ELSE_OR_FI = frozenset((r"\else", r"\fi"))
_FI = frozenset((r"\fi",))


class Conditionals:
    """Decides \\if… as they come; unbalanced ones are passed over."""

    def __init__(self, stream: TokenStream, definitions: Definitions) -> None:
        self.stream = stream
        self.definitions = definitions
        self.flags: dict[str, bool] = {}
        self.open = 0
        self.balanced = True

    def new(self, name: str) -> None:
        """\\newif\\ifdraft: a flag, at first false."""
        self.flags.setdefault(name[3:], False)

    def handle(self, lexeme: str) -> bool:
        """Whether `token` was part of a conditional; if so, it and what it switches off are gone from the stream."""
        if lexeme == r"\fi":
            self.open = max(0, self.open - 1)
            return True
        if lexeme == r"\else":
            if self.open:
                self._skip_to(_FI)
                self.open -= 1
            return True
        if lexeme in _TEX_IFS or (lexeme.startswith(r"\if") and lexeme[3:] in self.flags):
            self._decide_and_skip(lexeme)
            return True
        return lexeme.endswith(("true", "false")) and self._set_flag(lexeme)

    def _set_flag(self, lexeme: str) -> bool:
        """\\drafttrue and \\draftfalse."""
        name = lexeme[1:].removesuffix("true").removesuffix("false")
        if name not in self.flags:
            return False
        self.flags[name] = lexeme.endswith("true")
        return True

    def _decide_and_skip(self, lexeme: str) -> None:
        if not self.balanced:
            return
        if self._test(lexeme) or self._skip_to(_ELSE_OR_FI) == r"\else":
            self.open += 1

    def _skip_to(self, ends: frozenset[str]) -> str:
        opening = _TEX_IFS | {rf"\if{name}" for name in self.flags}
        distance = self.stream.find(ends, opening, r"\fi")
        if distance is None:
            self.balanced = False
            return ""
        markers = self.stream.skip(distance)
        end = self.stream.pop()
        self.stream.push(markers)
        return end

    def _test(self, lexeme: str) -> bool:
        if lexeme[3:] in self.flags:
            return self.flags[lexeme[3:]]
        if lexeme in _KNOWN:
            return _KNOWN[lexeme]
        if lexeme in (r"\ifx", r"\if"):
            return self._same(*self._two_tokens())
        if lexeme == r"\ifdefined":
            self.stream.skip_blanks()
            return bool(self.stream) and self._meaning(self.stream.pop()) is not None
        return self._compare_numbers()

    def _two_tokens(self) -> tuple[str, str]:
        pair = []
        for _ in range(2):
            self.stream.skip_blanks()
            lexeme = self.stream.pop() if self.stream else ""
            if lexeme and lexeme[0] not in "\\\0" and len(lexeme) > 1:
                self.stream.push([lexeme[1:]])
                lexeme = lexeme[0]
            pair.append(lexeme)
        return pair[0], pair[1]

    def _same(self, one: str, other: str) -> bool:
        if one == other:
            return True
        if one[:1] != "\\" or other[:1] != "\\":
            return False
        return self._meaning(one) == self._meaning(other)

    def _meaning(self, name: str) -> object:
        macro = self.definitions.macros.get(name)
        if macro is not None:
            return macro.body
        return None if name in (r"\undefined", r"\@undefined") or self.definitions.is_free(name) else name

    def _compare_numbers(self) -> bool:
        """The comparison after \\ifnum and \\ifdim, taken out of the text: plain numbers are compared, anything else holds."""
        text = ""
        for lexeme in self.stream.ahead(12):
            if is_blank(lexeme) or lexeme[0] == "\0" or (lexeme[0] == "\\" and lexeme not in (r"\value", r"\number")):
                break
            text += self.stream.pop()
        plain = re.fullmatch(r"(\d{1,9})([<=>])(\d{1,9})", text)
        if plain is None:
            return True
        one, other = int(plain[1]), int(plain[3])
        return {"<": one < other, "=": one == other, ">": one > other}[plain[2]]

    def decide(self, test: str) -> bool:
        """The first argument of \\ifthenelse: \\boolean{flag} and \\equal{a}{b}; anything else holds."""
        negated = bool(re.match(r"\s*\\(?:not|NOT)\b", test))
        flag = re.search(r"\\boolean\s*\{([^}]*)\}", test)
        equal = re.search(r"\\equal\s*\{([^{}]*)\}\s*\{([^{}]*)\}", test)
        holds = (
            self.flags.get(flag[1], flag[1] == "true")
            if flag
            else equal[1].strip() == equal[2].strip()
            if equal
            else True
        )
        return holds != negated
