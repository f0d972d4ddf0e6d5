"""The PDF route on small papers that the tests write themselves."""

import contextlib
import io
from pathlib import Path

import pytest
from pdf_pages import PdfPage, pdf_bytes, write_pdf
from PIL import Image

from llava_graph.errors import PaperError
from scicap_builder.pdf import open_pdf, read_pdf
from scicap_builder.reading import FoundFigure

CAPTION = "Growth of the colony over time in three gardens."


def one_column(label: str, *, above: bool = False) -> PdfPage:
    """A page of one column with text, a plot and its caption."""
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start="The result is shown in Figure 1.")
    top = y + (30 if above else 12)
    page.plot(150, top, 420, top + 160)
    page.text(150, top - 12 if above else top + 178, f"{label}{CAPTION}", 9)
    page.body(70, top + (190 if above else 215), 450, 8)
    return page


def read(tmp_path: Path, *pages: PdfPage, **options) -> tuple[FoundFigure, ...]:
    return read_pdf(write_pdf(tmp_path / "paper.pdf", *pages), **options).figures


def covers(figure: FoundFigure, page: PdfPage, box: tuple[float, float, float, float]) -> bool:
    """Whether the figure's box is `box` (pt) to within 6 pt."""
    assert figure.box is not None
    sides = (page.width, page.height, page.width, page.height)
    return all(abs(share * side - want) < 6 for share, side, want in zip(figure.box, sides, box, strict=True))


@pytest.mark.parametrize(
    "label",
    [
        "Figure 1. ",
        "FIG. 1 ",
        "Fig 1 | ",
        "Figure-1: ",
        "FIGURE 1 ",
        "Fig. S1. ",
        "Figure A.1: ",
        "Figure 2.3. ",
        "FIG. II. ",
    ],
)
def test_any_label_form_is_found(tmp_path: Path, label: str):
    (figure,) = read(tmp_path, one_column(label), images=False)
    assert figure.caption == CAPTION
    assert figure.label == label.strip(" .:|")
    assert figure.page == 1
    assert figure.confidence > 0.9


def test_the_picture_is_the_plot_with_its_labels_and_without_the_caption(tmp_path: Path):
    page = one_column("Figure 1. ")
    (figure,) = read(tmp_path, page, dpi=100)
    caption = next(piece for piece in page.content if "(Figure 1. " in piece)
    baseline = page.height - float(caption.split()[11])
    assert figure.box is not None
    assert figure.image is not None
    image = Image.open(io.BytesIO(figure.image))
    assert image.width == pytest.approx((figure.box[2] - figure.box[0]) * page.width * 100 / 72, abs=2)
    assert figure.box[3] * page.height <= baseline - 6
    assert (figure.box[2] - figure.box[0]) * page.width == pytest.approx(270, abs=12)
    assert (figure.box[3] - figure.box[1]) * page.height == pytest.approx(160, abs=12)


def test_a_caption_above_its_figure(tmp_path: Path):
    page = PdfPage()
    page.text(150, 80, f"Figure 1. {CAPTION}", 9)
    page.plot(150, 95, 420, 260)
    page.body(70, 300, 450, 30, start="The result is shown in Figure 1.")
    (figure,) = read(tmp_path, page, images=False)
    assert covers(figure, page, (150, 95, 420, 260))


def test_a_caption_beside_its_figure(tmp_path: Path):
    page = PdfPage()
    page.plot(70, 80, 320, 260)
    page.text(340, 100, "Figure 1.", 9, "bold")
    for place, line in enumerate(["Growth of the colony", "over time in three", "gardens."]):
        page.text(340, 111 + 11 * place, line, 9)
    page.body(70, 300, 450, 30, start="The result is shown in Figure 1.")
    (figure,) = read(tmp_path, page, images=False)
    assert figure.caption == CAPTION
    assert covers(figure, page, (70, 80, 320, 260))


