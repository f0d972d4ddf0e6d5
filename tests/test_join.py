"""Source and PDF of one paper become one reading: each side gives what it knows best."""

from dataclasses import replace

import pytest

from llava_graph.record import Dropped, OcrLine, Panel
from scicap_builder.agreement import alike, similarity
from scicap_builder.join import join
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


def page(number: str, caption: str, *, mentions: tuple[str, ...] = ("page mention",), image: bytes | None = None):
    return FoundFigure(
        number=number, label=f"Figure {number}", caption=caption, image=image, mentions=mentions, route="html"
    )


def three(latex: FoundFigure | None, in_pdf: FoundFigure | None, in_page: FoundFigure | None) -> FoundFigure:
    """The one figure that three routes have."""
    readings = [side and PaperReading(figures=(side,)) for side in (latex, in_pdf, in_page)]
    [figure] = join(*readings).figures
    return figure


TEXT = "Growth of the leaves over ten days, with the wind of each"


def test_routes_that_agree_say_nothing():
    figure = three(source("1", TEXT), pdf("1", TEXT), page("1", TEXT))
    assert (figure.route, figure.disagreements) == ("latex+pdf+html", ())
    assert (figure.mentions, figure.confidence) == (("cited",), 0.9)


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ((source("4", TEXT), pdf("5", TEXT), None), ["number: 4 in latex, 5 in pdf"]),
        ((source("4", TEXT), pdf("5", TEXT), page("4", TEXT)), ["number: 4 in latex, 5 in pdf, 4 in html"]),
        ((source("1", TEXT), pdf("1", TEXT + " and then " + TEXT), None), ["caption: 0.63 alike in latex and pdf"]),
        (
            (source("1", TEXT, mentions=("a", "b", "c")), pdf("1", TEXT), None),
            ["mentions: 3 in latex, 1 in pdf"],
        ),
        (
            (
                replace(source("1", TEXT), panels=(Panel(letter="a"), Panel(letter="b"))),
                replace(pdf("1", TEXT), panels=(Panel(letter="a"),) * 3),
                page("1", TEXT),
            ),
            ["panels: 2 in latex, 3 in pdf"],
        ),
    ],
)
def test_disagreements_have_one_form(sides, told):
    assert list(three(*sides).disagreements) == told


def test_a_figure_that_a_route_does_not_have_is_a_disagreement():
    reading = joined([source("1", TEXT)], [pdf("7", "Something that only the PDF has")])
    assert [figure.disagreements for figure in reading.figures] == [
        ("figure: 1 in latex, 0 in pdf",),
        ("figure: 0 in latex, 1 in pdf",),
    ]


@pytest.mark.parametrize("broken", ["", "…", r"\mycaption {leaves} of the \treename", "@ % &"])
def test_a_broken_caption_gives_way(broken):
    assert three(source("1", broken), pdf("1", TEXT), None).caption == TEXT
    assert three(source("1", broken), pdf("1", "Glued " + TEXT), page("1", TEXT)).caption == TEXT


def test_two_routes_against_the_source_win():
    other = "Quite another thing: a map of all rivers"
    assert three(source("1", other), pdf("1", TEXT), page("1", TEXT)).caption == TEXT
    assert three(source("1", other), pdf("1", TEXT), None).caption == other


def test_mentions_come_from_the_next_route_where_one_has_none():
    none = source("1", TEXT, mentions=())
    assert three(none, pdf("1", TEXT), page("1", TEXT)).mentions == ("page mention",)
    assert three(none, pdf("1", TEXT), None).mentions == ("pdf mention",)


