"""Whether a number of an answer and one of a text are the same, as far as their digits tell."""

from collections.abc import Iterable

from llava_graph.evaluate.numbers import TOLERANCE, Number
from llava_graph.evidence.words import HEDGES

ROUNDED = 0.02
"""Relative: 0.47 bears out 0.5 only where "about" stands before it."""


def is_borne_out(number: Number, others: Iterable[Number], sentence: str = "") -> bool:
    """Whether any of `others` is the number that stands in `sentence`; without it hedges before the number do not count."""
    return any(is_equal(number, other, sentence) for other in others)


def is_equal(number: Number, other: Number, sentence: str = "") -> bool:
    """Whether two numbers are one, as far as the first one's digits tell; after "about" in `sentence` within TOLERANCE."""
    if not number.value:
        return not other.value
    hedged = HEDGES.search(sentence, max(0, number.start - 24), number.start) is not None
    digits = number.text.lstrip("+-$€£").split("e")[0].split("×")[0].partition(".")[2]
    decimals = sum(1 for digit in digits if digit.isdigit())
    mantissa = abs(number.value)
    while mantissa >= 10 and ("×" in number.text or "e" in number.text.casefold()):
        mantissa /= 10
    rounding = 0.5 * 10**-decimals / mantissa
    return number.near(other, TOLERANCE if hedged else min(rounding, ROUNDED))
