"""The text of the PDF route: what keeps captions and paragraphs whole and apart, on small papers that the tests write themselves."""

from pathlib import Path

import pytest
from pdf_pages import PdfPage, write_pdf

from scicap_builder.pdf import read_pdf
from scicap_builder.pdf.lines import line_text
from scicap_builder.pdf.page import Word
from scicap_builder.reading import PaperReading

CAPTION = "Growth of the colony over time in three gardens."


def read(tmp_path: Path, *pages: PdfPage) -> PaperReading:
    return read_pdf(write_pdf(tmp_path / "paper.pdf", *pages), images=False)


def figure_page(label: str, caption: str = CAPTION, *, start: str = "The result is shown in Figure 1.") -> PdfPage:
    """Text, a plot, its caption in small type, text."""
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start=start)
    page.plot(150, y + 12, 420, y + 172)
    y = page.paragraph(70, y + 190, 450, f"{label}{caption}", 8)
    page.body(70, y + 25, 450, 8)
    return page


def test_captions_side_by_side_within_a_column_stay_apart(tmp_path: Path):
    page = PdfPage()
    page.body(50, 60, 235, 50, start="See Figures 1 and 2.")
    for x, lines in (
        (310, ("Figure 1. Growth of", "the three gardens in", "the rain.")),
        (423, ("Figure 2. Prices of", "the harvest as told", "in town.")),
    ):
        page.plot(x, 60, x + 105, 150)
        for place, line in enumerate(lines):
            page.text(x, 165 + 11 * place, line, 9)
    page.body(310, 260, 235, 30)
    figures = read(tmp_path, page).figures
    assert [figure.caption for figure in figures] == [
        "Growth of the three gardens in the rain.",
        "Prices of the harvest as told in town.",
    ]


def test_small_line_numbers_between_columns_are_no_text(tmp_path: Path):
    page = PdfPage()
    for place in range(6):
        page.text(40, 300 + 12 * place, str(120 + place), 5, "sans")
        page.text(299, 300 + 12 * place, str(126 + place), 5, "sans")
    page.plot(50, 60, 545, 250)
    page.text(50, 265, f"Figure 1. {CAPTION}", 8)
    page.body(50, 300, 235, 6, start="It is shown in Figure 1 that")
    page.body(310, 300, 235, 6)
    (figure,) = read(tmp_path, page).figures
    assert figure.mentions
    assert not any(str(number) in "".join(figure.mentions) for number in range(120, 132))


def test_letters_of_formulas_are_plain_letters():
    word = Word("\U0001d447", (0, 0, 5, 10), 10, "Math", 8, 0, glued=False, order=0)
    assert line_text([word, word._replace(text="²", box=(5, 0, 8, 10), glued=True, order=1)]) == "T²"


@pytest.mark.parametrize("end", ["sentence", "list"])
def test_a_caption_that_wraps_to_another_label_is_no_list_of_figures(tmp_path: Path, end: str):
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start="The result is shown in Figures 1 and 2.")
    page.plot(150, y + 12, 420, y + 172)
    page.text(70, y + 190, "Figure 2. Growth of the colony over time in the gardens that are shown in", 8, "bold")
    page.text(70, y + 199.6, "Figure 1a). Rain is left out." if end == "sentence" else "Figure 3. Rain", 8)
    page.body(70, y + 230, 450, 8)
    assert [f.number for f in read(tmp_path, figure_page("Figure 1. "), page).figures][:2] == ["1", "2"]


def test_two_figures_of_one_number_are_two_figures(tmp_path: Path):
    pages = [figure_page("Figure 1. "), figure_page("Figure 2. ", "Prices of the harvest."), PdfPage()]
    pages[2].text(70, 80, "Supplement", 14, "bold")
    supplement = PdfPage()
    supplement.plot(100, 80, 400, 300)
    supplement.text(70, 320, "Figure 1. Weather in all of the towns.", 8)
    supplement.body(70, 360, 450, 20)
    figures = read(tmp_path, *pages, supplement).figures
    assert [(f.number, f.page) for f in figures] == [("1", 1), ("2", 2), ("1", 4)]


