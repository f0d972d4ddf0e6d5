"""Numbers, captions, references and citing paragraphs as the printed paper has them: the traps of real sources, one by one."""

import pytest

from scicap_builder.latex.expand import expand
from scicap_builder.latex.paper import SourcePaper, read_paper


def read(body: str, preamble: str = r"\documentclass{article}") -> SourcePaper:
    return read_paper(expand(preamble + "\n\\begin{document}\n" + body + "\n\\end{document}", lambda name, ends: None))


def figure(caption: str = "C", label: str = "", more: str = "", env: str = "figure") -> str:
    named = rf"\label{{{label}}}" if label else ""
    return rf"\begin{{{env}}}\includegraphics{{p}}\caption{{{caption}}}{named}{more}\end{{{env}}}" + "\n\n"


def labels(paper: SourcePaper) -> list[str]:
    return [found.label for found in paper.figures]


def mentions(paper: SourcePaper) -> list[tuple[str, ...]]:
    return [found.mentions for found in paper.figures]


@pytest.mark.parametrize("env", ["figure", "figure*", "wrapfigure", "SCfigure", "sidewaysfigure", "teaserfigure"])
def test_every_kind_of_figure_counts(env):
    assert labels(read(figure(env=env) + figure())) == ["Figure 1", "Figure 2"]


def test_tables_algorithms_and_uncaptioned_floats_take_no_figure_number():
    body = (
        r"\begin{figure}\includegraphics{p}\end{figure}"
        r"\begin{figure}\includegraphics{p}\caption*{Not numbered}\end{figure}"
        r"\begin{table}\caption{T}\label{t}\end{table}\begin{algorithm}\caption{A}\end{algorithm}" + figure("Only", "f")
    )
    paper = read(body + r"Table~\ref{t} and Figure~\ref{f} here.")
    assert labels(paper) == ["Figure 1"]
    assert mentions(paper) == [("Table 1 and Figure 1 here.",)]
    assert [item.reason for item in paper.dropped] == ["no-number", "no-number"]


def test_two_captions_in_one_float_are_two_figures_with_their_own_labels_and_pictures():
    body = r"""\begin{figure}
    \begin{minipage}{.5\textwidth}\includegraphics{a}\caption{First}\label{one}\end{minipage}
    \begin{minipage}{.5\textwidth}\includegraphics{b}\caption{Second}\label{two}\end{minipage}
    \end{figure} Figure~\ref{two} differs from the rest.

    See Figure~\ref{one} too."""
    paper = read(body)
    assert [(f.number, f.caption, [g.name for g in f.graphics]) for f in paper.figures] == [
        ("1", "First", ["a"]),
        ("2", "Second", ["b"]),
    ]
    assert mentions(paper) == [("See Figure 1 too.",), ("Figure 2 differs from the rest.",)]


def test_two_captions_without_minipages_share_out_the_pictures_in_order():
    paper = read(r"\begin{figure}\includegraphics{a}\caption{A}\includegraphics{b}\caption{B}\end{figure}")
    assert [[g.name for g in f.graphics] for f in paper.figures] == [["a"], ["b"]]


def test_label_before_the_caption_still_names_the_figure():
    paper = read(r"\begin{figure}\label{f}\caption{C}\end{figure} As Figure \ref{f} shows.")
    assert mentions(paper) == [("As Figure 1 shows.",)]


def test_captionof_outside_and_inside_of_a_table():
    body = r"""\begin{center}\includegraphics{a}\captionof{figure}{Loose}\label{l}\end{center}

    \begin{table}\captionof{figure}{In a table}\caption{T}\end{table}

    Look at Figure \ref{l}."""
    paper = read(body)
    assert [(f.number, f.caption) for f in paper.figures] == [("1", "Loose"), ("2", "In a table")]
    assert [g.name for g in paper.figures[0].graphics] == ["a"]
    assert paper.figures[0].mentions == ("Look at Figure 1.",)


def test_continued_float_is_one_figure():
    body = r"""\begin{figure}\includegraphics{a}\caption{Whole}\label{a}\end{figure}
    \begin{figure}\ContinuedFloat\includegraphics{b}\caption{(continued)}\label{b}\end{figure}""" + figure("Next")
    paper = read(body + r"Panel in Figure~\ref{b} is cited.")
    assert [(f.number, f.caption, len(f.graphics)) for f in paper.figures] == [("1", "Whole", 2), ("2", "Next", 1)]
    assert paper.figures[0].mentions == ("Panel in Figure 1 is cited.",)


