"""A model's words as a table: the forms they come in, loops cut back, and the text that prompts show of a table."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import InputError, TableRefused
from llava_graph.prompt import PromptOptions, about_tokens, build_messages, historic_table, render_context
from llava_graph.record import Figure, Table
from llava_graph.tables.linearised import LOOPED, MAX_ROWS, NO_TABLE, RAGGED, read_table, write_table
from llava_graph.tables.loops import COUNTING_ROWS, is_endless, without_counting
from llava_graph.tables.requests import CHART_TO_CSV, DEPLOT, request_named

LINE = "TITLE | Loss over epochs <0x0A> Epoch | Baseline | Ours <0x0A> 10 | 0.9 | 0.8 <0x0A> 9 | 0.5 | -0.3"
TABLE = Table(
    header=("Epoch", "Baseline", "Ours"), rows=(("10", "0.9", "0.8"), ("9", "0.5", "-0.3")), title="Loss over epochs"
)
ROWS = "Year | Sales <0x0A> 2001 | 5.10 <0x0A> 2002 | 7 <0x0A> "


def reasons(text, **options):
    return {repair.reason: repair.count for repair in read_table(text, **options).repairs}


def refused(text, **options):
    with pytest.raises(TableRefused) as caught:
        read_table(text, **options)
    return caught.value.reason


def test_what_deplot_writes_is_a_table():
    read = read_table(LINE)
    assert read.table == TABLE
    assert read.repairs == ()
    assert read_table(LINE.replace(" <0x0A> ", "\n")) == read, "PP-Chart2Table ends rows with line breaks"
    assert write_table(TABLE) == LINE


def test_an_empty_corner_of_the_header_stays():
    text = "TITLE |  <0x0A>  | Europe | None <0x0A> 2009-2010 | 10 | 3431 <0x0A> 2010-2011 | 23 | 2657"
    read = read_table(text)
    assert read.table.header == ("", "Europe", "None")
    assert not read.repairs
    assert write_table(read.table) == text


def test_bytes_that_the_vocabulary_lacks_are_letters_again():
    assert read_table("x [<0xCE><0xBC>m] | y<0x0A>1 | 2").table.header == ("x [μm]", "y")
    assert read_table("x <0xE2><0x82>6 | y<0x0A>1 | 2").table.header == ("x \N{REPLACEMENT CHARACTER}6", "y"), (
        "half a character"
    )


def test_a_break_within_a_label_is_no_row():
    wrapped = "TITLE |  <0x0A> 2005 | searches<0x0A>for tutorials | Python <0x0A> 2010 | 1.7% | 3.8% <0x0A> 2015 | 1.7% | 10.8%"
    read = read_table(wrapped)
    assert read.table.header == ("2005", "searches for tutorials", "Python")
    assert len(read.table.rows) == 2
    tight = "TITLE | t<0x0A>N | A | B<0x0A>1 | 2 | 3<0x0A>2 | 3 | 4"
    assert len(read_table(tight).table.rows) == 2, "where no break has blanks, each ends a row"


@pytest.mark.parametrize(
    "text",
    [
        "| Year | Sales |\n|---|:--:|\n| 2020 | 1,200 |\n| 2021 | -7 |\n",
        "Here is the data:\n\n| Year | Sales |\n|---|---|\n| 2020 | 1,200 |\n| 2021 | -7 |\n\nThe values are read off.",
        'The table:\n```csv\nYear,Sales\n2020,"1,200"\n2021,-7\n```\n',
        'Year,Sales\n2020,"1,200"\n2021,-7',
        "Year\tSales\n2020\t1,200\n2021\t-7",
        "```\nYear | Sales\n2020 | 1,200\n2021 | -7",
    ],
)
def test_markdown_and_csv_are_tables_too_and_numbers_stay_as_written(text):
    assert read_table(text).table == Table(header=("Year", "Sales"), rows=(("2020", "1,200"), ("2021", "-7")))


def test_rows_that_do_not_fit_are_filled_up_for_a_reader_and_left_out_for_a_model():
    text = "A | B | C\n1 | 2\n1 | 2 | 3\n1 | 2 | 3 | 4"
    read = read_table(text)
    assert read.table.header == ("A", "B", "C", "")
    assert read.table.rows == (("1", "2", "", ""), ("1", "2", "3", ""), ("1", "2", "3", "4"))
    assert read.problems == ("Not as many cells as the header has (3): row 1, 3. Empty cells fill them up.",)
    strict = read_table(text, keep_ragged=False)
    assert (strict.table.header, strict.table.rows) == (("A", "B", "C"), (("1", "2", "3"),))
    assert reasons(text, keep_ragged=False) == {"ragged-rows": 2}
    assert refused("A | B | C\n1 | 2\n3 | 4", keep_ragged=False) == RAGGED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NO_TABLE), ("The curve rises.", NO_TABLE), ("A | B", NO_TABLE), ("TITLE | x\nA | B", NO_TABLE),
        ("one\ntwo\nthree", NO_TABLE), ("<0x0A>", NO_TABLE), ("|\n|", NO_TABLE),
        ("It rises, then falls.\nAfter that, nothing.", NO_TABLE),
        ("x" * 140_000 + ",1\n2,3", LOOPED),
        ("TITLE | <0x0A> " + "Square Ratio<0x0A>L<0x0A>" * 40, LOOPED),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_table_says_why(text, reason):
    assert refused(text) == reason


@given(st.text(alphabet="ab1 |-<0x0A>\n\r,\"'=TITLE`\t", max_size=80), st.booleans(), st.booleans())
def test_any_text_is_a_table_or_a_reason(text, cut, keep):
    try:
        read = read_table(text, cut=cut, keep_ragged=keep)
    except TableRefused:
        return
    assert read.table.rows
    assert {len(row) for row in read.table.rows} == {len(read.table.header)}


@given(st.lists(st.lists(st.text(alphabet="abc 12.%()", max_size=6), min_size=3, max_size=3), min_size=2, max_size=6))
def test_a_written_table_is_read_back(rows):
    """Property: DePlot's line holds the whole table."""
    cells = [(f"r{number}", *(" ".join(cell.split()) for cell in row)) for number, row in enumerate(rows)]
    table = Table(header=cells[0], rows=tuple(cells[1:]), title="t")
    if any(all(cell == "" for cell in row[-1:]) for row in cells):
        return  # an empty last cell is a frame to Markdown
    assert read_table(write_table(table)).table == table


