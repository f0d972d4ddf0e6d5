"""Compound figures that the tests draw: letters, captions and boxes of their panels."""

from pathlib import Path

import numpy as np
import pytest
from pdf_pages import PdfPage, write_pdf

from llava_graph.record import Panel
from scicap_builder.pdf import read_pdf
from scicap_builder.pdf.cuts import cut_evenly, cut_for

FOUR = [(100, 160, 290, 280), (310, 160, 500, 280), (100, 310, 290, 430), (310, 310, 500, 430)]
TOLD = "Four gardens. (a) Spring. (b) Summer. (c) Autumn. (d) Winter."


def read_panels(tmp_path: Path, page: PdfPage, **options) -> tuple[tuple[Panel, ...], tuple[float, ...]]:
    """The panels of the one figure and its box in pt."""
    (figure,) = read_pdf(write_pdf(tmp_path / "paper.pdf", page), **options).figures
    assert figure.box is not None
    sides = (page.width, page.height, page.width, page.height)
    return figure.panels, tuple(share * side for share, side in zip(figure.box, sides, strict=True))


def compound(caption: str, places=FOUR, *, letters: str = "", place: str = "above", font: str = "bold") -> PdfPage:
    """Plots at `places` with a letter each, above or below its panel."""
    page = PdfPage()
    page.body(70, 80, 450, 4, start="The result is shown in Figure 1.")
    for letter, (x0, y0, x1, y1) in zip(letters or [""] * len(places), places, strict=True):
        page.plot(x0, y0, x1, y1 - 12)
        if letter and place == "above":
            page.text(x0, y0 - 4, letter, 9, font)
        elif letter:
            page.text((x0 + x1) / 2, y1 - 1, f"({letter})", 8, font)
    bottom = max(box[3] for box in places)
    page.text(100, bottom + 22, f"Figure 1. {caption}", 9)
    page.body(70, bottom + 60, 450, 8)
    return page


def matches(panel: Panel, figure_box, place, slack: float = 14) -> bool:
    """Whether a panel's box is `place` (pt) to within `slack` pt on every side."""
    if panel.box is None:
        return False
    x0, y0, x1, y1 = figure_box
    box = [
        x0 + panel.box[0] * (x1 - x0),
        y0 + panel.box[1] * (y1 - y0),
        x0 + panel.box[2] * (x1 - x0),
        y0 + panel.box[3] * (y1 - y0),
    ]
    return all(abs(a - b) < slack for a, b in zip(box, place, strict=True))


@pytest.mark.parametrize("place", ["above", "below"])
@pytest.mark.parametrize("letters", ["abcd", "ABCD", ""])
def test_panels_of_a_grid_have_their_letters_words_and_places(tmp_path: Path, letters: str, place: str):
    told = (
        TOLD
        if not letters.isupper()
        else TOLD.replace("(a)", "(A)").replace("(b)", "(B)").replace("(c)", "(C)").replace("(d)", "(D)")
    )
    panels, box = read_panels(tmp_path, compound(told, letters=letters, place=place))
    assert [panel.letter.lower() for panel in panels] == list("abcd")
    assert [panel.caption for panel in panels] == ["Spring.", "Summer.", "Autumn.", "Winter."]
    assert all(matches(panel, box, want) for panel, want in zip(panels, FOUR, strict=True))


def test_panels_of_unequal_size_are_parted_by_their_letters(tmp_path: Path):
    places = [(100, 160, 500, 260), (100, 290, 220, 430), (240, 290, 500, 430)]
    panels, box = read_panels(tmp_path, compound(TOLD.replace(" (d) Winter.", ""), places, letters="abc"))
    assert [panel.letter for panel in panels] == ["a", "b", "c"]
    assert all(matches(panel, box, want) for panel, want in zip(panels, places, strict=True))


def test_sub_captions_alone_make_panels(tmp_path: Path):
    panels, _ = read_panels(tmp_path, compound("Four gardens.", letters="abcd", place="below", font="regular"))
    assert [panel.letter for panel in panels] == ["a", "b", "c", "d"]
    assert all(panel.box for panel in panels)


def test_a_single_picture_has_no_panels(tmp_path: Path):
    page = compound("The garden (a rather small one) over time (s).", FOUR[:1])
    page.text(150, 200, "A", 8, "bold")
    page.text(200, 220, "B", 8, "bold")
    panels, _ = read_panels(tmp_path, page)
    assert panels == ()


def test_without_pixels_panels_have_no_boxes(tmp_path: Path):
    panels, _ = read_panels(tmp_path, compound(TOLD, letters="abcd"), images=False)
    assert [panel.box for panel in panels] == [None] * 4


def test_each_embedded_image_is_a_panel(tmp_path: Path):
    page = PdfPage()
    page.body(70, 80, 450, 4, start="The result is shown in Figure 1.")
    places = [(100, 160, 290, 280), (291, 160, 500, 280)]
    for place in places:
        page.picture(*place)
    page.text(100, 302, "Figure 1. Two gardens: (a) spring, (b) summer.", 9)
    page.body(70, 340, 450, 8)
    panels, box = read_panels(tmp_path, page)
    assert [panel.caption for panel in panels] == ["spring", "summer."]
    assert all(matches(panel, box, want, 3) for panel, want in zip(panels, places, strict=True))


def test_gutters_that_do_not_part_the_letters_give_nothing():
    ink = np.zeros((100, 100), bool)
    ink[10:90, 10:45] = ink[10:90, 55:90] = True
    assert cut_for(ink, [(12, 12), (60, 12)]) == [(10, 10, 45, 90), (55, 10, 90, 90)]
    assert cut_for(ink, [(12, 12), (12, 60)]) == []


def test_without_letters_only_clear_cuts_are_made():
    ink = np.zeros((100, 160), bool)
    for left in (10, 60, 110):
        ink[10:90, left : left + 40] = True
    assert len(cut_evenly(ink, 3)) == 3
    assert cut_evenly(ink, 2) == []
    assert cut_evenly(ink, 4) == []
