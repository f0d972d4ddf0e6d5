"""Lines of a paper -> the lines that begin a caption. Pure functions.

A label form is not asked for but compared: of all lines that could begin the caption of figure 3 the one is taken that looks
most like a caption and most like the other captions of the paper.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from scicap_builder.mentions import Label, parse_label
from scicap_builder.pdf.joining import SENTENCE_END
from scicap_builder.pdf.layout import Style
from scicap_builder.pdf.lines import Line
from scicap_builder.pdf.page import is_bold

OTHER_FLOAT = re.compile(
    r"^\s*(?P<label>(?:Supplementa\w+\s+)?(?:T\s?A\s?B\s?L\s?E|Box|Algorithm|Listing|Plate)\b"
    r"[\s\-–.]*(?P<number>(?:[A-Z]\.?)?(?:\d+(?:\.\d+)?|[IVX]+))\b)\s*(?P<separator>[.:|]?)\s*",
    re.I,
)
"""Floats that are no figures; their captions bound the figures."""
PROSE_AFTER = re.compile(
    r"^(?:,|;|\)|and\b|or\b|to\b|in\b|is\b|are\b|was\b|were\b|shows?\b|showed\b|showing\b|illustrates?\b|presents?\b|depicts?\b|"
    r"gives?\b|displays?\b|demonstrates?\b|reports?\b|compares?\b|plots?\b|provides?\b|describes?\b|summari[sz]es\b|represents?\b|"
    r"indicates?\b|reveals?\b|contains?\b|also\b|has\b|have\b|can\b|we\b|for\b|with\b|below\b|above\b|that\b|which\b|by\b|from\b|"
    r"at\b|as\b|on\b|where\b|of\b|suggests?\b|confirms?\b|lists?\b|then\b|visuali[sz]es?\b|outlines?\b|exhibits?\b|\(?[a-z]\)?\s+(?:shows?|and|is|are)\b)"
)
CONTINUED = re.compile(
    r"^[\s(\[.:|–—-]*(?:continued|contd?\b|cont['’]d|suite\b)[.'’]*(?:\s+from\s+(?:the\s+)?\w+\s+page)?[\s)\].:|–—-]*",
    re.I,
)
"""After a label: a further part of a figure, whose caption stands at its first part."""
CERTAIN = 3.0
"""Score of a second caption of one number: a separator and one thing more."""
AGAIN_WORDS = 3
"""Words of its first line."""
LIST_STEP = 2.6
"""em between two labels of a list of figures (two lines); a figure between them would need more."""


@dataclass(frozen=True, slots=True)
class Start:
    """A line that could begin a caption."""

    line: Line
    label: Label
    bold: bool
    """The label is bold."""
    score: float
    repeat: bool = False
    """A further part of a figure: "Figure 3 (continued)"."""
    again: bool = False
    """Another line begins a caption of the same number and looks as much like one: a supplement that counts from 1 again."""


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
    chosen = _likely(start for start in _other_floats(pages, style) if start.score >= 2)
    for starts in filter(None, found.values()):
        best, *others = sorted(starts, key=lambda s: (_is_repeat(s), -s.score - usual.get(_form(s), 0.0), s.line.page))
        if best.score + usual.get(_form(best), 0.0) >= 2:
            chosen.append(best)
            chosen += [replace(start, repeat=True) for start in others if _is_repeat(start) and start.score >= 0]
            chosen += [replace(start, again=True) for start in others if _is_alike(start, best, usual)]
    return sorted(chosen, key=lambda start: (start.line.page, start.line.baseline))


def _is_repeat(start: Start) -> bool:
    return bool(CONTINUED.match(start.line.text[start.label.end :]))


def _is_alike(start: Start, best: Start, usual: Mapping[tuple[str, str, bool, float], float]) -> bool:
    """Whether a line is as much a caption as the best one of its number, in the form that most captions of the paper have."""
    text = start.line.text[start.label.end :]
    form = _form(start)
    alike = form == _form(best) and usual.get(form, 0.0) > 1 and start.score >= max(best.score, CERTAIN)
    return alike and not _is_repeat(start) and len(text.split()) >= AGAIN_WORDS


def _other_floats(pages: Sequence[Sequence[Line]], style: Style) -> Iterator[Start]:
    for lines in pages:
        for index, line in enumerate(lines):
            match = OTHER_FLOAT.match(line.text)
            if match:
                label = Label(match["label"], "", match["separator"], "", match.end())
                yield _start(line, label, lines[max(0, index - 40) : index], style)


def _likely(starts: Iterable[Start]) -> list[Start]:
    """Captions of tables and the like without those that score clearly less than another of the same label: prose in bold."""
    starts = list(starts)
    best: dict[str, float] = defaultdict(float)
    for start in starts:
        label = start.label.text.lower()
        best[label] = max(best[label], start.score)
    return [start for start in starts if start.score > best[start.label.text.lower()] - 1]


def _listed(starts: Sequence[Start]) -> set[Line]:
    """Lines of a list of figures: labels of one form that follow each other line by line leave no room for figures."""
    ordered = sorted(starts, key=lambda s: (s.line.page, round(s.line.box[0] / 8), s.line.baseline))
    listed: set[Line] = set()
    for above, below in pairwise(ordered):
        a, b = above.line, below.line
        if a.page != b.page or abs(a.box[0] - b.box[0]) > 3 or _form(above) != _form(below):
            continue
        if 0 < b.baseline - a.baseline < LIST_STEP * b.size:
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
