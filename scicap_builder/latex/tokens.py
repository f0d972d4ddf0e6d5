"""TeX source text -> the same text without comments, and text -> tokens. Nothing is executed, every step is linear."""

import re

_VERBATIM_NAMES = r"(?:verbatim|Verbatim|BVerbatim|lstlisting|minted|alltt|Highlighting|comment|filecontents)\*?"
VERBATIM = (
    rf"\\begin\s*\{{(?P<verbatim>{_VERBATIM_NAMES})\}}.*?\\end\s*\{{(?P=verbatim)\}}"
    r"|\\(?:verb|lstinline)(?![A-Za-z])\*?(?P<bar>[^A-Za-z\s*{\[])[^\n]*?(?P=bar)"
)
"""Text that TeX takes as it stands: environments and \\verb."""

_VERBATIM_BEGIN = re.compile(rf"\\begin\{{({_VERBATIM_NAMES})\}}")
_COMMENTS = re.compile(
    VERBATIM + r"|\\(?:url|nolinkurl|path|href)\s*\{[^{}\n]*\}|\\.|%[^\n]*(?:\n(?P<blank>[ \t]*\n)?[ \t]*|\Z)",
    re.DOTALL,
)
_TOKENS = re.compile(
    VERBATIM + r"|\\[A-Za-z@]+|\\.|\\|[{}\[\]$&#^_~%]|[ \t]*\n[ \t]*\n\s*|[ \t\n\r]+|[^\\{}\[\]$&#^_~%\s]+|.", re.DOTALL
)
PARAGRAPH_BREAK = "\n\n"
_CONTROL_WORD = re.compile(r"\\[A-Za-z@]+")


def strip_comments(source: str) -> str:
    """Remove % comments, then what stands in comment environments; verbatim text and URLs keep their %."""
    source = source.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return _COMMENTS.sub(_without_comment, _without_open_verbatim(source))


def _without_open_verbatim(source: str) -> str:
    """Begins of verbatim environments that nothing ends are dropped: a search for their ends would run to the end of the text."""
    for name in set(_VERBATIM_BEGIN.findall(source)):
        last = source.rfind(rf"\end{{{name}}}")
        if last < 0 and re.search(rf"\\end\s+\{{{re.escape(name)}\}}", source):
            continue  # ended in an unusual spelling
        head, tail = source[: last + 1], source[last + 1 :]
        source = head + tail.replace(rf"\begin{{{name}}}", "")
    return source


def _without_comment(match: re.Match[str]) -> str:
    found = match.group()
    if found.startswith("%"):
        return "\n" + match["blank"] if match["blank"] is not None else ""
    if (match["verbatim"] or "").rstrip("*") in ("comment", "filecontents"):
        return ""
    return found


def tokenize(source: str) -> list[str]:
    """Control sequences, single special characters, white space, words; verbatim stretches are one token each."""
    return [match.group() for match in _TOKENS.finditer(source)]


def join(tokens: list[str]) -> str:
    """Tokens -> source text in which no control word runs into the letters after it."""
    parts: list[str] = []
    after_word = False
    for lexeme in tokens:
        if not lexeme:
            continue
        if after_word and (lexeme[0].isalpha() or lexeme[0] == "@"):
            parts.append(" ")
        parts.append(lexeme)
        after_word = lexeme[0] == "\\" and is_control_word(lexeme)
    return "".join(parts)


def is_control_word(lexeme: str) -> bool:
    """Whether the token is a backslash and letters, after which TeX swallows blanks."""
    return bool(_CONTROL_WORD.fullmatch(lexeme))


def is_blank(lexeme: str) -> bool:
    """Whether the token is white space that ends no paragraph."""
    return lexeme.isspace() and not is_break(lexeme)


def is_break(lexeme: str) -> bool:
    """Whether the token is white space with an empty line in it."""
    return lexeme.isspace() and lexeme.count("\n") > 1


def brace_pairs(source: str) -> dict[int, int]:
    """Position of every `{` that is closed -> position of its `}`; escaped braces and verbatim text are skipped."""
    pairs: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACES.finditer(source):
        brace = match.group()
        if brace == "{":
            open_braces.append(match.start())
        elif brace == "}" and open_braces:
            pairs[open_braces.pop()] = match.start()
    return pairs


_BRACES = re.compile(VERBATIM + r"|\\.|[{}]", re.DOTALL)
_SPACE = re.compile(r"\s*")


def group_at(source: str, position: int, pairs: dict[int, int]) -> tuple[str, int] | None:
    """The `{…}` that starts at `position` or after white space: (what is inside, position behind it), or None."""
    start = skip_space(source, position)
    end = pairs.get(start)
    return None if end is None else (source[start + 1 : end], end + 1)


def option_at(source: str, position: int, pairs: dict[int, int]) -> tuple[str, int] | None:
    """The `[…]` that starts at `position` or after white space; brackets inside braces do not end it."""
    start = skip_space(source, position)
    if source[start : start + 1] != "[" or source.find("]", start, start + MAX_OPTION_CHARS) < 0:
        return None
    at = start + 1
    while at < len(source) and at - start < MAX_OPTION_CHARS:
        char = source[at]
        if char == "]":
            return source[start + 1 : at], at + 1
        at = pairs.get(at, at) + 1 if char == "{" else at + (2 if char == "\\" else 1)
    return None


MAX_OPTION_CHARS = 5000
"""An optional argument longer than this is a lone bracket: short captions stay far below."""


def skip_space(source: str, position: int) -> int:
    """The first position at or after `position` that holds no white space."""
    match = _SPACE.match(source, position)
    return match.end() if match else position
