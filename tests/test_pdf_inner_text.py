"""The text inside a picture, read off the page that the tests draw."""

from pathlib import Path

import pytest
from pdf_pages import PdfPage, write_pdf

from llava_graph.record import OcrLine
from scicap_builder.pdf import read_pdf


def figure_page() -> PdfPage:
    """A frame at (150, 170)-(420, 330) for labels, its caption and running text."""
    page = PdfPage()
    page.body(70, 80, 450, 5, start="The result is shown in Figure 1.")
    page.rectangle(150, 170, 420, 330)
    page.text(150, 350, "Figure 1. The garden from above.", 9)
    page.body(70, 400, 450, 8)
    return page


def labels(tmp_path: Path, page: PdfPage, **options) -> tuple[OcrLine, ...]:
    (figure,) = read_pdf(write_pdf(tmp_path / "paper.pdf", page), **options).figures
    return figure.text


def test_labels_are_lines_with_boxes_in_the_picture_and_nothing_of_the_caption(tmp_path: Path):
    page = figure_page()
    page.text(200, 200, "first label", 8, "sans")
    page.text(200, 300, "second label", 8, "sans")
    first, second = labels(tmp_path, page)
    assert (first.text, second.text) == ("first label", "second label")
    assert first.source == "pdf"
    assert first.orientation == 0
    assert first.box[0] == pytest.approx((200 - 150) / 270, abs=0.03)
    assert first.box[3] == pytest.approx((200 - 170) / 160, abs=0.04)
    assert second.box[1] > first.box[3]


def test_tick_labels_of_an_axis_stay_apart(tmp_path: Path):
    page = figure_page()
    for place in range(6):
        page.text(170 + 40 * place, 320, str(10 * place), 8, "sans")
    assert [line.text for line in labels(tmp_path, page)] == ["0", "10", "20", "30", "40", "50"]


@pytest.mark.parametrize("angle", [90, 270])
def test_sideways_text_keeps_its_spaces_and_says_its_direction(tmp_path: Path, angle: int):
    page = figure_page()
    page.text(200, 280 if angle == 90 else 200, "relative flux (ppm)", 8, "sans", angle=angle)
    page.text(230, 280 if angle == 90 else 200, "relative flux (ppm)", 8, "sans", angle=angle)
    found = labels(tmp_path, page)
    assert [(line.text, line.orientation) for line in found] == [("relative flux (ppm)", angle)] * 2
    width, height = (found[0].box[2] - found[0].box[0]) * 270, (found[0].box[3] - found[0].box[1]) * 160
    assert height > 4 * width


def test_raised_and_lowered_signs_become_unicode_where_it_has_them(tmp_path: Path):
    page = figure_page()
    page.text(200, 200, "10", 10)
    page.text(212, 196, "-3", 6)
    page.text(200, 230, "CO", 10)
    page.text(212, 233, "2", 6)
    page.text(200, 260, "x", 10)
    page.text(206, 256, "Q", 6)
    assert [line.text for line in labels(tmp_path, page)] == ["10⁻³", "CO₂", "xQ"]


def test_white_text_is_read_only_where_it_shows(tmp_path: Path):
    page = figure_page()
    page.rectangle(160, 180, 280, 220, fill=0.1)
    page.text(170, 205, "on dark", 9, gray=1.0)
    page.text(170, 300, "on paper", 9, gray=1.0)
    assert [line.text for line in labels(tmp_path, page)] == ["on dark"]
    assert labels(tmp_path, page, images=False) == ()


def test_slanted_labels_are_whole_words(tmp_path: Path):
    page = figure_page()
    for place in range(4):
        x, y = 180 + 30 * place, page.height - 320
        page.raw(f"BT /F3 8 Tf 0.7071 0.7071 -0.7071 0.7071 {x} {y} Tm (0.0{place}5) Tj ET")
    assert sorted(line.text for line in labels(tmp_path, page)) == ["0.005", "0.015", "0.025", "0.035"]
