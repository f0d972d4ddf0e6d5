"""Captions, drawings and text of a page -> where each figure's picture stands. Pure functions.

For each caption the free room above, below and beside it is taken up to the next running text, caption or table; what is
drawn there (and the small text around it) is the picture. The sides are chosen for all captions of a page together.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scicap_builder.pdf.boxes import (
    area,
    bounds,
    holds,
    meet,
    overlap_x,
    overlap_y,
    share_inside,
)
from scicap_builder.pdf.captions import Caption
from scicap_builder.pdf.growth import with_text
from scicap_builder.pdf.page import Rect
from scicap_builder.pdf.rooms import MIN_PICTURE, TABLE_REACH, PageText, room_for, table_boxes

LABEL_LINES = 2
"""Lines of text in the type of the running text that may be titles and legends of a picture, where else there is none."""
UNSURE = 0.5
"""Confidence of regions that no drawing vouches for."""
MIN_SIDE = 12.0
"""pt; smaller regions are symbols."""
PAGE_FILLING = 0.25
"""Share of a page from which on a picture may have its caption on the next page."""
NOTHING = -2.5
"""Score of no region at all: better only than sharing most of one with another caption."""
DOUBT = 3.0
"""Weight of a region's confidence when sides are compared: a picture cut by its room loses against a whole one."""
EDGE = 2.0
"""pt at the top and the bottom of a room where letters of the lines beside it may reach in."""
CUT = 4.0
"""pt of a drawing outside its room from which on the region is in doubt: the drawing may stand beside the caption."""
MAX_COMBINATIONS = 3000
"""Choices of sides tried for one page; a page of seven captions with three sides each has 2,187."""

Ink = Callable[[Rect], Rect | None]
"""A box -> the box of what is inked in it, or None when it is blank."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where a picture stands; `confidence` 0..1."""

    box: Rect
    side: str
    """ "above", "below", "left" or "right" of its caption, "before": on the page before."""
    confidence: float


def find_regions(text: PageText, habit: Counter[str], ink: Ink | None = None) -> dict[Caption, Region]:
    """The region of each figure caption of a page. `habit`: sides counted on the pages before."""
    captions = [caption for caption in text.captions if caption.number]
    if not captions:
        return {}
    tables = table_boxes(text)
    labels = replace(text, body=tuple(block for block in text.body if len(block.lines) > LABEL_LINES))
    options = [
        _options(caption, text, tables, habit, ink)
        or _options(caption, text, (), habit, ink)
        or [
            option
            for option in _options(caption, labels, (), habit, ink)
            if option[1] and option[1].confidence > UNSURE
        ]
        for caption in captions
    ]
    options = [[*found, (NOTHING, None)] if found else [(0.0, None)] for found in options]
    best, best_score = None, float("-inf")
    for choice in itertools.islice(itertools.product(*options), MAX_COMBINATIONS):
        score = sum(option[0] for option in choice)
        taken = [option[1].box for option in choice if option[1]]
        for a, b in itertools.combinations(taken, 2):
            score -= 3 * area(meet(a, b)) / max(1.0, min(area(a), area(b)))
        if score > best_score:
            best, best_score = choice, score
    found = {c: option[1] for c, option in zip(captions, best or (), strict=False) if option[1]}
    return {c: region for c, region in found.items() if not c.again or region.confidence > UNSURE}


_Option = tuple[float, Region | None]


def _options(
    caption: Caption, text: PageText, tables: Sequence[Rect], habit: Counter[str], ink: Ink | None
) -> list[_Option]:
    """The regions that a caption could have, scored; the fallback if there is nothing better."""
    found: list[_Option] = []
    for side in ("above", "below", "left", "right"):
        room = room_for(caption, side, text, tables)
        if min(room[2] - room[0], room[3] - room[1]) < MIN_SIDE:
            continue
        region = _content(caption, side, room, text, ink)
        if region:
            found.append((_score(region, caption, text, habit), region))
    fallback = _fallback(caption, text, tables, ink) if not found else None
    return [(NOTHING, fallback)] if fallback else found


def _score(region: Region, caption: Caption, text: PageText, habit: Counter[str]) -> float:
    drawn = sum(area(meet(drawing, region.box)) for drawing in text.drawings)
    score = min(1.0, drawn / (0.05 * text.page.width * text.page.height)) + (0.3 if drawn > MIN_PICTURE else 0)
    total = habit.total()
    share = habit[region.side] / total if total else 0.0
    score += {"above": 0.25, "below": 0.1}.get(region.side, -0.2) + 0.6 * share
    gap = max(-overlap_y(region.box, caption.box), -overlap_x(region.box, caption.box), 0.0)
    return score - gap / 60 - DOUBT * (0.95 - region.confidence)


