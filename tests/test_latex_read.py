"""A folder of sources: which file is the paper, which picture is meant, and what a figure's picture looks like."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from llava_graph.errors import PaperError
from llava_graph.images import encode_png
from scicap_builder.latex import read_latex
from scicap_builder.latex.graphics import find_graphics
from scicap_builder.latex.sources import Sources, find_main

BODY = "\\begin{document}\\title{T}\\begin{abstract}A\\end{abstract}" + "Words of a paper. " * 50 + "\\end{document}"
PAPER = "\\documentclass{article}" + BODY


def write(root: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def picture(color: str, size: tuple[int, int] = (60, 40), form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form)
    return buffer.getvalue()


def vector(width: int = 144, height: int = 72, color: str = "1 0 0") -> bytes:
    """A one-page PDF filled with one colour; pdfium mends the missing cross-reference table."""
    stream = f"{color} rg 0 0 {width} {height} re f"
    return (
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        f"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width} {height}]/Contents 4 0 R>>endobj\n"
        f"4 0 obj<</Length {len(stream)}>>stream\n{stream}\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    ).encode()


def figures(root: Path, float_source: str, preamble: str = "", main: str = "main.tex", **files: str | bytes):
    source = f"\\documentclass{{article}}{preamble}\\begin{{document}}\\begin{{figure}}{float_source}\\caption{{C}}\\end{{figure}}\\end{{document}}"
    write(root, **{main: source}, **files)
    return read_latex(root).figures


def shown(image: bytes | None) -> Image.Image:
    assert image is not None
    return Image.open(io.BytesIO(image)).convert("RGB")


@pytest.mark.parametrize(
    ("files", "main"),
    [
        ({"main.tex": PAPER, "sec.tex": "text"}, "main.tex"),
        ({"bare_jrnl.tex": PAPER, "cover_letter.tex": PAPER, "rebuttal.tex": PAPER}, "bare_jrnl.tex"),
        ({"_old-paper.tex": PAPER + "x" * 9000, "paper.tex": PAPER}, "paper.tex"),
        ({"a.tex": PAPER, "b.tex": PAPER, "b.bbl": ""}, "b.tex"),
        ({"a.tex": PAPER, "b.tex": PAPER, "b.fls": ""}, "b.tex"),
        ({"paper.ltx": PAPER}, "paper.ltx"),
        ({"paper.txt": PAPER, "notes.txt": "hello"}, "paper.txt"),
        ({"src__main.tex": PAPER, "fig__tikz.tex": "\\documentclass{standalone}" + BODY}, "src/main.tex"),
        ({"main.tex": PAPER, "part.tex": "\\documentclass[../main.tex]{subfiles}" + BODY * 3}, "main.tex"),
        ({"one.tex": PAPER, "two.tex": PAPER * 2, "00README.XXX": "one.tex toplevelfile\n"}, "one.tex"),
        (
            {
                "one.tex": PAPER,
                "z.tex": PAPER,
                "00README.json": '{"sources": [{"filename": "z.tex", "usage": "toplevel"}]}',
            },
            "z.tex",
        ),
        (
            {"one.tex": PAPER, "z.tex": PAPER, "00README.yaml": "sources:\n- filename: z.tex\n  usage: toplevel\n"},
            "z.tex",
        ),
        ({"._main.tex": "\0" + PAPER * 3, "main.tex": PAPER, "anc__big.tex": PAPER * 9}, "main.tex"),
        ({"old.tex": "\\documentstyle[12pt]{article}" + BODY}, "old.tex"),
        ({"plain.tex": "\\magnification=1200 Words. \\bye"}, "plain.tex"),
    ],
)
def test_the_paper_among_the_files(tmp_path, files, main):
    assert find_main(Sources(write(tmp_path, **files))) == main


def test_no_paper_is_said_so(tmp_path):
    with pytest.raises(PaperError) as caught:
        read_latex(write(tmp_path, **{"data.csv": "1,2"}))
    assert caught.value.reason == "no-tex"


def test_latin1_sources_are_read(tmp_path):
    source = (
        "\\documentclass{article}\\begin{document}\\begin{figure}\\caption{Schr\xf6dinger}\\end{figure}\\end{document}"
    )
    assert read_latex(write(tmp_path, **{"main.tex": source.encode("latin-1")})).figures[0].caption == "Schrödinger"


def test_inputs_never_leave_the_folder(tmp_path):
    write(tmp_path, **{"secret.tex": "\\begin{figure}\\caption{secret}\\end{figure}"})
    root = tmp_path / "paper"
    include = "\\input{../secret}\\input{" + str(tmp_path / "secret") + "}\\input{/etc/passwd}"
    write(root, **{"main.tex": "\\documentclass{article}\\begin{document}" + include + "\\end{document}"})
    (root / "linked.tex").symlink_to(tmp_path / "secret.tex")
    (root / "main.tex").write_text((root / "main.tex").read_text().replace("\\end{doc", "\\input{linked}\\end{doc"))
    assert read_latex(root).figures == ()


@pytest.mark.parametrize(
    ("command", "preamble", "main", "file"),
    [
        (r"\includegraphics{a}", "", "main.tex", "a.png"),
        (r"\includegraphics[width=1cm]{a.png}", "", "main.tex", "a.png"),
        (r"\includegraphics{figs/a}", "", "main.tex", "figs__a.png"),
        (r"\includegraphics{a}", r"\graphicspath{{x/}{figs/}}", "main.tex", "figs__a.png"),
        (r"\includegraphics{a}", "", "main.tex", "A.PNG"),
        (r"\includegraphics{../plots/a.png}", "", "tex__main.tex", "plots__a.png"),
        (r"\includegraphics{../../plots/a}", "", "tex__main.tex", "plots__a.png"),
        (r"\includegraphics{a.eps}", "", "main.tex", "a.png"),
        (r'\includegraphics{"a b"}', "", "main.tex", "a b.png"),
        (r"\includegraphics{{a.1}.png}", "", "main.tex", "a.1.png"),
        (r"\includegraphics{a.1}", "", "main.tex", "a.1.png"),
        (r"\epsfig{file=a.png,width=3in}", "", "main.tex", "a.png"),
        (r"\plotone{a.png}", "", "main.tex", "a.png"),
        (r"\gridline{\fig{a.png}{0.5\textwidth}{(a)}}", "", "main.tex", "a.png"),
        (r"\newcommand{\pic}[1]{\includegraphics{#1.png}}\pic{a}", "", "main.tex", "a.png"),
    ],
)
def test_the_picture_that_is_meant(tmp_path, command, preamble, main, file):
    data = picture("blue")
    assert figures(tmp_path, command, preamble, main, **{file: data})[0].image == data


def test_a_picture_outside_the_folder_is_not_read(tmp_path):
    write(tmp_path, **{"a.png": picture("blue")})
    assert (
        figures(tmp_path / "paper", r"\includegraphics{../a.png}" + rf"\includegraphics{{{tmp_path}/a.png}}")[0].image
        is None
    )


def test_pdf_is_rendered_at_the_resolution_asked_for(tmp_path):
    found = figures(tmp_path, r"\includegraphics{a}", **{"a.pdf": vector(144, 72), "a.eps": b"%!PS"})
    image = shown(found[0].image)
    assert image.size == (300, 150)
    assert image.getpixel((150, 75)) == (255, 0, 0)


def test_trim_and_angle_are_done(tmp_path):
    found = figures(tmp_path, r"\includegraphics[trim=0 0 72bp 0, clip, angle=90]{a.pdf}", **{"a.pdf": vector(144, 72)})
    assert shown(found[0].image).size == (150, 150)
    turned = figures(tmp_path, r"\includegraphics[angle=90]{a.pdf}", **{"a.pdf": vector(144, 72)})
    assert shown(turned[0].image).size == (150, 300)


def test_several_pictures_stand_in_rows_in_reading_order(tmp_path):
    source = (
        r"\begin{subfigure}{0.45\textwidth}\includegraphics[width=\linewidth]{r}\end{subfigure}"
        r"\begin{subfigure}{0.45\textwidth}\includegraphics[width=\linewidth]{g}\end{subfigure}\\"
        r"\includegraphics[width=0.45\textwidth]{b}"
    )
    found = figures(
        tmp_path, source, **{"r.png": picture("red"), "g.png": picture("lime"), "b.pdf": vector(60, 40, "0 0 1")}
    )
    image = shown(found[0].image)
    width, height = image.size
    assert image.getpixel((width // 4, height // 4)) == (255, 0, 0)
    assert image.getpixel((3 * width // 4, height // 4)) == (0, 255, 0)
    assert image.getpixel((width // 2, 3 * height // 4)) == (0, 0, 255)
    assert image.getpixel((2, height - 2)) == (255, 255, 255)


def test_pictures_wider_than_the_line_break_into_rows(tmp_path):
    source = r"\includegraphics[width=0.9\textwidth]{r} \includegraphics[width=0.9\textwidth]{g}"
    found = figures(tmp_path, source, **{"r.png": picture("red"), "g.png": picture("lime")})
    image = shown(found[0].image)
    assert image.height > image.width


@pytest.mark.parametrize(
    ("source", "files"),
    [
        (r"\begin{tikzpicture}\node{\includegraphics{a}};\end{tikzpicture}", {"a.png": picture("red")}),
        (r"\includegraphics{missing}", {}),
        (r"\includegraphics{a}\includegraphics{missing}", {"a.png": picture("red")}),
        (r"\includegraphics{a}", {"a.png": picture("red")[:60]}),
        (r"\includegraphics{a}", {"a.png": picture("red", (1, 1))}),
        (r"\includegraphics{a}", {"a.pdf": b"%PDF-1.4 nothing"}),
        (r"\includegraphics{a}", {"a.png": b"no picture"}),
        ("no picture at all", {}),
    ],
    ids=["tikz", "missing", "half missing", "cut", "1x1", "broken pdf", "noise", "none"],
)
def test_without_a_whole_picture_there_is_none(tmp_path, source, files):
    found = figures(tmp_path, source, **files)
    assert [figure.image for figure in found] == [None]


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    buffer = io.BytesIO()
    Image.new("CMYK", (60, 40), (0, 255, 255, 0)).save(buffer, "JPEG")
    image = figures(tmp_path, r"\includegraphics{a}", **{"a.jpg": buffer.getvalue()})[0].image
    assert Image.open(io.BytesIO(image or b"")).mode == "RGB"


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 72 36\n1 0 0 setrgbcolor 0 0 72 36 rectfill showpage\n%%EOF\n"


@pytest.mark.skipif(shutil.which("gs") is None, reason="needs Ghostscript")
def test_eps_goes_through_ghostscript_which_may_not_touch_other_files(tmp_path):
    image = shown(figures(tmp_path, r"\includegraphics{a}", **{"a.eps": EPS})[0].image)
    assert image.size == (150, 75)
    assert image.getpixel((75, 37)) == (255, 0, 0)
    evil = EPS.replace(b"showpage", f"({tmp_path}/main.tex) deletefile ({tmp_path}/evil) (w) file showpage".encode())
    figures(tmp_path, r"\includegraphics{e}", **{"e.eps": evil})
    assert (tmp_path / "main.tex").exists()
    assert not (tmp_path / "evil").exists()


def test_eps_without_ghostscript_has_no_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert figures(tmp_path, r"\includegraphics{a}", **{"a.eps": EPS})[0].image is None


def test_nothing_is_executed(tmp_path):
    evil = (
        r"\immediate\write18{touch pwned}\input{|touch pwned}\includegraphics{|touch pwned}\openout1=pwned \write1{x}"
    )
    before = {path.name for path in tmp_path.iterdir()}
    figures(tmp_path, evil)
    assert {path.name for path in tmp_path.iterdir()} - before == {"main.tex"}


def test_graphics_of_a_float():
    source = r"""\begin{minipage}{0.5\textwidth}\includegraphics[width=0.8\linewidth,page=3]{a}\end{minipage}

    \includegraphics[width=9.4cm, trim={1 2 3 4}, clip]{b}"""
    (first, second), drawn = find_graphics(source)
    assert (first.name, first.width, first.page, first.row, drawn) == ("a", 0.4, 3, 0, False)
    assert (second.name, second.trim, second.row) == ("b", (1, 2, 3, 4), 1)
    assert second.width == pytest.approx(0.57, abs=0.01)


@pytest.mark.papers
def test_real_papers_are_read_whole(tmp_path, papers_dir):
    from scicap_builder.archive import unpack

    root = unpack(papers_dir / "dev" / "arx2305.03393" / "source.tar.gz", tmp_path).root
    reading = read_latex(root, dpi=50)
    assert [figure.label for figure in reading.figures] == [f"Fig. {n}" for n in range(1, 7)]
    assert all(figure.image and figure.mentions and figure.caption for figure in reading.figures)
    assert reading.title == "Optimized Table Tokenization for Table Structure Recognition"


def test_a_large_picture_is_scaled_down(tmp_path):
    big = encode_png(Image.new("RGB", (4000, 500), "red"))
    assert shown(figures(tmp_path, r"\includegraphics{a}", **{"a.png": big})[0].image).width == 3000


SUPPLEMENT = r"""\documentclass{article}\renewcommand{\thefigure}{S\arabic{figure}}\begin{document}
\begin{figure}\includegraphics{a}\caption{Extra}\label{x}\end{figure}\end{document}"""
WITH_FIGURE = r"""\documentclass{article}\usepackage{xr}\externaldocument[SI-]{supplement}\begin{document}
\begin{figure}\includegraphics{a}\caption{Main}\label{m}\end{figure} Figures~\ref{m} and~\ref{SI-x} show it.\end{document}"""


def test_figures_of_a_supplement_are_counted_and_its_labels_print(tmp_path):
    root = write(tmp_path, **{"main.tex": WITH_FIGURE, "supplement.tex": SUPPLEMENT, "a.png": picture("red")})
    reading = read_latex(root)
    assert [(figure.label, figure.mentions) for figure in reading.figures] == [
        ("Figure 1", ("Figures 1 and S1 show it.",))
    ]
    assert [(item.item, item.reason, item.detail) for item in reading.dropped] == [
        ("Figure S1", "in-supplement", "supplement.tex")
    ]


def test_all_that_the_readme_calls_top_level_is_the_paper(tmp_path):
    readme = "main.tex toplevelfile\nsupplement.tex toplevelfile\n"
    files = {"main.tex": WITH_FIGURE, "supplement.tex": SUPPLEMENT, "00README.XXX": readme, "a.png": picture("red")}
    reading = read_latex(write(tmp_path, **files))
    assert [figure.label for figure in reading.figures] == ["Figure 1", "Figure S1"]
    assert reading.dropped == ()


def test_viewport_shows_a_part(tmp_path):
    option = "viewport=0 0 72 36, clip"
    found = figures(tmp_path, rf"\includegraphics[{option}]{{a.pdf}}", **{"a.pdf": vector(144, 72)})
    assert shown(found[0].image).size == (150, 75)


def test_panels_know_their_place_in_a_composed_picture(tmp_path):
    source = r"\subfloat[One]{\includegraphics[width=4cm]{r}}\subfloat[Two]{\includegraphics[width=4cm]{g}}"
    files = {"r.png": picture("red"), "g.png": picture("lime")}
    found = figures(tmp_path, source, r"\usepackage{subfig}", **files)[0]
    image = shown(found.image)
    for panel, color in zip(found.panels, [(255, 0, 0), (0, 255, 0)], strict=True):
        assert panel.box is not None
        middle = [(panel.box[i] + panel.box[i + 2]) / 2 for i in (0, 1)]
        assert image.getpixel((int(middle[0] * image.width), int(middle[1] * image.height))) == color


def test_no_box_where_a_picture_stands_outside_of_the_panels(tmp_path):
    source = r"\includegraphics{r}\subfloat[One]{\includegraphics{g}}\subfloat[Two]{drawn}"
    files = {"r.png": picture("red"), "g.png": picture("lime")}
    found = figures(tmp_path, source, r"\usepackage{subfig}", **files)[0]
    assert [(panel.letter, panel.box) for panel in found.panels] == [("a", None), ("b", None)]
