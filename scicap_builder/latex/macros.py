"""Macro definitions as values: what \\newcommand, \\def, \\NewDocumentCommand and \\newenvironment say. No state, no I/O."""

import re
from dataclasses import dataclass, field

from scicap_builder.latex.tokens import is_control_word

STRUCTURAL = frozenset((
    r"\begin", r"\end", r"\document", r"\documentclass", r"\documentstyle", r"\usepackage", r"\RequirePackage",
    r"\LoadClass", r"\input", r"\include", r"\part", r"\chapter", r"\section", r"\subsection", r"\subsubsection",
    r"\paragraph", r"\subparagraph", r"\appendix", r"\caption", r"\captionof", r"\captionsetup", r"\label", r"\ref",
    r"\cite", r"\citep", r"\citet", r"\includegraphics", r"\item", r"\footnote", r"\footnotetext", r"\footnotemark",
    r"\title", r"\author", r"\date", r"\maketitle", r"\abstract", r"\par", r"\bibliography", r"\bibliographystyle",
    r"\thebibliography", r"\subfigure", r"\subfloat", r"\subcaptionbox", r"\figure", r"\table", r"\tabular",
    r"\newcommand", r"\renewcommand", r"\providecommand", r"\def", r"\gdef", r"\edef", r"\xdef", r"\let",
    r"\newenvironment", r"\emph", r"\textbf", r"\textit", r"\texttt", r"\textrm", r"\textsf", r"\textsc", r"\left",
    r"\right", r"\frac", r"\sqrt", r"\mathrm", r"\text", r"\ensuremath", r"\setcounter", r"\addtocounter",
    r"\refstepcounter", r"\url", r"\href", r"\hspace", r"\vspace", r"\hline", r"\cr", r"\noalign", r"\centering",
    r"\plotone", r"\plottwo", r"\gridline", r"\fig", r"\figcaption", r"\ContinuedFloat", r"\minipage", r"\center",
    r"\equation", r"\align", r"\verb", r"\relax", r"\fi", r"\else", r"\or", r"\global", r"\long", r"\protect",
    r"\csname", r"\endcsname", r"\expandafter", r"\newif", r"\string", r"\the", r"\number", r"\value", r"\arabic",
    r"\alph", r"\Alph", r"\roman", r"\Roman",
))  # fmt: skip
"""Commands whose meaning this reader knows; a paper's own definition of them is layout and is passed over."""

STRUCTURAL_ENVIRONMENTS = frozenset((
    "document", "figure", "figure*", "table", "table*", "abstract", "equation", "equation*", "align", "align*",
    "itemize", "enumerate", "description", "center", "minipage", "tabular", "tabular*", "tabularx", "array",
    "subfigure", "wrapfigure", "thebibliography", "verbatim", "lstlisting", "tikzpicture",
))  # fmt: skip

COUNTER_FORMAT = re.compile(
    r"\\the(?:figure|table|section|subsection|subsubsection|chapter|equation|subfigure|subtable)$|\\(?:figure|table)name$"
    r"|\\[a-z]+autorefname$"
)
"""Definitions that the numbering reads later: they stay in the text."""
_PRINTS_COUNTER = frozenset((r"\arabic", r"\alph", r"\Alph", r"\roman", r"\Roman", r"\@arabic", r"\@alph", r"\@Alph"))


def formats_counter(name: str, macro: "Macro") -> bool:
    """Whether a definition says how a counter is printed: \\thefigure, or any \\the… that prints one."""
    if COUNTER_FORMAT.match(name):
        return True
    return name.startswith(r"\the") and not macro.parameters and not _PRINTS_COUNTER.isdisjoint(macro.body)


