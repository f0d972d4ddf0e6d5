"""LaTeXML's pages give the figures, captions, panels and citing paragraphs that their source gives; broken pages cost themselves.

`fixtures/html/leaves.html` was made from `leaves.tex` beside it: latexmlc --format=html5 --pmml --nodefaultresources leaves.tex
"""

import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from llava_graph.errors import PaperError
from scicap_builder.html import read_html
from scicap_builder.html.prose import math_of, read_prose
from scicap_builder.html.tree import MAX_BYTES, parse
from scicap_builder.latex import read_latex

LEAVES = Path(__file__).parent / "fixtures" / "html" / "leaves.html"


def page(body: str, folder: Path) -> Path:
    file = folder / "paper.html"
    file.write_text(f'<!DOCTYPE html><html><body class="ltx_document">{body}</body></html>', encoding="utf-8")
    return file


def figure(number: str, caption: str, inside: str = "") -> str:
    tag = f'<span class="ltx_tag ltx_tag_figure">{number}: </span>'
    return f'<figure id="F{number[-1]}" class="ltx_figure">{inside}<figcaption class="ltx_caption">{tag}{caption}</figcaption></figure>'


def paragraph(text: str) -> str:
    return f'<div class="ltx_para"><p class="ltx_p">{text}</p></div>'


def link(target: str, text: str) -> str:
    return f'<a href="{target}" class="ltx_ref"><span class="ltx_text ltx_ref_tag">{text}</span></a>'


def by_label(path: Path):
    return {found.label: found for found in read_html(path).figures}


def test_the_page_says_what_its_source_says(tmp_path):
    shutil.copy(LEAVES.with_suffix(".tex"), tmp_path)
    source, reading = read_latex(tmp_path), read_html(LEAVES)
    assert (reading.title, reading.abstract) == (source.title, source.abstract)
    assert [(f.label, f.number, f.caption) for f in reading.figures] == [
        (f.label, f.number, f.caption) for f in source.figures
    ]
    for one, other in zip(reading.figures, source.figures, strict=True):
        if one.label in ("Figure 3", "Figure 4"):  # LaTeXML gives both minipages of the float one id
            continue
        assert [text[:25] for text in one.mentions] != [] or other.mentions == ()
        assert len(one.mentions) == len(other.mentions)


def test_captions_read_like_those_of_the_source():
    figures = by_label(LEAVES)
    assert figures["Figure 1"].caption == "The set-up: a fan, a leaf and σ_x^2 ≈ 3 mm of air [cite]."
    assert [(p.letter, p.caption, p.box) for p in figures["Figure 2"].panels] == [
        ("a", "Oak leaves, n = 10.", None),
        ("b", "Birch leaves.", None),
    ]
    assert all(found.route == "html" and found.image is None for found in figures.values())


def test_two_captions_in_one_float_are_two_figures_each_once():
    figures = by_label(LEAVES)
    assert figures["Figure 3"].caption == "Wind of the first day."
    assert figures["Figure 4"].caption == "Wind of the second day."
    assert len(read_html(LEAVES).figures) == 8


def test_mentions_are_paragraphs_of_running_text():
    figures = by_label(LEAVES)
    [after_figure, item] = figures["Figure 5"].mentions
    assert after_figure.endswith("as a paragraph that is broken by a figure says; see Fig. 5.")
    assert item == "First, Figure 5(a) is small."
    assert (
        "As figs. 2 and 4 show, speed v = a/b grows with [eq] and then stays the same." in figures["Figure 2"].mentions
    )
    assert figures["Figure 7"].mentions == ()
    everything = " ".join(text for found in figures.values() for text in found.mentions)
    assert "A table that cites" not in everything
    assert "see Figure 2 there" not in everything
    assert "Figure 1 typed" not in everything


def test_a_footnote_cites_where_it_hangs():
    [first, *_] = by_label(LEAVES)["Figure 2"].mentions
    assert first.endswith("We follow earlier work [cite] [See also Figure 2 for a note.].")


def test_links_as_arxiv_writes_them(tmp_path):
    text = LEAVES.read_text(encoding="utf-8").replace('href="#', 'href="https://arxiv.org/html/2501.00001v2#')
    text = text.replace("ltx_figure ltx_flex_size_2", "ltx_figure ltx_figure_panel")
    (tmp_path / "paper.html").write_text(text, encoding="utf-8")
    assert read_html(tmp_path / "paper.html").figures == read_html(LEAVES).figures


def test_a_number_that_is_typed_counts_where_nothing_links(tmp_path):
    reading = read_html(
        page(
            figure("Figure 1", "One.") + figure("Figure 2", "Two.") + figure("Figure 3", "Three.")
            + paragraph("Fig. 1 is typed.")
            + paragraph(f"Figs. {link('#F1', '1')}–{link('#F3', '3')} as a range.")
            + paragraph(f"Not {link('#F3', 'Figure 3')} of theirs, but Fig. 2 of [7]."),
            tmp_path,
        )
    )  # fmt: skip
    assert [found.mentions for found in reading.figures] == [
        ("Figs. 1–3 as a range.",),
        ("Figs. 1–3 as a range.",),
        ("Figs. 1–3 as a range.", "Not Figure 3 of theirs, but Fig. 2 of [7]."),
    ]


