"""Main TeX text + a way to look up other files -> one text: inputs in place, user macros expanded, conditionals decided.

Nothing is executed: macros are replaced by their bodies within a budget, and TeX's own machinery is passed over.
"""

import posixpath
from collections import Counter
from collections.abc import Callable

from scicap_builder.latex.conditionals import Conditionals
from scicap_builder.latex.definitions import DEFINERS, Definitions
from scicap_builder.latex.macros import Environment, Macro, fill
from scicap_builder.latex.stream import TokenStream
from scicap_builder.latex.tokens import is_blank, is_control_word, join, strip_comments, tokenize

MAX_EXPANSIONS = 100_000
"""Macro calls in one paper: real ones make some thousands."""
MAX_EXPANDED_CHARS = 3_000_000
"""What all replacements together may write: ten times a long paper."""
MAX_INCLUDED_CHARS = 10_000_000
"""What all included files together may hold: plot data given as TeX reaches some MB."""
MAX_NESTING = 12
"""How often a macro may stand within itself (through its arguments: \\rev{… \\rev{…}}); deeper is a loop."""
MAX_FILES = 1000
MAX_FILE_NESTING = 20
"""Inputs within inputs. A file that is being read is not read again within itself: TeX would not end either."""

Read = Callable[[str, tuple[str, ...]], str | None]
"""(name as written, extensions to try) -> the file's text, or None. It must never look outside the paper's folder."""

_INPUTS = {r"\input", r"\include", r"\subfile", r"\InputIfFileExists", r"\@input", r"\loadgeometry", r"\subfileinclude"}
_IMPORTS = {r"\import", r"\subimport", r"\includefrom", r"\subincludefrom", r"\inputfrom"}
_PACKAGES = {r"\usepackage": ".sty", r"\RequirePackage": ".sty", r"\documentclass": ".cls", r"\LoadClass": ".cls"}
_SETTINGS = {r"\numberwithin": 2, r"\counterwithin": 2, r"\@addtoreset": 2, r"\crefname": 3, r"\Crefname": 3}
"""Commands that set up counters and names -> how many arguments they have."""
_XSPACE_STOPS = frozenset(".,:;!?'\"){}]/-~&")
_XSPACE_COMMANDS = frozenset((r"\ ", r"\/", r"\,", r"\\", r"\footnote", r"\footnotemark", r"\space", r"\xspace"))


def expand(source: str, read: Read) -> str:
    """The whole paper as one text without comments, user macros, conditionals and inputs. Never raises on bad TeX."""
    return Expander(read).run(source)


