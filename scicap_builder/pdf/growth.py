"""A drawing and the small text around it -> the box of the whole picture. Pure functions."""

from collections.abc import Sequence

from scicap_builder.pdf.boxes import bounds, near, overlap_x, overlap_y, share_inside
from scicap_builder.pdf.page import Rect

TEXT_REACH = 14.0
"""pt from a drawing within which small text belongs to it: axis labels, sub-captions."""
TEXT_GROWTH = (55.0, 30.0, 55.0, 60.0)
"""pt by which such text may lengthen a picture to the left, up, right and down: a title above, tick labels, an axis title and a
sub-caption of two lines below, but not the table above."""
LINE_GAP = 0.6
"""Heights of a piece of text within which the next one above it goes on with the same list."""
CUT_SHARE = 0.05
"""Share of a piece of text from which on a picture's edge cuts it rather than touches it."""


def with_text(box: Rect, loose: Sequence[Rect], room: Rect | None = None, side: str = "") -> Rect:
    """`box` grown over the text that stands within reach of it, again and again, but not farther than TEXT_GROWTH.

    Towards a caption `side` of which the picture stands ("above", "below") text may go on to the end of the `room`: what
    stands between a picture and its caption belongs to them. No word is cut at the left or the right.
    """
    far = _reach(box, room, side)
    rest = [piece for piece in loose if share_inside(piece, far) > 0.99 and not _goes_on_above(piece, loose, box, far)]
    grown = True
    while grown:
        grown = False
        for piece in list(rest):
            if near(piece, box, TEXT_REACH):
                rest.remove(piece)
                bigger = bounds((box, piece))
                grown = grown or bigger != box
                box = bigger
    cut = [p for p in loose if CUT_SHARE < share_inside(p, box) < 1 and overlap_y(p, box) > 0.5 * (p[3] - p[1])]
    x0, _, x1, _ = bounds([box, *cut])
    return x0, box[1], x1, box[3]


def _reach(box: Rect, room: Rect | None, side: str) -> Rect:
    left, up, right, down = TEXT_GROWTH
    far = (box[0] - left, box[1] - up, box[2] + right, box[3] + down)
    if room is None:
        return far
    top = min(far[1], room[1]) if side == "below" else far[1]
    bottom = max(far[3], room[3]) if side == "above" else far[3]
    return far[0], top, far[2], bottom


def _goes_on_above(piece: Rect, loose: Sequence[Rect], box: Rect, far: Rect) -> bool:
    """Whether text above a drawing is the end of a list that begins out of its reach: the last row of a table."""
    top = piece
    while top[3] <= box[1] + 1:
        above = [p for p in loose if overlap_x(p, top) > 0 and 0 <= top[1] - p[3] < LINE_GAP * (top[3] - top[1])]
        if not above:
            return False
        top = min(above, key=lambda p: p[1])
        if top[1] < far[1]:
            return True
    return False
