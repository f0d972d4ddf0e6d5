"""What on a page is running text, what is drawn, and what is mere ornament. Pure functions."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import permutations

from scicap_builder.pdf.boxes import area, bounds, clusters, meet, overlap_x, overlap_y, share_inside
from scicap_builder.pdf.layout import Block, Style, half_point
from scicap_builder.pdf.lines import Line
from scicap_builder.pdf.page import Graphic, Page, Rect

CLUSTER_GAP = 5.0
"""pt between drawn things that make one drawing."""
RULE = 2.5
"""pt; a drawing thinner than this is a rule (of a table, above footnotes), never a figure of its own."""

SUB_CAPTION = re.compile(r"\(?[a-zA-Z]\)\s")
SUB_CAPTION_LINES = 4
"""Longer ones are enumerations."""
SUB_CAPTION_REACH = 36.0
"""pt between a sub-caption and its panel; the labels of an axis may stand between."""
EQUATION_NUMBER = re.compile(r"\([A-Z]?\.?\d{1,3}(?:\.\d{1,3})?[a-z]?\)$")
RELATION = re.compile(r"[=≤≥≈∝←→∈≡∼≃]")
PICTURE = 900.0
"""pt² (30 x 30) from which on a drawn thing may be a figure."""
LABEL_LETTERS = 4
LABEL_REACH = 20.0
"""pt beside a drawn thing within which a scrap on its level is its label."""
FRAMED = 0.85
"""Share of a caption within a path from which on the path is a frame or a ground of the whole float (BMC, Frontiers), or of
the column that the caption stands in beside its figure (Wiley), whose last line may hang out of it."""
CORNER = 8.0
"""pt; the rounded corners of frames that are drawn piece by piece are smaller."""


BAND = (0.06, 0.6, 25.0)
"""Share of the page's height within which a drawing at its edge, at least this share of its width wide and at most so many pt
high, is the ground of a running head."""
KEY = (12.0, 30.0, 10.0)
"""pt: greatest height and width of a legend's key, and greatest gap to its text on the right."""


def repeated_boxes(pages: Sequence[Page]) -> frozenset[tuple[int, ...]]:
    """Drawings that stand on the same spot of several pages: logos, header rules, watermarks.

    Figures laid out alike have pictures on the same spots too, so what is as large as a picture must be on most pages.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    large: set[tuple[int, ...]] = set()
    for page in pages:
        seen.update({spot(graphic.box) for graphic in page.graphics})
        large |= {spot(g.box) for g in page.graphics if g.kind != "path" and area(g.box) > PICTURE}
    often = {True: max(3, len(pages) // 2 + 1), False: max(3, len(pages) // 4)}
    return frozenset(spot for spot, count in seen.items() if count >= often[spot in large])


def spot(box: Rect) -> tuple[int, ...]:
    """Where a box stands, to within 2 pt."""
    return tuple(round(value / 2) for value in box)


BAND_OF_KEYS = 12.0
"""pt; about a line of text."""


def without_labels(lines: Sequence[Line], page: Page, repeated: frozenset[tuple[int, ...]]) -> list[Line]:
    """The lines that may be running heads: the tick labels of figures on top of pages repeat as page numbers do."""
    pictures = [
        graphic.box
        for graphic in page.graphics
        if area(graphic.box) > PICTURE
        and spot(graphic.box) not in repeated
        and not is_background(graphic, graphic.box, page)
    ]
    if not pictures:
        return list(lines)
    # by height on the page: maps hold ten thousand small things
    keys: dict[int, list[Rect]] = defaultdict(list)
    for graphic in page.graphics:
        box = graphic.box
        if box[3] - box[1] < KEY[0] and box[2] - box[0] < KEY[1] and spot(box) not in repeated:
            for band in range(int(box[1] // BAND_OF_KEYS), int(box[3] // BAND_OF_KEYS) + 1):
                keys[band].append(box)

    def has_key(line: Rect) -> bool:
        bands = range(int(line[1] // BAND_OF_KEYS), int(line[3] // BAND_OF_KEYS) + 1)
        return any(_is_key(box, line) for band in bands for box in keys.get(band, ()))

    return [
        line
        for line in lines
        if not has_key(line.box)
        and (
            len(line.text) > LABEL_LETTERS
            or not any(overlap_y(line.box, box) > 0 and overlap_x(line.box, box) > -LABEL_REACH for box in pictures)
        )
    ]


def _is_key(box: Rect, text: Rect) -> bool:
    """Whether a small drawn thing is the key of the legend's entry at its right."""
    return overlap_y(box, text) > 0 and -KEY[2] < overlap_x(box, text) <= 0 and box[0] < text[0]


