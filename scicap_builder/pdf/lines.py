"""Words of a page -> lines of upright text. Pure functions.

A line never crosses a column gap: words join when they follow each other in the content stream on one baseline, or stand
closer than a word space allows.
"""

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from scicap_builder.mentions import parse_label
from scicap_builder.pdf.page import Page, Rect, Word, is_bold

STREAM_GAP = 1.7
"""em between two words that follow each other in the content stream; badly justified narrow columns reach 1.5."""
FREE_GAP = 0.75
"""em between two words that do not; the narrowest column gaps are about 1 em."""
LABEL_GAP = 3.5
"""em after "Figure 3.", which many journals set apart."""
SCRIPT = 0.85
"""Of the full size; raised and lowered signs are smaller."""
MAX_SCRIPTS = 4
"""Raised and lowered signs between two full-size words."""
SMALL_PRINT = 0.5
"""Of the larger size; raised and lowered signs are larger than that."""
FULL_SHARE = 0.2
"""Of a line's letters in a size from which on it is the line's size, though its raised and lowered signs be more."""
HANGING = frozenset("√∑∏∫")
"""Signs that TeX's fonts hang from their baseline, which so stands an em above the line's."""
ACCENT_REACH = 1.5
"""em by which an accent may stand before the end of the word that it follows in the stream: the fraction Ṁ/Ṁ."""
ASCENT, DESCENT = 0.6, 0.3
"""em above and below its baseline that a letter takes at least; the boxes of some mathematical fonts are lower."""
ACCENTS = frozenset("˜ˆ¯˙¨´`˘ˇ")
"""Set before or after the letter over which they stand."""
STACKED = 1.0
"""pt between the left edges of two lines of one column."""
TWICE = 1.3
"""pt within which the same word is the same ink drawn twice (a poor man's bold)."""
MARGIN_NUMBERS = 12
"""A margin has a number for every line, or for every fifth: a dozen a page at least."""
FEW_NUMBERS = 4
"""A column that a figure leaves five lines of has five numbers."""
SMALL_NUMBERS = 0.75
"""Of the page's usual size; line numbers are set at half of it."""
MAX_LINES = 2500
"""Lines of one page; the densest tables have about 1,000 cells."""
MATHEMATICAL = re.compile("[\U0001d400-\U0001d7ff\u210e]+")
"""Italic, bold and other alphabets of formulas (with the italic h, which stands elsewhere): plain letters in plain text."""
LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
    | dict.fromkeys("\u00ad\u2010\u2011", "-")
)


class Line(NamedTuple):
    """A line of text within one column."""

    text: str
    box: Rect
    baseline: float
    size: float
    """pt, of most of its letters."""
    font: str
    bold: bool
    """Most letters are bold."""
    page: int
    words: tuple[Word, ...]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]


def read_lines(page: Page) -> tuple[Line, ...]:
    """The upright lines of a page, top to bottom. Margin line numbers, white text and text drawn twice are left out."""
    words = [w for w in drawn_once(page.words) if w.angle == 0 and not w.white and _inside(w.box, page) and w.size > 1]
    runs = _merge_runs(_stream_runs(without_line_numbers(words, page.width)))
    if len(runs) > MAX_LINES:
        # a plot whose points are letters, or a hostile file: keep what may be prose
        runs = [run for run in runs if len(run) >= 3][:MAX_LINES]
    lines = [make_line(run, page.number) for run in runs]
    return tuple(in_rows(lines))


