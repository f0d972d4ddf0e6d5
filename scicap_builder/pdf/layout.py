"""Lines of a whole paper -> what is usual in it, its columns, running heads, and blocks in reading order. Pure functions."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scicap_builder.pdf.boxes import bounds
from scicap_builder.pdf.lines import Line, in_rows
from scicap_builder.pdf.page import Rect

EDGE = 0.11
"""Share of the page height at the top and the bottom where running heads and page numbers stand."""
BODY_SHARE = 0.07
"""Share of a paper's letters from which on a size and font is one of its text styles; captions stay below in most papers."""
BLOCK_GAP = 1.45
"""Baseline distance over the usual leading from which on two lines are two blocks."""


@dataclass(frozen=True, slots=True)
class Style:
    """What is usual in a paper."""

    size: float
    """pt of the running text."""
    font: str
    bodies: frozenset[tuple[float, str]]
    """(size in half pt, font) of running text, references and other long text."""
    leading: float
    """pt from baseline to baseline in running text."""
    line_width: float
    """pt of a full line of running text."""


class Block(NamedTuple):
    """Lines that stand close below each other."""

    lines: tuple[Line, ...]
    box: Rect

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)


def measure(lines: Iterable[Line]) -> Style:
    """The usual size, font, leading and line width, counted in letters."""
    sizes: Counter[float] = Counter()
    fonts: Counter[str] = Counter()
    lines = [line for line in lines if len(line.words) >= 4]
    for line in lines:
        sizes[half_point(line.size)] += len(line.text)
    size = sizes.most_common(1)[0][0] if sizes else 10.0
    body = [line for line in lines if abs(line.size - size) <= 0.3]
    for line in body:
        fonts[line.font] += len(line.text)
    widths = Counter(round(line.width / 4) * 4.0 for line in body)
    wide = [w for w, n in widths.items() if n >= 0.3 * max(widths.values())] if widths else [300.0]
    return Style(size, fonts.most_common(1)[0][0] if fonts else "", _bodies(lines), _leading(body, size), max(wide))


def _bodies(lines: Sequence[Line]) -> frozenset[tuple[float, str]]:
    letters: Counter[tuple[float, str]] = Counter()
    for line in lines:
        letters[half_point(line.size), line.font] += len(line.text)
    return frozenset(key for key, count in letters.items() if count >= BODY_SHARE * letters.total())


def half_point(size: float) -> float:
    """A font size rounded to half points, the steps in which journals set type."""
    return round(size * 2) / 2


def _leading(lines: Sequence[Line], size: float) -> float:
    steps: Counter[float] = Counter()
    last: dict[tuple[int, int], Line] = {}
    for line in lines:
        key = (line.page, round(line.box[0] / 4))
        above = last.get(key)
        if above and 0.8 * size < line.baseline - above.baseline < 3.2 * size:
            steps[round((line.baseline - above.baseline) * 4) / 4] += 1
        last[key] = line
    return steps.most_common(1)[0][0] if steps else 1.2 * size


def running_heads(pages: Sequence[tuple[float, Sequence[Line]]]) -> frozenset[Line]:
    """Headers, footers and page numbers of pages (height, lines): rows at the very edge of the page that other pages repeat."""
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for height, lines in pages:
        for line in lines:
            if not EDGE * height <= line.baseline <= (1 - EDGE) * height:
                seen[_pattern(line)].add(line.page)
    enough = 2 if len(pages) < 8 else 3
    repeated = {pattern for pattern, where in seen.items() if len(where) >= enough}
    found: set[Line] = set()
    for height, lines in pages:
        ordered = sorted(lines, key=lambda line: line.baseline)
        found |= _head_rows([line for line in ordered if line.baseline < EDGE * height], repeated)
        found |= _head_rows([line for line in reversed(ordered) if line.baseline > (1 - EDGE) * height], repeated)
    return frozenset(found)


def _pattern(line: Line) -> tuple[str, int]:
    """The text with its numbers blanked out, and where it stands."""
    return re.sub(r"\d+|\b[ivxl]+\b", "#", line.text), round(line.baseline / 6)


def _head_rows(lines: Sequence[Line], repeated: set[tuple[str, int]]) -> set[Line]:
    """From the edge of the page inwards, row by row, as long as a row holds a repeated text or is a page number."""
    found: set[Line] = set()
    rows: list[list[Line]] = []
    for line in lines:
        if rows and abs(rows[-1][0].baseline - line.baseline) < 3:
            rows[-1].append(line)
        else:
            rows.append([line])
    for place, row in enumerate(rows):
        number = place == 0 and len(row) == 1 and re.fullmatch(r"[-–—\s]*#[-–—\s]*", _pattern(row[0])[0])
        if not number and not any(_pattern(line) in repeated for line in row):
            break
        found.update(row)
    return found