def _content(caption: Caption, side: str, room: Rect, text: PageText, ink: Ink | None) -> Region | None:
    """The drawings in `room` and the small text around them, or None."""
    drawn = [d for d in text.drawings if share_inside(d, room) > 0.7]
    spilling = [d for d in text.drawings if d not in drawn and area(meet(d, room)) > 0.3 * area(room)]
    if side in ("left", "right"):
        drawn = _at_level(caption, drawn, text.captions)
    confidence = 0.95
    if spilling and ink and (inked := _inked(room, text, ink)):
        # a drawing's box may be larger than what it shows: trust the ink
        drawn.append(inked)
        confidence = 0.7
    if not drawn or sum(area(d) for d in drawn) < MIN_PICTURE:
        return _text_picture(caption, side, room, text) if side in ("above", "below") else None
    whole = bounds(drawn)
    level = overlap_y(whole, caption.box)
    if side in ("left", "right") and level < 0.5 * (caption.box[3] - caption.box[1]):
        return None
    if side in ("above", "below") and level > CUT and overlap_x(whole, caption.box) <= 0:
        return None  # it stands beside the caption
    others = [d for d in text.drawings if d not in drawn and d not in spilling and area(d) > MIN_PICTURE]
    mine = [t for t in text.loose if holds(room, t) and not any(holds(other, t) for other in others)]
    box = with_text(whole, mine, room, side)
    box = meet(box, room) if side in ("left", "right") else (box[0], max(box[1], room[1]), box[2], min(box[3], room[3]))
    if any(abs(a - b) > CUT for a, b in zip(meet(whole, box), whole, strict=True)):
        confidence = min(confidence, 0.8)
        box = _without_edges(box, whole, ink) if ink else box
    return Region(box, side, confidence)


def _at_level(caption: Caption, drawn: Sequence[Rect], captions: Sequence[Caption]) -> list[Rect]:
    """The drawings beside a caption but for those that stand beside another caption above or below it."""
    stacked = [c.box for c in captions if c is not caption and overlap_x(c.box, caption.box) > 0]
    return [d for d in drawn if overlap_y(d, caption.box) > 0 or not any(overlap_y(d, box) > 0 for box in stacked)]


def _inked(room: Rect, text: PageText, ink: Ink) -> Rect | None:
    """What is inked in `room`; if that goes on at its sides and nothing hinders, what is inked across the whole page."""
    top, bottom = room[1] + EDGE, room[3] - EDGE
    found = ink((room[0], top, room[2], bottom))
    if not found or min(found[0] - max(0.0, room[0]), min(text.page.width, room[2]) - found[2]) > EDGE:
        return found
    band = (0.0, top, text.page.width, bottom)
    hindering = [*(block.box for block in text.body), *(caption.box for caption in text.captions)]
    return found if any(area(meet(box, band)) > 0 for box in hindering) else ink(band)


def _without_edges(box: Rect, whole: Rect, ink: Ink) -> Rect:
    """A box that cuts a drawing above or below, shrunk to its ink there: letters of the lines beside it may reach in."""
    inked = ink((box[0], box[1] + EDGE, box[2], box[3] - EDGE))
    if not inked:
        return box
    top = inked[1] if whole[1] < box[1] - CUT else box[1]
    bottom = inked[3] if whole[3] > box[3] + CUT else box[3]
    return box[0], top, box[2], bottom


def _text_picture(caption: Caption, side: str, room: Rect, text: PageText) -> Region | None:
    """A figure made of text alone (code, a layout of files): the loose text next to the caption."""
    pieces = sorted((t for t in text.loose if holds(room, t)), key=lambda t: t[1], reverse=side == "above")
    chain: list[Rect] = []
    edge = caption.box
    for piece in pieces:
        if -overlap_y(piece, edge) > 30:
            break
        chain.append(piece)
        edge = bounds((*chain, piece))
    if len(chain) < 2 or area(bounds(chain)) < MIN_PICTURE:
        return None
    return Region(bounds(chain), side, 0.4)


def on_page_before(caption: Caption, text: PageText, before: PageText, taken: Sequence[Rect]) -> Region | None:
    """The picture of a caption on top of a page whose picture fills the page before, where no caption has taken it."""
    if any(block.box[1] < caption.box[1] for block in text.body):
        return None
    free = [d for d in before.drawings if not any(area(meet(d, box)) > 0 for box in taken)]
    whole = bounds(free) if free else (0.0, 0.0, 0.0, 0.0)
    if area(whole) < PAGE_FILLING * before.page.width * before.page.height:
        return None
    below = max((block.box[3] for block in before.body), default=0.0)
    if below > whole[3]:
        return None
    return Region(with_text(whole, before.loose), "before", 0.6)


def _fallback(caption: Caption, text: PageText, tables: Sequence[Rect], ink: Ink | None) -> Region | None:
    """Rather than nothing: the larger room above or below the caption, shrunk to its ink."""
    rooms = [room_for(caption, side, text, tables) for side in ("above", "below")]
    rooms = [room for room in rooms if room[3] - room[1] > 3 * MIN_SIDE]
    for room in sorted(rooms, key=area, reverse=True):
        inked = ink(room) if ink else room
        if inked and min(inked[2] - inked[0], inked[3] - inked[1]) > MIN_SIDE:
            return Region(inked, "above" if room[3] <= caption.box[1] + 1 else "below", 0.2)
    # what is drawn right at the caption, though it is full of what reads like running text
    touching = [
        (max(-overlap_y(drawing, caption.box), 0.0), drawing)
        for drawing in text.drawings
        if area(drawing) > MIN_PICTURE
        and overlap_x(drawing, caption.box) > 0
        and overlap_y(drawing, caption.box) < EDGE
    ]
    gap, drawing = min(touching, default=(TABLE_REACH, caption.box))
    return Region(drawing, "above" if drawing[1] < caption.box[1] else "below", 0.2) if gap < TABLE_REACH else None
