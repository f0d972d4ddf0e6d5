"""A model's answer that is a table written as text -> a table, and what was mended; and a table -> DePlot's text. Pure.

Read are DePlot's lines (`TITLE | … <0x0A> Year | A | B <0x0A> 2020 | 1 | 2`), PP-Chart2Table's (the same with line breaks),
Markdown's, and CSV as granite-vision's `<chart2csv>` gives it. Numbers stay as they were written.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from llava_graph.errors import TableRefused
from llava_graph.record import Table
from llava_graph.tables.loops import LOOP_SHARE, Row, is_endless, without_counting, without_repeats

MAX_ROWS, MAX_COLUMNS, MAX_CELL_CHARS = 500, 50, 500
BREAK = " <0x0A> "
"""Between the rows of DePlot's text: a line break as its tokenizer spells it."""
BYTES = re.compile(r"(?:<0x[0-9A-Fa-f]{2}>)+")
"""Bytes that DePlot's vocabulary has no piece for; `<0x0A>` is a line break, `<0xCE><0xBC>` is µ."""
WRAP = re.compile(r"(?<! )<0x0A>(?! )")
"""A break without blanks: of a row, or of a long label within a cell where rows are told apart by breaks with blanks."""
FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
RULE = re.compile(r"[\s|:+-]*-[\s|:+-]*")
"""The line under a Markdown table's header."""
LOOPS = ("endless-rows", "repeated-rows", "counting-rows")
NO_TABLE, LOOPED, RAGGED = "no-table", "looped-table", "ragged-table"
"""Why an answer is no table: it has no rows; it was a loop, with nothing sound left; no row fits the header."""


@dataclass(frozen=True)
class Repair:
    """One kind of thing that did not fit."""

    reason: str
    """endless-rows, cut-row, repeated-rows, counting-rows, rows-over-limit, ragged-rows"""
    count: int
    """rows"""
    told: str
    """In a sentence, for a reader of the table."""


