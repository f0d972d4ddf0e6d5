"""Where pictures are found, on small papers that the tests write themselves."""

from pathlib import Path

from pdf_pages import PdfPage, write_pdf

from scicap_builder.pdf import read_pdf
from scicap_builder.reading import FoundFigure

CAPTION = "Growth of the colony over time in three gardens."


def read(tmp_path: Path, *pages: PdfPage, **options) -> tuple[FoundFigure, ...]:
    return read_pdf(write_pdf(tmp_path / "paper.pdf", *pages), **options).figures


def test_pictures_on_the_same_spot_of_some_pages_are_no_ornaments(tmp_path: Path):
    pages = []
    for number in (1, 2, 3):
        page = PdfPage()
        page.picture(100, 60, 280, 240).picture(300, 60, 480, 240)
        page.text(100, 260, f"Figure {number}. {CAPTION}", 9)
        page.body(70, 300, 450, 20)
        pages.append(page)
    texts = []
    for _ in range(9):
        page = PdfPage()
        page.body(70, 80, 450, 40)
        texts.append(page)
    figures = read(tmp_path, *pages, *texts, images=False)
    assert [figure.number for figure in figures] == ["1", "2", "3"]
    assert all(figure.confidence > 0.9 for figure in figures)


def test_titles_in_the_type_of_the_text_do_not_hide_a_picture_from_its_caption(tmp_path: Path):
    page = PdfPage()
    page.paragraph(70, 80, 450, f"Figure 1. {CAPTION} The four gardens are as they were in the last year of the rain.")
    page.text(75, 130, "A, Number of the flowers = 0.2, lowest price of the day = 0.1, rain = 4 mm", 10)
    page.plot(120, 140, 480, 300)
    page.text(75, 330, "B, Number of the flowers = 0.5, lowest price of the day = 0.1, rain = 1 mm", 10)
    page.plot(120, 340, 480, 500)
    text = PdfPage()
    text.body(70, 80, 450, 50)
    (figure,) = read(tmp_path, text, page, images=False)
    assert figure.box
    assert figure.box[1] < 145 / 842
    assert figure.box[3] > 480 / 842