_INTERNAL = frozenset(
    [
        r"\csname",
        r"\expandafter",
        r"\futurelet",
        r"\catcode",
        r"\afterassignment",
        r"\begingroup",
        r"\halign",
        r"\vbox",
        r"\hbox",
    ]
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a macro."""

    kind: str = "m"
    """m: {…}; o: […] that may be missing; s: a star; d: whatever stands before `until`."""
    default: tuple[str, ...] = ()
    until: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Macro:
    """What a user's macro turns into."""

    parameters: tuple[Parameter, ...] = ()
    body: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    """Tokens that must follow the name, as in `\\def\\foo(#1)`."""
    final: bool = False
    """An alias of a command that is no macro: its body is not expanded again."""
    chars: int = field(default=0)

    @property
    def internal(self) -> bool:
        """Whether the body speaks to TeX's own machinery, which is not run here."""
        return any(lexeme in _INTERNAL or (lexeme[:1] == "\\" and "@" in lexeme) for lexeme in self.body)


@dataclass(frozen=True, slots=True)
class Environment:
    """A user's environment: code at its begin and at its end."""

    begin: Macro
    end: tuple[str, ...]


def make_macro(
    parameters: list[Parameter], body: list[str], prefix: tuple[str, ...] = (), *, final: bool = False
) -> Macro:
    """A macro with its size in characters, which the expansion budget is charged."""
    return Macro(tuple(parameters), tuple(body), prefix, final, sum(map(len, body)) + 1)


def plain_parameters(count: int, default: list[str] | None) -> list[Parameter]:
    """The parameters of \\newcommand: `count` of them, the first optional when a default is given."""
    parameters = [Parameter() for _ in range(min(count, 9))]
    if default is not None and parameters:
        parameters[0] = Parameter("o", tuple(default))
    return parameters


def def_parameters(tokens: list[str]) -> tuple[tuple[str, ...], list[Parameter]]:
    """The parameter text of \\def (`#1.#2\\end`): (tokens before the first parameter, parameters)."""
    prefix: list[str] = []
    groups: list[list[str]] = []
    position = 0
    while position < len(tokens):
        if tokens[position] == "#" and position + 1 < len(tokens) and tokens[position + 1][:1].isdigit():
            rest = tokens[position + 1][1:]
            groups.append(list(rest))
            position += 2
            continue
        (groups[-1] if groups else prefix).extend(characters(tokens[position]))
        position += 1
    return tuple(prefix), [Parameter("d", until=tuple(group)) if group else Parameter() for group in groups[:9]]


def characters(token: str) -> list[str]:
    """A word as single characters, as TeX matches delimiters; commands and white space stay whole."""
    return [token] if token[0] in "\\\0" or token.isspace() else list(token)


def document_parameters(specification: list[str]) -> list[Parameter]:
    """The argument specification of \\NewDocumentCommand: m, o, O{default}, s; others are taken as m."""
    parameters: list[Parameter] = []
    depth = 0
    for lexeme in specification:
        if lexeme == "{":
            depth += 1
        elif lexeme == "}":
            depth -= 1
        elif depth and parameters and parameters[-1].kind == "o":
            parameters[-1] = Parameter("o", (*parameters[-1].default, lexeme))
        elif not depth:
            parameters += [
                Parameter({"o": "o", "O": "o", "s": "s"}.get(letter, "m")) for letter in lexeme if letter.isalpha()
            ]
    return parameters[:9]


def fill(body: tuple[str, ...], arguments: list[list[str]]) -> list[str]:
    """A macro's body with its arguments in place of #1 … #9; `##` becomes `#`."""
    if not arguments and "#" not in body:
        return list(body)
    filled: list[str] = []
    position = 0
    while position < len(body):
        lexeme = body[position]
        following = body[position + 1] if lexeme == "#" and position + 1 < len(body) else ""
        if following[:1].isdigit():
            index = int(following[0]) - 1
            filled += arguments[index] if 0 <= index < len(arguments) else []
            if following[1:]:
                filled.append(following[1:])
            position += 2
        elif following == "#":
            filled.append("#")
            position += 2
        else:
            filled.append(lexeme)
            position += 1
    return filled


def is_name(lexeme: str) -> bool:
    """Whether a token can be defined as a macro."""
    return is_control_word(lexeme) or (len(lexeme) == 2 and lexeme[0] == "\\")
