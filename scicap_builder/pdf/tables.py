"""Rules and captions of a page -> where its ruled tables and algorithms stand, whose rows are no running text. Pure functions."""

from collections.abc import Sequence

from scicap_builder.pdf.boxes import bounds, center, overlap_x
from scicap_builder.pdf.captions import Caption
from scicap_builder.pdf.layout import Block, Style
from scicap_builder.pdf.page import Page, Rect
from scicap_builder.pdf.parts import RULE, spot

REACH = 22.0
"""pt between a caption and the rule next to it."""
ALIGNED = 4.0
"""pt between the ends of the rules of one table."""
MIN_WIDTH = 50.0
"""pt of a table's rules."""
PROSE_LINES = 4
"""Full lines from which on a block between two rules is text between two tables."""
FULL = 0.85
"""Of the paper's usual line."""


def rules_of(page: Page, repeated: frozenset[tuple[int, ...]]) -> list[Rect]:
    """The level rules of a page but for those that other pages repeat."""
    flat = (g.box for g in page.graphics if g.box[3] - g.box[1] < RULE and g.box[2] - g.box[0] > MIN_WIDTH)
    return [box for box in flat if spot(box) not in repeated]


def ruled_tables(captions: Sequence[Caption], rules: Sequence[Rect], prose: Sequence[Rect]) -> list[Rect]:
    """The boxes between the rules of one width that follow below or above each caption of a table (or algorithm).

    No table goes over another of the page's `captions`, nor over `prose`. An algorithm that was taken for its caption counts
    from the caption's first line.
    """
    found = []
    for caption in captions:
        if caption.number or caption.repeats:
            continue
        walls = [*(other.box for other in captions if other is not caption), *prose]
        near = [rule for rule in rules if overlap_x(rule, caption.box) > 0]
        for start in {caption.box, caption.lines[0].box}:
            chains = (_chain(start, near, walls, below=below) for below in (True, False))
            found += [bounds(chain) for chain in chains if len(chain) > 1]
    return found


def _chain(caption: Rect, rules: Sequence[Rect], walls: Sequence[Rect], *, below: bool) -> list[Rect]:
    """The rule next to a caption and the further ones of its width, until something that is not of the table."""
    if below:
        ahead = sorted((rule for rule in rules if rule[1] > caption[3] - 1), key=lambda rule: rule[1])
    else:
        ahead = sorted((rule for rule in rules if rule[3] < caption[1] + 1), key=lambda rule: -rule[3])
    if not ahead or max(ahead[0][1] - caption[3], caption[1] - ahead[0][3]) > REACH:
        return []
    chain = [ahead[0]]
    for rule in ahead[1:]:
        if abs(rule[0] - chain[0][0]) > ALIGNED or abs(rule[2] - chain[0][2]) > ALIGNED:
            continue
        top, bottom = sorted((rule[1], chain[-1][1]))
        if any(top < center(wall)[1] < bottom and overlap_x(wall, rule) > 0 for wall in walls):
            break
        chain.append(rule)
    return chain


def prose_boxes(blocks: Sequence[Block], style: Style) -> list[Rect]:
    """The blocks that are sentences of full width."""
    return [
        block.box
        for block in blocks
        if sum(line.width > FULL * style.line_width for line in block.lines) >= PROSE_LINES
    ]