def drawings_of(page: Page, repeated: frozenset[tuple[int, ...]], captions: Sequence[Rect] = ()) -> tuple[Rect, ...]:
    """The boxes of the drawn things of a page in groups.

    Rules, backgrounds, repeated ornaments and frames around a figure with its caption are left out.
    """
    edges = (0.0, 0.0, page.width, page.height)
    paths = [graphic.box for graphic in page.graphics if graphic.kind == "path"]
    frames = [frame for caption in captions for frame in _frames(paths, caption)]
    boxes = []
    for graphic in page.graphics:
        box = meet(graphic.box, edges)
        if spot(graphic.box) in repeated or box[2] < box[0] or box[3] < box[1] or is_background(graphic, box, page):
            continue
        if graphic.kind == "path" and any(_frames_in(box, frame) for frame in frames):
            continue
        boxes.append(box)
    groups = [group for group in clusters(boxes, CLUSTER_GAP) if not is_rule(group) and not is_band(group, page)]
    return tuple(part for group in groups for part in _parted(group, boxes, captions))


def _parted(group: Rect, boxes: Sequence[Rect], captions: Sequence[Rect]) -> list[Rect]:
    """A drawing above two captions that stand side by side, in two where nothing of it crosses the gap between them."""
    inside = [box for box in boxes if share_inside(box, group) > 0.99]
    for left, right in permutations(captions, 2):
        beside = overlap_y(left, right) > 0 and left[2] < right[0]
        if not beside or min(overlap_x(left, group), overlap_x(right, group)) < CORNER:
            continue
        for edge in {box[2] for box in inside if left[2] - CORNER < box[2] < right[0] + CORNER}:
            sides = [[b for b in inside if b[2] <= edge], [b for b in inside if b[0] > edge - RULE]]
            if all(sides) and len(sides[0]) + len(sides[1]) == len(inside):
                return [part for side in sides for part in _parted(bounds(side), side, captions)]
    return [group]


def is_band(group: Rect, page: Page) -> bool:
    """Whether a group of drawn things is the coloured ground of a running head or foot."""
    margin, width, height = BAND
    edge = group[3] < margin * page.height or group[1] > (1 - margin) * page.height
    return edge and group[2] - group[0] > width * page.width and group[3] - group[1] < height


def _frames(paths: Sequence[Rect], caption: Rect) -> list[Rect]:
    """The frames and grounds around a whole float: paths that hold its caption, and pairs of upright rules beside it."""
    whole = [path for path in paths if share_inside(caption, path) > FRAMED]
    sides = [p for p in paths if p[2] - p[0] < RULE and p[1] < caption[1] + 1 and p[3] > caption[3] - CORNER]
    left = max((side for side in sides if side[2] < caption[0] + 1), default=None)
    right = min((side for side in sides if side[0] > caption[2] - 1), default=None)
    if left and right and abs(left[1] - right[1]) < RULE and abs(left[3] - right[3]) < RULE:
        whole.append((left[0], left[1], right[2], right[3]))
    return whole


def _frames_in(path: Rect, frame: Rect) -> bool:
    """Whether a path is a frame, or one of the rules and corners along its edge."""
    if path == frame:
        return True
    width, height = path[2] - path[0], path[3] - path[1]
    if min(width, height) >= RULE and max(width, height) >= CORNER:
        return False
    outer = (frame[0] - CORNER, frame[1] - CORNER, frame[2] + CORNER, frame[3] + CORNER)
    inner = (frame[0] + CORNER, frame[1] + CORNER, frame[2] - CORNER, frame[3] - CORNER)
    return share_inside(path, outer) > 0.99 and share_inside(path, inner) == 0