def in_rows(lines: Iterable[Line]) -> list[Line]:
    """Lines by row from the top, each row from the left; a row's pieces may differ a little in their baselines."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda entry: entry.baseline):
        if rows and line.baseline - rows[-1][-1].baseline < 0.12 * line.size:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda entry: entry.box[0])]


def drawn_once(words: Iterable[Word]) -> list[Word]:
    """Leave out a word that stands a second time on the same spot."""
    seen: dict[tuple[str, int], list[float]] = {}
    kept = []
    for word in words:
        text, x, level = word.text, word.box[0], int(word.baseline / TWICE)
        spots = seen.get((text, level), [])
        around = (spots, seen.get((text, level - 1)), seen.get((text, level + 1)))
        if not any(near and any(abs(x - spot) < TWICE for spot in near) for near in around):
            kept.append(word)
            spots.append(x)
            seen[text, level] = spots
    return kept


def make_line(words: list[Word], page: int) -> Line:
    """One line from words in reading order."""
    weights: dict[tuple[float, str], int] = defaultdict(int)
    for word in words:
        weights[round(word.size, 1), word.font] += len(word.text)
    size, font = max(weights, key=lambda style: weights[style])
    if len(weights) > 1:
        largest = _full_size(weights)
        if size < SCRIPT * largest:
            size, font = max((style for style in weights if style[0] == largest), key=lambda style: weights[style])
    main = [w for w in words if abs(w.size - size) < 0.3 and w.text not in HANGING] or words
    lefts, _, rights, _ = zip(*[w.box for w in words], strict=True)
    _, tops, _, bottoms = zip(*[w.box for w in main], strict=True)
    box = (min(lefts), min(tops), max(rights), max(bottoms))
    if len(weights) == 1:
        bold = is_bold(font)
    else:
        bold = sum(weight for style, weight in weights.items() if is_bold(style[1])) > 0.6 * sum(weights.values())
    baseline = sorted(w.baseline for w in main)[len(main) // 2]
    return Line(line_text(words), box, baseline, size, font, bold, page, tuple(words))


def _full_size(weights: dict[tuple[float, str], int]) -> float:
    """The largest size that sets a fair share of a line's letters."""
    sizes: dict[float, int] = defaultdict(int)
    for (size, _), weight in weights.items():
        sizes[size] += weight
    return max(size for size, weight in sizes.items() if weight > FULL_SHARE * sum(sizes.values()))


def line_text(words: list[Word]) -> str:
    """The words of a line as a string: spaces where the page has them, ligatures resolved."""
    parts: list[str] = []
    for place, word in enumerate(words):
        if place:
            last = words[place - 1]
            follows = word.glued and word.order == last.order + 1
            touches = word.order != last.order + 1 and word.box[0] - last.box[2] < 0.08 * max(word.size, last.size)
            if not (follows or touches):
                parts.append(" ")
        parts.append(word.text)
    text = "".join(parts).translate(LIGATURES)
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", MATHEMATICAL.sub(_plain, text))