# Loops


def test_rows_that_come_again_to_the_limit_are_cut_back():
    looped = ROWS + "2003 | 9 <0x0A> 2004 | 9 <0x0A> " + "2003 | 9 <0x0A> 2004 | 9 <0x0A> " * 3 + "2003 |"
    read = read_table(looped, cut=True)
    assert read.table.rows == (("2001", "5.10"), ("2002", "7"), ("2003", "9"), ("2004", "9"))
    assert reasons(looped, cut=True) == {"cut-row": 1, "repeated-rows": 6}


def test_an_answer_that_is_mostly_loop_is_dropped():
    assert refused(ROWS + "2003 | 9 <0x0A> " * 60, cut=True) == LOOPED
    assert refused("A | B\n" + "1 | 2\n" * 10_000) == LOOPED


def test_a_repeated_table_is_told_once():
    assert read_table(f"{LINE} <0x0A> {LINE}").table == TABLE


def test_the_half_row_at_the_limit_is_left_out():
    assert read_table("A | B\n1 | 2\n3 | 41", cut=True).table.rows == (("1", "2"),), "41 may have been 4100"
    assert len(read_table("A | B\n1 | 2\n3 | 41\n", cut=True).table.rows) == 2, "this row had ended"
    assert reasons("A | B\n1 | 2\n3 | 4") == {}


@pytest.mark.parametrize(
    ("row", "endless"),
    [
        (("x", "0.3333333333333333"), False),
        (("x", "1000000000000"), False),
        (("x", "0." + "3" * 40), True),
        (("x", "(d) " * 12), True),
        (("a very long label of a series that says what it is, and of what, and where", "1"), False),
        (("2001", *["0.00"] * 12), True),
    ],
)
def test_a_number_or_label_without_end(row, endless):
    assert is_endless(row, 2) is endless


def test_a_flat_line_across_a_wide_table_is_no_loop():
    header, row = ("x", *map(str, range(12))), ("a", *["0.00"] * 12)
    assert read_table(write_table(Table(header=header, rows=(row,)))).table.rows == (row,)
    assert refused("x | " + "10000 | " * 60 + "100", cut=True) in (LOOPED, NO_TABLE)
    assert refused("x | 5 | " + "10000 | " * 60 + "100\n1 | 2", cut=False) == LOOPED