@dataclass(frozen=True)
class ReadTable:
    """A table that a model wrote."""

    table: Table
    repairs: tuple[Repair, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What did not fit and how it was taken, in sentences."""
        return tuple(repair.told for repair in self.repairs)


def read_table(text: str, *, cut: bool = False, keep_ragged: bool = True) -> ReadTable:
    """A model's answer -> its table.

    `cut`: the answer ended at the token limit, so its last row may be half a row, and is left out. Rows of another length than
    the header: with `keep_ragged` empty cells fill them up (a person looks at it), without they are left out (a model learns
    from it). Raises TableRefused for a text that is no table, or nothing but a loop.
    """
    rows, open_end = max((_rows(one) for one in _readings(text)), key=lambda found: _fitting(found[0]))
    title, rows = _without_titles(rows)
    said = " ".join(text.split())[:200] or "(nothing)"
    repairs: list[Repair] = []
    rows = _sound(rows, repairs, cut=cut and open_end, at_limit=cut)
    looped = sum(repair.count for repair in repairs if repair.reason in LOOPS)
    if len(rows) < 2 or max(map(len, rows)) < 2 or looped > LOOP_SHARE * (looped + len(rows) - 1):
        what = "the model's answer is a loop" if looped else "the model's answer is no table"
        raise TableRefused(what, reason=LOOPED if looped else NO_TABLE, next_step=f"It said: {said}")
    if len(rows) > MAX_ROWS + 1:
        over = len(rows) - 1 - MAX_ROWS
        told = f"Of {len(rows) - 1} rows the first {MAX_ROWS} are shown."
        repairs.append(Repair("rows-over-limit", over, told))
    header, *body = [row[:MAX_COLUMNS] for row in rows[: MAX_ROWS + 1]]
    header, body = _even(header, body, repairs, keep=keep_ragged)
    if not body:
        raise TableRefused("no row of the table fits its header", reason=RAGGED, next_step=f"The model said: {said}")
    return ReadTable(Table(header=header, rows=tuple(body), title=title), tuple(repairs))


def write_table(table: Table) -> str:
    """The table on one line, as DePlot writes it and SciGraphQA's column `deplot` has it, byte for byte for a sound table."""
    rows = [("TITLE", table.title), table.header, *table.rows]
    return BREAK.join(" | ".join(row) for row in rows)


def _readings(text: str) -> list[str]:
    """The text with every break as a row's end; where there are breaks with blanks, also with the others as blanks."""
    return [text, WRAP.sub(" ", text)] if WRAP.search(text) and BREAK in text else [text]


def _fitting(rows: list[Row]) -> int:
    """Rows as long as the first that is no title."""
    rows = _without_titles(rows)[1]
    return sum(len(row) == len(rows[0]) > 1 for row in rows[1:])


def _rows(text: str) -> tuple[list[Row], bool]:
    """(all lines as cells; whether the last one may go on)."""
    plain = BYTES.sub(_spelt, text)
    if fenced := FENCE.search(plain):
        plain = fenced[1]
    lines = plain.splitlines()
    open_end = bool(lines) and not plain.rstrip(" ").endswith(("\n", "```"))
    lines = [line for line in lines if line.strip()]
    if any(RULE.fullmatch(line) and "|" in line for line in lines):  # Markdown: what has no bar is prose around it
        lines = [line for line in lines if "|" in line and not RULE.fullmatch(line)]
    if any("|" in line for line in lines):
        return [cells for line in lines if any(cells := _cells(line))], open_end
    return _comma_separated(lines, fenced=fenced is not None), open_end


def _spelt(found: re.Match[str]) -> str:
    return bytes(int(code, 16) for code in re.findall(r"<0x(..)>", found[0])).decode("utf-8", "replace")


def _cells(line: str) -> Row:
    """The cells of a line. A bar at both ends is Markdown's frame; one at the beginning alone leaves the first cell empty."""
    cells = line.split("|")
    if len(cells) > 2 and not cells[0].strip() and not cells[-1].strip():
        cells = cells[1:-1]
    return _clean(cells)


def _clean(cells: Sequence[str]) -> Row:
    return tuple(" ".join(cell.split())[:MAX_CELL_CHARS] for cell in cells)


def _comma_separated(lines: Sequence[str], *, fenced: bool) -> list[Row]:
    """CSV, or text with tabs. Prose has commas too: without a fence all rows must have one length, and one of them a number."""
    separator = "\t" if lines and "\t" in lines[0] else ","
    try:
        rows = [_clean(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row]
    except csv.Error:  # a cell beyond csv's 131,072 characters
        return [(" ".join(lines),)]
    even = len({len(row) for row in rows}) == 1 and any(_is_number(cell) for row in rows[1:] for cell in row)
    return rows if fenced or even else [(" ".join(lines),)] if lines else []


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+−$€£~]?\s*\d[\d.,\s]*(?:[eE][-+]?\d+)?\s*%?", cell) is not None


def _without_titles(rows: list[Row]) -> tuple[str, list[Row]]:
    """The title, and the rows that are none; a title that comes again is part of a loop."""
    titles = [row for row in rows if row[0] == "TITLE"]
    title = " ".join(cell for cell in titles[0][1:] if cell) if titles and rows[0] == titles[0] else ""
    return title, [row for row in rows if row[0] != "TITLE"]


def _sound(rows: list[Row], repairs: list[Repair], *, cut: bool, at_limit: bool) -> list[Row]:
    """The rows without loops and without the last one where it was `cut` off. See `llava_graph.tables.loops`."""
    if cut and len(rows) > 1:
        rows = rows[:-1]
        repairs.append(Repair("cut-row", 1, "The answer was cut at its length limit: its last row is left out."))
    width = len(rows[0]) if rows else None
    ended = [row for number, row in enumerate(rows) if not is_endless(row, width if number else None)]
    if endless := len(rows) - len(ended):
        repairs.append(Repair("endless-rows", endless, f"Rows that repeat within themselves, without end: {endless}."))
    kept, repeated = without_repeats(ended)
    if repeated:
        repairs.append(
            Repair("repeated-rows", repeated, f"Rows that had been there before, word for word: {repeated}.")
        )
    if at_limit:
        kept, counting = without_counting(kept)
        if counting:
            told = f"Rows at the end that only count on, up to the length limit: {counting}."
            repairs.append(Repair("counting-rows", counting, told))
    return kept


def _even(header: Row, body: list[Row], repairs: list[Repair], *, keep: bool) -> tuple[Row, list[Row]]:
    """Rows of one length: filled up, or those alone that have the header's."""
    uneven = [number for number, row in enumerate(body, 1) if len(row) != len(header)]
    if uneven:
        shown = ", ".join(map(str, uneven[:10])) + (", …" if len(uneven) > 10 else "")
        taken = "Empty cells fill them up." if keep else "They are left out."
        told = f"Not as many cells as the header has ({len(header)}): row {shown}. {taken}"
        repairs.append(Repair("ragged-rows", len(uneven), told))
    if not keep:
        return header, [row for row in body if len(row) == len(header)]
    width = max(map(len, (header, *body)))
    return _filled(header, width), [_filled(row, width) for row in body]


def _filled(row: Row, width: int) -> Row:
    return (*row, *[""] * (width - len(row)))
