"""Walks over a list of tokens of one paragraph: groups, options and arguments. Missing parts read as empty."""

import re

from scicap_builder.latex.tokens import is_blank

_DIMENSION = re.compile(r"=?[-+]?[\d.,]*(?:true)?(?:pt|em|ex|mm|cm|in|bp|sp|pc|mu)?")
MAX_OPTION_TOKENS = 500
"""An option of more tokens is a lone bracket."""
MAX_SIGN_TOKENS = 200
"""How far ahead the end of a drawing command is looked for."""


class GroupReader:
    """Tokens with a position; every method moves on at most to the end."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._tokens)

    def next(self) -> str:
        """The next token; there must be one."""
        self._at += 1
        return self._tokens[self._at - 1]

    def peek(self) -> str:
        """The next token, left in place; empty at the end."""
        return self._tokens[self._at] if self else ""

    def back(self, lexeme: str) -> None:
        """Un-read the token just read."""
        if self._at and self._tokens[self._at - 1] == lexeme:
            self._at -= 1

    def skip_blanks(self) -> None:
        """Step over white space."""
        while self and is_blank(self._tokens[self._at]):
            self._at += 1

    def star(self) -> bool:
        """Take a `*` that follows directly."""
        if self.peek() == "*":
            self._at += 1
            return True
        return False

    def rest_of_group(self) -> list[str]:
        """After `{`: the tokens up to its partner, which is taken too; to the end when it is missing."""
        start, depth = self._at, 0
        while self:
            lexeme = self.next()
            if lexeme == "{":
                depth += 1
            elif lexeme == "}":
                if not depth:
                    return self._tokens[start : self._at - 1]
                depth -= 1
        return self._tokens[start:]

    def until(self, closing: str) -> list[str]:
        """The tokens up to `closing` outside of groups, which is taken too."""
        start, depth = self._at, 0
        while self:
            lexeme = self.next()
            if lexeme == closing and depth <= 0:
                return self._tokens[start : self._at - 1]
            depth += (lexeme == "{") - (lexeme == "}")
        return self._tokens[start:]

    def past_end(self, environment: str) -> None:
        """Step behind `\\end{environment}`; nothing is taken when it is missing."""
        closing = [r"\end", "{", environment, "}"]
        for at in range(self._at, len(self._tokens) - 3):
            if self._tokens[at] == closing[0] and self._tokens[at : at + 4] == closing:
                self._at = at + 4
                return

    def past_sign(self, sign: str) -> None:
        """Step behind the next `sign`, also within a word; nothing is taken when it does not come soon."""
        for at in range(self._at, min(len(self._tokens), self._at + MAX_SIGN_TOKENS)):
            before, found, rest = self._tokens[at].partition(sign)
            if found and not before.startswith("\\"):
                self._at = at + (not rest)
                if rest:
                    self._tokens[at] = rest
                return

    def argument(self, *, after_option: bool = False) -> list[str]:
        """The next `{…}` without braces, or the next single token; a word gives its first letter."""
        if after_option:
            self.option()
        while self and self._tokens[self._at].isspace():
            self._at += 1
        lexeme = self.peek()
        if not lexeme or lexeme == "}":
            return []
        if lexeme[0] != "\\" and len(lexeme) > 1:
            self._tokens[self._at] = lexeme[1:]
            return [lexeme[0]]
        self._at += 1
        return self.rest_of_group() if lexeme == "{" else [lexeme]

    def option(self) -> list[str] | None:
        """The next `[…]` without brackets; None, and nothing taken, when there is none."""
        start = self._at
        self.skip_blanks()
        if self.peek() != "[":
            self._at = start
            return None
        self._at += 1
        first, depth = self._at, 0
        while self and self._at - first < MAX_OPTION_TOKENS:
            lexeme = self.next()
            if lexeme == "]" and not depth:
                return self._tokens[first : self._at - 1]
            depth += (lexeme == "{") - (lexeme == "}")
        self._at = start
        return None

    def skip_option_before_group(self) -> None:
        """Take `[…]` only when `{` follows: the options of an unknown command, and not text in brackets."""
        start = self._at
        if self.option() is not None and self.peek() != "{":
            self._at = start

    def look_group(self) -> list[str]:
        """The inside of the group that follows, left in place."""
        start = self._at
        inside = self.argument()
        self._at = start
        return inside

    def groups(self) -> list[str]:
        """All `{…}` that follow directly, braces included."""
        start = self._at
        while self.peek() == "{":
            self._at += 1
            self.rest_of_group()
        return self._tokens[start : self._at]

    def drop_dimension(self) -> None:
        """Drop the length after \\kern and its like: `-.05em`, `= 2pt`, `0.5\\baselineskip`."""
        self.skip_blanks()
        match = _DIMENSION.match(self.peek())
        if match and match.end():
            rest = self.peek()[match.end() :]
            if rest:
                self._tokens[self._at] = rest
                return
            self._at += 1
        if self.peek().endswith(("skip", "width", "height", "indent", "sep")) and self.peek()[0] == "\\":
            self._at += 1
