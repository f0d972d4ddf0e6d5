"""Where a caption's picture may stand: the free room on each side of it, between text, captions and tables. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from scicap_builder.pdf.boxes import (
    area,
    bounds,
    center,
    holds,
    overlap_x,
    overlap_y,
)
from scicap_builder.pdf.captions import Caption
from scicap_builder.pdf.layout import Block
from scicap_builder.pdf.page import Page, Rect
from scicap_builder.pdf.parts import RULE

MIN_PICTURE = 900.0
"""pt² (30 x 30) of drawings that a picture should have."""
TABLE_REACH = 22.0
"""pt between a table and its caption."""
TABLE_TEXTS = 6
"""Pieces of text from which on a drawing at a table's caption is the table."""
SHARED = 8.0
"""pt by which a caption on the same level must reach into a caption's columns to have a share of their width."""


@dataclass(frozen=True, slots=True)
class PageText:
    """What is known about a page before its regions are looked for."""

    page: Page
    body: tuple[Block, ...]
    """Running text, headings, references, footnotes."""
    loose: tuple[Rect, ...]
    """Other text: inside figures and tables."""
    captions: tuple[Caption, ...]
    columns: tuple[tuple[float, float], ...]
    """(left, right) of the columns of running text, left to right."""
    live: Rect
    """The page without its running heads."""
    drawings: tuple[Rect, ...]


def table_boxes(text: PageText) -> list[Rect]:
    """Roughly where the tables of a page stand: the rules of one width that follow below (or above) their captions."""
    found = []
    rules = [g.box for g in text.page.graphics if g.box[3] - g.box[1] < RULE and g.box[2] - g.box[0] > 50]
    for caption in text.captions:
        if caption.number:
            continue
        best: list[Rect] = []
        for side in ("below", "above"):
            chain = _table_rules(room_for(caption, side, text, []), side, rules)
            if len(chain) > max(1, len(best)):
                best = chain
        best = best or _boxed_table(caption, text)
        if best:
            found.append(bounds([*best, caption.box]))
    return found


def _boxed_table(caption: Caption, text: PageText) -> list[Rect]:
    """A table drawn with filled cells: the drawing full of text that stands at its caption."""
    full = [
        (max(-overlap_y(drawing, caption.box), 0.0), drawing)
        for drawing in text.drawings
        if overlap_x(drawing, caption.box) > 0.5 * (caption.box[2] - caption.box[0])
        and sum(holds(drawing, piece) for piece in text.loose) >= TABLE_TEXTS
    ]
    gap, drawing = min(full, default=(TABLE_REACH, caption.box))
    return [drawing] if gap < TABLE_REACH else []


def _table_rules(room: Rect, side: str, rules: Sequence[Rect]) -> list[Rect]:
    """The rules in `room` that are as wide as the one next to the caption."""
    inside = [rule for rule in rules if overlap_x(rule, room) > 20 and room[1] - 4 < rule[1] < room[3] + 4]
    inside.sort(key=lambda rule: rule[1], reverse=side == "above")
    if not inside:
        return []
    left, right = inside[0][0], inside[0][2]
    return [rule for rule in inside if abs(rule[0] - left) < 4 and abs(rule[2] - right) < 4]


def _column_range(caption: Caption, text: PageText) -> tuple[float, float]:
    """The x range that a caption may use: its column, or all columns that it touches."""
    touched = [c for c in text.columns if min(c[1], caption.box[2]) - max(c[0], caption.box[0]) > 8]
    if not touched:
        return 0.0, text.page.width
    left, right = min(c[0] for c in touched), max(c[1] for c in touched)
    if len(touched) == len(text.columns):
        return 0.0, text.page.width
    if touched[0] is text.columns[0]:
        left = 0.0
    if touched[-1] is text.columns[-1]:
        right = text.page.width
    return left - 4, right + 4


def _obstacles(caption: Caption, text: PageText, tables: Sequence[Rect]) -> list[Rect]:
    others = [other.box for other in text.captions if other is not caption]
    return [*(block.box for block in text.body), *others, *tables]


def room_for(caption: Caption, side: str, text: PageText, tables: Sequence[Rect]) -> Rect:
    """The free box on one side of a caption, between running text, other captions, tables and the edges of the page."""
    obstacles = _obstacles(caption, text, tables)
    left, right = _column_range(caption, text)
    for other in text.captions:
        if other is caption or not other.number or overlap_y(other.box, caption.box) <= 0:
            continue
        if overlap_x(other.box, caption.box) < 0 and min(other.box[2], right) - max(other.box[0], left) > SHARED:
            middle = (min(other.box[2], caption.box[2]) + max(other.box[0], caption.box[0])) / 2
            left, right = (middle, right) if other.box[0] < caption.box[0] else (left, middle)
    if side in ("left", "right"):
        return _room_beside(caption, side, obstacles, text)
    room = _room_upright(caption, side, (left, right), obstacles, text)
    wide = [d for d in text.drawings if overlap_y(d, room) > 0.8 * (d[3] - d[1]) and _crosses(d, room)]
    if wide and len(text.columns) > 1:
        union = bounds(wide)
        wider = _room_upright(caption, side, (min(left, union[0]), max(right, union[2])), obstacles, text)
        if all(overlap_y(d, wider) > 0.8 * (d[3] - d[1]) for d in wide):
            return wider
    return room


def _crosses(drawing: Rect, room: Rect) -> bool:
    """Whether a drawing of some size stands in the room with a good part and reaches out of it."""
    if area(drawing) < MIN_PICTURE or overlap_x(drawing, room) < 0.25 * (drawing[2] - drawing[0]):
        return False
    return drawing[0] < room[0] - 5 or drawing[2] > room[2] + 5


def _room_upright(
    caption: Caption, side: str, span: tuple[float, float], obstacles: Sequence[Rect], text: PageText
) -> Rect:
    left, right = span
    strip = (left, 0.0, right, text.page.height)
    hindering = [box for box in obstacles if overlap_x(box, strip) > 6]
    if side == "above":
        top = max((box[3] for box in hindering if center(box)[1] < caption.box[1]), default=text.live[1])
        return left, top, right, caption.box[1]
    bottom = min((box[1] for box in hindering if center(box)[1] > caption.box[3]), default=text.live[3])
    return left, caption.box[3], right, bottom


def _room_beside(caption: Caption, side: str, obstacles: Sequence[Rect], text: PageText) -> Rect:
    level = [box for box in obstacles if overlap_y(box, caption.box) > 2]
    if side == "left":
        left = max((box[2] for box in level if box[2] <= caption.box[0] + 2), default=0.0)
        right = caption.box[0]
    else:
        left = caption.box[2]
        right = min((box[0] for box in level if box[0] >= caption.box[2] - 2), default=text.page.width)
    strip = (left, 0.0, right, text.page.height)
    hindering = [box for box in obstacles if overlap_x(box, strip) > 6]
    middle = center(caption.box)[1]
    top = max((box[3] for box in hindering if center(box)[1] < middle), default=text.live[1])
    bottom = min((box[1] for box in hindering if center(box)[1] > middle), default=text.live[3])
    return left, top, right, bottom
