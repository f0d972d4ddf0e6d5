"""The lines that begin captions -> whole captions: which lines belong to each, also in other columns and on other pages.

Pure functions.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from scicap_builder.mentions import parse_label
from scicap_builder.pdf.boxes import bounds, overlap_x
from scicap_builder.pdf.joining import SENTENCE_END, join_lines, vocabulary
from scicap_builder.pdf.layout import Style
from scicap_builder.pdf.lines import Line, in_rows
from scicap_builder.pdf.page import Rect
from scicap_builder.pdf.starts import CONTINUED, Start

GOES_ON = re.compile(
    r"\s*\(?\b(?:(?:fig(?:ure|\.)\s*\S{1,5}|caption|legend)\s+)?(?:is\s+)?(?:continue[sd]?)\s+on\s+(?:the\s+)?(?:next|following)\s+page"
    r"[.)\s]*$",
    re.I,
)
"""At the end of a caption: its rest stands on the next page."""
COPY = 40
"""First characters in which two captions of one number are alike if they are one caption printed twice."""
GUTTER = 4.0
"""em between the two columns in which the caption of a wide figure is set."""
WIDE_SPACE = 3.5
"""em between two sentences in a badly justified line."""
ROW = 3.0
"""em between the first lines of two captions that stand beside each other."""
REST_WORDS = 4
"""Words of the first line of a caption's rest; text of pictures, which may have the caption's type, comes in scraps."""


PARTED = 1.12
"""Times the usual step: white between a caption in the size of the running text and that text. TeX's captions are even."""


@dataclass(frozen=True, slots=True, eq=False)
class Caption:
    """A figure's (or table's) caption; equal only to itself, as two figures may have one number."""

    number: str
    """Empty for tables, other floats and further parts of a figure, which are kept because they bound the figures."""
    label: str
    lines: tuple[Line, ...]
    text: str
    """Without the label."""
    page: int
    box: Rect
    repeats: str = ""
    """The figure of which this is a further part: "Figure 3 (continued)"."""
    again: bool = False
    """A second caption of its number: a figure only where a drawing stands at it."""


def find_captions(pages: Sequence[Sequence[Line]], starts: Sequence[Start], style: Style) -> tuple[Caption, ...]:
    """The captions that begin at `starts`, whole, in order of appearance."""
    by_line = {start.line: start for start in starts}
    captions: list[Caption] = []
    words = vocabulary(line for lines in pages for line in lines)
    for lines in pages:
        heads = {line for line in lines if line in by_line}
        for line in sorted(heads, key=lambda entry: (entry.baseline, entry.box[0])):
            start = by_line[line]
            captions.append(_caption(start, caption_lines(line, lines, heads, style, label_end=start.label.end), words))
    return join_parts(_without_copies(captions), pages, style, words)


def _without_copies(captions: Sequence[Caption]) -> list[Caption]:
    """Second captions that say the same as the first are further parts of its figure."""
    first = {caption.number: caption.text for caption in captions if not caption.again}
    return [
        replace(c, number="", text="", repeats=c.number) if c.again and _same_text(c.text, first[c.number]) else c
        for c in captions
    ]


def _same_text(a: str, b: str) -> bool:
    return a[:COPY].lower() == b[:COPY].lower()


def caption_lines(
    first: Line, lines: Sequence[Line], heads: set[Line], style: Style, label_end: int = 0
) -> tuple[Line, ...]:
    """`first` and the lines below it that belong to the caption: until the spacing, size or edge changes."""
    body = [first]
    beside = [head for head in heads if _is_beside(head, first)]
    for line in in_rows(lines):
        if line.baseline < body[-1].baseline - 1 or line in body:
            continue
        if any(line.box[0] > head.box[0] - 2 and line.baseline > head.baseline - 1 for head in beside):
            continue
        if line.baseline - body[-1].baseline > 3 * max(first.size, line.size):
            break
        if line in heads:
            if overlap_x(line.box, bounds(entry.box for entry in body)) > 0:
                break
            continue
        if _belongs(body, line, style, label_only=label_end >= len(first.text)) or _after_wide_space(
            body[-1], line, lines
        ):
            body.append(line)
    return tuple(body)


def _after_wide_space(last: Line, line: Line, lines: Sequence[Line]) -> bool:
    """Whether `line` goes on in the row of `last` over the stretched space behind a sentence: in no column of its own."""
    if abs(line.baseline - last.baseline) > 0.1 * last.size or (line.font, line.size) != (last.font, last.size):
        return False
    follows = line.words[0].order == last.words[-1].order + 1 and 0 < line.box[0] - last.box[2] < WIDE_SPACE * line.size
    column = (o for o in lines if o is not line and abs(o.box[0] - line.box[0]) < 2)
    return follows and not any(abs(o.baseline - line.baseline) < 3 * line.size for o in column)


def _is_beside(head: Line, first: Line) -> bool:
    """Whether another caption begins at the right of `first` on about the same level."""
    return (
        overlap_x(head.box, first.box) <= 0
        and head.box[0] > first.box[0]
        and abs(head.baseline - first.baseline) < ROW * first.size
    )


