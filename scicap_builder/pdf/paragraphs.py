"""Blocks of running text -> paragraphs as they were written, joined over columns, pages and figures. Pure functions."""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from scicap_builder.mentions import cited_numbers
from scicap_builder.pdf.joining import SENTENCE_END, join_lines, vocabulary
from scicap_builder.pdf.layout import Style, half_point
from scicap_builder.pdf.lines import Line

MAX_FOOTNOTES = 4
"""Pieces of small print between the two halves of a paragraph."""
SMALLER = 0.4
"""pt by which small print is smaller than the running text."""
SPACED = 1.15
"""Times the usual step between two lines: white that parts paragraphs, behind a line that is not full."""


class Paragraph(NamedTuple):
    """A paragraph and the lines it was made of."""

    text: str
    lines: tuple[Line, ...]


def read_paragraphs(flow: Sequence[Sequence[Line]], style: Style) -> tuple[Paragraph, ...]:
    """Paragraphs of running text in reading order, hyphenation mended. An empty block: a displayed equation stood there."""
    groups: list[list[Line]] = []
    displayed = False
    for block in flow:
        for place, part in enumerate(_split(block, style) if block else ()):
            host = _host(groups, part, style, displayed=displayed) if place == 0 else None
            if host is None:
                groups.append(list(part))
            else:
                host += part
        displayed = not block
    words = vocabulary(line for block in flow for line in block)
    return tuple(Paragraph(join_lines([line.text for line in lines], words), tuple(lines)) for lines in groups)


def mentions_by_number(paragraphs: Sequence[Paragraph]) -> dict[str, tuple[str, ...]]:
    """For each figure number the paragraphs that cite it, in reading order."""
    found: dict[str, list[str]] = defaultdict(list)
    for paragraph in paragraphs:
        for number in cited_numbers(paragraph.text):
            found[number].append(paragraph.text)
    return {number: tuple(texts) for number, texts in found.items()}


def _host(groups: list[list[Line]], part: list[Line], style: Style, *, displayed: bool) -> list[Line] | None:
    """The paragraph that goes on in `part`: the last one, or the one before small print at the foot of its column."""
    for group in reversed(groups[-MAX_FOOTNOTES - 1 :]):
        if _goes_on(group, part, style) or (displayed and group is groups[-1] and _after_display(group, part)):
            return group
        if group[-1].size > part[0].size - SMALLER or part[0].page - group[-1].page > 1:
            break
    return None


def _after_display(before: Sequence[Line], after: Sequence[Line]) -> bool:
    """Whether a sentence that led to a displayed equation, or a paragraph around one, goes on without an indent."""
    last, first = before[-1], after[0]
    indented = len(after) > 1 and first.box[0] > after[1].box[0] + 0.5 * first.size
    alike = last.bold == first.bold and abs(last.size - first.size) <= 0.6 and first.page == last.page
    return alike and not indented and first.text[:1].isalpha() and not re.search(r"[.!?]$", last.text)


def _split(block: Sequence[Line], style: Style) -> list[list[Line]]:
    """A block -> its paragraphs: they begin at an indented line, or after a short last line of a sentence."""
    left = sorted(line.box[0] for line in block)[len(block) // 4]
    right = max(line.box[2] for line in block)
    parts: list[list[Line]] = [[block[0]]]
    usual = median([b.baseline - a.baseline for a, b in itertools.pairwise(block)] or [0.0])
    for last, line in itertools.pairwise(block):
        same_row = abs(line.baseline - last.baseline) < 0.3 * line.size
        indented = 0.7 * line.size < line.box[0] - left < 4.5 * line.size and last.box[0] - left < 0.5 * line.size
        ended = SENTENCE_END.search(last.text) and last.box[2] < right - 4 * line.size and not line.text[:1].islower()
        if SENTENCE_END.search(last.text) and line.baseline - last.baseline > SPACED * usual + 0.5:
            ended = ended or last.box[2] < right - line.size
        heading = _is_heading(last, line, style, short=last.box[2] < right - 2 * line.size)
        if not same_row and (indented or ended or heading):
            parts.append([line])
        else:
            parts[-1].append(line)
    return parts


def _is_heading(last: Line, line: Line, style: Style, *, short: bool) -> bool:
    """Whether `last` is a heading right above `line`: another font throughout, and no sentence."""
    if line.font == last.font or line.text[:1].islower() or SENTENCE_END.search(last.text):
        return False
    whole = len({word.font for word in last.words}) == 1 and (half_point(line.size), line.font) in style.bodies
    return short or (whole and last.text[:1].isupper() and (half_point(last.size), last.font) not in style.bodies)


def _is_maths(line: Line, style: Style) -> bool:
    """Whether a line is a displayed equation: less than half of its letters in the type of the running text."""
    plain = sum(len(word.text) for word in line.words if word.font == style.font)
    return plain < 0.5 * sum(len(word.text) for word in line.words) and not line.bold and "=" in line.text


def _goes_on(before: Sequence[Line], after: Sequence[Line], style: Style) -> bool:
    """Whether the paragraph `before` goes on in `after`, the next text in reading order."""
    last, first = before[-1], after[0]
    if any(_is_maths(line, style) for line in after[:2]) and len(before) > 1 and not re.search(r"[.!?]$", last.text):
        return first.page == last.page and 0 < first.baseline - last.baseline < 4 * style.leading
    if last.bold != first.bold or abs(last.size - first.size) > 0.6 or abs(first.size - style.size) > 1.6:
        return False
    text = last.text.rstrip()
    if re.search(r"[a-z]-$", text) and first.text[:1].islower():
        return True
    if SENTENCE_END.search(text) and not re.search(r"\b(?:[Ff]igs?|[Ee]qs?|[Rr]efs?|al|vs|e\.g|i\.e)\.$", text):
        return False
    starts_low = first.text[:1].islower()
    width = max(line.box[2] for line in before) - min(line.box[0] for line in before)
    full = last.width > 0.85 * width and len(before) > 1
    return starts_low or (full and last.font == first.font)