def test_years_that_count_on_to_the_limit_are_cut_and_a_flat_chart_is_not():
    sound = "".join(f"{year} | {year % 7} <0x0A> " for year in range(1990, 2001))
    counting = (
        f"Year | Sales <0x0A> {sound}" + " <0x0A> ".join(f"{year} | 7" for year in range(2001, 2020)) + " <0x0A> 20"
    )
    read = read_table(counting, cut=True)
    assert [row[0] for row in read.table.rows] == [str(year) for year in range(1990, 2002)], (
        "the first that counts on may be true"
    )
    assert reasons(counting, cut=True) == {"cut-row": 1, "counting-rows": 18}
    assert (
        refused(ROWS + " <0x0A> ".join(f"{year} | 7" for year in range(2003, 2060)) + " <0x0A> 20", cut=True) == LOOPED
    )
    assert reasons(ROWS + " <0x0A> ".join(f"{year} | 7" for year in range(2003, 2060))) == {}, "it ended by itself"
    short = [(str(year), "7") for year in range(COUNTING_ROWS - 1)]
    assert without_counting(short) == (short, 0)


def test_a_table_without_end_is_bounded():
    read = read_table("A | B\n" + "\n".join(f"{number * number} | {number}" for number in range(10_000)))
    assert len(read.table.rows) == MAX_ROWS
    assert f"first {MAX_ROWS}" in read.problems[0]


# Prompts


def test_the_historic_prompt_of_scigraphqa_is_byte_for_byte_the_published_one():
    """As LLaVA-Graph's vjuly23_with_deplot_llava_eval.jsonl has it: no separator, <0x0A> as six letters, an empty title's two blanks."""
    shown = (
        "The underlying data table of the figure below is:TITLE |  <0x0A>  | Europe | National | None <0x0A> 2009-2010 | 10 | 1793 | 3431"
        "What does the graph show?"
    )
    table = Table(header=("", "Europe", "National", "None"), rows=(("2009-2010", "10", "1793", "3431"),))
    options = PromptOptions(style="scigraphqa")
    figure = Figure(id="x", image=b"png", caption="Not shown.", table=table)
    (message,) = build_messages(figure, "What does the graph show?", options)
    assert message["content"] == [{"type": "image"}, {"type": "text", "text": shown}]
    for without in (
        build_messages(Figure(id="x"), "Why?", options),
        build_messages(figure, "Why?", PromptOptions(style="scigraphqa", table=False)),
    ):
        assert without[0]["content"][-1]["text"] == "Why?", (
            "the published prompts without DePlot are the question alone"
        )


def test_a_long_table_loses_its_last_rows_and_keeps_its_header():
    table = Table(header=("x", "y"), rows=tuple((str(number), "0.123456") for number in range(400)), title="Loss")
    figure = Figure(id="x", caption="Loss.", table=table)
    context = render_context(figure, PromptOptions(max_context_tokens=100))
    assert about_tokens(context) <= 100
    assert context.splitlines()[:4] == ["Caption: Loss.", "Data table:", "title: Loss", "x | y"]
    assert "0 | 0.123456" in context
    assert "399 |" not in context
    historic = historic_table(figure, PromptOptions(style="scigraphqa", max_context_tokens=100))
    assert about_tokens(historic) <= 100
    assert historic.startswith(
        "The underlying data table of the figure below is:TITLE | Loss <0x0A> x | y <0x0A> 0 | 0.123456 <0x0A> 1 |"
    )
    assert historic_table(figure, PromptOptions(style="scigraphqa", max_context_tokens=0)) == ""


def test_what_a_table_model_is_asked():
    assert request_named("deplot") == DEPLOT == "Generate underlying data table of the figure below:"
    assert request_named("chart2csv") == CHART_TO_CSV
    assert request_named("Give me the data as CSV.") == "Give me the data as CSV."
    with pytest.raises(InputError, match="deplot"):
        request_named("delpot")


def test_csv_of_what_was_read_has_all_rows():
    rows = list(csv.reader(io.StringIO("\n".join(",".join(row) for row in (TABLE.header, *TABLE.rows)))))
    assert read_table("\n".join(",".join(row) for row in rows)).table.rows == TABLE.rows