def test_a_caption_printed_twice_is_one_figure(tmp_path: Path):
    figures = read(tmp_path, figure_page("Figure 1. "), figure_page("Figure 1. ", start="More text.")).figures
    assert [(f.number, f.page) for f in figures] == [("1", 1)]


def test_rows_of_a_ruled_table_are_no_mentions(tmp_path: Path):
    page = figure_page("Figure 1. ")
    page.text(70, 420, "Table 1. What was measured.", 8)
    for y in (426, 440, 470):
        page.rectangle(70, y, 520, y + 0.6, fill=0)
    page.text(75, 437, "Symbol        What it says of the garden        Values", 10)
    page.text(75, 452, "s             How many flowers stand in it, see Figure 1.", 10)
    page.text(75, 464, "g             How long they stand there, on average, in days.", 10)
    (figure,) = read(tmp_path, page).figures
    assert not any("flowers" in mention for mention in figure.mentions)


def test_a_footnote_does_not_end_a_paragraph(tmp_path: Path):
    first, second = PdfPage(), PdfPage()
    first.body(70, 80, 450, 50)
    first.paragraph(
        70, 722, 450, "It is a pity that the quick brown fox jumps over so many lazy dogs, as one that goes by the"
    )
    first.body(70, 755, 450, 3, start="1 The weather of all the years", size=7)
    second.body(70, 80, 450, 6, start="river sees in Figure 1,")
    second.plot(150, 200, 420, 360)
    second.text(70, 380, f"Figure 1. {CAPTION}", 8)
    second.body(70, 420, 450, 20)
    (figure,) = read(tmp_path, first, second).figures
    assert "goes by the river sees in Figure 1" in figure.mentions[0]


def test_a_paragraph_goes_on_behind_a_displayed_equation(tmp_path: Path):
    page = PdfPage()
    page.paragraph(
        70, 80, 450, "Between the years the gardens are sown anew by those who were the best of all, which we write as:"
    )
    page.text(250, 118, "P = a / b", 10, "italic")
    page.text(505, 118, "(3)", 10)
    page.body(70, 142, 450, 5, start="A garden is as large as in Figure 1.")
    page.plot(150, 240, 420, 400)
    page.text(70, 420, f"Figure 1. {CAPTION}", 8)
    page.body(70, 450, 450, 20)
    (figure,) = read(tmp_path, page).figures
    assert figure.mentions[0].startswith("Between the years")


def test_white_between_lines_parts_paragraphs(tmp_path: Path):
    page = PdfPage()
    page.text(70, 80, "The first of the gardens was sown in spring by the people of the towns who", 10)
    page.text(70, 92, "never saw rain in all of the years that they lived there by the river.", 10)
    page.body(70, 108, 450, 5, start="In Figure 1 the")
    page.plot(150, 240, 420, 400)
    page.text(70, 420, f"Figure 1. {CAPTION}", 8)
    page.body(70, 450, 450, 20)
    (figure,) = read(tmp_path, page).figures
    assert figure.mentions[0].startswith("In Figure 1 the")


def test_a_bold_reference_to_a_table_is_no_caption(tmp_path: Path):
    page = figure_page("Figure 1. ")
    page.text(70, 460, "Table 2", 9, "bold").text(112, 460, ". Prices of the harvest.", 9)
    other = PdfPage()
    y = other.paragraph(70, 80, 450, "The prices that were asked for all of the harvest in the town by the river are")
    other.text(70, y, "Table 2", 10, "bold").text(
        115, y, ". They rise. Figure 1 shows it. The quick brown fox jumps over it", 10
    )
    other.body(70, y + 12, 450, 6)
    (figure,) = read(tmp_path, page, other).figures
    assert any("They rise" in mention for mention in figure.mentions)
