"""Source and PDF of one paper become one reading: each side gives what it knows best."""

import pytest

from llava_graph.record import Dropped
from scicap_builder.join import join, similarity
from scicap_builder.reading import FoundFigure, PaperReading

BOX = (0.1, 0.1, 0.9, 0.5)


def source(
    number: str,
    caption: str,
    *,
    image: bytes | None = b"source",
    mentions: tuple[str, ...] = ("cited",),
    label: str = "",
):
    return FoundFigure(
        number=number, label=label or f"Figure {number}", caption=caption, image=image, mentions=mentions, route="latex"
    )


def pdf(
    number: str, caption: str, *, page: int = 1, confidence: float = 0.9, label: str = "", image: bytes | None = b"pdf"
):
    return FoundFigure(
        number=number,
        label=label or f"FIG. {number}",
        caption=caption,
        image=image,
        page=page,
        box=BOX,
        mentions=("pdf mention",),
        route="pdf",
        confidence=confidence,
    )


def joined(sources: list[FoundFigure], pdfs: list[FoundFigure], *dropped: Dropped) -> PaperReading:
    return join(
        PaperReading(title="Source title", figures=tuple(sources)),
        PaperReading(title="Pdf title", abstract="Pdf abstract", figures=tuple(pdfs), dropped=dropped, pages=7),
    )


def test_each_side_gives_what_it_knows_best():
    reading = joined([source("1", "The power of [cite] at α ≤ 3")], [pdf("1", "The power of [12] at α ≤ 3")])
    (figure,) = reading.figures
    assert (figure.caption, figure.mentions) == ("The power of [cite] at α ≤ 3", ("cited",))
    assert (figure.label, figure.image, figure.page, figure.box) == ("FIG. 1", b"pdf", 1, BOX)
    assert figure.route == "latex+pdf"
    assert 0.8 < figure.confidence <= 0.9
    assert (reading.title, reading.abstract, reading.pages) == ("Source title", "Pdf abstract", 7)


def test_printed_number_holds_where_the_captions_agree():
    reading = joined(
        [source("3", "A map of the northern sky in winter")], [pdf("A.1", "A map of the northern sky in winter")]
    )
    assert [(f.number, f.label) for f in reading.figures] == [("A.1", "FIG. A.1")]


def test_equal_captions_are_paired_by_number():
    captions = ["Predictions in the image plane."] * 3
    reading = joined(
        [source(str(i), text, mentions=(str(i),)) for i, text in enumerate(captions, 1)],
        [pdf(str(i), text, page=i) for i, text in enumerate(captions, 1)],
    )
    assert [(f.mentions, f.page) for f in reading.figures] == [(("1",), 1), (("2",), 2), (("3",), 3)]


def test_number_alone_pairs_with_less_confidence():
    reading = joined([source("1", "x" * 30)], [pdf("1", "Quite another caption")])
    assert [f.confidence for f in reading.figures] == [0.45]


def test_one_sided_figures_are_kept_with_less_confidence_or_dropped_with_a_reason():
    reading = joined(
        [source("1", "Only in the source"), source("2", "Drawn by TikZ, not found", image=None)],
        [pdf("7", "Something that only the PDF has")],
    )
    assert [(f.number, f.route, f.confidence) for f in reading.figures] == [("1", "latex", 0.5), ("7", "pdf", 0.45)]
    assert [(item.item, item.reason) for item in reading.dropped] == [("Figure 2", "not-in-pdf")]


def test_second_pdf_figure_of_a_number_is_dropped_with_a_reason():
    reading = joined(
        [source("1", "A caption as it should be")], [pdf("1", "A caption as it should be"), pdf("1", "1 of 2 panels")]
    )
    assert len(reading.figures) == 1
    assert [item.reason for item in reading.dropped] == ["number-twice"]


def test_what_the_pdf_dropped_and_the_source_has_is_delivered():
    reading = joined(
        [source("1", "Kept")],
        [],
        Dropped(item="Figure 1", reason="no-picture"),
        Dropped(item="page 3", reason="broken"),
    )
    assert [f.image for f in reading.figures] == [b"source"]
    assert [item.item for item in reading.dropped] == ["page 3"]


def test_a_figure_that_neither_side_can_show_is_dropped_once():
    reading = joined([source("1", "Gone", image=None)], [], Dropped(item="Figure 1", reason="no-picture"))
    assert reading.figures == ()
    assert [item.reason for item in reading.dropped] == ["no-picture"]


def test_a_poor_region_gives_way_to_the_source_picture():
    reading = joined([source("1", "A caption that both have")], [pdf("1", "A caption that both have", confidence=0.1)])
    assert reading.figures[0].image == b"source"
    assert reading.figures[0].page == 1


def test_drawn_figures_take_the_crop_of_the_pdf():
    reading = joined(
        [source("1", "TikZ drawing of a net", image=None)], [pdf("1", "TikZ drawing of a net", confidence=0.1)]
    )
    assert reading.figures[0].image == b"pdf"


def test_supplementary_figures_do_not_meet_the_main_ones():
    reading = joined(
        [source("1", "Main"), source("1", "Extra", label="Supplementary Figure 1")],
        [pdf("S1", "Extra", label="Figure S1"), pdf("1", "Main")],
    )
    assert [f.caption for f in reading.figures] == ["Main", "Extra"]
    assert [f.label for f in reading.figures] == ["FIG. 1", "Figure S1"]


def test_mentions_of_the_pdf_serve_when_the_source_has_none_at_all():
    reading = joined([source("1", "A caption that both have", mentions=())], [pdf("1", "A caption that both have")])
    assert reading.figures[0].mentions == ("pdf mention",)


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("Loss of x_{i} at 10^-3 [cite]", "Loss of xi at 10−3", 0.95, 1),
        ("A long caption that goes on and on", "A long caption that goes on", 1, 1),
        ("Apples", "Quite different words", 0, 0.5),
        ("", "Text", 0, 0),
    ],
)
def test_similarity(one, other, least, most):
    assert least <= similarity(one, other) <= most
