"""Where a generated table stops telling anything: rows that come again, rows and cells without end, rows that only count on.

Of the 3,002 tables by DePlot that LLaVA-Graph published (2023) four in ten repeat a row. In: rows of cells. Out: the rows that
say something, and how many were left out. Pure.
"""

import re
from collections.abc import Sequence

Row = tuple[str, ...]

ENDLESS_TEXT = re.compile(r"(.{1,24}?)\1{7,}", re.DOTALL)
"""A piece of up to 24 characters eight times and more behind each other."""
ENDLESS_CHARS = 24
"""From so many on, repeated pieces are a loop: a double written out has 17 digits, 10¹² has twelve zeros."""
ENDLESS_CELLS = 8
"""So many repetitions of one to four cells to the end of a row are a loop."""
LONGEST_PIECE = 4
LOOP_SHARE = 2 / 3
"""Where more of an answer's rows than this are loops, the model had lost the chart: what it said before is not kept either."""
COUNTING_ROWS = 8
"""So many rows that differ in nothing but an evenly growing first number, up to the token limit, are a loop."""


def is_endless(row: Row, width: int | None = None) -> bool:
    """Whether a row runs away: a piece of text repeated within a cell, or cells repeated to its end.

    `width`: cells of the header, None for the header itself. Equal numbers in a row that fits its header are a flat line.
    """
    if any(len(found[0]) >= ENDLESS_CHARS for cell in row for found in ENDLESS_TEXT.finditer(cell)):
        return True
    if width is not None and len(row) <= width:
        return False
    # The last cell may be half a cell.
    return any(_repeats(end, size) for end in (row, row[:-1]) for size in range(1, LONGEST_PIECE + 1))


def _repeats(row: Row, size: int) -> bool:
    end = size * ENDLESS_CELLS
    return len(row) >= end and row[-end:] == row[-size:] * ENDLESS_CELLS


def without_repeats(rows: Sequence[Row], known: Sequence[Row] = ()) -> tuple[list[Row], int]:
    """(rows that have not been said before, nor are among `known`; how many were left out)."""
    said, kept = set(known), []
    for row in rows:
        if row not in said:
            said.add(row)
            kept.append(row)
    return kept, len(rows) - len(kept)


def without_counting(rows: Sequence[Row]) -> tuple[list[Row], int]:
    """The rows without the run at their end that only counts on ("2001 | 5", "2002 | 5", …), whose first row stays.

    Only to be asked of an answer that was cut at the token limit: a chart may well be flat.
    """
    start = len(rows)
    while start > 1 and _counts_on(rows, start - 1):
        start -= 1
    run = len(rows) - start + 1
    return (list(rows[:start]), run - 1) if start >= 1 and run >= COUNTING_ROWS else (list(rows), 0)


def _counts_on(rows: Sequence[Row], place: int) -> bool:
    """Whether the row differs from the one before only by its first number, and by the step that the next row takes."""
    before, row = rows[place - 1], rows[place]
    step = _step(before, row)
    if step is None:
        return False
    after = _step(row, rows[place + 1]) if place + 1 < len(rows) else step
    return after is not None and abs(after - step) <= 1e-6 * max(abs(step), abs(after))


def _step(one: Row, other: Row) -> float | None:
    if len(one) < 2 or one[1:] != other[1:]:
        return None
    try:
        step = float(other[0]) - float(one[0])
    except ValueError:
        return None
    return step or None
