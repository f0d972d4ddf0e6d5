"""The text of the PDF route: captions, paragraphs, directions and fronts of small papers that the tests write themselves."""

from pathlib import Path

import pytest
from pdf_pages import PdfPage, write_pdf

from scicap_builder.pdf import read_pdf
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


@pytest.mark.parametrize("mark", ["(continued)", "(cont.)", "Continued.", "[Cont’d]".replace("’", "'")])
def test_a_continued_figure_is_one_figure(tmp_path: Path, mark: str):
    second = figure_page("Figure 1. ", mark, start="More text.")
    reading = read(tmp_path, figure_page("Figure 1. "), second)
    assert [(f.number, f.caption, f.page) for f in reading.figures] == [("1", CAPTION, 1)]
    assert all("ontinued" not in mention for mention in reading.figures[0].mentions)


def test_a_caption_goes_on_on_the_next_page(tmp_path: Path):
    first, second = PdfPage(), PdfPage()
    first.body(70, 80, 450, 10, start="The result is shown in Figure 1.")
    first.plot(70, 240, 520, 740)
    first.text(70, 760, "Figure 1. Growth of the colony over time in three gardens, where the first", 8)
    second.text(70, 80, "one was watered and the two others were left to the rain.", 8)
    second.body(70, 120, 450, 30, start="Gardens are old.")
    (figure,) = read(tmp_path, first, second).figures
    assert figure.caption.endswith("where the first one was watered and the two others were left to the rain.")
    assert "watered" not in " ".join(figure.mentions)


def test_a_caption_that_says_so_goes_on_under_the_continued_figure(tmp_path: Path):
    first = figure_page("Figure 1. ", "Growth of the colony. Figure 1 continued on next page")
    second = figure_page("Figure 1 continued ", "(B) The same in winter.", start="More text.")
    (figure,) = read(tmp_path, first, second).figures
    assert figure.caption == "Growth of the colony. (B) The same in winter."


def test_a_label_alone_takes_the_text_below_it_not_beside_it(tmp_path: Path):
    page = PdfPage()
    page.body(50, 60, 235, 58, start="See Figure 1.")
    page.plot(310, 60, 545, 210)
    page.text(310, 225, "Figure 1", 9, "bold")
    page.paragraph(310, 236, 235, CAPTION, 9)
    page.body(310, 300, 235, 30)
    (figure,) = read(tmp_path, page).figures
    assert figure.caption == CAPTION


def test_a_caption_in_the_type_of_the_text_ends_at_the_white_below_it(tmp_path: Path):
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start="The result is shown in Figure 1.")
    page.plot(150, y + 12, 420, y + 172)
    y = page.paragraph(
        70, y + 190, 450, f"Figure 1. {CAPTION} All of them were watered twice a day, in the early morning."
    )
    page.body(70, y + 3, 450, 8, start="Solaris maps the page.")
    (figure,) = read(tmp_path, page).figures
    assert figure.caption.endswith("in the early morning.")


@pytest.mark.parametrize("angle", [90, 270])
def test_a_sideways_caption_on_an_upright_page(tmp_path: Path, angle: int):
    page = PdfPage()
    page.text(70, 40, "Journal of Gardens and Colonies, volume twelve, all about growing things in cities", 8)
    page.picture(100, 150, 400, 700)
    x, step = (430, 11) if angle == 90 else (90, -11)
    y = 700 if angle == 90 else 150
    page.text(x, y, "Figure 1. Growth of the colony over time", 9, angle=angle)
    page.text(x + step, y, "in three gardens.", 9, angle=angle)
    before = PdfPage()
    before.body(70, 80, 450, 40, start="The result is shown in Figure 1.")
    (figure,) = read(tmp_path, before, page).figures
    assert figure.caption == CAPTION
    assert figure.page == 2


def test_sideways_words_in_a_figure_do_not_turn_a_page_with_an_upright_caption(tmp_path: Path):
    page = PdfPage()
    for place in range(60):
        page.text(60 + 8 * place, 400, "sideways words in plenty", 8, angle=90)
    page.rectangle(50, 200, 545, 410)
    page.text(70, 440, f"Figure 1: {CAPTION}", 9)
    (figure,) = read(tmp_path, page).figures
    assert figure.caption == CAPTION


@pytest.mark.parametrize("word", ["Scheme", "Chart", "Graph"])
def test_schemes_have_their_own_numbers(tmp_path: Path, word: str):
    reading = read(
        tmp_path,
        figure_page("Figure 1. "),
        figure_page(f"{word} 1. ", "Synthesis of the dye.", start=f"{word} 1 shows the way."),
    )
    assert [(f.label, f.caption) for f in reading.figures] == [
        ("Figure 1", CAPTION),
        (f"{word} 1", "Synthesis of the dye."),
    ]
    assert [len(f.mentions) for f in reading.figures] == [1, 1]
    assert reading.figures[1].mentions[0].startswith(f"{word} 1 shows")


def test_scanned_pages_are_named(tmp_path: Path):
    scans = [PdfPage().picture(20, 20, 575, 820) for _ in range(3)]
    reading = read(tmp_path, figure_page("Figure 1. "), *scans, PdfPage())
    assert [(drop.item, drop.reason) for drop in reading.dropped] == [("pages 2-4", "no-text")]


def test_signs_raised_and_lowered_over_each_other_stay_in_their_line(tmp_path: Path):
    page = PdfPage()
    page.body(70, 80, 450, 10)
    page.text(70, 220, "As Figure 1 says the number We = V", 10)
    page.text(274, 216, "2", 7).text(274, 223, "0", 7)
    page.text(280, 220, "D follows from the speed of the drop.", 10)
    page.body(70, 232, 450, 10, start="It is low.")
    page.plot(150, 400, 420, 560)
    page.text(150, 580, f"Figure 1. {CAPTION}", 9)
    (figure,) = read(tmp_path, page).figures
    (mention,) = figure.mentions
    assert "follows from the speed of the drop. It is low." in mention


def test_a_journals_name_is_no_title(tmp_path: Path):
    page = PdfPage()
    page.text(70, 60, "gardens", 20, "bold")
    page.text(70, 120, "On the Growth of Small Gardens", 17, "bold")
    page.text(70, 140, "in Large and Dry Cities", 17, "bold")
    page.body(70, 200, 450, 40, start="Gardens are old.")
    assert read(tmp_path, page).title == "On the Growth of Small Gardens in Large and Dry Cities"


def test_a_structured_abstract_without_its_word(tmp_path: Path):
    page = PdfPage()
    page.text(70, 80, "On the Growth of Small Gardens", 17, "bold")
    y = 130.0
    for part in ("Background: Gardens are old.", "Methods: We dug.", "Results: They grow.", "Conclusions: Go on."):
        y = page.body(70, y, 450, 3, start=part, size=8)
    page.text(70, y + 16, "1. Background", 12, "bold")
    page.body(70, y + 34, 450, 30, start="Foods are grown.")
    abstract = read(tmp_path, page).abstract
    assert abstract.startswith("Background: Gardens")
    assert "Conclusions: Go on." in abstract
    assert "Foods" not in abstract


def test_the_summary_of_a_software_paper_is_its_first_section(tmp_path: Path):
    page = PdfPage()
    page.text(70, 80, "A Package for Small Gardens", 17, "bold")
    page.text(70, 120, "Summary", 13, "bold")
    y = page.body(70, 138, 450, 8, start="The package plans gardens.")
    page.text(70, y + 14, "Statement of need", 13, "bold")
    page.body(70, y + 32, 450, 20, start="Gardens need plans.")
    assert read(tmp_path, page).abstract == ""