def is_rule(box: Rect) -> bool:
    thin, long = sorted((box[2] - box[0], box[3] - box[1]))
    return thin < RULE or (thin < 7 and long > 15 * thin)


def is_background(graphic: Graphic, box: Rect, page: Page) -> bool:
    covers = box[2] - box[0] > 0.93 * page.width and box[3] - box[1] > 0.93 * page.height
    if covers and graphic.kind != "image":
        return True
    edge = box[3] < 0.09 * page.height or box[1] > 0.93 * page.height
    return edge and box[3] - box[1] < 5


def is_body(block: Block, style: Style, drawings: Sequence[Rect], captions: Sequence[Rect] = ()) -> bool:
    """Whether a block is running text: lines of sentence length in a usual size, or long paragraphs of any size."""
    lines, count = block.lines, len(block.lines)
    words = sum(len(line.words) for line in lines) / count
    letters = sum(sum(c.isalpha() for c in line.text) for line in lines) / max(1, sum(len(line.text) for line in lines))
    inside = any(share_inside(block.box, drawing) > 0.8 for drawing in drawings)
    if _is_sub_caption(block, drawings, captions):
        return False
    if count <= 2 and not inside and lines[0].size == lines[-1].size and _ends_paragraph(lines[-1], style):
        return True
    if letters < 0.55:
        return False
    width = block.box[2] - block.box[0]
    usual = any((half_point(line.size), line.font) in style.bodies for line in lines)
    if inside:
        return usual and count >= 4 and words >= 5 and width > 0.7 * style.line_width
    if usual and (words >= 5 or width > 0.6 * style.line_width):
        return True
    long = width > 0.7 * style.line_width and words >= 6
    return (
        (count >= 3 and long) or (count >= 2 and long and width > 0.9 * style.line_width) or _is_heading(block, style)
    )


def _is_sub_caption(block: Block, drawings: Sequence[Rect], captions: Sequence[Rect]) -> bool:
    """ "(a) Measured values": a few lines that begin with a panel's letter, at a drawing and before the caption."""
    if len(block.lines) > SUB_CAPTION_LINES or not SUB_CAPTION.match(block.text):
        return False
    box = block.box
    for drawing in drawings:
        if overlap_x(box, drawing) <= 0 or not -SUB_CAPTION_REACH < overlap_y(box, drawing) < 0.5 * (box[3] - box[1]):
            continue
        between = (box[0], min(box[3], drawing[3]), box[2], max(box[1], drawing[1]))
        if not any(overlap_x(caption, box) > 0 and overlap_y(caption, between) > 0 for caption in captions):
            return True
    return False


def _ends_paragraph(line: Line, style: Style) -> bool:
    """A scrap in the very type of the running text that ends a sentence: a paragraph's last line on top of a column."""
    words = any(letter.isalpha() for letter in line.text)
    return words and line.font == style.font and abs(line.size - style.size) < 0.3 and line.text.endswith((".", ".)"))


def is_display(block: Block, drawings: Sequence[Rect]) -> bool:
    """Whether a block that is no running text is (a part of) a displayed equation: it has its number or a relation."""
    if any(share_inside(block.box, drawing) > 0 for drawing in drawings):
        return False
    return bool(EQUATION_NUMBER.match(block.text) or RELATION.search(block.text))


def _is_heading(block: Block, style: Style) -> bool:
    """Bold or large words that stand alone and begin like a heading, not like the number of an axis."""
    line = block.lines[0]
    large = line.size > style.size + 1.5 and len(block.text) > 8
    numbered = re.match(r"(?:[A-Z]|\d+|[IVX]+)(?:\.\d+)*\.?\s+[A-Z]", block.text) and line.size >= style.size - 0.3
    return len(block.lines) <= 3 and bool(large or (numbered and line.bold))
