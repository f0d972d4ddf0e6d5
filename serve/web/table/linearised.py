"""A model's answer that is a table written as text, as DePlot writes it -> a table, and what is wrong with it. Pure."""

import re
from dataclasses import dataclass

from llava_graph.errors import InputError
from llava_graph.record import Table

REQUEST = "Generate underlying data table of the figure below:"
"""DePlot's prompt (Liu et al. 2023, "One-shot visual language reasoning by plot-to-table translation")."""
MAX_ROWS, MAX_COLUMNS, MAX_CELL_CHARS = 500, 50, 500
ROW_END = re.compile(r"<0x0A>|\r?\n")
RULE = re.compile(r"[\s|:+-]*-[\s|:+-]*")
"""The line under a Markdown table's header."""


@dataclass(frozen=True)
class ReadTable:
    """A table that a model wrote."""

    table: Table
    title: str = ""
    problems: tuple[str, ...] = ()
    """What did not fit and how it was taken, in sentences."""


def read_linearised(text: str, *, cut: bool = False) -> ReadTable:
    """`TITLE | … <0x0A> Year | A | B <0x0A> 2020 | 1 | 2` (rows end with <0x0A> or a line break, cells with |) -> its table.

    Rows of another length than the header are filled up, or the header is. `cut`: the answer ended at the length limit.
    Raises InputError for a text that is no table.
    """
    rows = [_cells(row) for row in ROW_END.split(text) if row.strip() and not RULE.fullmatch(row)]
    title = ""
    if rows and rows[0][0].upper() == "TITLE":
        title = " ".join(cell for cell in rows.pop(0)[1:] if cell)
    if len(rows) < 2 or max(map(len, rows)) < 2:
        raise InputError(
            "the model's answer is no table", next_step=f"It said: {' '.join(text.split())[:200] or '(nothing)'}"
        )
    problems = ["The answer was cut at its length limit: rows may be missing."] if cut else []
    if len(rows) > MAX_ROWS + 1:
        problems.append(f"Of {len(rows) - 1} rows the first {MAX_ROWS} are shown.")
    rows = [row[:MAX_COLUMNS] for row in rows[: MAX_ROWS + 1]]
    (header, *body), width = rows, max(map(len, rows))
    uneven = [number for number, row in enumerate(body, 1) if len(row) != len(header)]
    if uneven:
        shown = ", ".join(map(str, uneven[:10])) + (", …" if len(uneven) > 10 else "")
        problems.append(f"Not as many cells as the header has ({len(header)}): row {shown}. Empty cells fill them up.")
    table = Table(header=_filled(header, width), rows=tuple(_filled(row, width) for row in body))
    return ReadTable(table, title, tuple(problems))


def _cells(row: str) -> list[str]:
    """The cells of a row; a bar before the first and behind the last one, as Markdown has them, is none."""
    cells = [" ".join(cell.split())[:MAX_CELL_CHARS] for cell in row.split("|")]
    if row.strip().startswith("|"):
        cells = cells[1:]
    if row.strip().endswith("|") and len(cells) > 1:
        cells = cells[:-1]
    return cells


def _filled(row: list[str], width: int) -> tuple[str, ...]:
    return (*row, *[""] * (width - len(row)))