def test_a_picture_that_fills_the_page_before_its_caption(tmp_path: Path):
    first, picture, last = PdfPage(), PdfPage(), PdfPage()
    first.body(70, 80, 450, 50, start="The result is shown in Figure 1.")
    picture.plot(70, 80, 520, 760)
    last.text(70, 80, f"Figure 1. {CAPTION}", 9)
    last.body(70, 120, 450, 40)
    (figure,) = read(tmp_path, first, picture, last, images=False)
    assert figure.page == 2
    assert covers(figure, picture, (70, 80, 520, 760))
    assert figure.confidence < 0.9


def test_stacked_figures_in_two_columns(tmp_path: Path):
    page = PdfPage()
    for number, (x, y) in enumerate([(50, 60), (50, 260), (310, 60)], 1):
        page.plot(x, y, x + 235, y + 150)
        page.text(x, y + 165, f"Figure {number}. The colony number {number}.", 9)
    page.body(50, 460, 235, 22)
    page.body(310, 260, 235, 40, start="Compare Figs. 1-3 first.")
    figures = read(tmp_path, page, images=False)
    assert [figure.number for figure in figures] == ["1", "3", "2"] or [f.number for f in figures] == ["1", "2", "3"]
    for figure, (x, y) in zip(sorted(figures, key=lambda f: f.number), [(50, 60), (50, 260), (310, 60)], strict=True):
        assert covers(figure, page, (x, y, x + 235, y + 150))
        assert len(figure.mentions) == 1


def test_paragraphs_are_joined_over_columns_and_words_mended(tmp_path: Path):
    page = PdfPage()
    page.body(50, 60, 235, 42)
    page.text(50, 590, "The growth of Figure 1 is really unpre-", 10)
    page.plot(310, 60, 545, 210)
    page.text(310, 225, f"Figure 1. {CAPTION}", 9)
    page.text(310, 260, "cedented in this garden.", 10)
    page.body(310, 290, 235, 30)
    (figure,) = read(tmp_path, page, images=False)
    assert len(figure.mentions) == 1
    assert "unprecedented in this garden." in figure.mentions[0]
    assert "three gardens" not in figure.mentions[0]


def test_captions_of_other_figures_are_no_mentions(tmp_path: Path):
    page = one_column("Figure 1. ")
    page.plot(150, 520, 420, 680)
    page.text(150, 698, "Figure 2. The same as Figure 1 for the second year.", 9)
    figures = {figure.number: figure for figure in read(tmp_path, page, images=False)}
    assert len(figures["1"].mentions) == 1
    assert figures["2"].mentions == ()


def test_text_drawn_twice_white_text_and_clipped_text_are_read_once_or_not_at_all(tmp_path: Path):
    page = one_column("Figure 1. ")
    page.content += [piece for piece in page.content if "Growth" in piece]
    page.text(150, 300, "An unseen sentence that nobody can read on paper.", 9, gray=1.0)
    page.raw("q 0 0 10 10 re W n")
    page.text(150, 320, "Text of the page that the drawing was cut from.", 9)
    page.raw("Q")
    (figure,) = read(tmp_path, page, images=False)
    assert figure.caption == CAPTION


def test_margin_line_numbers_are_not_text(tmp_path: Path):
    page = one_column("Figure 1. ")
    for place in range(50):
        page.text(20, 60 + 15 * place, f"{place + 100:03d}", 8, "sans")
        page.text(560, 60 + 15 * place, f"{place + 150:03d}", 8, "sans")
    (figure,) = read(tmp_path, page, images=False)
    assert figure.caption == CAPTION
    assert figure.box is not None
    assert figure.box[0] * page.width > 130
    assert figure.box[2] * page.width < 440
    assert not any(character.isdigit() for character in figure.mentions[0].replace("Figure 1", ""))