class Expander:
    """One pass over the tokens of a paper; `run` may be called once."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.stream = TokenStream()
        self.definitions = Definitions()
        self.conditionals = Conditionals(self.stream, self.definitions)
        self.out: list[str] = []
        self.muted = 0
        self.muted_depth = 0
        self.active: Counter[str] = Counter()
        self.open_environments: list[tuple[str, list[str]]] = []
        self.expansions = 0
        self.expanded_chars = 0
        self.included_chars = 0
        self.files = 0
        self.in_document = False
        self.commands: dict[str, Callable[[str], None]] = {
            **dict.fromkeys(DEFINERS, self._define),
            **dict.fromkeys(_SETTINGS, self._setting),
            **dict.fromkeys((r"\appto", r"\apptocmd", r"\g@addto@macro"), self._append),
            r"\pdfstringdefDisableCommands": self._leave_out,
            **dict.fromkeys(_INPUTS, self._input),
            **dict.fromkeys(_IMPORTS, self._import),
            **dict.fromkeys(_PACKAGES, self._package),
            r"\begin": self._begin,
            r"\end": self._end,
            r"\xspace": self._xspace,
            r"\newif": self._new_if,
            r"\ifthenelse": self._if_then_else,
            r"\endinput": self._end_input,
        }

    def run(self, source: str) -> str:
        self.stream.push(tokenize(strip_comments(source)))
        while self.stream:
            self._step(self.stream.pop())
        return join(self.out)

    def _step(self, lexeme: str) -> None:
        if lexeme[0] == "\0":
            self._marker(lexeme)
        elif lexeme[0] != "\\" or len(lexeme) < 2:
            self._emit(lexeme)
        elif self.conditionals.handle(lexeme):
            self.stream.skip_blanks()
        elif lexeme in self.commands:
            self.commands[lexeme](lexeme)
        elif not self.muted and lexeme in self.definitions.macros:
            self._call(lexeme, self.definitions.macros[lexeme])
        else:
            self._emit(lexeme)

    def _emit(self, *tokens: str) -> None:
        if not self.muted:
            self.out.extend(tokens)
        else:
            self.muted_depth = max(0, self.muted_depth + (tokens == ("{",)) - (tokens == ("}",)))

    def _marker(self, lexeme: str) -> None:
        kind, _, name = lexeme[1:].partition(":")
        if kind == "end-macro":
            self.active[name] -= 1
        elif kind == "end-file":
            self.active["\0file"] -= 1
            self.active["\0file:" + name] -= 1
        elif kind == "unmute":
            self.muted -= 1
        elif kind == "mute":
            self.muted += 1
            self.muted_depth = 0

    def _call(self, name: str, macro: Macro) -> None:
        if (
            self.expansions >= MAX_EXPANSIONS
            or self.expanded_chars >= MAX_EXPANDED_CHARS
            or self.active[name] >= MAX_NESTING
        ):
            self._emit(name)
            return
        if not macro.parameters and is_control_word(name):
            self.stream.skip_blanks()
        arguments = self.stream.arguments(macro)
        body = fill(macro.body, arguments)
        self.expansions += 1
        self.expanded_chars += sum(map(len, body)) + 1
        if macro.final:
            self._emit(*body)
            return
        self.active[name] += 1
        self.stream.push([*body, f"\0end-macro:{name}"])

    def _define(self, lexeme: str) -> None:
        kept = self.definitions.define(lexeme, self.stream, trusted=not self.muted)
        self.out.extend(kept)

    def _new_if(self, _: str) -> None:
        self.stream.skip_blanks()
        name = self.stream.pop() if self.stream else ""
        if name.startswith(r"\if"):
            self.conditionals.new(name)

    def _if_then_else(self, _: str) -> None:
        test, yes, no = (self.stream.argument() for _ in range(3))
        self.stream.push(yes if self.conditionals.decide("".join(test)) else no)

    def _setting(self, lexeme: str) -> None:
        """A setting of counters, which counts in packages and classes too, when it stands outside of all groups."""
        arguments = [self.stream.argument() for _ in range(_SETTINGS[lexeme])]
        if not self.muted or not self.muted_depth:
            self.out += [lexeme, *(token for argument in arguments for token in ("{", *argument, "}"))]

    def _append(self, lexeme: str) -> None:
        """\\appto{\\appendix}{code} and its relatives: what \\appendix does besides."""
        name, code = "".join(self.stream.argument()).strip(), self.stream.argument()
        if lexeme == r"\apptocmd":
            self.stream.argument()
            self.stream.argument()
        if name == r"\appendix":
            self.out += [r"\appendixsetup", "{", *code, "}"]

    def _leave_out(self, _: str) -> None:
        """Definitions that hold in PDF bookmarks only."""
        self.stream.argument()

    def _xspace(self, _: str) -> None:
        following = next((lexeme for lexeme in self.stream.ahead(20) if lexeme[0] != "\0"), " ")
        if following[0] not in _XSPACE_STOPS and following not in _XSPACE_COMMANDS and not following[0].isspace():
            self._emit(" ")

    def _begin(self, lexeme: str) -> None:
        name = self.stream.name_argument()
        environment = self.definitions.environments.get(name)
        if name == "document":
            self._begin_document()
        elif environment is None or self.muted or self.active[lexeme + name] >= MAX_NESTING:
            self._emit(lexeme, "{", name, "}")
        else:
            self._begin_user_environment(lexeme + name, name, environment)

    def _begin_document(self) -> None:
        if not self.muted and not self.in_document:
            self.in_document = True
            self._emit(r"\begin", "{", "document", "}")

    def _begin_user_environment(self, key: str, name: str, environment: Environment) -> None:
        arguments = self.stream.arguments(environment.begin)
        self.open_environments.append((name, fill(environment.end, arguments)))
        body = fill(environment.begin.body, arguments)
        self.expansions += 1
        self.expanded_chars += sum(map(len, body)) + 1
        if self.expansions < MAX_EXPANSIONS and self.expanded_chars < MAX_EXPANDED_CHARS:
            self.active[key] += 1
            self.stream.push([*body, f"\0end-macro:{key}"])

    def _end(self, lexeme: str) -> None:
        name = self.stream.name_argument()
        if self.open_environments and self.open_environments[-1][0] == name:
            self.stream.push(self.open_environments.pop()[1])
        elif name == "document":
            if not self.muted and not self.active["\0file"]:
                self._emit(r"\end", "{", "document", "}")
                self.stream.clear()
        else:
            self._emit(lexeme, "{", name, "}")

    def _input(self, lexeme: str) -> None:
        name = self.stream.file_argument()
        if lexeme == r"\InputIfFileExists":
            yes, no = self.stream.argument(), self.stream.argument()
            self.stream.push(yes if self.read(name, (".tex", "")) is not None else no)
        self._insert(name)

    def _import(self, _: str) -> None:
        folder, name = (join(self.stream.argument()).strip() for _ in range(2))
        self._insert(f"{folder.rstrip('/')}/{name}" if folder else name)

    def _insert(self, name: str) -> None:
        if self.muted or self.files >= MAX_FILES or self.active["\0file"] >= MAX_FILE_NESTING:
            return
        key = "\0file:" + posixpath.normpath(name).removesuffix(".tex")
        if self.active[key]:
            return
        text = self.read(name, (".tex", ""))
        if text is None:
            return
        self.files += 1
        self.included_chars += len(text)
        if self.included_chars >= MAX_INCLUDED_CHARS:
            return
        self.active["\0file"] += 1
        self.active[key] += 1
        self.stream.push([*_body_of(tokenize(strip_comments(text))), f"\0end-{key[1:]}"])

    def _end_input(self, _: str) -> None:
        if self.active["\0file"] or self.muted:
            self.stream.drop_until(("\0end-file:", "\0unmute"))

    def _package(self, lexeme: str) -> None:
        option = self.stream.option()
        names = join(self.stream.argument())
        if not self.muted or lexeme == r"\LoadClass":
            self.out += [lexeme, *(["[", *option, "]"] if option else []), "{", names, "}"]
        for name in names.split(","):
            text = self.read(name.strip(), (_PACKAGES[lexeme],)) if name.strip() else None
            if text is not None and self.files < MAX_FILES and self.muted < MAX_FILE_NESTING:
                self.files += 1
                self.stream.push(["\0mute", *tokenize(strip_comments(text)), "\0unmute"])


def _body_of(tokens: list[str]) -> list[str]:
    """An included file that is a document of its own: its preamble is read for definitions only, its end tag is dropped."""
    for position, lexeme in enumerate(tokens):
        if lexeme == r"\begin" and "".join(tokens[position + 1 : position + 4]) == "{document}":
            preamble = [lexeme for lexeme in tokens[:position] if not is_blank(lexeme)]
            return ["\0mute", *preamble, "\0unmute", *tokens[position + 4 :]]
    return tokens
