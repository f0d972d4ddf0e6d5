"""TeX to text as a reader sees it."""

import pytest

from scicap_builder.latex.prose import to_prose


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\textbf{Bold} and {\em slanted} text", "Bold and slanted text"),
        (r"G\"odel, \'Alvaro, \c{c}a, na\"{\i}ve, \v Cech, \o{}re, \ss", "Gödel, Álvaro, ça, naïve, Čech, øre, ß"),
        (r"``double'' `single' it's 1--2---3", "“double” ‘single’ it’s 1–2—3"),
        (r"5\,\% of \$3 \& more~\dots", "5 % of $3 & more …"),
        (r"shown \cite{a,b} and \citep[see][p.~2]{c}; \citet{d} says", "shown [cite] and [cite]; [cite] says"),
        (r"a \footnote{Nota bene.} b\footnote{\url{https://x.org/a_b}}", "a b"),
        (r"\href{https://x.org}{link} \textcolor{red}{red} \raisebox{1pt}{up}", "link red up"),
        (r"\unknown[opt]{kept} \otherthing text", "kept text"),
        (r"\vspace{-1em}\label{x}\hspace*{2pt}text\\[2pt] line", "text line"),
        (r"B\kern-.05em{\sc i}", "Bi"),
        (r"\SI{5}{\milli\meter} \num{1e-3} \SI{20}{\percent} \ang{30}", "5 mm 1 × 10^-3 20% 30°"),
        (r"\verb|a_b%c| and \texttt{x\_y}", "a_b%c and x_y"),
        (r"H$_2$O at 10$^{\circ}$C, 3\textsuperscript{rd}", "H_2O at 10°C, 3rd"),
        (r"text ( \ref{a} ) .", "text (??)."),
        (r"$$x$$ displayed \[y\]", "[eq] displayed [eq]"),
        (r"a \textbf{b", "a b"),
        (r"\begin{center}in\end{center} \begin{tabular}{ll}a&b\end{tabular}", "in a b"),
        (r"Table~\ref{q}", "Table ??"),
        ("日本語 and ü", "日本語 and ü"),
    ],
)
def test_text(source, text):
    assert to_prose(source).text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\alpha_{i} \leq 10^{-3}", "α_i ≤ 10^-3"),
        (r"\frac{a+b}{2} \times \frac12", "(a+b)/2 × 1/2"),
        (r"\sqrt{x} + \sqrt{x+y}", "√x+√(x+y)"),
        (r"\mathcal{O}(N^2)", "O(N^2)"),
        (r"x \in \mathbb{R}^n", "x ∈ ℝ^n"),
        (r"T_{\mathrm{pc}} = 5\,\text{ms}", "T_pc = 5 ms"),
        (r"\hat{y} \approx \bar x'", "ŷ ≈ x̄′"),
        (r"x_{i,j}^{k+1}", "x_{i,j}^{k+1}"),
        (r"\left( \frac{1}{\sigma} \right)", "(1/σ)"),
        (r"\log p(x|y) \to \infty", "log p(x|y) → ∞"),
        (r"\ln P_{\rm rot}", "ln P_rot"),
        (r"90^\circ \pm 5\%", "90° ± 5%"),
        (r"a<b", "a < b"),
    ],
)
def test_maths(source, text):
    assert to_prose(f"${source}$").text == text


def test_keys_are_all_labels_in_order():
    assert to_prose(r"\ref{a} \cref{b,c} \hyperref[d]{x} $\ref{e}$ \crefrange{f}{g}").keys == tuple("abcdefg")
