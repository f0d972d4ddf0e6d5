"""The lines that begin captions -> whole captions: which lines belong to each, also in other columns and on other pages.

Pure functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scicap_builder.mentions import parse_label
from scicap_builder.pdf.boxes import bounds, overlap_x
from scicap_builder.pdf.joining import SENTENCE_END, join_lines
from scicap_builder.pdf.layout import Style
from scicap_builder.pdf.lines import Line, in_rows
from scicap_builder.pdf.page import Rect
from scicap_builder.pdf.starts import Start


@dataclass(frozen=True, slots=True)
class Caption:
    """A figure's (or table's) caption."""

    number: str
    """Empty for tables and other floats, which are kept because they bound the figures."""
    label: str
    lines: tuple[Line, ...]
    text: str
    """Without the label."""
    page: int
    box: Rect


def find_captions(pages: Sequence[Sequence[Line]], starts: Sequence[Start], style: Style) -> tuple[Caption, ...]:
    """The captions that begin at `starts`, whole, in order of appearance."""
    by_line = {start.line: start for start in starts}
    captions = []
    for lines in pages:
        heads = {line for line in lines if line in by_line}
        for line in sorted(heads, key=lambda entry: (entry.baseline, entry.box[0])):
            start = by_line[line]
            captions.append(_caption(start, caption_lines(line, lines, heads, style, label_end=start.label.end)))
    return tuple(captions)


def caption_lines(
    first: Line, lines: Sequence[Line], heads: set[Line], style: Style, label_end: int = 0
) -> tuple[Line, ...]:
    """`first` and the lines below it that belong to the caption: until the spacing, size or edge changes."""
    body = [first]
    for line in in_rows(lines):
        if line.baseline < body[-1].baseline - 1 or line in body:
            continue
        if line.baseline - body[-1].baseline > 3 * max(first.size, line.size):
            break
        if line in heads:
            if overlap_x(line.box, bounds(entry.box for entry in body)) > 0:
                break
            continue
        if _belongs(body, line, style, label_only=label_end >= len(first.text)):
            body.append(line)
    return tuple(body)


def _belongs(body: list[Line], line: Line, style: Style, *, label_only: bool) -> bool:
    """Whether `line` goes on with the caption `body`; scraps such as raised signs say nothing about spacing or size."""
    last, first = next((entry for entry in reversed(body) if len(entry.text) > 3), body[-1]), body[0]
    box = bounds(entry.box for entry in body)
    if abs(line.baseline - last.baseline) < 0.3 * last.size:
        near = -0.5 * last.size <= line.box[0] - body[-1].box[2] < 1.0 * last.size
        return near and (abs(line.size - last.size) < 1 or len(line.text) <= 3)
    step = line.baseline - last.baseline
    if len(body) == 1 and label_only:
        return step < 2.4 * last.size and overlap_x(box, line.box) > -2 * last.size and line.box[0] < box[2] + 20
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
    return not _resumes(body, last, line, style)


def _resumes(body: list[Line], last: Line, line: Line, style: Style) -> bool:
    """Whether the running text begins again at `line`: after a short last line, in the fonts of the running text."""
    box = bounds(entry.box for entry in body)
    if line.bold and not any(entry.bold for entry in body) and line.size >= style.size - 0.2:
        return True
    ended = SENTENCE_END.search(last.text) and last.box[2] < box[2] - 2 * last.size
    indented = line.box[0] > box[0] + 0.8 * line.size
    return bool(len(body) > 1 and ended and (indented or line.font != last.font))


def _caption(start: Start, body: tuple[Line, ...]) -> Caption:
    text = join_lines([line.text for line in body])
    label = parse_label(text) or start.label
    box = bounds(line.box for line in body)
    return Caption(start.label.number, start.label.text, body, text[label.end :].strip(), body[0].page, box)