def gutters(lines: Sequence[Line], width: float, style: Style, usual: float = 0.0) -> tuple[float, ...]:
    """x of the gap between two columns of running text; () on a page of one column.

    `usual`: where the paper's other pages have it; taken over when this page has little text and none of it stands across.
    """
    prose = [line for line in lines if abs(line.size - style.size) < 2.1 and len(line.words) >= 3]
    if usual and sum(line.box[0] < usual - 2 and line.box[2] > usual + 2 for line in prose) <= 0.34 * len(prose):
        near = _best_gap(prose, [usual + step for step in range(-12, 13, 2)], least=0)
        return (near,) if near else ()
    if len(prose) < 10:
        return ()
    left, right = min(line.box[0] for line in prose), max(line.box[2] for line in prose)
    steps = [float(x) for x in range(int(max(left + 40, 0.12 * width)), int(min(right - 40, 0.88 * width)), 2)]
    found = _best_gap(prose, steps, least=5)
    return (found,) if found else ()


def _best_gap(prose: Sequence[Line], steps: Sequence[float], least: int) -> float:
    """The middle of the x in `steps` that fewest lines cross, with at least `least` lines on either side (0.0: none)."""
    scores: dict[float, int] = {}
    starts = sorted(line.box[0] for line in prose)
    ends = sorted(line.box[2] for line in prose)
    for x in steps:
        before = bisect_right(ends, x + 1)
        after = len(prose) - bisect_left(starts, x - 1)
        across = len(prose) - before - after
        if min(before, after) >= least and (least == 0 or across <= 0.6 * min(before, after) + 2):
            scores[x] = min(before, after) - 2 * across
    top = max(scores.values(), default=0)
    best = [x for x, score in scores.items() if score == top]
    return best[len(best) // 2] if best else 0.0


def usual_gutter(pages: Sequence[tuple[float, Sequence[Line]]], style: Style) -> float:
    """x of the gap between columns on most pages of (width, lines); 0.0 in a paper of one column."""
    found = [gap for width, lines in pages for gap in gutters(lines, width, style)]
    if not found or len(found) < 0.34 * len(pages):
        return 0.0
    return sorted(found)[len(found) // 2]


def blocks_of(lines: Sequence[Line], style: Style, cuts: tuple[float, ...] = ()) -> list[Block]:
    """Lines -> blocks: chains of lines of one size that follow below each other at the usual distance.

    Lines of different columns (parted at `cuts`) never make one block.
    """
    ordered = in_rows(lines)
    chains: list[list[Line]] = []
    open_chains: list[list[Line]] = []
    for line in ordered:
        open_chains = [c for c in open_chains if line.baseline - c[-1].baseline < 3.5 * max(line.size, c[-1].size)]
        near = (c for c in open_chains if not _parted(c[-1], line, cuts) and _follows(c, line, style))
        host = max(near, key=lambda c: c[-1].baseline, default=None)
        if host is None:
            host = []
            chains.append(host)
            open_chains.append(host)
        host.append(line)
    return [Block(tuple(chain), bounds(line.box for line in chain)) for chain in chains]


def _parted(a: Line, b: Line, cuts: tuple[float, ...]) -> bool:
    return any((a.box[2] <= x + 2 and b.box[0] >= x - 2) or (b.box[2] <= x + 2 and a.box[0] >= x - 2) for x in cuts)


def _follows(chain: list[Line], line: Line, style: Style) -> bool:
    last = chain[-1]
    step = line.baseline - last.baseline
    usual = style.leading * max(1.0, min(line.size, last.size) / style.size)
    if len(chain) > 1:
        usual = max(0.9 * usual, chain[-1].baseline - chain[-2].baseline)
    if abs(line.size - last.size) > 0.12 * last.size:
        return False
    if step < 0.3 * last.size:
        gap = max(line.box[0] - last.box[2], last.box[0] - line.box[2])
        return abs(step) < 0.2 * last.size and 0 <= gap < 1.2 * last.size
    if step > BLOCK_GAP * max(usual, 1.05 * last.size):
        return False
    box = bounds(entry.box for entry in chain[-4:])
    overlap = min(box[2], line.box[2]) - max(box[0], line.box[0])
    return overlap > 0.5 * min(box[2] - box[0], line.width)


def reading_order(blocks: Sequence[Block], cuts: tuple[float, ...]) -> list[Block]:
    """Blocks as they are read: blocks across the columns part the page into bands; within a band, column by column."""
    across = [b for b in blocks if any(b.box[0] < x - 4 and b.box[2] > x + 4 for x in cuts)]
    inside = [b for b in blocks if b not in across]
    bands = sorted(b.box[1] for b in across)

    def place(block: Block) -> tuple[float, int, float, float]:
        if block in across:
            return (2.0 * bands.index(block.box[1]) + 1, 0, block.box[1], block.box[0])
        band = 2.0 * sum(block.box[1] >= y for y in bands)
        column = sum((block.box[0] + block.box[2]) / 2 > x for x in cuts)
        return (band, column, block.box[1], block.box[0])

    return sorted([*across, *inside], key=place)
