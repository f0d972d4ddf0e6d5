"""A PDF -> the figures of a paper with captions, pictures and mentions: the steps of the PDF route, in order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from llava_graph.errors import PaperError
from llava_graph.record import Dropped
from scicap_builder.pdf.alike import figures_alike
from scicap_builder.pdf.boxes import holds
from scicap_builder.pdf.captions import Caption, find_captions
from scicap_builder.pdf.embedded import shares_of
from scicap_builder.pdf.front import read_abstract, read_title
from scicap_builder.pdf.inner_text import read_labels
from scicap_builder.pdf.layout import (
    Style,
    blocks_of,
    gutters,
    measure,
    reading_order,
    running_heads,
    usual_gutter,
)
from scicap_builder.pdf.lines import Line, read_lines
from scicap_builder.pdf.page import Page, Rect, shown_box
from scicap_builder.pdf.panels import find_panels
from scicap_builder.pdf.paragraphs import Paragraph, mentions_by_number, read_paragraphs
from scicap_builder.pdf.parts import drawings_of, is_body, is_display, repeated_boxes, without_labels
from scicap_builder.pdf.pdfium import OpenPdf, open_pdf
from scicap_builder.pdf.pictures import INK_LEVEL, PADDING, draw, has_contrast
from scicap_builder.pdf.regions import UNSURE, Region, find_regions, on_page_before
from scicap_builder.pdf.rooms import PageText
from scicap_builder.pdf.scans import scanned_pages
from scicap_builder.pdf.starts import find_starts
from scicap_builder.pdf.tables import prose_boxes, ruled_tables, rules_of
from scicap_builder.progress import tell
from scicap_builder.reading import FoundFigure, PaperReading

FRONT_PAGES = 2
"""Title and abstract stand on these."""
INK_DPI = 50.0
"""Enough to find the edges of what is drawn to within 1.5 pt."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The text of a whole paper, understood but not yet joined to pictures."""

    pages: tuple[Page, ...]
    texts: tuple[PageText, ...]
    captions: tuple[Caption, ...]
    style: Style
    first_page: tuple[Line, ...]
    front: tuple[Paragraph, ...]
    """All text of the first two pages, headings and small print included."""
    paragraphs: tuple[Paragraph, ...]
    """The running text of the paper."""


def read_pdf(path: Path, *, dpi: int = 150, images: bool = True) -> PaperReading:
    """Title, abstract and figures of a PDF.

    `dpi`: resolution of the pictures; `images=False` leaves them out (no page is rendered then, except where drawings are
    larger than what they show). A page that cannot be read costs itself: it is in `dropped`. Raises PaperError (`encrypted`,
    `broken-pdf`, `no-pages`, `too-large`) if the file as a whole cannot be read.
    """
    with open_pdf(path) as pdf:
        pages, dropped = load_all(pdf)
        layout = lay_out(pages)
        regions = locate(pdf, layout)
        figures, lost = deliver(pdf, layout, regions, dpi=dpi, images=images)
        return PaperReading(
            title=read_title(layout.first_page, layout.style),
            abstract=read_abstract(layout.front, layout.style),
            figures=figures,
            dropped=(*dropped, *scanned_pages(pages, {figure.page or 0 for figure in figures}), *lost),
            pages=len(pdf),
        )


def load_all(pdf: OpenPdf) -> tuple[tuple[Page, ...], tuple[Dropped, ...]]:
    """All pages that can be read, and those that cannot."""
    pages, dropped = [], []
    for number in range(1, len(pdf) + 1):
        tell("reading page", number, len(pdf))
        try:
            pages.append(pdf.page(number))
        except PaperError as error:
            dropped.append(Dropped(item=f"page {number}", reason=error.reason, detail=error.what))
    return tuple(pages), tuple(dropped)


def lay_out(pages: Sequence[Page]) -> Layout:
    """Words -> lines -> captions -> blocks in reading order."""
    every = [read_lines(page) for page in pages]
    repeated = _ornaments(pages, every)
    unlabelled = [without_labels(lines, page, repeated) for page, lines in zip(pages, every, strict=True)]
    heads = running_heads([(page.height, lines) for page, lines in zip(pages, unlabelled, strict=True)])
    kept = [[line for line in lines if line not in heads] for lines in every]
    style = measure(line for lines in kept for line in lines)
    captions = find_captions(kept, find_starts(kept, style), style)
    gutter = usual_gutter([(page.width, lines) for page, lines in zip(pages, kept, strict=True)], style)
    texts: list[PageText] = []
    flow: list[tuple[Line, ...]] = []
    front: list[tuple[Line, ...]] = []
    for page, lines in zip(pages, kept, strict=True):
        mine = [caption for caption in captions if caption.page == page.number]
        cuts = gutters(lines, page.width, style, gutter)
        in_captions = {line for caption in mine for line in caption.lines}
        blocks = reading_order(blocks_of([line for line in lines if line not in in_captions], style, cuts), cuts)
        drawings = drawings_of(page, repeated, [caption.box for caption in mine if caption.number])
        body = tuple(block for block in blocks if is_body(block, style, drawings, [caption.box for caption in mine]))
        loose = [line.box for block in blocks if block not in body for line in block.lines]
        texts.append(
            PageText(
                page=page,
                body=body,
                loose=(*loose, *(word.box for word in page.words if word.angle != 0)),
                captions=tuple(mine),
                columns=tuple(pairwise((0.0, *cuts, page.width))),
                live=_live(page, heads),
                drawings=drawings,
            )
        )
        shown = {id(block) for block in body}
        ruled = ruled_tables(mine, rules_of(page, repeated), prose_boxes(blocks, style))
        for block in blocks:
            if id(block) in shown:
                kept_lines = [line for line in block.lines if not any(holds(table, line.box) for table in ruled)]
                flow += [tuple(kept_lines)] if kept_lines else []
            elif is_display(block, drawings):
                flow.append(())
        front += [block.lines for block in blocks if page.number <= FRONT_PAGES]
    return Layout(
        pages=tuple(pages),
        texts=tuple(texts),
        captions=captions,
        style=style,
        first_page=tuple(kept[0]) if kept else (),
        front=read_paragraphs(front, style),
        paragraphs=read_paragraphs(flow, style),
    )


