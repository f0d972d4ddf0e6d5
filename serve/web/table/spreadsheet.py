"""A table as CSV that a spreadsheet opens without running anything in it, and as the page shows it. Pure."""

import csv
import io
from typing import Any

from llava_graph.record import Table
from ocr.numbers import parse_number

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to spreadsheets (OWASP, "CSV Injection")."""


def csv_of(table: Table) -> str:
    """The table as CSV (RFC 4180). Text that a spreadsheet would take for a formula has an apostrophe before it; numbers
    stay numbers."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in (table.header, *table.rows):
        writer.writerow([_harmless(cell) for cell in row])
    return buffer.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) and parse_number(cell) is None else cell


def table_view(table: Table, *, source: str = "", problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """The table for table.js: cells as text, with the number that a cell is (to sort by), and the CSV."""
    return {
        "title": table.title,
        "source": source,
        "problems": list(problems),
        "header": list(table.header),
        "rows": [[{"text": cell, "number": parse_number(cell)} for cell in row] for row in table.rows],
        "csv": csv_of(table),
    }
