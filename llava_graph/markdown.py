"""The light Markdown of answers: text in, blocks of runs out, every run with its place in the text. Nothing in it becomes HTML.

Paragraphs, headings, lists, tables, code; bold, italic, code and formulas inside them. Links and images stay as they are written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

PARAGRAPH, HEADING, ITEM, NUMBERED, ROW, CODE = "paragraph", "heading", "item", "numbered", "row", "code"


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style; it stands so in the source, from `start` on."""

    start: int
    text: str
    style: str = ""
    """Words of "strong", "em", "code", "formula"."""

    @property
    def end(self) -> int:
        """The first character after it."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a heading, an item of a list, a row of a table or a piece of code."""

    kind: str
    cells: tuple[tuple[Run, ...], ...]
    """One, but for a row."""
    level: int = 0
    """Of a heading 1..6, of an item how deep it stands."""
    number: str = ""
    """Of a numbered item."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of running text without what stands before it."""

    start: int
    text: str
    newline: int = 0
    """Where the end of the line before it stands."""


LINE = re.compile(r"[^\n]*\n|[^\n]+")
"""A line with its end. str.splitlines would also break at control characters."""
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_HEADING = re.compile(r"[ \t]{0,3}(#{1,6})[ \t]+(?P<text>.*?)[ \t]*#*[ \t]*$")
_BARE_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]*$")
_BULLET = re.compile(r"(?P<indent>[ \t]*)(?:[-*+•])[ \t]+(?=\S)")
_NUMBERED = re.compile(r"(?P<indent>[ \t]*)(?P<number>\d{1,3})[.)][ \t]+(?=\S)")
_ROW = re.compile(r"[ \t]*\|(?P<cells>.*?)\|?[ \t]*$")
_RULE = re.compile(r"[ \t]*([*_-])(?:[ \t]*\1){2,}[ \t]*$")
_UNDER_HEADER = re.compile(r"(?=.*--)[ \t|:-]+$")
"""The line of dashes in a table."""
DEEPEST = 3


def blocks_of(text: str, start: int = 0, end: int | None = None, *, complete: bool = True) -> list[Block]:
    """The blocks of `text[start:end]`; while it grows (`complete` False) an open mark counts up to its end."""
    found: list[Block] = []
    pending: list[_Line] = []
    kind: tuple[str, int, str] = (PARAGRAPH, 0, "")
    fence = ""

    def flush() -> None:
        nonlocal kind
        if pending:
            found.append(_running(pending, *kind, complete=complete))
        pending.clear()
        kind = (PARAGRAPH, 0, "")

    for place, line in _lines(text, start, len(text) if end is None else end):
        fenced = _FENCE.match(line)
        if fence:
            if fenced and fenced[1] == fence:
                fence = ""
            else:
                _add_code(found, place, line)
        elif fenced:
            flush()
            fence = fenced[1]
            found.append(Block(CODE, ((),)))
        elif not line.strip() or _RULE.match(line) or _UNDER_HEADER.match(line) or _BARE_HEADING.match(line):
            flush()
        elif heading := _HEADING.match(line):
            flush()
            runs = _runs([_Line(place + heading.start("text"), heading["text"])], complete=complete)
            found.append(Block(HEADING, (runs,), level=len(heading[1])))
        elif row := _ROW.match(line):
            flush()
            found.append(Block(ROW, tuple(_cells(place + row.start("cells"), row["cells"]))))
        elif item := (_BULLET.match(line) or _NUMBERED.match(line)):
            flush()
            number = item.groupdict().get("number") or ""
            depth = min(DEEPEST, len(item["indent"].expandtabs(4)) // 2)
            kind = (NUMBERED if number else ITEM, depth, number)
            pending.append(_Line(place + item.end(), line[item.end() :]))
        else:
            indent = len(line) - len(line.lstrip())
            pending.append(_Line(place + indent, line[indent:], place - 1))
    flush()
    return [block for block in found if any(block.cells)]


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    place = start
    for line in LINE.findall(text[start:end]):
        yield place, line.rstrip()
        place += len(line)


def _add_code(found: list[Block], place: int, line: str) -> None:
    (runs,) = found[-1].cells
    found[-1] = Block(CODE, ((*runs, Run(place, line)),))


def _running(lines: list[_Line], kind: str, level: int, number: str, *, complete: bool) -> Block:
    return Block(kind, (_runs(lines, complete=complete),), level=level, number=number)


def _cells(start: int, text: str) -> Iterator[tuple[Run, ...]]:
    place = start
    for cell in text.split("|"):
        indent = len(cell) - len(cell.lstrip())
        yield _runs([_Line(place + indent, cell.strip())], complete=True)
        place += len(cell) + 1


_INLINE = re.compile(
    r"(?P<escape>\\[\\`*_{}\[\]()#+.!|$-])"
    r"|(?P<code>`[^`\n]+`)"
    r"|(?P<formula>\$\$[^$\n]+\$\$|\$(?=\S)[^$\n]*[^$\s\n]\$(?!\d)|\\\([^\n]{1,400}?\\\)|\\\[[^\n]{1,400}?\\\])"
    r"|(?P<strong>\*\*|(?<!\w)__|__(?!\w))"
    r"|(?P<em>\*(?=\S)|(?<=\S)\*|(?<!\w)_(?=\S)|(?<=\S)_(?!\w))"
)


def _runs(lines: list[_Line], *, complete: bool) -> tuple[Run, ...]:
    """The runs of lines that read as one."""
    pieces = []
    for number, line in enumerate(lines):
        if number:
            pieces.append(("", line.newline, "\n"))
        pieces += _pieces(line.start, line.text)
    closed = _closed([style for style, _, _ in pieces], complete=complete)
    found: list[Run] = []
    on: dict[str, bool] = {}
    for number, (style, place, text) in enumerate(pieces):
        if number in closed:
            on[style] = not on.get(style, False)
            continue
        own = [] if style in ("strong", "em", "") else [style]
        names = [*(name for name in ("strong", "em") if on.get(name)), *own]
        found.append(Run(place, text, " ".join(names)))
    return tuple(_joined(found))


def _pieces(place: int, line: str) -> Iterator[tuple[str, int, str]]:
    """(style, place, text); of marks the text is the mark."""
    last = 0
    for match in _INLINE.finditer(line):
        if match.start() > last:
            yield "", place + last, line[last : match.start()]
        style = match.lastgroup or ""
        begin, end = match.span()
        if style == "escape":
            yield "", place + begin + 1, line[begin + 1 : end]
        elif style in ("code", "formula"):
            # Without its delimiters: ` $ $$ \( \[
            wide = 2 if match[0].startswith(("$$", "\\")) else 1
            yield style, place + begin + wide, line[begin + wide : end - wide]
        else:
            yield style, place + begin, line[begin:end]
        last = end
    if last < len(line):
        yield "", place + last, line[last:]


def _closed(styles: list[str], *, complete: bool) -> set[int]:
    """The marks that come in pairs; in a growing answer also the last one, whose partner is still to come."""
    kept: set[int] = set()
    for name in ("strong", "em"):
        places = [number for number, style in enumerate(styles) if style == name]
        even = len(places) - len(places) % 2
        kept |= set(places[:even] if complete else places)
    return kept


def _joined(runs: list[Run]) -> Iterator[Run]:
    """Neighbours in the text and in style become one run."""
    last: Run | None = None
    for run in runs:
        if last and run.style == last.style and run.start == last.end:
            last = Run(last.start, last.text + run.text, last.style)
        else:
            if last:
                yield last
            last = run
    if last:
        yield last