def _ornaments(pages: Sequence[Page], every: Sequence[Sequence[Line]]) -> frozenset[tuple[int, ...]]:
    """Where things stand that many pages repeat and that are no figures."""
    repeated = repeated_boxes(pages)
    if not repeated:
        return repeated
    starts = find_starts(every, measure(line for lines in every for line in lines))
    labels = [[s.line.box for s in starts if s.label.number and s.line.page == page.number] for page in pages]
    return repeated - figures_alike(pages, repeated, labels)


def _live(page: Page, heads: frozenset[Line]) -> Rect:
    """The page between its running heads."""
    mine = [line.box for line in heads if line.page == page.number]
    top = max((box[3] for box in mine if box[3] < 0.5 * page.height), default=0.0)
    bottom = min((box[1] for box in mine if box[1] > 0.5 * page.height), default=page.height)
    return 0.0, top, page.width, bottom


def locate(pdf: OpenPdf, layout: Layout) -> dict[Caption, tuple[Page, Region]]:
    """Page and region of each figure; what is usual in the paper is learnt from the sure ones first."""
    habit: Counter[str] = Counter()
    for text in layout.texts:
        habit.update(region.side for region in find_regions(text, Counter()).values() if region.confidence > 0.9)
    found: dict[Caption, tuple[Page, Region]] = {}
    before: PageText | None = None
    taken: list[Rect] = []
    for text in layout.texts:
        regions: dict[Caption, Region] = {}
        if any(caption.number for caption in text.captions):
            regions = find_regions(text, habit, partial(ink_box, pdf, text.page))
        found |= {caption: (text.page, region) for caption, region in regions.items()}
        for caption in text.captions[:1]:
            unsure = caption not in regions or regions[caption].confidence < UNSURE
            earlier = on_page_before(caption, text, before, taken) if before and unsure and caption.number else None
            if before and earlier:
                found[caption] = (before.page, earlier)
        before, taken = text, [region.box for region in regions.values()]
    return found


def ink_box(pdf: OpenPdf, page: Page, box: Rect) -> Rect | None:
    """The part of `box` that is not blank paper, or None."""
    box = (max(0.0, box[0]), max(0.0, box[1]), min(page.width, box[2]), min(page.height, box[3]))
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        return None
    try:
        picture = pdf.render(page, box, INK_DPI)
    except PaperError:
        return None
    image = picture.convert("L").point(lambda level: 255 * (level < INK_LEVEL))
    inked = image.getbbox()
    if inked is None:
        return None
    across, down = (box[2] - box[0]) / image.width, (box[3] - box[1]) / image.height
    return (
        box[0] + inked[0] * across,
        box[1] + inked[1] * down,
        box[0] + inked[2] * across,
        box[1] + inked[3] * down,
    )


def deliver(
    pdf: OpenPdf, layout: Layout, regions: dict[Caption, tuple[Page, Region]], *, dpi: int, images: bool
) -> tuple[tuple[FoundFigure, ...], tuple[Dropped, ...]]:
    """Figures with mentions and pictures; a caption without a picture is dropped with its reason."""
    mentions = mentions_by_number(layout.paragraphs)
    figures, lost = [], []
    numbered = [caption for caption in layout.captions if caption.number]
    for count, caption in enumerate(numbered, 1):
        tell("drawing figure", count, len(numbered))
        if caption not in regions:
            lost.append(
                Dropped(item=caption.label, reason="no-region", detail=f"page {caption.page}: {caption.text[:80]}")
            )
            continue
        page, region = regions[caption]
        box = _padded(region.box, caption if page.number == caption.page else None, page)
        picture, look, shows = None, None, None
        try:
            if images:
                picture, look = draw(pdf, page, box, dpi)
                box = picture.box
                shows = partial(has_contrast, look, box)
        except PaperError as error:
            lost.append(Dropped(item=caption.label, reason="not-rendered", detail=f"page {caption.page}: {error.what}"))
            continue
        text = read_labels(page.words, box, shows)
        figures.append(
            FoundFigure(
                number=caption.number,
                label=caption.label,
                caption=caption.text,
                image=picture.data if picture else None,
                page=page.number,
                box=shown_box(box, page),
                mentions=mentions.get(caption.number, ()),
                panels=find_panels(caption.text, page, box, look),
                text=text,
                # Without text of its own the figure is read whole anyway.
                rasters=shares_of(pdf.images(page), box) if images and text else (),
                route="pdf",
                confidence=region.confidence,
            )
        )
    return tuple(figures), tuple(lost)


def _padded(box: Rect, caption: Caption | None, page: Page) -> Rect:
    """A little white around the picture, but never the caption."""
    x0, y0, x1, y1 = box[0] - PADDING, box[1] - PADDING, box[2] + PADDING, box[3] + PADDING
    if caption is not None and box[3] <= caption.box[1] + 1:
        y1 = min(y1, caption.box[1])
    elif caption is not None and box[1] >= caption.box[3] - 1:
        y0 = max(y0, caption.box[3])
    return max(0.0, x0), max(0.0, y0), min(page.width, x1), min(page.height, y1)
