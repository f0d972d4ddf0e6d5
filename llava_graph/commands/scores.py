"""Scores as tables of text."""

from collections.abc import Sequence
from typing import Any


def printed_scores(found: dict[str, Any]) -> str:
    """A run's metrics: every score with its interval and what the model was given of the figures' text."""
    whole = "" if found["complete"] else f"  PARTIAL: {found['answered']} of {found['items']} items"
    rows = [("flavour", "score", "value", "95 % interval", "items", "OCR context", "")]
    for score in found["scores"]:
        ends = score["interval"]
        rows.append(
            (
                score["flavour"],
                score["name"],
                _number(score["value"]),
                f"{_number(ends[0])} to {_number(ends[1])}" if ends else "",
                str(score["items"]) + ("" if found["complete"] else " (partial)"),
                score["ocr_context"],
                score["note"],
            )
        )
    return f"{found['task']}: {found['answered']} answers{whole}\n{table(rows)}"


def printed_comparison(compared: Sequence[dict[str, Any]], first: str, second: str) -> str:
    """Two runs: difference, its interval, and how likely one as large comes by chance."""
    rows = [("flavour", "score", first, second, "difference", "95 % interval", "p", "items")]
    for one in compared:
        ends, p_value = one["interval"], one["p_value"]
        rows.append(
            (
                one["flavour"],
                one["name"],
                _number(one["first"]),
                _number(one["second"]),
                f"{one['difference']:+.4f}",
                f"{ends[0]:+.4f} to {ends[1]:+.4f}" if ends else "",
                "" if p_value is None else f"{p_value:.3f}",
                str(one["items"]),
            )
        )
    return table(rows)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns as wide as their widest."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
