"""Where the sentences of a text are: running text with light Markdown in, places out. Titles, code and rules are no sentences."""

import re
from collections.abc import Iterator

Span = tuple[int, int]
"""First character and the one after the last."""

LINE = re.compile(r"[^\n]*\n|[^\n]+")
"""A line with its end. str.splitlines would also break at control characters."""
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*?(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"[ \t]{0,3}#{1,6}[ \t]|[ \t]*(\*\*|__)[^*_\n]{1,60}:?\1:?[ \t]*$")
_RULE = re.compile(r"[ \t]*(?:[-*_=|:+][ \t]*){3,}$")
_ITEM = re.compile(r"[ \t]*(?:>[ \t]*)*(?:(?:[-*+•–][ \t]+|\(?(?:\d{1,2}|[a-z])[.)][ \t]+))?")
_ROW = re.compile(r"[ \t]*\|.*$")

_ABBREVIATED = """fig figs eq eqs eqn sec sect tab tabs ref refs al e.g i.e eg ie vs cf ca approx resp dr prof mr ms mrs st no nos
    viz var sp spp subsp vol pp p ch min max avg std dept inc ltd co nat appx app def thm lem cor prop suppl w.r.t a.k.a u.s u.k
    ph.d etc"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
_BEGINNING = """the this these those it its they there here in on at for from as we our both each all when while by with
    however"""
_STARTERS = frozenset(_BEGINNING.split())
_END = re.compile(
    r"(?:[.!?…]+[\"'”’)\]*_]*(?:\[[^\]\n]{1,24}\])?"  # citations may stand behind the dot: "… of it.[12] The"
    r"|(?<=[^\W\d_])\.\d{1,3}(?:[,–-]\d{1,3})*)"  # also raised ones, which text extraction lowers: "… of it.12 The"
    r"(?=\s+[\"'“‘(\[*_`$]*[^\W_a-z]|\s*$)"
)
_KEPT = re.compile(r"\$[^$\n]+\$|\\\([^\n]{1,400}?\\\)|\\\[[^\n]{1,400}?\\\]|`[^`\n]+`")
"""Formulas and code: no sentence ends inside."""
LONGEST_ABBREVIATION = 24
"""Characters; longer words are not looked at."""
_BEFORE = re.compile(r"[^\s(\[]*$")
_NEXT = re.compile(r"\s+\W*(\w+)")


def sentences(text: str, *, complete: bool = True) -> list[Span]:
    """The places of the sentences, without list marks.

    While a text grows (`complete` False) its last sentence is left out: it may go on. Nothing else changes any more.
    """
    spans = [span for block in _blocks(text) for span in _within(text, block)]
    return spans if complete or text.endswith("\n\n") else spans[:-1]


def _blocks(text: str) -> Iterator[Span]:
    """Paragraphs, items of a list and rows of a table: no sentence goes on from one into the next."""
    fences = [match.span() for match in _FENCE.finditer(text)]
    start = end = -1
    place = 0
    for line in LINE.findall(text):
        begin, stop = place, place + len(line.rstrip())
        place += len(line)
        bare = line.rstrip()
        body = begin + _ITEM.match(line).end()  # type: ignore[union-attr]  # it matches the empty text
        in_code = any(first <= begin < last for first, last in fences)
        silent = in_code or not bare.strip() or _TITLE.match(bare) or _RULE.match(bare)
        alone = silent or _ROW.match(bare) or body > begin + len(line) - len(line.lstrip())
        if alone and start >= 0:
            yield start, end
            start = -1
        if silent:
            continue
        if start < 0:
            start = min(body, stop)
        end = stop
        if _ROW.match(bare):
            yield start, end
            start = -1
    if start >= 0:
        yield start, end


def _within(text: str, block: Span) -> Iterator[Span]:
    """The sentences of one block."""
    begin, end = block
    if _ROW.match(text, begin, end):
        yield block
        return
    piece = _KEPT.sub(lambda kept: "x" * len(kept[0]), text[begin:end])
    start = 0
    for match in _END.finditer(piece):
        if not _is_end(piece, match):
            continue
        yield from _trimmed(text, begin + start, begin + match.end())
        start = match.end()
    yield from _trimmed(text, begin + start, end)


def _is_end(piece: str, match: re.Match[str]) -> bool:
    """A dot after "Fig", "et al" or an initial ends nothing, unless a word follows that begins sentences."""
    if match[0][0] != ".":
        return True
    word = _BEFORE.search(piece, max(0, match.start() - LONGEST_ABBREVIATION), match.start())
    last = word[0].strip("*_").casefold() if word else ""
    initial = len(last) == 1 and last.isalpha()
    if last not in _ABBREVIATIONS and not initial:
        return True
    following = _NEXT.match(piece, match.end())
    starts = following is None or following[1].casefold() in _STARTERS
    return starts and (initial or last in ("al", "etc"))


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if any(letter.isalnum() for letter in text[start:end]):
        yield start, end
