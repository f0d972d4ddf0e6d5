"""Whole captions with formulas, in two columns and beside other text, in small papers that the tests write themselves."""

from pathlib import Path

import pytest
from pdf_pages import PdfPage, write_pdf

from scicap_builder.pdf import read_pdf
from scicap_builder.pdf.lines import without_line_numbers
from scicap_builder.pdf.page import Word

REST = "watered and the two others were left to the rain."


def captions(tmp_path: Path, *pages: PdfPage) -> list[str]:
    reading = read_pdf(write_pdf(tmp_path / "paper.pdf", *pages), images=False)
    return [figure.caption for figure in reading.figures]


def page_with_plot() -> PdfPage:
    """Text that cites Figure 1 and a plot, whose caption is to begin at y = 360."""
    page = PdfPage()
    page.body(70, 80, 450, 6, start="The result is shown in Figure 1.")
    page.plot(150, 180, 420, 340)
    return page


@pytest.mark.parametrize(("code", "sign"), [("p", "√"), ("P", "∑")])
def test_big_signs_without_unicode_are_no_letters(tmp_path: Path, code: str, sign: str):
    page = page_with_plot()
    page.text(70, 360, "Figure 1. Growth as a function of", 8)
    # pdfium leaves out a single character of a font that the file does not hold
    page.text(234, 360, 2 * code, 8, "signs").text(251, 360, "x for the first", 8)
    page.text(70, 370, REST, 8)
    page.body(70, 400, 450, 8)
    (caption,) = captions(tmp_path, page)
    assert caption.replace(" ", "") == f"Growth as a function of {sign}{sign}x for the first {REST}".replace(" ", "")


def test_an_accent_over_the_first_letter_of_a_fraction_stays_in_its_line(tmp_path: Path):
    page = page_with_plot()
    page.text(70, 360, "Figure 1. The rate M/", 8).text(163, 359, "\xa8", 8).text(171, 360, "M", 8)
    page.text(181, 360, "of each garden.", 8).text(70, 370, REST, 8)
    page.body(70, 400, 450, 8)
    (caption,) = captions(tmp_path, page)
    assert caption.startswith("The rate M/")
    assert caption.endswith(f"of each garden. {REST}")


def test_a_wide_space_behind_a_sentence_does_not_cut_a_line(tmp_path: Path):
    page = page_with_plot()
    page.text(70, 360, "Figure 1. Three gardens.", 8).text(205, 360, "The first one was", 8)
    page.text(70, 370, REST, 8)
    page.body(70, 400, 450, 8)
    assert captions(tmp_path, page) == [f"Three gardens. The first one was {REST}"]


def test_text_in_a_column_of_its_own_is_not_taken_for_the_rest_of_a_line(tmp_path: Path):
    page = page_with_plot()
    for row, text in enumerate(["Figure 1. Three gardens.", "The first one was", REST]):
        page.text(70, 360 + 10 * row, text, 8).text(330, 360 + 10 * row, "A garden is no field.", 8)
    page.body(70, 410, 450, 8)
    assert captions(tmp_path, page) == [f"Three gardens. The first one was {REST}"]


@pytest.mark.parametrize("rest", ["one was", "[Almost] one was"])
def test_a_caption_in_two_columns_is_one(tmp_path: Path, rest: str):
    page = page_with_plot()
    page.paragraph(70, 360, 215, "Figure 1. Growth of the colony over time in three gardens, where the first", 8)
    page.paragraph(305, 360, 215, f"{rest} {REST}", 8)
    page.body(70, 400, 215, 20, start="Gardens are old.")
    page.body(305, 400, 215, 20)
    (caption,) = captions(tmp_path, page)
    assert caption == f"Growth of the colony over time in three gardens, where the first {rest} {REST}"


def test_a_bold_caption_ends_where_the_running_text_begins(tmp_path: Path):
    page = page_with_plot()
    page.text(200, 360, "Figure 1: Three gardens", 10, "bold")
    page.body(70, 374.5, 450, 8, start="Firstly, gardens are old.")
    assert captions(tmp_path, page) == ["Three gardens"]


def test_raised_digits_below_each_other_are_no_line_numbers():
    words = [Word("¹", (50, 10 * row, 54, 10 * row + 6), 6, "Times", 10 * row, 0, False, row) for row in range(20)]
    assert without_line_numbers(words, 595) == words
