"""Small plots as inline SVG: counts in, markup out. Everything that comes from a data set is escaped here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 360, 190
LEFT, BOTTOM, TOP, RIGHT = 44, 38, 20, 10
"""px of the view box around a histogram's area: room for the axes' numbers and the name of the x-axis."""
MAX_BINS = 24
MAX_ROWS = 8
ROW, NAMES = 21, 132
"""px: height of a bar with its gap, and width of the column of names."""
NAME_CHARS = 21
"""Characters of a name that fit into NAMES at 11 px; the whole name is the bar's tooltip."""
NOTHING = "nothing to count"
TAIL = 0.99
"""Share of the values that the axis shows singly; the largest ones become one bar, or a single outlier would flatten the rest."""


_BAR = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5"><title>{}</title></rect>')
_TEXT = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
_LINE = Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Values from `low` up to and including `high`; None: no end."""

    low: int
    high: int | None
    count: int

    @property
    def name(self) -> str:
        """As a tooltip says it."""
        if self.high is None:
            return f"{self.low} or more"
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


def bins(values: Mapping[int, int], most: int = MAX_BINS) -> list[Bin]:
    """Whole numbers >= 0 with their counts -> at most `most` + 1 bins of one round width, the last one open if a tail is cut."""
    if not values:
        return []
    low, high, top = min(values), _quantile(values, TAIL), max(values)
    width = _round_width((high - low + 1) / most)
    start = low // width * width
    found = []
    for first in range(start, high + 1, width):
        last = first + width - 1
        found.append(Bin(low=first, high=last, count=sum(n for value, n in values.items() if first <= value <= last)))
    end = found[-1].high or 0
    if top > end:
        found.append(Bin(low=end + 1, high=None, count=sum(n for value, n in values.items() if value > end)))
    return found


def median(values: Mapping[int, int]) -> int:
    """The lower median."""
    return _quantile(values, 0.5)


def histogram(values: Mapping[int, int], unit: str, what: str = "figures") -> Markup:
    """How often each whole number occurs: x-axis in `unit`, y-axis a count of `what`."""
    parts = bins(values)
    if len(values) < 2:
        return _text("".join(f"{unit}: {value:,} for each of {n:,} {what}" for value, n in values.items()) or NOTHING)
    area_width, area_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    ticks = _ticks(max(part.count for part in parts))
    scale = area_height / ticks[-1]
    step = area_width / len(parts)
    body = [_y_axis(tick, HEIGHT - BOTTOM - tick * scale) for tick in ticks]
    every = math.ceil(len(parts) / 7)
    gap = min(2.0, step * 0.15)
    for index, part in enumerate(parts):
        x, height = LEFT + index * step, part.count * scale
        tip = f"{part.name} {unit}: {part.count:,} {what}"
        body.append(_BAR.format("bar", x + gap / 2, HEIGHT - BOTTOM - height, step - gap, height, tip))
        if index % every == 0:
            name = f"{part.low}+" if part.high is None else str(part.low)
            # A bar of one value stands over its number, a wider one begins there.
            middle = x + step / 2 if part.high in (part.low, None) else x
            body.append(_TEXT.format("tick", middle, HEIGHT - BOTTOM + 14, "middle", name))
    body.append(_TEXT.format("axis", LEFT + area_width / 2, HEIGHT - 5, "middle", unit))
    body.append(_TEXT.format("axis", LEFT - 6, 9, "end", what))
    label = f"{what} by {unit}: median {median(values)}, from {min(values)} to {max(values)}"
    return _svg(body, HEIGHT, label)


def bars(counts: Mapping[str, int], what: str = "figures", muted: Sequence[str] = ()) -> Markup:
    """Names with their counts, the most frequent first; names in `muted` are drawn in the second colour."""
    if not counts:
        return _text(NOTHING)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = ordered[MAX_ROWS - 1 :] if len(ordered) > MAX_ROWS else []
    rows = ordered[: MAX_ROWS - 1] if rest else ordered
    if rest:
        rows = [*rows, (f"{len(rest)} others", sum(number for _, number in rest))]
    total, longest = sum(counts.values()), max(number for _, number in rows)
    room = WIDTH - NAMES - 74
    body = []
    for index, (name, number) in enumerate(rows):
        y, length = index * ROW + 4, max(1.5, room * number / longest)
        short = name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"
        style = "bar muted" if name in muted else "bar"
        share = f"{number:,} · {percent(number, total)}"
        body += [
            _TEXT.format("name", NAMES - 8, y + 12, "end", short),
            _BAR.format(style, NAMES, y, length, ROW - 6, f"{name}: {number:,} {what}"),
            _TEXT.format("tick", NAMES + 6 + length, y + 12, "start", share),
        ]
    label = f"{what}: " + ", ".join(f"{name} {number}" for name, number in rows)
    return _svg(body, len(rows) * ROW + 6, label)


def percent(part: int, whole: int) -> str:
    """ "12 %", "<1 %"."""
    share = 100 * part / whole if whole else 0
    return "<1 %" if 0 < share < 1 else f"{share:.0f} %"


def _svg(body: Sequence[Markup], height: int, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, Markup("").join(body)
    )


def _text(words: str) -> Markup:
    return Markup('<p class="none">{}</p>').format(words)


def _y_axis(tick: int, y: float) -> Markup:
    line = _LINE.format("grid" if tick else "base", LEFT, WIDTH - RIGHT, y, y)
    return line + _TEXT.format("tick", LEFT - 6, y + 4, "end", f"{tick:,}")


def _ticks(top: int) -> list[int]:
    """0 and at most four further round numbers; the last is at least `top`."""
    width = _round_width(top / 4)
    return list(range(0, math.ceil(max(1, top) / width) * width + 1, width))


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, … that is at least `least`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


def _quantile(values: Mapping[int, int], share: float) -> int:
    """The smallest value up to which at least `share` of all lie."""
    total, seen = sum(values.values()), 0
    for value in sorted(values):
        seen += values[value]
        if seen >= share * total:
            return value
    return max(values)
