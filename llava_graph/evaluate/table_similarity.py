"""How like a table that was read from a chart is to the true one: Relative Mapping Similarity, and RNSS. Pure.

RMS: Liu et al. 2023, "DePlot", section 3. A table is a set of (row header, column header) -> value; entries are paired by their
headers at the least edit distance, and a pair counts by headers and value. RNSS: the same section, after Masry et al. 2022,
"ChartQA" (numbers alone). `published_…` are number for number google-research/deplot/metrics.py, on texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from llava_graph.evaluate.assignment import cheapest_pairs
from llava_graph.evaluate.edit_distance import edit_distances
from llava_graph.evaluate.numbers import find_numbers
from llava_graph.record import Table

TAU = 0.5
"""Normalized edit distances from here on count as 1."""
THETA = 0.1
"""Relative errors from here on count as 1."""
MAX_ENTRIES = 1000
"""Of a table that are compared; an endless one's others count as wrong."""

Entry = tuple[str, str]
"""(row and column header, value)"""
Likeness = Callable[[str, str], float]
"""(true value, value that was read) -> 0..1"""


@dataclass(frozen=True)
class Similarity:
    """Of a table to the true one, each 0..1."""

    precision: float
    recall: float
    f1: float


def rms(prediction: Table, target: Table) -> Similarity:
    """RMS of two tables, of the prediction as it stands or turned over, whichever is nearer. Titles do not count."""
    true = entries_of(target)
    both = (entries_of(prediction), entries_of(transposed(prediction)))
    return max((mapping_similarity(entries, true, likeness) for entries in both), key=lambda found: found.f1)


def rnss(prediction: Sequence[float], target: Sequence[float]) -> float:
    """Relative Number Set Similarity, 0..1: numbers are paired at the least relative error; one without a partner counts as 1."""
    if not prediction or not target:
        return float(not prediction and not target)
    paired, most = _paired_errors(prediction, target), max(len(prediction), len(target))
    return 1 - (paired + most - min(len(prediction), len(target))) / most


def _paired_errors(prediction: Sequence[float], target: Sequence[float], *, zero_is_far: bool = False) -> float:
    said = np.array(prediction[:MAX_ENTRIES])
    cost = np.array([_relative(said, one, zero_is_far=zero_is_far) for one in target[:MAX_ENTRIES]])
    return float(sum(cost[pair] for pair in cheapest_pairs(cost)))


def entries_of(table: Table) -> list[Entry]:
    """Every cell that is no header, under the headers of its row and column, in lower case."""
    return [
        (f"{row[0]} {name}".lower(), cell.lower())
        for row in table.rows
        for name, cell in zip(table.header[1:], row[1:], strict=True)
    ]


def transposed(table: Table) -> Table:
    """Rows as columns."""
    header, *rows = zip(table.header, *table.rows, strict=True)
    return Table(header=header, rows=tuple(rows), title=table.title)


def numbers_of(table: Table) -> list[float]:
    """All cells that are numbers, headers included (years stand there)."""
    cells = (readings(cell) for row in (table.header, *table.rows) for cell in row)
    return [numbers[0] for numbers in cells if numbers]


def readings(cell: str) -> tuple[float, ...]:
    """The number that a cell is: "1,200", "−3", "3.1 × 10⁻²", "$5"; of "12 %" 12 and 0.12; nothing for anything else."""
    text = cell.strip().lstrip("$€£~≈ ")
    found = find_numbers(text)
    if len(found) != 1 or (found[0].start, found[0].end) != (0, len(text)):
        return ()
    return (found[0].value, found[0].value / 100) if found[0].percent else (found[0].value,)


def likeness(true: str, said: str) -> float:
    """Of two values: 1 less the relative error of numbers, else 1 less the normalized edit distance; 0 beyond THETA, TAU."""
    if true == said:
        return 1.0
    values, guesses = readings(true), readings(said)
    if values and guesses:
        return max(_number_likeness(value, guess) for value in values for guess in guesses)
    return float(1 - _distances([true], [said])[0, 0])


