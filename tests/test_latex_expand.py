"""Comments, macros, conditionals and inputs: what TeX would read, without running TeX."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scicap_builder.latex.expand import expand
from scicap_builder.latex.paper import read_paper
from scicap_builder.latex.tokens import join, strip_comments, tokenize


def expanded(source: str, **files: str) -> str:
    names = {name.replace("__", "/"): text for name, text in files.items()}
    return expand(source, lambda name, ends: next((names[name + end] for end in ends if name + end in names), None))


@pytest.mark.parametrize(
    ("source", "clean"),
    [
        ("a % note\nb", "a b"),
        ("a 5\\% b % note", "a 5\\% b "),
        ("%\\begin{comment}\nkept\n%\\end{comment}\n", "kept\n"),
        ("a\\begin{comment}gone\n\\end{comment}b", "ab"),
        ("\\url{http://x.org/a%20b} c % d", "\\url{http://x.org/a%20b} c "),
        ("\\verb|50%| of", "\\verb|50%| of"),
        ("end % note\n\nnew", "end \n\nnew"),
        ("a\\\\% note\nb", "a\\\\b"),
        ("\\begin{verbatim}\n% no comment\n\\end{verbatim}", "\\begin{verbatim}\n% no comment\n\\end{verbatim}"),
    ],
)
def test_comments_go_and_text_stays(source, clean):
    assert strip_comments(source) == clean


@pytest.mark.parametrize(
    ("source", "result"),
    [
        (r"\newcommand{\x}{text}\x{} \x.", "text{} text."),
        (r"\newcommand\pair[2][one]{(#1, #2)}\pair{b} \pair[a]{b}", "(one, b) (a, b)"),
        (r"\def\Fig#1{Figure~\ref{fig:#1}}\Fig{sho}", r"Figure~\ref{fig:sho}"),
        (r"\def\at(#1)#2.{#1 at #2}\at(x)y. z", "x at y z"),
        (r"\newcommand{\outer}{\inner}\newcommand{\inner}[1]{<#1>}\outer{a}", "<a>"),
        (r"\newcommand{\tool}{Tuner\xspace}\tool is, \tool, \tool{}s", "Tuner is, Tuner, Tuner{}s"),
        (r"\newcommand{\a}{\alpha}$\a b$", r"$\alpha b$"),
        (r"\let\oldcite\cite\renewcommand{\cite}[1]{X}\oldcite{k}", r"\cite{k}"),
        (r"\let\oldeq\eqref\renewcommand{\eqref}[1]{Eq.~\oldeq{#1}}\eqref{a}", r"Eq.~\eqref{a}"),
        (r"\NewDocumentCommand{\both}{s O{x} m}{#2#3}\both*[y]{z}\both{z}", "yzxz"),
        (
            r"\newenvironment{shot}[1]{\begin{figure}#1}{\end{figure}}\begin{shot}{A}b\end{shot}",
            r"\begin{figure}Ab\end{figure}",
        ),
        (r"\renewcommand{\section}[1]{junk}\section{Kept}", r"\section{Kept}"),
        (r"\providecommand{\alpha}{no}\alpha", r"\alpha"),
        (r"a\iffalse gone \ifx\a\b x\fi\else kept\fi{} b", "akept{} b"),
        (r"\newif\ifdraft\ifdraft secret\else open\fi", "open"),
        (r"\newif\ifdraft\drafttrue\ifdraft draft\else open\fi", "draft"),
        (r"\ifdefined\nothing a\else b\fi", "b"),
        (r"\ifnum\value{page}>3 long\else short\fi", "long"),
        (r"\ifnum1=0 gone\else kept\fi", "kept"),
        (r"\ifthenelse{\equal{a}{b}}{yes}{no}", "no"),
        (r"\fi\iffalse never closed", "never closed"),
    ],
)
def test_macros_and_conditionals(source, result):
    assert expanded(source).replace("  ", " ").strip() == result.strip()


def test_definition_of_the_figure_number_stays():
    assert r"\renewcommand{\thefigure}{S\arabic{figure}}" in expanded(r"\def\thefigure{S\arabic{figure}}")


def test_inputs_stand_in_their_place():
    text = expanded(
        r"a \input{sec/one} d \input two" + "\n e", sec__one__tex="", **{"sec__one.tex": "b % c", "two.tex": "x"}
    )
    assert text.split() == ["a", "b", "d", "x", "e"]


def test_a_file_that_includes_itself_ends():
    assert expanded(r"\input{me}", **{"me.tex": r"x \input{me} "}).count("x") == 1


def test_included_document_gives_its_body_and_its_macros():
    part = r"\documentclass[../main.tex]{subfiles}\newcommand{\me}{Sub}\title{No}\begin{document}\me\end{document}"
    text = expanded(r"\begin{document}a \subfile{part} z\end{document} after", **{"part.tex": part})
    assert text == r"\begin{document}a Sub z\end{document}"


def test_macros_of_a_local_class_are_known_but_its_machinery_is_not_run():
    cls = r"\newcommand{\FIG}[1]{Fig.~\ref{#1}}\def\section{\@startsection}\newcommand{\mail}[1]{\gdef\@mail{#1}}\def\caption{junk}"
    text = expanded(
        r"\documentclass{local}\begin{document}\FIG{a} \mail{me} \section{S}\caption{C}", **{"local.cls": cls}
    )
    assert r"Fig.~\ref{a}" in text
    assert r"\section{S}\caption{C}" in text
    assert "junk" not in text


@pytest.mark.parametrize(
    "bomb",
    [
        r"\def\a{\a}\a",
        r"\def\a{\a\a}\a",
        r"\def\a{\b\b}\def\b{\a\a}\a",
        r"\def\a#1{\a{#1#1}}\a{xxxxxxxxxx}",
        r"\newenvironment{e}{\begin{e}}{\end{e}}\begin{e}\end{e}",
        "".join(rf"\def\{chr(97 + i)}{{" + rf"\{chr(98 + i)}" * 50 + "}" for i in range(12)) + r"\a",
    ],
    ids=["loop", "doubling", "mutual", "growing", "environment", "billion laughs"],
)
def test_expansion_bombs_end_within_the_budget(bomb):
    start = time.monotonic()
    text = expanded(bomb + " survives")
    assert text.endswith("survives")
    assert time.monotonic() - start < 30


SOUP_WORDS = r"""
\begin{figure} \end{figure} \begin{equation} \end{equation} \begin{verbatim} \end{verbatim} \caption{ \caption[ } { ] [ $ $$ \[ \]
\( \) \label{a} \ref{a} \cref{a,b} \def\a{\b} \def\b{\a\a} \newcommand{\c}[2]{#1\c#2} \a \b \c # #1 % & ~ ^ _ \iffalse \ifx \else
\fi \newif\ifz \ztrue \input{x} \frac \sqrt \text{ \left. \right) \footnote{ \subfigure[ \begin{ \end \\ \ContinuedFloat \section{
\item \verb|x \verb+ \let\a=\b \begin{document} \end{document} \renewcommand{\thefigure}{\thefigure} \setcounter{figure}{9}
\numberwithin{figure}{figure} \appendix \includegraphics{a} \captionof{figure}{x} \begin{minipage}{1em} \end{minipage} \hat \'
\begin{subequations} \end{subequations} \begin{subfigure}{1em} \end{subfigure} \subcaption{ \subcaptionbox{ \gridline{\fig{a}{b}{ \figurenum{7}
\floatconts{ \newtheorem{a}[b]{ \renewcommand{\appendix}{ \appto{\appendix}{ \begin{enumerate}[label=(\roman*)] \tikz \ce{ \SIrange{ \unit[5]{
\usepackage{cleveref} \crefname{figure}{ \newfloat{ \captionof{figure}{ \phantomsubcaption \nameref{a} \subref{a} \restartappendixnumbering
\cite \cite[ \SI \kern \textbf \xspace Fig. 3 a é
"""
SOUP = st.lists(st.sampled_from([*SOUP_WORDS.split(), "\n\n", " ", "\n", "\0", "\\"]), max_size=60)


@settings(max_examples=150, deadline=None)
@given(SOUP)
def test_soup_is_read_without_crash_or_hang(pieces):
    soup = "".join(pieces)
    read_paper(expanded(soup, **{"x.tex": soup}))


@settings(max_examples=200)
@given(st.text(alphabet="\\{}[]$%&#~^_ab@ \n|*'", max_size=80))
def test_tokens_lose_nothing(text):
    assert "".join(tokenize(text)) == text
    assert join(tokenize(text)).replace(" ", "") == text.replace(" ", "")


def test_deep_nesting_is_no_recursion_error():
    for opening in ("{", r"\textbf{", r"$\frac{", r"\footnote{", r"$\text{", r"\sqrt", r"\hat", "^"):
        read_paper(
            r"\begin{figure}\caption{Deep "
            + opening * 3000
            + "}" * 3000
            + r"}\end{figure} See Fig. 1 "
            + opening * 3000
        )
