"""A question about a figure with its answer, and what an answer must hold to be right."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer and what an answer must hold to be right."""

    kind: str
    """type, x-axis, y-axis, names, count, highest, lowest, trend, crossing, value, best, peak, absent, trace, list, difference,
    meaning, caveat, text, place."""
    text: str
    answer: str
    key: tuple[str, ...] = ()
    """What a right answer names: labels, series, a category."""
    value: float | None = None
    """The number that a right answer gives, in the unit of the axis."""
