"""A stack of tokens that macros push back onto, and the ways TeX reads arguments from it."""

from itertools import islice

from scicap_builder.latex.macros import Macro, Parameter, characters
from scicap_builder.latex.tokens import is_blank, is_break, join

MAX_ARGUMENT_TOKENS = 100_000
"""An argument longer than this has lost its closing brace: a whole paper has about 50,000 tokens."""

MAX_WASTED_TOKENS = 300_000
"""How many tokens may be looked at in vain for closing braces; after that the search is short."""
MAX_DELIMITED_TOKENS = 200
"""How far ahead the delimiter of a \\def parameter is looked for."""
MAX_DELIMITED_CHARS = 1000


class TokenStream:
    """Tokens to come, the next one last in the list. Markers (tokens that start with NUL) are stepped over in arguments."""

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._wasted = 0

    def __bool__(self) -> bool:
        return bool(self._stack)

    def push(self, tokens: list[str]) -> None:
        """Put `tokens` in front of all others."""
        self._stack.extend(reversed(tokens))

    def pop(self) -> str:
        """The next token; the stream must not be empty."""
        return self._stack.pop()

    def clear(self) -> None:
        """Drop everything: the document has ended."""
        self._stack.clear()

    def ahead(self, count: int) -> list[str]:
        """The next `count` tokens, left in place."""
        return list(islice(reversed(self._stack), count))

    def skip_blanks(self) -> None:
        """Step over white space that ends no paragraph."""
        while self._stack and is_blank(self._stack[-1]):
            self._stack.pop()

    def _hold_markers(self) -> list[str]:
        """Step over white space and markers (an argument may stand behind the end of a macro); returns the markers."""
        held = []
        while self._stack and (self._stack[-1][0] == "\0" or self._stack[-1].isspace()):
            lexeme = self._stack.pop()
            if lexeme[0] == "\0":
                held.append(lexeme)
        return held

    def argument(self) -> list[str]:
        """The next `{…}` without its braces, or the next token; a word gives its first letter, as in TeX."""
        held = self._hold_markers()
        taken: list[str] = []
        if self._stack and self._stack[-1] != "}":
            lexeme = self._stack.pop()
            if lexeme == "{":
                taken = self._rest_of_group("{", "}")
            elif lexeme[0] != "\\" and len(lexeme) > 1:
                self._stack.append(lexeme[1:])
                taken = [lexeme[0]]
            else:
                taken = [lexeme]
        self.push(held)
        return taken

    def option(self) -> list[str] | None:
        """The next `[…]` without its brackets, or None when there is none."""
        position = len(self._stack) - 1
        while position >= 0 and (is_blank(self._stack[position]) or self._stack[position][0] == "\0"):
            position -= 1
        if position < 0 or self._stack[position] != "[":
            return None
        held = [lexeme for lexeme in reversed(self._stack[position:]) if lexeme[0] == "\0"]
        del self._stack[position:]
        taken = self._rest_of_group("[", "]")
        self.push(held)
        return taken

    def _rest_of_group(self, opening: str, closing: str) -> list[str]:
        """Tokens up to the closing partner, which is dropped; when there is none, nothing is taken."""
        taken: list[str] = []
        depth = 0
        limit = MAX_ARGUMENT_TOKENS if self._wasted < MAX_WASTED_TOKENS else MAX_DELIMITED_CHARS
        for lexeme in islice(reversed(self._stack), limit):
            if lexeme == closing and not depth:
                del self._stack[-len(taken) - 1 :]
                self.push([lexeme for lexeme in taken if lexeme[0] == "\0"])
                return [lexeme for lexeme in taken if lexeme[0] != "\0"]
            depth += (lexeme == "{") - (lexeme == "}")
            if depth < 0 or (opening == "[" and is_break(lexeme)):
                break
            taken.append(lexeme)
        self._wasted += len(taken)
        return []

    def arguments(self, macro: Macro) -> list[list[str]]:
        """All arguments of a macro, one token list each."""
        if macro.prefix or any(parameter.kind == "d" for parameter in macro.parameters):
            self._split_words(MAX_DELIMITED_TOKENS)
        for lexeme in macro.prefix:
            if self._stack and self._stack[-1] == lexeme:
                self._stack.pop()
        return [self._parameter(parameter) for parameter in macro.parameters]

    def _split_words(self, count: int) -> None:
        """Turn the next `count` tokens into single characters, so that a delimiter within a word is found."""
        words = self.ahead(count)
        del self._stack[len(self._stack) - len(words) :]
        self.push([character for word in words for character in characters(word)])

    def _parameter(self, parameter: Parameter) -> list[str]:
        if parameter.kind == "o":
            option = self.option()
            return list(parameter.default) if option is None else option
        if parameter.kind == "s":
            if self._stack and self._stack[-1] == "*":
                self._stack.pop()
            elif self._stack and self._stack[-1].startswith("*"):
                self._stack[-1] = self._stack[-1][1:]
            return []
        if parameter.kind == "d":
            return self._delimited(parameter.until)
        return self.argument()

    def _delimited(self, until: tuple[str, ...]) -> list[str]:
        """Tokens up to the delimiter, which is dropped; without it, nothing."""
        wanted = list(until)
        limit = min(len(self._stack), MAX_DELIMITED_CHARS)
        for length in range(limit):
            if self._stack[-1 - length] == wanted[0]:
                candidate = list(islice(reversed(self._stack), length, length + len(wanted)))
                if candidate == wanted:
                    taken = self.ahead(length)
                    del self._stack[len(self._stack) - length - len(wanted) :]
                    return [lexeme for lexeme in taken if lexeme[0] != "\0"]
        return []

    def name_argument(self) -> str:
        """The name in \\begin{name}."""
        return join(self.argument()).strip()

    def file_argument(self) -> str:
        """The file of \\input: `{name}`, or bare up to white space as plain TeX has it."""
        self.skip_blanks()
        if self._stack and self._stack[-1] == "{":
            return join(self.argument()).strip().strip('"')
        name = []
        while self._stack and not self._stack[-1].isspace() and self._stack[-1][0] not in "\\{}\0":
            name.append(self._stack.pop())
        return "".join(name).strip().strip('"')

    def drop_until(self, markers: tuple[str, ...]) -> None:
        """Drop tokens up to the first that starts with one of `markers`, which stays."""
        while self._stack and not self._stack[-1].startswith(markers):
            self._stack.pop()

    def find(self, tokens: frozenset[str], opening: frozenset[str], closing: str) -> int | None:
        """How many tokens stand before the first of `tokens` on this level of `opening` … `closing`; None when there is none."""
        depth = 0
        for distance, lexeme in enumerate(reversed(self._stack)):
            if not depth and lexeme in tokens:
                return distance
            if lexeme in opening:
                depth += 1
            elif lexeme == closing:
                depth -= 1
        return None

    def skip(self, count: int) -> list[str]:
        """Take `count` tokens away and return the markers among them, which still must be seen."""
        if count <= 0:
            return []
        markers = [lexeme for lexeme in self.ahead(count) if lexeme[0] == "\0"]
        del self._stack[len(self._stack) - count :]
        return markers
