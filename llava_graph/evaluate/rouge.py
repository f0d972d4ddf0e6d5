"""ROUGE-L. In: a text and its reference. Out: precision, recall and F1 of their longest common subsequence of words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Rouge:
    """Shares of 0..1."""

    precision: float
    """of the text's words"""
    recall: float
    """of the reference's words"""

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where they share no word."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def rouge_l(text: str, reference: str) -> Rouge:
    """ROUGE-L of one text (Lin 2004, section 3.1), as rouge-score's `RougeScorer(["rougeL"])` without its stemmer.

    Words are runs of the letters a to z and digits, in lower case; so 0.5 is two words, and other scripts are none.
    """
    mine, theirs = split_words(text), split_words(reference)
    if not mine or not theirs:
        return Rouge(0.0, 0.0)
    common = common_length(mine, theirs)
    return Rouge(common / len(mine), common / len(theirs))


def split_words(text: str) -> list[str]:
    """The words that are compared."""
    return NO_WORD.sub(" ", text.lower()).split()


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence. Time len(first) · len(second), memory len(second)."""
    row = [0] * (len(second) + 1)
    for word in first:
        above = 0
        for place, other in enumerate(second, start=1):
            above, row[place] = row[place], above + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]