def test_continued_float_whose_caption_comes_last():
    body = r"""\begin{figure}\includegraphics{a}\end{figure}\begin{figure}\ContinuedFloat\includegraphics{b}
    \caption{Both}\end{figure}"""
    paper = read(figure("Before") + body)
    assert [(f.caption, [g.name for g in f.graphics]) for f in paper.figures] == [
        ("Before", ["p"]),
        ("Both", ["a", "b"]),
    ]
    assert paper.dropped == ()


def test_counter_set_back_by_hand_for_a_continued_figure():
    body = figure("Whole") + r"\addtocounter{figure}{-1}" + figure(r"\emph{(Cont'd)} more") + figure("Next")
    assert [(f.number, f.caption, len(f.graphics)) for f in read(body).figures] == [("1", "Whole", 2), ("2", "Next", 1)]


def test_same_label_twice_goes_to_the_last():
    paper = read(figure("One", "f") + figure("Again", "f") + r"Figure \ref{f} is cited.")
    assert mentions(paper) == [(), ("Figure 2 is cited.",)]


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (r"\setcounter{figure}{4}", ["Figure 5", "Figure 6"]),
        (r"\addtocounter{figure}{1}", ["Figure 2", "Figure 3"]),
        (r"\renewcommand{\thefigure}{S\arabic{figure}}", ["Figure S1", "Figure S2"]),
        (r"\renewcommand\thefigure{\Roman{figure}}", ["Figure I", "Figure II"]),
        (r"\def\thefigure{\@arabic\c@figure}", ["Figure 1", "Figure 2"]),
        (r"\renewcommand{\figurename}{Fig.}", ["Fig. 1", "Fig. 2"]),
        (r"\renewcommand{\figurename}{Supplementary Figure}", ["Supplementary Figure 1", "Supplementary Figure 2"]),
        (r"\renewcommand{\thefigure}{Extra~\arabic{figure}}", ["Figure Extra 1", "Figure Extra 2"]),
        (r"\numberwithin{figure}{section}\section{S}", ["Figure 1.1", "Figure 1.2"]),
        (r"\appendix\counterwithin{figure}{section}\section{S}", ["Figure A.1", "Figure A.2"]),
        (r"\appendix\renewcommand{\thefigure}{\thesection\arabic{figure}}\section{S}", ["Figure A1", "Figure A2"]),
    ],
)
def test_numbers_are_as_the_paper_sets_them(setup, expected):
    assert labels(read(setup + figure() + figure())) == expected


def test_figures_of_a_book_are_numbered_by_chapter():
    body = (
        figure()
        + r"\chapter{One}"
        + figure()
        + figure()
        + r"\chapter{Two}"
        + figure()
        + r"\appendix\chapter{A}"
        + figure()
    )
    assert labels(read(body, r"\documentclass{report}")) == [f"Figure {n}" for n in ("1", "1.1", "1.2", "2.1", "A.1")]


def test_new_section_resets_figures_numbered_within_it():
    body = r"\section{A}" + figure() + r"\section{B}" + figure()
    assert labels(read(body, r"\documentclass{article}\numberwithin{figure}{section}")) == ["Figure 1.1", "Figure 2.1"]


@pytest.mark.parametrize(
    ("cite", "text", "cited"),
    [
        (r"Fig.~\ref{a}", "Fig. 1", [0]),
        (r"\autoref{b}", "Figure 2", [1]),
        (r"\cref{a,c}", "Figures 1 and 3", [0, 2]),
        (r"\Cref{a,b,c}", "Figures 1 to 3", [0, 1, 2]),
        (r"\crefrange{a}{c}", "Figures 1 to 3", [0, 1, 2]),
        (r"Figs.~\ref{a}--\ref{c}", "Figs. 1–3", [0, 1, 2]),
        (r"Figs.~\ref{a} and \ref{c}", "Figs. 1 and 3", [0, 2]),
        (r"Figure~\ref{b}(a) and \ref{c}b", "Figure 2(a) and 3b", [1, 2]),
        (r"\hyperref[b]{the second figure}", "the second figure", [1]),
        (r"\cref{a,sec}", "Figure 1 and Section 1", [0]),
        (r"\Cref{sec}", "Section 1", []),
        (r"\ref{nowhere}", "??", []),
        (r"$x_{\ref{a}}$", "x_1", [0]),
        (r"\myref{c}", "Figure 3", [2]),
        (r"\figref{x}", "Figure 4", [3]),
        (r"the subplots \subref{pb}", "the subplots (b)", [3]),
        (r"Fig.~\ref{pa}", "Fig. 4a", [3]),
    ],
)
def test_references_read_as_printed_and_cite_their_figures(cite, text, cited):
    panels = (
        r"\begin{figure}\begin{subfigure}{.4\textwidth}\includegraphics{x}\caption{p}\label{pa}\end{subfigure}"
        r"\subfloat[q\label{pb}]{\includegraphics{y}}\caption{Panels}\label{fig:x}\end{figure}"
    )
    floats = figure("A", "a") + figure("B", "b") + figure("C", "c") + panels
    paper = read(
        r"\section{S}\label{sec}" + floats + "\n\nWe look at " + cite + " here.",
        r"\newcommand{\myref}[1]{Figure~\ref{#1}}",
    )
    assert [i for i, f in enumerate(paper.figures) if f.mentions] == cited
    assert all(f.mentions == (f"We look at {text} here.",) for f in paper.figures if f.mentions)


