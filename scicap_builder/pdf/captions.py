"""Lines of a paper -> its captions: where each begins, which lines belong to it. Pure functions.

A label form is not asked for but compared: of all lines that could begin the caption of figure 3 the one is taken that looks
most like a caption and most like the other captions of the paper.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scicap_builder.mentions import Label, parse_label
from scicap_builder.pdf.boxes import bounds, overlap_x
from scicap_builder.pdf.layout import Style
from scicap_builder.pdf.lines import Line, in_rows
from scicap_builder.pdf.page import Rect, is_bold

OTHER_FLOAT = re.compile(
    r"^\s*(?P<label>(?:Supplementa\w+\s+)?(?:T\s?A\s?B\s?L\s?E|Box|Algorithm|Listing|Plate)\b"
    r"[\s\-–.]*(?P<number>(?:[A-Z]\.?)?(?:\d+|[IVX]+))\b)\s*(?P<separator>[.:|]?)\s*",
    re.I,
)
"""Floats that are no figures; their captions bound the figures."""
PROSE_AFTER = re.compile(
    r"^(?:,|;|\)|and\b|or\b|to\b|in\b|is\b|are\b|was\b|were\b|shows?\b|showed\b|showing\b|illustrates?\b|presents?\b|depicts?\b|"
    r"gives?\b|displays?\b|demonstrates?\b|reports?\b|compares?\b|plots?\b|provides?\b|describes?\b|summari[sz]es\b|represents?\b|"
    r"indicates?\b|reveals?\b|contains?\b|also\b|has\b|have\b|can\b|we\b|for\b|with\b|below\b|above\b|that\b|which\b|by\b|from\b|"
    r"at\b|as\b|on\b|where\b|of\b|suggests?\b|confirms?\b|lists?\b|then\b|visuali[sz]es?\b|outlines?\b|exhibits?\b|\(?[a-z]\)?\s+(?:shows?|and|is|are)\b)"
)
LIST_STEP = 2.6
"""em between two labels of a list of figures (two lines); a figure between them would need more."""
SENTENCE_END = re.compile(r"[.!?:]['\"”’)\]]*$")


@dataclass(frozen=True, slots=True)
class Start:
    """A line that could begin a caption."""

    line: Line
    label: Label
    bold: bool
    """The label is bold."""
    score: float


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


def find_starts(pages: Sequence[Sequence[Line]], style: Style) -> list[Start]:
    """The most caption-like line for each figure number of a paper, and the captions of its tables, in order of appearance."""
    found: dict[str, list[Start]] = defaultdict(list)
    for lines in pages:
        for index, line in enumerate(lines):
            label = parse_label(line.text)
            if label and not line.text.lstrip().startswith("("):
                found[label.number].append(_start(line, label, lines[max(0, index - 40) : index], style))
    listed = _listed([start for starts in found.values() for start in starts])
    for number, starts in found.items():
        found[number] = [start for start in starts if start.line not in listed]
    usual = _usual_forms([start for starts in found.values() for start in starts if start.score >= 2])
    chosen = [start for start in _other_floats(pages, style) if start.score >= 2]
    for starts in filter(None, found.values()):
        best = max(starts, key=lambda start: (start.score + usual.get(_form(start), 0.0), -start.line.page))
        if best.score + usual.get(_form(best), 0.0) >= 2:
            chosen.append(best)
    return sorted(chosen, key=lambda start: (start.line.page, start.line.baseline))


def _other_floats(pages: Sequence[Sequence[Line]], style: Style) -> Iterator[Start]:
    for lines in pages:
        for index, line in enumerate(lines):
            match = OTHER_FLOAT.match(line.text)
            if match:
                label = Label(match["label"], "", match["separator"], "", match.end())
                yield _start(line, label, lines[max(0, index - 40) : index], style)


def _listed(starts: Sequence[Start]) -> set[Line]:
    """Lines of a list of figures: labels that follow each other line by line leave no room for figures."""
    lines = sorted(
        (start.line for start in starts), key=lambda line: (line.page, round(line.box[0] / 8), line.baseline)
    )
    listed: set[Line] = set()
    for a, b in pairwise(lines):
        if a.page == b.page and abs(a.box[0] - b.box[0]) < 3 and 0 < b.baseline - a.baseline < LIST_STEP * b.size:
            listed |= {a, b}
    return listed


def _form(start: Start) -> tuple[str, str, bool, float]:
    word = re.split(r"[\d\s.\-–]", start.label.text, maxsplit=1)[0]
    return word, start.label.separator, start.bold, round(start.line.size)


def _usual_forms(starts: list[Start]) -> dict[tuple[str, str, bool, float], float]:
    """A bonus for the forms that the paper's captions have: up to 2 for the form of them all."""
    counts: Counter[tuple[str, str, bool, float]] = Counter()
    for form, _ in {(_form(start), start.label.number) for start in starts}:
        counts[form] += 1
    total = counts.total()
    return {form: 2 * count / total for form, count in counts.items()}


def _start(line: Line, label: Label, before: Sequence[Line], style: Style) -> Start:
    """Score one line: separators, bold labels, own sizes and white space above speak for a caption, prose against it."""
    rest = line.text[label.end :]
    bold = is_bold(line.words[0].font)
    score = 0.0
    if label.separator:
        score += 2 if label.separator[0] in ".:|•" else 1
    if bold and not line.bold:
        score += 1.5
    elif bold or line.words[0].font != style.font:
        score += 1
    if abs(line.size - style.size) > 0.4:
        score += 1
    if label.text.isupper() or not rest:
        score += 0.5
    if not label.separator and PROSE_AFTER.match(rest):
        score -= 3
    elif rest[:1].islower():
        score -= 1
    above = [o for o in before if o.box[0] < line.box[2] and o.box[2] > line.box[0] and o.baseline < line.baseline - 3]
    near = max(above, key=lambda o: o.baseline, default=None)
    if near is None or line.baseline - near.baseline > 1.35 * style.leading:
        score += 1.5
    elif not SENTENCE_END.search(near.text) and abs(near.size - line.size) < 0.3 and near.font == line.words[0].font:
        score -= 2
    if label.text[:1].islower():
        score -= 3
    return Start(line, label, bold, score)


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


def join_lines(lines: Sequence[str], vocabulary: frozenset[str] = frozenset()) -> str:
    """Lines -> one string; a word cut at the end of a line is mended unless the paper writes it with its hyphen."""
    text = ""
    for line in (entry.strip() for entry in lines):
        if not text:
            text = line
            continue
        cut = re.search(r"([A-Za-z]+)-$", text)
        rest = re.match(r"[a-z]+", line)
        if cut and rest:
            kept = f"{cut[1]}-{rest[0]}".lower() in vocabulary and (cut[1] + rest[0]).lower() not in vocabulary
            text = text + line if kept else text[:-1] + line
        elif text.endswith(("-", "–", "/")) and not text.endswith((" -", " –")):
            text += line
        else:
            text += " " + line
    return re.sub(r"\s+", " ", text)
