"""The chart's data on the page: what a table model says in Chromium, and CSV that no spreadsheet runs. Parsing: test_tables_read.py."""

import asyncio
import csv
import io
import threading

import pytest

from llava_graph.record import Table
from llava_graph.tables.requests import DEPLOT as DEPLOT_REQUEST
from serve.engines.engine import Step
from serve.http.servers import Server, bind
from serve.protocol.messages import Usage
from serve.web import WebOptions, create_web
from serve.web.table.spreadsheet import csv_of, table_view
from tests.browsing import choose, choose_and_wait, models, running_chromium, told, upload, visiting
from tests.serving import ScriptedEngine, eventually, png, running_controller, running_worker

DEPLOT = "TITLE | Loss over epochs <0x0A> Epoch | Baseline | Ours <0x0A> 10 | 0.9 | 0.8 <0x0A> 9 | 0.5 | -0.3"


def test_csv_keeps_every_cell_and_runs_none():
    table = Table(
        header=("a,b", 'say "x"'), rows=(("=1+1", "-0.3"), ("@SUM(A1)", "+5"), ("-x", "−4"), ("\tx", "two\nlines"))
    )
    rows = list(csv.reader(io.StringIO(csv_of(table), newline="")))
    assert rows == [
        ["a,b", 'say "x"'],
        ["'=1+1", "-0.3"],
        ["'@SUM(A1)", "+5"],
        ["'-x", "−4"],
        ["'\tx", "two\nlines"],
    ], "a formula is text, a number stays a number"


def test_the_page_knows_which_cells_are_numbers():
    view = table_view(Table(header=("n",), rows=(("1,200",), ("x",))))
    assert [cell["number"] for row in view["rows"] for cell in row] == [1200.0, None]


class Reader(ScriptedEngine):
    """A table model: says `answer` whole."""

    answer: str = DEPLOT

    async def stream(self, request):
        self.requests.append(request)
        await asyncio.sleep(self.pause)
        yield Step(self.answer, Usage(7, 9), "stop")


TEXT_MAY_COME = threading.Event()
"""While it is not set, the text in a figure is still being read."""
TEXT_MAY_COME.set()


def no_text(_: bytes) -> tuple[()]:
    TEXT_MAY_COME.wait(20)
    return ()


@pytest.fixture(scope="module")
def reader():
    return Reader(name="deplot")


@pytest.fixture(scope="module")
def page(reader):
    options = WebOptions(table_model="deplot")
    with running_chromium() as browser, running_controller() as controller, running_worker(reader, controller.url):
        eventually(lambda: models(controller))
        web = create_web(controller.url, options, read=no_text)
        with Server(web, bind("127.0.0.1", 0), "page") as site, visiting(browser, site) as visitor:
            choose_and_wait(visitor)
            visitor.locator("#data-section button").first.click()
            yield visitor


def column(page, number: int) -> list[str]:
    return page.locator(f"#data-table tbody td:nth-child({number})").all_inner_texts()


@pytest.mark.browser
def test_a_table_model_reads_the_chart_and_its_columns_sort(page, reader):
    page.wait_for_selector("#data-read:not([disabled])")
    page.click("#data-read")
    eventually(lambda: column(page, 1) == ["10", "9"])
    assert reader.requests[-1].messages[0]["content"][1]["text"] == DEPLOT_REQUEST
    assert "Read from the chart by deplot: it may be wrong" in page.locator("#data-table .source").inner_text()
    first = page.locator("#data-table th").first
    first.locator("button").click()
    assert column(page, 1) == ["9", "10"], "by value, not by letters"
    assert first.get_attribute("aria-sort") == "ascending"
    first.locator("button").click()
    assert first.get_attribute("aria-sort") == "descending"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    assert download.value.suggested_filename == "chart-data.csv"
    assert download.value.path().read_text(encoding="utf-8").splitlines()[1] == "10,0.9,0.8"


@pytest.mark.browser
def test_an_answer_that_is_no_table_is_told_and_markup_stays_text(page, reader):
    reader.answer = "A | <img src=x onerror=x>\n1 | <b>2</b>"
    page.click("#data-read")
    eventually(lambda: column(page, 2) == ["<b>2</b>"])
    assert page.locator("#data-table img").count() == 0
    reader.answer = "I cannot read this."
    page.wait_for_selector("#data-read:not([disabled])")
    page.click("#data-read")
    eventually(lambda: "no table" in page.locator("#banner").inner_text())
    assert "I cannot read this." in told(page)
    assert page.locator("#data-table .data").is_hidden()


@pytest.mark.browser
def test_a_table_stays_when_the_text_in_the_figure_comes_after_it_and_goes_with_the_figure(page, reader):
    reader.answer = DEPLOT
    reader.pause = 1.0
    TEXT_MAY_COME.clear()
    try:
        choose(page, upload(png(300, 200)))
        eventually(lambda: page.locator("#viewer .count").inner_text() == "Reading the text …")
        page.click("#data-read")
        eventually(lambda: column(page, 1) == ["10", "9"])
    finally:
        TEXT_MAY_COME.set()
    eventually(lambda: page.locator("#viewer .count").inner_text() != "Reading the text …")
    assert column(page, 1) == ["10", "9"]
    choose(page, upload(png(200, 300)))
    eventually(lambda: page.locator("#data-table .data").is_hidden())
    page.wait_for_selector("#data-read:not([disabled])")