def test_typed_numbers_count_only_where_the_paper_does_not_use_labels():
    floats = figure("A", "a") + figure("B")
    paper = read(floats + "Figure~\\ref{a} is ours.\n\nTheir Figure 1 is not.\n\nFigure 2 is typed.")
    assert mentions(paper) == [("Figure 1 is ours.",), ("Figure 2 is typed.",)]


def test_mentions_keep_reading_order_and_leave_out_captions_and_comments():
    body = (
        r"\section{Figure \ref{f}} First, Figure~\ref{f}. % not \ref{g}"
        + "\n\n"
        + figure("See Figure~\\ref{g}", "f")
        + figure("B", "g")
        + r"\begin{thebibliography}{9}\bibitem{x} Fig. \ref{g}\end{thebibliography}\appendix In the appendix, Figure~\ref{f}."
    )
    assert mentions(read(body)) == [("First, Figure 1.", "In the appendix, Figure 1."), ()]


def test_a_float_or_an_equation_within_a_paragraph_does_not_split_it():
    body = (
        "Start of it\n"
        + figure("C", "f").strip()
        + "\nthat goes on with\n\\begin{equation}x\\end{equation}\nand Figure~\\ref{f}."
    )
    assert mentions(read(body)) == [("Start of it that goes on with [eq] and Figure 1.",)]


def test_items_and_run_in_headings_are_paragraphs_of_their_own():
    body = figure("C", "f") + (
        r"Before:\begin{itemize}\item One, Figure~\ref{f}.\item Two.\end{itemize}\paragraph{Head.} Run in, Figure~\ref{f}."
    )
    assert mentions(read(body)) == [("One, Figure 1.", "Head. Run in, Figure 1.")]


def test_equations_tables_and_sections_are_numbered_for_the_text():
    body = (
        r"\section{S}\subsection{T}\label{t}\begin{align}a\\b\label{e}\nonumber\\c\end{align}"
        + figure("C", "f")
        + r"Figure~\ref{f}, Section~\ref{t}, Equation~\eqref{e}."
    )
    assert mentions(read(body)) == [("Figure 1, Section 1.1, Equation (2).",)]


@pytest.mark.parametrize(
    ("preamble", "body", "title"),
    [
        (r"\title[short]{The \emph{whole} title\thanks{us}}", r"\maketitle", "The whole title"),
        ("", r"\title{First\\ second}\maketitle", "First second"),
        ("", r"{\Large \textbf\newline{PLOS title}} text \section{X}", "PLOS title"),
        (r"\icmltitle{ICML title}", "", "ICML title"),
        ("", "nothing", ""),
    ],
)
def test_titles(preamble, body, title):
    assert read(body, preamble).title == title


@pytest.mark.parametrize(
    "body",
    [
        r"\begin{abstract} We do %s. \end{abstract}",
        r"\abstract{We do %s.}",
        r"\section*{Abstract} We do %s. \section{Introduction} Other.",
        r"\IEEEtitleabstractindextext{\begin{abstract}We do %s.\end{abstract}}",
    ],
)
def test_abstracts(body):
    what = "many things that take more than a line to tell, for an abstract is never shorter than this"
    assert read(body % what).abstract == f"We do {what}."


def test_figures_shown_in_a_listing_are_none():
    assert (
        read("\\begin{verbatim}\n" + figure("Sample") + "\\end{verbatim}\n" + figure("Real")).figures[0].caption
        == "Real"
    )


def test_plain_text_without_a_document_environment_is_read():
    paper = read_paper(
        expand(r"\begin{figure}\caption{C}\label{f}\end{figure} Figure~\ref{f}.", lambda name, ends: None)
    )
    assert mentions(paper) == [("Figure 1.",)]