def test_running_heads_are_left_out(tmp_path: Path):
    pages = [one_column("Figure 1. "), PdfPage(), PdfPage()]
    for page in pages[1:]:
        page.body(70, 80, 450, 40)
    for number, page in enumerate(pages, 1):
        page.text(70, 40, "Journal of Gardens 12 (2026)", 9)
        page.text(290, 820, str(number), 9)
    reading = read_pdf(write_pdf(tmp_path / "paper.pdf", *pages), images=False)
    assert reading.pages == 3
    assert "Journal" not in " ".join(reading.figures[0].mentions)


def test_labels_of_figures_on_top_of_pages_are_no_running_heads(tmp_path: Path):
    pages = [PdfPage(), PdfPage(), PdfPage()]
    for number, page in enumerate(pages, 1):
        page.text(290, 820, str(number), 9)
        page.plot(100, 55, 420, 260 + 5 * number)
        for place in range(4):
            page.text(101, 62 + 15 * place, str(40 - 10 * place), 7, "sans")
        page.text(150, 290, f"Figure {number}. {CAPTION}", 9)
        page.body(70, 320, 450, 30, start=f"The result is shown in Figure {number}.")
    figures = read(tmp_path, *pages)
    assert len(figures) == 3
    for number, (figure, page) in enumerate(zip(figures, pages, strict=True), 1):
        assert covers(figure, page, (100, 55, 420, 260 + 5 * number))
    assert all("40" in [line.text for line in figure.text] for figure in figures)


def test_sub_captions_belong_to_the_picture_and_not_to_the_text(tmp_path: Path):
    page = PdfPage()
    page.body(70, 80, 450, 4, start="The result is shown in Figure 1.")
    page.plot(70, 160, 280, 300)
    page.plot(310, 160, 520, 300)
    for x, letter in ((70, "a"), (310, "b")):
        page.text(x, 315, f"({letter}) Growth of the colony over the", 9)
        page.text(x, 326, "years in one of the gardens.", 9)
    page.text(70, 350, f"Figure 1. {CAPTION}", 9)
    page.body(70, 390, 450, 25)
    (figure,) = read(tmp_path, page, images=False)
    assert covers(figure, page, (70, 160, 520, 328))


def test_three_figures_side_by_side_each_have_their_own_picture(tmp_path: Path):
    page = PdfPage()
    places = [(50, 60, 200, 200), (222, 60, 372, 200), (395, 60, 545, 200)]
    for number, place in enumerate(places, 1):
        page.plot(*place)
        page.text(place[0], 215, f"Figure {number}. Garden number {number}.", 8)
    page.body(50, 260, 235, 40, start="Compare Figs. 1-3 first.")
    page.body(310, 260, 235, 40)
    figures = {figure.number: figure for figure in read(tmp_path, page, images=False)}
    assert all(covers(figures[str(number)], page, place) for number, place in enumerate(places, 1))


def test_a_table_above_a_figure_stays_out_of_it(tmp_path: Path):
    page = PdfPage()
    page.text(70, 80, "Table 1. Gardens and what grows in them.", 9)
    for row in range(12):
        for column, word in enumerate(["rose", "1.5", "2.5"]):
            page.text(70 + 120 * column, 100 + 11 * row, word, 9)
    page.plot(70, 238, 350, 400)
    page.text(70, 418, f"Figure 1. {CAPTION}", 9)
    page.body(70, 460, 450, 25, start="The result is shown in Figure 1.")
    (figure,) = read(tmp_path, page, images=False)
    assert figure.box is not None
    assert figure.box[1] * page.height > 190


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_turned_page_gives_the_box_on_the_page_as_shown(tmp_path: Path, rotate: int):
    page = one_column("Figure 1. ")
    page.rotate = rotate
    (figure,) = read(tmp_path, page, dpi=72)
    assert figure.caption == CAPTION
    assert figure.box is not None
    assert figure.image is not None
    image = Image.open(io.BytesIO(figure.image))
    assert image.width > image.height, "the picture is upright whatever the page's turn"
    shown_wide = figure.box[2] - figure.box[0] > figure.box[3] - figure.box[1]
    assert shown_wide == (rotate in (0, 180))


