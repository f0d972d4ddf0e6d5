"""Figures that are laid out alike on many pages, told from ornaments. Pure functions."""

from collections import Counter
from collections.abc import Sequence

from scicap_builder.pdf.boxes import area, clusters, holds, meet, share_inside
from scicap_builder.pdf.page import Page, Rect
from scicap_builder.pdf.parts import CLUSTER_GAP, PICTURE, is_background, is_band, is_rule, spot

EDGES = (0.09, 0.93)
"""Shares of the page's width and height: what stands wholly outside of them is in the margin, as logos and running heads are."""
CAPTIONED = 0.8
"""Share of the pages with a drawing that must have a figure's caption. Ornaments stand on pages of mere text too."""


def figures_alike(
    pages: Sequence[Page], repeated: frozenset[tuple[int, ...]], labels: Sequence[Sequence[Rect]]
) -> frozenset[tuple[int, ...]]:
    """Those of the `repeated` spots that belong to figures: a supplement with a plot of one size on each page.

    `labels`: for each page the first lines of its figures' captions. A figure is as large as a picture, stands in the text area,
    and (nearly) all pages that have something on its spot have a caption.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    drawn: Counter[tuple[int, ...]] = Counter()
    for page, mine in zip(pages, labels, strict=True):
        seen.update({spot(graphic.box) for graphic in page.graphics} & repeated)
        if mine:
            drawn.update(_in_pictures(page, repeated, mine))
    return frozenset(where for where, count in drawn.items() if count >= CAPTIONED * seen[where])


def _in_pictures(
    page: Page, repeated: frozenset[tuple[int, ...]], labels: Sequence[Rect]
) -> frozenset[tuple[int, ...]]:
    """The spots on a page where repeated things make something as large as a picture. A frame around a caption is none."""
    edges = (0.0, 0.0, page.width, page.height)
    boxes = {}
    for graphic in page.graphics:
        box, where = meet(graphic.box, edges), spot(graphic.box)
        framed = any(holds(graphic.box, label) for label in labels)
        off = box[2] < box[0] or box[3] < box[1]
        if where in repeated and not framed and not off and not is_background(graphic, box, page):
            boxes[where] = box
    pictures = [group for group in clusters(list(boxes.values()), CLUSTER_GAP) if _is_picture(group, page)]
    return frozenset(
        where for where, box in boxes.items() if any(share_inside(box, picture) > 0.99 for picture in pictures)
    )


def _is_picture(group: Rect, page: Page) -> bool:
    low, high = EDGES
    across = group[2] > low * page.width and group[0] < (1 - low) * page.width
    down = group[3] > low * page.height and group[1] < high * page.height
    return area(group) > PICTURE and across and down and not is_rule(group) and not is_band(group, page)