def _plain(letters: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", letters[0])


def without_line_numbers(words: list[Word], width: float) -> list[Word]:
    """Leave out the line numbers of review copies: aligned rising integers in one font.

    Many of them in a margin; or a few that rise by one in print much smaller than the page's, between its columns too.
    """
    columns: dict[tuple[int, str], list[Word]] = defaultdict(list)
    for word in words:
        if word.text.isdecimal() and len(word.text) <= 4:
            columns[round(word.box[2] / 2), word.font].append(word)
    small = SMALL_NUMBERS * median(word.size for word in words) if columns else 0.0
    drop: set[int] = set()
    for column in columns.values():
        ordered = sorted(column, key=lambda word: word.baseline)
        values = [int(word.text) for word in ordered]
        if len(values) < FEW_NUMBERS:
            continue
        steps = {b - a for a, b in itertools.pairwise(values)}
        margin = not 0.15 * width < ordered[0].box[0] < 0.85 * width
        if (steps == {1} and ordered[0].size < small) or (margin and len(values) >= MARGIN_NUMBERS and min(steps) > 0):
            drop.update(word.order for word in ordered)
    return [word for word in words if word.order not in drop]


def _inside(box: Rect, page: Page) -> bool:
    return box[0] < page.width and box[2] > 0 and box[1] < page.height and box[3] > 0


def _stream_runs(words: list[Word]) -> list[list[Word]]:
    """Cut the stream of words where it jumps."""
    runs: list[list[Word]] = []
    for word in words:
        if runs and _continues(runs[-1], word):
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _continues(run: list[Word], word: Word) -> bool:
    last = run[-1]
    size = _gap_size(last, word)
    gap = word.box[0] - last.box[2]
    back = ACCENT_REACH if last.text[0] in ACCENTS or word.text[0] in ACCENTS else 0.5
    if not -back * size < gap < LABEL_GAP * size or not _same_level(last, word):
        return _after_scripts(run, word)
    if gap < STREAM_GAP * size:
        return True
    label = len(run) <= 3 and parse_label(line_text(run) + " ")
    return bool(label and label.end >= len(line_text(run)))


def _gap_size(a: Word, b: Word) -> float:
    """pt by which the gap between two words is measured: small print beside a title stands closer than the title's spaces."""
    small, large = sorted((a.size, b.size))
    return 0.5 * small if small < SMALL_PRINT * large else large


def _after_scripts(run: list[Word], word: Word) -> bool:
    """Whether `word` follows the last full-size word of the run, over raised and lowered signs and roots between them."""
    tail = run[-MAX_SCRIPTS - 1 :]
    size = max(entry.size for entry in tail)
    main = next((entry for entry in reversed(tail) if entry.size > SCRIPT * size and entry.text not in HANGING), None)
    if main is None or main is run[-1] or not _same_level(main, word):
        return False
    if word.size < SCRIPT * main.size:
        return -0.2 * main.size < word.box[0] - main.box[2] < 0.5 * main.size
    right = max(entry.box[2] for entry in tail[tail.index(main) :])
    return -0.3 * main.size < word.box[0] - right < FREE_GAP * main.size


def _same_level(a: Word, b: Word) -> bool:
    """Whether two words share a line; a raised or lowered word overlaps the other by half of its height."""
    if abs(a.baseline - b.baseline) < 0.15 * max(a.size, b.size):
        return True
    if a.text in HANGING or b.text in HANGING:
        return abs(a.baseline - b.baseline) < 1.1 * max(a.size, b.size)
    smaller = min(a.size, b.size)
    if smaller > 0.9 * max(a.size, b.size):
        return abs(a.baseline - b.baseline) < 0.4 * smaller
    small, large = (a, b) if a.size < b.size else (b, a)
    bottom = min(small.box[3], max(large.box[3], large.baseline + DESCENT * large.size))
    top = max(small.box[1], min(large.box[1], large.baseline - ASCENT * large.size))
    return bottom - top > 0.45 * smaller


def _merge_runs(runs: list[list[Word]]) -> list[list[Word]]:
    """Join runs that stand on one line within a word space of each other, but not two that have each a column of their own."""
    order = sorted(range(len(runs)), key=lambda i: runs[i][0].box[0])
    stacked = _stacked(runs)
    buckets: dict[int, list[int]] = defaultdict(list)
    merged: dict[int, list[Word]] = {}
    for index in order:
        run = runs[index]
        level = int(run[0].baseline // 4)
        host = None
        for near in (level - 1, level, level + 1):
            for other in buckets[near]:
                if index in stacked and other in stacked:
                    continue
                last = merged[other][-1]
                gap = run[0].box[0] - last.box[2]
                if -0.5 * last.size < gap < FREE_GAP * _gap_size(last, run[0]) and _same_level(last, run[0]):
                    host = other
        if host is None:
            merged[index] = list(run)
            host = index
        else:
            merged[host] += run
        end = int(merged[host][-1].baseline // 4)
        for key in {level, end}:
            if host not in buckets[key]:
                buckets[key].append(host)
    return list(merged.values())


def _stacked(runs: list[list[Word]]) -> set[int]:
    """Which runs stand right below or above their neighbour in the stream, at its left edge: the lines of a narrow column."""
    found: set[int] = set()
    for index in range(1, len(runs)):
        above, below = runs[index - 1][0], runs[index][0]
        step = below.baseline - above.baseline
        if abs(above.box[0] - below.box[0]) < STACKED and 0.8 * below.size < step < 2 * below.size:
            found |= {index - 1, index}
    return found
