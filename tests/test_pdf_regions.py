"""Where pictures are found, on small papers that the tests write themselves."""

from pathlib import Path

import pytest
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


def supplement(pages: int, *, logo: bool = False, text: bool = True) -> list[PdfPage]:
    """Two plots of one size on the same two spots of each page."""
    made = []
    for number in range(pages):
        page = PdfPage()
        for place in (0, 1):
            top = 70 + 330 * place
            page.plot(150, top, 420, top + 170)
            page.text(100, top + 190, f"Figure {2 * number + place + 1}: {CAPTION}", 9)
            if text:
                page.body(70, top + 220, 450, 4)
        if logo:
            page.rectangle(60, 10, 120, 50, fill=0.4).rectangle(60, 55, 530, 55.5, fill=0)
        made.append(page)
    return made


@pytest.mark.parametrize("pages", [2, 3, 6, 12])
@pytest.mark.parametrize("text", [True, False])
def test_plots_on_the_same_spots_of_each_page_are_no_ornaments(tmp_path: Path, pages: int, text: bool):
    figures = read(tmp_path, *supplement(pages, text=text), images=False)
    assert [figure.number for figure in figures] == [str(number + 1) for number in range(2 * pages)]
    for figure in figures:
        assert figure.box
        width, height = (figure.box[2] - figure.box[0]) * 595, (figure.box[3] - figure.box[1]) * 842
        assert 260 < width < 285
        assert 165 < height < 185


def test_a_logo_over_plots_on_the_same_spots_stays_an_ornament(tmp_path: Path):
    figures = read(tmp_path, *supplement(6, logo=True), images=False)
    assert all(figure.box and figure.box[1] > 60 / 842 for figure in figures)
    assert len(figures) == 12


def test_what_stands_on_pages_of_mere_text_too_stays_an_ornament(tmp_path: Path):
    pages = []
    for number in range(6):
        page = PdfPage()
        page.rectangle(70, 100, 180, 150, fill=0.8)
        page.body(70, 170, 450, 10)
        if number % 2:
            page.plot(120, 320, 480, 500)
            page.text(100, 520, f"Figure {number // 2 + 1}. {CAPTION}", 9)
        page.body(70, 560, 450, 12)
        pages.append(page)
    figures = read(tmp_path, *pages, images=False)
    assert [figure.number for figure in figures] == ["1", "2", "3"]
    assert all(figure.box and figure.box[1] > 300 / 842 for figure in figures)


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