def test_panels_have_the_words_of_the_source_and_the_places_of_the_picture():
    words = (Panel(letter="a", caption="Oak"), Panel(letter="b", caption="Birch", box=(0, 0, 1, 1)))
    places = (Panel(letter="B", box=(0.5, 0, 1, 1)), Panel(letter="A", box=(0, 0, 0.5, 1)))
    figure = three(replace(source("1", TEXT), panels=words), replace(pdf("1", TEXT), panels=places), None)
    assert [(p.letter, p.caption, p.box) for p in figure.panels] == [
        ("a", "Oak", (0, 0, 0.5, 1)),
        ("b", "Birch", (0.5, 0, 1, 1)),
    ]
    unnamed = tuple(replace(panel, letter="") for panel in reversed(places))
    figure = three(replace(source("1", TEXT), panels=words), replace(pdf("1", TEXT), panels=unnamed), None)
    assert [panel.box for panel in figure.panels] == [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]
    figure = three(replace(source("1", TEXT), panels=words), pdf("1", TEXT), None)
    assert [panel.box for panel in figure.panels] == [None, None]


def test_places_and_text_of_a_picture_go_with_it():
    lines = (OcrLine(text="axis", box=BOX),)
    seen = replace(pdf("1", TEXT), panels=(Panel(letter="a", box=BOX),), text=lines)
    assert three(source("1", TEXT), seen, None).text == lines
    poor = three(source("1", TEXT), replace(seen, confidence=0.1), None)
    assert (poor.image, poor.text, poor.panels) == (b"source", (), (Panel(letter="a"),))


def test_a_pdf_figure_stands_where_the_paper_has_it():
    captions = {
        n: f"{word} is what this one shows to the reader" for n, word in enumerate(["Oak", "Wind", "Map of it"], 1)
    }
    reading = joined(
        [source("1", captions[1]), source("3", captions[3])], [pdf(str(n), text) for n, text in captions.items()]
    )
    assert [figure.number for figure in reading.figures] == ["1", "2", "3"]


def test_the_page_finds_what_the_source_misses_and_counts_nothing_twice():
    reading = join(
        PaperReading(figures=(source("1", TEXT),)),
        PaperReading(figures=(pdf("1", TEXT), pdf("2", "A map of all the rivers of it"))),
        PaperReading(
            figures=(page("1", TEXT), page("2", "A map of all the rivers of it"), page("1", "Once more")),
            dropped=(Dropped(item="unnumbered figure", reason="no-number"),),
        ),
    )
    assert [(f.number, f.route) for f in reading.figures] == [("1", "latex+pdf+html"), ("2", "pdf+html")]
    assert [item.reason for item in reading.dropped] == ["number-twice"]


def test_without_a_pdf_nothing_is_dropped_for_it():
    reading = join(
        PaperReading(figures=(source("1", TEXT, image=None),)), None, PaperReading(figures=(page("1", TEXT),))
    )
    assert [(f.route, f.image, f.confidence) for f in reading.figures] == [("latex+html", None, 1.0)]
    assert reading.dropped == ()
    assert join(None, None, PaperReading(title="Alone")).title == "Alone"


def test_a_less_like_caption_pairs_between_the_same_neighbours():
    first, last = "The first of them all, a tree in the wind", "The last one, a river that is deep and cold"
    said, printed = "A run of the model: (a) energies, (b) norms", "A run of the model: energies norms and more of it"
    assert 0.6 < similarity(said, printed) < 0.85
    reading = joined(
        [source("1", first), source("2", said), source("3", last)], [pdf("4", first), pdf("5", printed), pdf("6", last)]
    )
    assert [(f.number, f.route) for f in reading.figures] == [(n, "latex+pdf") for n in "456"]


def test_alike_sees_what_is_cut():
    assert alike(TEXT, TEXT.upper() + ".") == 1
    assert alike(TEXT, TEXT[:25]) < similarity(TEXT, TEXT[:25]) == 1
    assert alike("", TEXT) == 0


def test_the_same_text_goes_before_the_same_number():
    """Neighbours are worded alike, and the source counts one figure less than the paper prints."""
    one, other = (
        "Examples of common challenges met when reading X-ray maps",
        "Examples of challenges met for ligands in X-ray maps",
    )
    assert 0.6 < similarity(one, other) < 0.85
    reading = joined([source("3", one), source("4", other)], [pdf("4", one), pdf("5", other)])
    assert [(f.number, f.caption) for f in reading.figures] == [("4", one), ("5", other)]