def test_floats_that_are_no_figures(tmp_path):
    table = (
        '<figure class="ltx_figure" id="T1"><figcaption class="ltx_caption">'
        '<span class="ltx_tag ltx_tag_table">Table 1: </span>Numbers.</figcaption></figure>'
    )
    bare = '<figure class="ltx_figure" id="F9"><img class="ltx_graphics" src="x.png"></figure>'
    other_language = figure("Abbildung 4", "Auf Deutsch.")
    reading = read_html(page(table + bare + other_language, tmp_path))
    assert [(f.label, f.number, f.caption) for f in reading.figures] == [("Abbildung 4", "4", "Auf Deutsch.")]
    assert [(item.item, item.reason) for item in reading.dropped] == [("unnumbered figure", "no-number")]


def test_pictures_only_from_the_folder_of_the_page(tmp_path):
    folder = tmp_path / "paper"
    (folder / "x").mkdir(parents=True)
    for place in (folder / "x" / "one.png", folder / "one.svg", tmp_path / "secret.png"):
        Image.new("RGB", (30, 20), "red").save(place, format="PNG")
    sources = [
        "x/one.png",
        "./x/one.png",
        "one.svg",
        "../secret.png",
        str(tmp_path / "secret.png"),
        "http://x.org/one.png",
    ]
    images = [f'<img class="ltx_graphics" src="{source}">' for source in sources]
    body = "".join(figure(f"Figure {n}", f"Number {n}.", image) for n, image in enumerate(images, 1))
    reading = read_html(page(body, folder))
    assert [found.image is not None for found in reading.figures] == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\chi^{2}\leq 10^{-3}", "χ^2 ≤ 10^-3"),
        (r"\displaystyle\frac{a+b}{c}", "(a+b)/c"),
        ("x%\n+y", "x+y"),
        (r"\sqrt{\text{signal}}", "√signal"),
    ],
)
def test_maths_is_read_from_its_tex(tex, text):
    root = parse(f'<p class="ltx_p"><math alttext="{tex}"><mi>z</mi></math></p>'.encode())
    assert math_of(root.find(".//math")) == text


def test_maths_without_tex_is_read_from_its_letters():
    root = parse(b'<p class="ltx_p">so <math><mi>a</mi><mo>+</mo><mi>b</mi></math> goes</p>')
    assert read_prose(root).text == "so a+b goes"


def test_nothing_of_a_page_is_run_or_fetched(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET")
    file = tmp_path / "paper.html"
    bombs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    file.write_text(
        f'<!DOCTYPE html [<!ENTITY e0 "boom"><!ENTITY file SYSTEM "{secret.as_uri()}">{bombs}]><html><body>'
        + paragraph("As Fig. 1 shows &file; &e8; <script>document.write('evil')</script> nothing runs.")
        + figure("Figure 1", "A <script>alert(1)</script> caption."),
        encoding="utf-8",
    )
    [found] = read_html(file).figures
    assert found.caption == "A caption."
    assert not {"SECRET", "boom", "evil"} & set(" ".join(found.mentions).replace(".", " ").split())


def test_what_is_nested_without_sense_is_left_out(tmp_path):
    deep = "<span class='ltx_text'>" * 100_000 + "deep" + "</span>" * 100_000
    body = figure("Figure 1", "Kept.") + paragraph("See Figure 1 " + deep) + "<div>" * 50_000
    [found] = read_html(page(body, tmp_path)).figures
    assert (found.caption, found.mentions) == ("Kept.", ("See Figure 1",))


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"<html><body><p>A page of somebody's.</p></body></html>"])
def test_what_is_no_paper_is_refused_by_name(data):
    with pytest.raises(PaperError) as caught:
        parse(data, "a.html")
    assert (caught.value.reason, caught.value.where) == ("not-latexml", "a.html")


def test_pages_have_a_size_limit_and_must_be_there(tmp_path):
    with pytest.raises(PaperError, match="64 MB") as caught:
        parse(b" " * (MAX_BYTES + 1))
    assert caught.value.reason == "html-too-large"
    with pytest.raises(PaperError) as caught:
        read_html(tmp_path / "none.html")
    assert caught.value.reason == "missing-file"


def test_spoilt_pages_never_crash(tmp_path):
    """Cuts, flipped bytes and pieces in wrong places: a reading or a PaperError."""
    whole, rng, file = LEAVES.read_bytes(), random.Random(7), tmp_path / "paper.html"
    for _ in range(100):
        data = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.5 else whole)
        for _ in range(rng.randrange(60)):
            place = rng.randrange(len(data) + 1)
            data[place : place + rng.randrange(3)] = rng.choice(
                [b"<", b">", b'"', b"\0", b"\xff", b"</div>", b"&#x110000;"]
            )
        file.write_bytes(bytes(data))
        with suppress(PaperError):
            assert len(read_html(file).figures) <= 60
