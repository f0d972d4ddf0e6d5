"""Which text around a drawing belongs to its picture, and which drawing to which caption."""

from pathlib import Path

from scicap_builder.pdf import read_pdf
from scicap_builder.pdf.growth import with_text
from tests.pdf_pages import PdfPage, write_pdf

DRAWING = (100.0, 200.0, 300.0, 300.0)


def test_a_title_above_belongs_to_a_picture_and_a_table_above_does_not() -> None:
    title = (150.0, 185.0, 250.0, 193.0)
    table = [(150.0, 185.0 - 11 * row, 250.0, 193.0 - 11 * row) for row in range(6)]
    assert with_text(DRAWING, [title])[1] == 185.0
    assert with_text(DRAWING, table) == DRAWING


def test_a_long_sub_caption_goes_on_to_the_caption() -> None:
    lines = [(100.0, 305.0 + 10 * row, 300.0, 313.0 + 10 * row) for row in range(9)]
    assert with_text(DRAWING, lines, (0.0, 0.0, 600.0, 400.0), "above")[3] == lines[-1][3]
    assert with_text(DRAWING, lines)[3] < 365


def test_no_label_is_cut_at_the_side() -> None:
    label = (280.0, 250.0, 390.0, 258.0)
    assert with_text(DRAWING, [label])[2] == 390.0


def test_captions_on_grounds_beside_their_figures_keep_them_apart(tmp_path: Path) -> None:
    page = PdfPage()
    for number, top in ((1, 60), (2, 260)):
        page.rectangle(400, top, 550, top + 180, fill=0.95)
        page.plot(50, top, 380, top + 180)
        page.text(405, top + 165, f"Figure {number}. Measured", 9).text(405, top + 176, "values by age.", 9)
    page.body(50, 480, 500, 20)
    figures = read_pdf(write_pdf(tmp_path / "paper.pdf", page), images=False).figures
    boxes = [figure.box for figure in figures]
    assert len(boxes) == 2
    for box, top in zip(boxes, (60, 260), strict=True):
        assert box is not None
        assert abs(box[1] * 842 - top) < 8
        assert top + 150 < box[3] * 842 < top + 190
        assert box[2] * 595 < 400


def test_pictures_that_nearly_touch_are_parted_between_their_captions(tmp_path: Path) -> None:
    page = PdfPage()
    page.picture(60, 80, 298, 200).picture(301, 80, 540, 200)
    page.text(70, 215, "Figure 1. Left one.", 9).text(320, 215, "Figure 2. Right one.", 9)
    page.body(50, 260, 500, 30)
    left, right = read_pdf(write_pdf(tmp_path / "paper.pdf", page), images=False).figures
    assert left.box
    assert right.box
    assert left.box[2] * 595 < 302
    assert right.box[0] * 595 > 297
