"""Small papers in the dialects of many classes: numbers, references and sub-figures as LaTeX itself prints them.

The truth beside the papers comes out of LaTeX (`latex_papers/truth.py`), not out of this reader.
"""

import json
import re
from pathlib import Path

import pytest

from scicap_builder.latex.expand import expand
from scicap_builder.latex.paper import SourcePaper, read_paper, read_targets

PAPERS = Path(__file__).parent / "latex_papers"
NAMES = sorted(path.stem for path in PAPERS.glob("*.tex"))
GIVEN_BY_PACKAGES = {"fn", "step"}
"""Labels of a footnote and of a line of an algorithm: these counters are not kept."""


def text_of(name: str) -> str:
    return expand((PAPERS / f"{name}.tex").read_text(encoding="utf-8"), lambda file, ends: None)


def truth_of(name: str) -> dict:
    return json.loads((PAPERS / f"{name}.json").read_text(encoding="utf-8"))


def paper_of(name: str) -> SourcePaper:
    return read_paper(text_of(name))


def flat(text: str) -> str:
    return re.sub(r"[\s()$]", "", text)


def test_there_are_papers():
    assert len(NAMES) >= 11


@pytest.mark.parametrize("name", NAMES)
def test_every_label_has_the_number_that_latex_gives_it(name):
    targets = read_targets(text_of(name))
    labels = {key: flat(number) for key, number in truth_of(name)["labels"].items() if key not in GIVEN_BY_PACKAGES}
    assert {key: flat(targets[key].number) if key in targets else "??" for key in labels} == labels


@pytest.mark.parametrize("name", [name for name in NAMES if truth_of(name)["figures"]])
def test_the_figures_are_those_of_the_list_of_figures(name):
    numbers = [figure.number for figure in paper_of(name).figures if figure.label.upper().startswith("FIG")]
    assert sorted(numbers) == truth_of(name)["figures"]


@pytest.mark.parametrize("name", [name for name in NAMES if truth_of(name)["printed"] and name != "article"])
def test_references_read_as_they_are_printed(name):
    told = [flat(mention) for figure in paper_of(name).figures for mention in figure.mentions]
    for line in truth_of(name)["printed"]:
        assert any(flat(line) in mention for mention in told), line


def panels(name: str, label: str) -> list[tuple[str, str]]:
    figure = next(figure for figure in paper_of(name).figures if figure.label == label)
    return [(panel.letter, panel.caption) for panel in figure.panels]


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("article", "Figure 2", [("a", "Left panel with α_1."), ("b", "Right panel.")]),
        ("article", "Figure 3", [("a", "Box one"), ("b", "Box two"), ("c", "Box three")]),
        ("ieee", "Fig. 1", [("a", "Case I"), ("b", "Case II, x < 1"), ("c", "")]),
        ("acm", "Figure 2", [("a", "One"), ("b", "Two")]),
        ("elsevier", "Figure 1", [("a", "First"), ("b", "Second")]),
        ("aastex", "Figure 3", [("a", "First panel"), ("b", "Second"), ("c", ""), ("d", "")]),
        ("jmlr", "Figure 1", [("a", "One"), ("b", "Two")]),
        ("misc", "Fig. 3", [("a", "A cat"), ("b", "A dog")]),
        ("article", "Figure 1", []),
    ],
)
def test_sub_figures_have_letters_and_captions(name, label, expected):
    assert panels(name, label) == expected


def read(body: str, preamble: str = r"\documentclass{article}") -> SourcePaper:
    return read_paper(expand(preamble + "\n\\begin{document}\n" + body + "\n\\end{document}", lambda name, ends: None))


def test_panels_that_only_the_caption_tells_of():
    found = read(r"\begin{figure}\includegraphics{p}\caption{Growth. (a) Rats. (b) Mice.}\end{figure}").figures[0]
    assert [panel.letter for panel in found.panels] == ["a", "b"]


def test_the_caption_fills_sub_figures_without_words():
    body = (
        r"\begin{figure}\subfloat[]{\includegraphics{p}}\subfloat[]{\includegraphics{q}}"
        r"\caption{Growth of (a) rats and (b) mice.}\end{figure}"
    )
    found = read(body, r"\documentclass{article}\usepackage{subfig}").figures[0]
    assert [(panel.letter, panel.caption != "") for panel in found.panels] == [("a", True), ("b", True)]


def test_capital_letters_of_sub_figures():
    body = (
        r"\renewcommand{\thesubfigure}{\Alph{subfigure}}\begin{figure}"
        r"\begin{subfigure}{3cm}\caption{One}\label{x}\end{subfigure}\begin{subfigure}{3cm}\caption{Two}\end{subfigure}"
        r"\caption{Both}\end{figure} Figure~\ref{x} is it."
    )
    found = read(body).figures[0]
    assert [panel.letter for panel in found.panels] == ["A", "B"]
    assert found.mentions == ("Figure 1A is it.",)


@pytest.mark.parametrize(
    "setup",
    [
        r"\renewcommand\appendix{\par\setcounter{section}{0}\gdef\thesection{\Alph{section}}"
        r"\@addtoreset{figure}{section}\gdef\thefigure{\thesection.\arabic{figure}}}",
        r"\appto{\appendix}{\counterwithin{figure}{section}}",
        r"\makeatletter\g@addto@macro\appendix{\counterwithin{figure}{section}}\makeatother",
    ],
)
def test_what_a_paper_adds_to_its_appendix_holds_there_and_not_before(setup):
    one = r"\begin{figure}\includegraphics{p}\caption{C}\end{figure}"
    paper = read(rf"\section{{S}}{one}\section{{T}}{one}\appendix\section{{A}}{one}", r"\documentclass{own}" + setup)
    assert [figure.number for figure in paper.figures] == ["1", "2", "A.1"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("", "fig. 1 and Figure 1, eq. (1)"),
        ("[capitalise]", "Fig. 1 and Figure 1, Eq. (1)"),
        ("[noabbrev]", "figure 1 and Figure 1, equation (1)"),
        ("[capitalise,noabbrev]", "Figure 1 and Figure 1, Equation (1)"),
    ],
)
def test_cleverefs_options(options, text):
    body = (
        r"\begin{figure}\includegraphics{p}\caption{C}\label{f}\end{figure}\begin{equation}x\label{e}\end{equation}"
        "\n\n" + r"See \cref{f} and \Cref{f}, \cref{e}."
    )
    paper = read(body, rf"\documentclass{{article}}\usepackage{options}{{cleveref}}")
    assert paper.figures[0].mentions == (f"See {text}.",)


def test_inline_maths_side_by_side_is_no_display():
    body = r"\begin{figure}\includegraphics{p}\caption{C}\label{f}\end{figure}At $\phi$$\approx$$0.5$ see \ref{f}; \$5 $$x$$ end."
    assert read(body).figures[0].mentions == ("At ϕ≈0.5 see 1; $5 [eq] end.",)