def test_a_list_of_figures_gives_no_figures(tmp_path: Path):
    contents = PdfPage()
    contents.text(70, 80, "List of Figures", 14, "bold")
    for number in range(1, 4):
        contents.text(70, 100 + 14 * number, f"Figure {number}: Something that is shown later")
    figures = read(tmp_path, contents, one_column("Figure 1. "), images=False)
    assert [(figure.number, figure.page) for figure in figures] == [("1", 2)]


def test_a_figure_of_text_alone_has_a_low_confidence(tmp_path: Path):
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start="Figure 1 lists the files.")
    for place, name in enumerate(["data/", "  birds.csv", "src/", "  run.py"]):
        page.text(200, y + 25 + 12 * place, name, 8, "sans")
    page.text(150, y + 85, f"Figure 1. {CAPTION}", 9)
    page.body(70, y + 115, 450, 20)
    (figure,) = read(tmp_path, page, images=False)
    assert 0 < figure.confidence < 0.6


def test_title_and_abstract(tmp_path: Path):
    page = PdfPage()
    page.text(100, 80, "On the Growth of Small Gardens", 18, "bold")
    page.text(250, 105, "A. Author", 11)
    page.text(70, 140, "Abstract", 11, "bold")
    y = page.body(70, 156, 450, 7, start="We study gardens.")
    page.text(70, y + 12, "1 Introduction", 12, "bold")
    page.body(70, y + 30, 450, 20, start="Gardens are old.")
    reading = read_pdf(write_pdf(tmp_path / "paper.pdf", page))
    assert reading.title == "On the Growth of Small Gardens"
    assert reading.abstract.startswith("We study gardens.")
    assert "Gardens are old" not in reading.abstract
    assert reading.figures == ()


def bad_pdfs() -> dict[str, bytes]:
    good = pdf_bytes([one_column("Figure 1. ")])
    return {
        "broken-pdf": b"this is no PDF at all",
        "encrypted": pdf_bytes([one_column("Figure 1. ")], encrypted=True),
        "no-pages": pdf_bytes([]),
        "broken-pdf ": good[:200],
        "broken-pdf  ": b"",
    }


@pytest.mark.parametrize("reason", list(bad_pdfs()))
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, reason: str):
    path = tmp_path / "bad.pdf"
    path.write_bytes(bad_pdfs()[reason])
    with pytest.raises(PaperError) as caught:
        read_pdf(path)
    assert caught.value.reason == reason.strip()
    assert "bad.pdf" in str(caught.value)


def test_a_missing_file_says_so(tmp_path: Path):
    with pytest.raises(PaperError, match="no such file"):
        read_pdf(tmp_path / "absent.pdf")


def test_a_page_of_absurd_size_costs_only_itself(tmp_path: Path):
    reading = read_pdf(write_pdf(tmp_path / "paper.pdf", PdfPage(width=2e6, height=2e6), one_column("Figure 1. ")))
    assert [figure.page for figure in reading.figures] == [2]
    assert [(drop.item, drop.reason) for drop in reading.dropped] == [("page 1", "page-size")]


def test_a_page_with_very_many_objects_is_read_in_part(tmp_path: Path):
    page = one_column("Figure 1. ")
    page.raw("\n".join(f"{i % 600} {i // 600} 1 1 re f" for i in range(90_000)))
    path = write_pdf(tmp_path / "paper.pdf", page)
    with open_pdf(path) as pdf:
        assert pdf.page(1).truncated
    assert read_pdf(path).pages == 1


def test_any_damage_is_an_error_or_a_reading_never_a_crash(tmp_path: Path):
    good = bytearray(pdf_bytes([one_column("Figure 1. ")]))
    path = tmp_path / "paper.pdf"
    for place in range(15, len(good), max(1, len(good) // 60)):
        damaged = bytearray(good)
        damaged[place : place + 4] = b"\xff\x00\xfe7"
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(PaperError):
            read_pdf(path, dpi=50)
