"""Expanded TeX with the spans of its floats -> the paragraphs of running text, still as TeX, in reading order."""

import re
from collections.abc import Iterable

from scicap_builder.latex.equations import EQUATION_ENVIRONMENTS
from scicap_builder.latex.tokens import VERBATIM, brace_pairs, group_at, option_at

_ARRAYS = "tabular|tabularx|tabulary|tabbing|array|tikzpicture|pgfpicture|picture|axis|algorithmic|forest|circuitikz|tcblisting"
_DROPPED = rf"{_ARRAYS}|thebibliography|CCSXML|longtable|algorithm|prooftree|feynmandiagram|mdframedcode|filecontents"
_BLOCKS = re.compile(
    VERBATIM
    + rf"|\\begin\s*\{{(?P<equation>(?:{'|'.join(sorted(EQUATION_ENVIRONMENTS - {'math'}))})\*?)\}}.*?\\end\s*\{{(?P=equation)\}}"
    rf"|\\begin\s*\{{(?P<dropped>(?:{_DROPPED})\*?)\}}.*?\\end\s*\{{(?P=dropped)\}}"
    r"|(?P<inline>\$(?!\$)(?:[^$\\\n]|\\.|\n(?![ \t]*\n))+\$)|\\(?P<escaped>[\\$])|\\\[.*?\\\]"
    r"|\$\$(?:(?!\n[ \t]*\n).)*?\$\$",
    re.DOTALL,
)
_HEADINGS = re.compile(
    r"\\(?P<heading>part|chapter|section|subsection|subsubsection)\*?(?![A-Za-z@])|\\(?P<runin>paragraph|subparagraph)\*?(?![A-Za-z@])"
    r"|\\(?P<item>item)(?![A-Za-z@])|\\(?P<edge>begin|end)\s*\{(?P<env>[^{}]*)\}"
    r"|\\(?P<break>par|maketitle|newpage|clearpage|cleardoublepage|bigskip|medskip|appendix|endgraf|balance)(?![A-Za-z@])"
)
_INLINE = frozenset(
    [
        "linenomath",
        "subequations",
        "CJK",
        "CJK*",
        "spacing",
        "sloppypar",
        "samepage",
        "em",
        "it",
        "bf",
        "small",
        "footnotesize",
        "large",
        "scriptsize",
        "math",
        "internallinenumbers",
        "hyphenrules",
        "otherlanguage",
        "onehalfspace",
        "doublespace",
    ]
)
"""Environments within which and around which a paragraph goes on."""
_GONE = "{}"
"""In place of what is cut out: a blank would make an empty line, which would end the paragraph around it."""
_WORDS = re.compile(r"[^\W\d_]{2,}")


def split_paragraphs(body: str, floats: Iterable[tuple[int, int]]) -> list[str]:
    """Paragraphs of `body` without what stands in the spans `floats`; displayed maths is "[eq]" within its paragraph."""
    text = _BLOCKS.sub(_block, _without(body, floats))
    pieces = re.split(r"\n[ \t]*\n\s*", _mark_breaks(text))
    return [piece.strip() for piece in pieces if _WORDS.search(piece)]


def _without(body: str, spans: Iterable[tuple[int, int]]) -> str:
    parts: list[str] = []
    position = 0
    for start, end in sorted(spans):
        if start > position:
            parts.append(body[position:start])
        position = max(position, end)
    return _GONE.join([*parts, body[position:]])


def _block(match: re.Match[str]) -> str:
    if match["bar"] or match["inline"] or match["escaped"]:
        return match.group()
    if match["dropped"] or match["verbatim"]:
        return _GONE
    return " [eq] "


def _mark_breaks(text: str) -> str:
    """Put an empty line where TeX starts a paragraph, and leave headings out; run-in headings stay."""
    pairs = brace_pairs(text)
    parts: list[str] = []
    position = 0
    for match in _HEADINGS.finditer(text):
        if match.start() < position:
            continue
        parts.append(text[position : match.start()])
        position = match.end()
        if match["heading"] or match["runin"]:
            option = option_at(text, position, pairs)
            group = group_at(text, option[1] if option else position, pairs)
            parts.append("\n\n")
            if group:
                parts.append(f"{{{group[0]}}} " if match["runin"] else "")
                position = group[1]
        elif match["env"] is not None:
            parts.append(match.group() if match["env"].strip() in _INLINE else "\n\n" + match.group())
        elif match["item"]:
            option = option_at(text, position, pairs)
            parts.append("\n\n" + (option[0] + " " if option else ""))
            position = option[1] if option else position
        else:
            parts.append("\n\n")
    return "".join([*parts, text[position:]])