def _belongs(body: list[Line], line: Line, style: Style, *, label_only: bool) -> bool:
    """Whether `line` goes on with the caption `body`; scraps such as raised signs say nothing about spacing or size."""
    last, first = next((entry for entry in reversed(body) if len(entry.text) > 3), body[-1]), body[0]
    box = bounds(entry.box for entry in body)
    if abs(line.baseline - last.baseline) < 0.3 * last.size:
        near = -0.5 * last.size <= line.box[0] - body[-1].box[2] < 1.0 * last.size
        return near and (abs(line.size - last.size) < 1 or len(line.text) <= 3)
    step = line.baseline - last.baseline
    if len(body) == 1 and label_only:
        below = overlap_x(box, line.box) > 0 or box[2] <= line.box[0] < box[2] + 20
        return step < 2.4 * last.size and below
    reference = body[1] if len(body) > 1 and label_only else last
    if abs(line.size - reference.size) > 0.08 * reference.size:
        return False
    steps = [b.baseline - a.baseline for a, b in pairwise(body) if b.baseline - a.baseline > 0.6 * first.size]
    if label_only:
        steps = steps[1:]
    usual = min(steps) if steps else max(style.leading * line.size / style.size, 1.1 * line.size)
    if step > (1.25 if steps else 1.3) * usual + 0.5:
        return False
    if overlap_x(box, line.box) < 0.6 * min(line.width, box[2] - box[0]):
        return False
    return not _resumes(body, last, line, style, parted=step > PARTED * usual)


def _resumes(body: list[Line], last: Line, line: Line, style: Style, *, parted: bool) -> bool:
    """Whether the running text begins again at `line`: after a short last line or more white, in the type of that text."""
    if parted and abs(line.size - style.size) < 0.3 and line.text[:1].isupper() and SENTENCE_END.search(last.text):
        return True
    plain = not line.bold and line.font == style.font and line.text[:1].isupper()
    if parted and len(body) == 1 and last.bold and plain and line.box[0] < last.box[0] - 2 * line.size:
        return True
    box = bounds(entry.box for entry in body)
    heading = line.bold and line.text[:1].isalnum() and not line.text[:1].islower()
    if heading and not any(entry.bold for entry in body) and line.size >= style.size - 0.2:
        return True
    ended = SENTENCE_END.search(last.text) and last.box[2] < box[2] - 2 * last.size
    indented = line.box[0] > box[0] + 0.8 * line.size
    return bool(len(body) > 1 and ended and (indented or line.font != last.font))


def _caption(start: Start, body: tuple[Line, ...], words: frozenset[str]) -> Caption:
    text = join_lines([line.text for line in body], words)
    text = text[(parse_label(text) or start.label).end :].strip()
    number, box = start.label.number, bounds(line.box for line in body)
    if start.repeat:
        return Caption("", start.label.text, body, CONTINUED.sub("", text), body[0].page, box, repeats=number)
    return Caption(number, start.label.text, body, text, body[0].page, box, again=start.again)


def join_parts(
    captions: Sequence[Caption], pages: Sequence[Sequence[Line]], style: Style, words: frozenset[str]
) -> tuple[Caption, ...]:
    """Captions with their rests from the next column, the next page and the next part of the figure.

    A rest that has no label becomes a caption without a number, so that it is no running text.
    """
    used = {line for caption in captions for line in caption.lines}
    tails = {caption.repeats: caption for caption in reversed(captions) if caption.repeats and caption.text}
    joined: list[Caption] = []
    for caption in captions:
        cut = GOES_ON.sub("", caption.text)
        if not caption.number or (SENTENCE_END.search(caption.text) and cut == caption.text):
            joined.append(caption)
            continue
        tail = tails.get(caption.number)
        if tail and tail.text[:40].lower() not in cut.lower():
            joined.append(replace(caption, text=join_lines([cut, tail.text], words)))
            continue
        rest = next((rest for rest in _rests(caption, pages, style) if not used & set(rest)), ())
        text = join_lines([cut, *(line.text for line in rest)], words)
        joined.append(replace(caption, text=text))
        if rest:
            box = bounds(line.box for line in rest)
            joined.append(Caption("", caption.label, rest, "", rest[0].page, box, repeats=caption.number))
            used |= set(rest)
    return tuple(joined)


def _rests(caption: Caption, pages: Sequence[Sequence[Line]], style: Style) -> Iterator[tuple[Line, ...]]:
    """Lines in a caption's own type that go on with its sentence: at the right of it, else on the next page."""
    last = next((line for line in reversed(caption.lines) if len(line.text) > 3), caption.lines[-1])
    if last.font == style.font and abs(last.size - style.size) < 0.3:
        return
    for lines in pages:
        if not lines or lines[0].page not in (caption.page, caption.page + 1):
            continue
        ended = lines[0].page == caption.page and any(_follows_below(last, line) for line in lines)
        for place, line in enumerate(lines):
            if len(line.words) < REST_WORDS or abs(line.size - last.size) >= 0.3:
                continue
            beside = line.page > caption.page or line.box[0] > caption.box[2]
            if _second_column(caption, line) or (
                not ended and beside and line.font == last.font and line.text[:1].islower()
            ):
                above = (o for o in lines[:place] if overlap_x(o.box, line.box) > 0 and o.font == line.font)
                if not any(0 < line.baseline - o.baseline < 1.6 * line.size for o in above):
                    yield caption_lines(line, lines, set(), style)
        if ended:
            return


def _second_column(caption: Caption, line: Line) -> bool:
    """Whether `line` stands level with the first line of `caption`, a gutter to the right of it."""
    first, gap = caption.lines[0], line.box[0] - caption.box[2]
    return (
        line.page == first.page
        and abs(line.baseline - first.baseline) < 0.1 * line.size
        and 0 < gap < GUTTER * line.size
    )


def _follows_below(last: Line, line: Line) -> bool:
    """Whether running text stands below the last line of a caption: then the caption is whole."""
    return line.baseline > last.baseline + 1 and overlap_x(line.box, last.box) > 0 and len(line.words) >= REST_WORDS
