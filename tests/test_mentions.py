"""Citations of figures and caption labels in plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scicap_builder.mentions import cited_numbers, parse_label


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("as shown in Figure 3.", "3"),
        ("see Fig.3 and fig. 4", "3 4"),
        ("Figs. 2–5 show", "2 3 4 5"),
        ("Figures 2 through 4", "2 3 4"),
        ("Fig. 1–Fig. 3", "1 2 3"),
        ("Fig. 3a,b and 4", "3 4"),
        ("(see Figures 1A and 2)", "1 2"),
        ("Figs 1A, B and 2", "1 2"),
        ("Figs. 3(a)–(c), 5(b)", "3 5"),
        ("Fig. 3a–c", "3"),
        ("(Fig. 1; 2)", "1 2"),
        ("In Fig. 3, 10 samples were lost", "3"),
        ("Figures S1–S3 and A.2", "S1 S2 S3 A.2"),
        ("Supplementary Figure 3", "S3"),
        ("Extended Data Fig. 2", "ED2"),
        ("FIGS. II-IV", "II III IV"),
        ("Fig. 2.3 of this book", "2.3"),
        ("Figure-1 and FIGURE 2", "1 2"),
        ("Figs. 5 & 6", "5 6"),
        ("Figure 3 twice: Figure 3", "3"),
        ("Figure 7 (a), (1)", "7"),
        ("Figure 7(a), (b), and (1)", "7"),
        ("Figs. 2 (left) and 3 (right)", "2 3"),
        ("Figure 1(b) and (c), 2(a)", "1 2"),
        ("Figure S-1", "S1"),
        ("Fig. no. 3", "3"),
        ("Additional file 1: Figure S2", "S2"),
        ("Abb. 3", "3"),
    ],
)
def test_cited_numbers(text: str, numbers: str):
    assert cited_numbers(text) == tuple(numbers.split())


@pytest.mark.parametrize(
    "text",
    [
        "Fig. 2 of [12]",
        "Figure 2 in Ref. [4]",
        "[12, Fig. 2]",
        "their Figure 2",
        "(Smith et al. 2003, Fig. 2)",
        "Fig. 4 in Smith et al. (2004)",
        "Figure 3 of Paper II",
        "Figs. 3 and 4 in the paper by Smith et al.",
        "Additional file 1: Fig. 2",
        "Figure 2 of the supplementary material",
        "Figure 2—figure supplement 1",
        "config. 3 is the default",
        "the figures in 2010",
        "this figure is 4 times larger",
        "",
    ],
)
def test_other_papers_figures_and_prose_are_no_citations(text: str):
    assert cited_numbers(text) == ()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("Schemes 1 and 2", ("Scheme 1", "Scheme 2")), ("Chart 3, Graph 4a", ("Chart 3", "Graph 4")), ("scheme 1", ())],
)
def test_schemes_charts_and_graphs_are_counted_on_their_own(text: str, numbers: tuple[str, ...]):
    assert cited_numbers(text) == numbers


def test_a_long_range_is_not_filled_in():
    assert cited_numbers("Figs. 1-500") == ("1", "500")


@pytest.mark.parametrize(
    ("line", "label", "number", "rest"),
    [
        ("Figure 3. Cats", "Figure 3", "3", "Cats"),
        ("FIG. 3 Cats", "FIG. 3", "3", "Cats"),
        ("Fig 3 | Cats", "Fig 3", "3", "Cats"),
        ("Figure-1: A map", "Figure-1", "1", "A map"),
        ("F I G U RE 4  Cats", "FIGURE 4", "4", "Cats"),
        ("F IG . 2: Cats", "FIG . 2", "2", "Cats"),
        ("Figure S1: Cats", "Figure S1", "S1", "Cats"),
        ("S2 Fig. Cats", "S2 Fig", "S2", "Cats"),
        ("Figure A.1: Cats", "Figure A.1", "A.1", "Cats"),
        ("Fig. 2.3 Cats", "Fig. 2.3", "2.3", "Cats"),
        ("FIG. II. Cats", "FIG. II", "II", "Cats"),
        ("Figure 2—Cats", "Figure 2", "2", "Cats"),
        ("FIGURE 2", "FIGURE 2", "2", ""),
        ("Supplementary Figure 1. Cats", "Supplementary Figure 1", "S1", "Cats"),
        ("Supplemental Figure-1: Cats", "Supplemental Figure-1", "S1", "Cats"),
        ("Figure S-1. Cats", "Figure S-1", "S1", "Cats"),
        ("Figure 1A-C. Cats", "Figure 1A-C", "1", "Cats"),
        ("Scheme 2. Cats", "Scheme 2", "Scheme 2", "Cats"),
        ("Figure 2—figure supplement 1. Cats", "Figure 2—figure supplement 1", "2-S1", "Cats"),
    ],
)
def test_parse_label(line: str, label: str, number: str, rest: str):
    found = parse_label(line)
    assert found is not None
    assert (found.text, found.number, line[found.end :]) == (label, number, rest)


@pytest.mark.parametrize("line", ["Figures are drawn", "The Figure 3", "Table 3. Cats", "configuration", "Fig. x", ""])
def test_no_label(line: str):
    assert parse_label(line) is None


@given(st.text(alphabet="Figs. 0123456789,;–-&()abcIVXSA [] of and to", max_size=200))
def test_any_text_is_read_quickly_and_without_error(text: str):
    parse_label(text)
    assert all(number for number in cited_numbers(text))