def _number_likeness(true: float, said: float) -> float:
    error = float(_relative(np.array([said]), true)[0])
    return 1 - error if error < THETA else 0.0


def mapping_similarity(prediction: Sequence[Entry], target: Sequence[Entry], value_likeness: Likeness) -> Similarity:
    """RMS of two lists of entries."""
    if not prediction or not target:
        exact = float(not prediction and not target)
        return Similarity(exact if prediction else 1.0, exact if target else 1.0, exact)
    said, true = prediction[:MAX_ENTRIES], target[:MAX_ENTRIES]
    headers = _distances([key for key, _ in true], [key for key, _ in said])
    score = sum(
        (1 - headers[row, column]) * value_likeness(true[row][1], said[column][1])
        for row, column in cheapest_pairs(headers)
    )
    if not score:
        return Similarity(0.0, 0.0, 0.0)
    precision, recall = float(score) / len(prediction), float(score) / len(target)
    return Similarity(precision, recall, 2 * precision * recall / (precision + recall))


def _relative(said: np.ndarray, true: float, *, zero_is_far: bool = False) -> np.ndarray:
    """min(1, |p - t| / |t|); of a true 0: whether the other is none. `zero_is_far`: whether it is one."""
    if true:
        with np.errstate(invalid="ignore"):
            return np.fmin(np.abs(said - true) / abs(true), 1)  # NaN is as far as can be
    return ((said == 0) if zero_is_far else (said != 0)).astype(float)


def _distances(ones: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Edit distances by the longer length, those from TAU on as 1; two empty texts are 0 apart."""
    longer = np.maximum.outer([len(one) for one in ones], [len(other) for other in others])
    normalized = edit_distances(ones, others) / np.maximum(longer, 1)
    return np.where(normalized < TAU, normalized, 1.0)


def published_rms(prediction: str, target: str) -> Similarity:
    """RMS as metrics.py computes it: a title is an entry of its own, the last of equal headers counts, "12%" is 0.12 alone, and a
    true 0 is compared as a word."""
    true = _published_entries(target, turned=False)
    both = (_published_entries(prediction, turned=turned) for turned in (True, False))
    return max((mapping_similarity(entries, true, _published_likeness) for entries in both), key=lambda found: found.f1)


def published_rnss(prediction: str, target: str) -> float:
    """RNSS as metrics.py computes it: of what Python reads as a number between bars. A number without a partner costs nothing,
    and a true 0 is far from 0 and near to everything else."""
    said, true = (_published_numbers(text) for text in (prediction, target))
    if not said or not true:
        return float(not said and not true)
    return 1 - _paired_errors(said, true, zero_is_far=True) / max(len(said), len(true))


def _published_numbers(text: str) -> list[float]:
    cells = (_float(cell) for line in text.splitlines() for cell in line.split(" | "))
    return [number for number in cells if number is not None]


def _published_entries(text: str, *, turned: bool) -> list[Entry]:
    lines = text.lower().splitlines()
    entries: dict[str, str] = {}
    if lines and lines[0].startswith("title |"):
        entries["title"] = lines.pop(0)[len("title |") :].strip()
    rows = [tuple(cell.strip() for cell in line.split(" | ")) for line in lines]
    if turned:
        rows = list(zip_longest(*rows, fillvalue=""))
    if len(rows) > 1 and len(rows[0]) > 1:
        for row in rows[1:]:
            entries |= {f"{row[0]} {name}": cell for name, cell in zip(rows[0][1:], row[1:], strict=False)}
    return list(entries.items())


def _published_likeness(true: str, said: str) -> float:
    value, guess = (
        share / 100 if text.endswith("%") and share is not None else share
        for text in (true, said)
        for share in [_float(text.rstrip("%") if text.endswith("%") else text)]
    )
    if value and guess is not None:
        return _number_likeness(value, guess)
    return 1.0 if true == said else float(1 - _distances([true], [said])[0, 0])


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
