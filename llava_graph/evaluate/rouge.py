"""ROUGE (Lin 2004). In: a text and its reference. Out: precision, recall and F1 of shared n-grams, or of the longest common
subsequence of words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llava_graph.evaluate.bleu import grams
from llava_graph.evaluate.porter import stem

NO_WORD = re.compile(r"[^a-z0-9]+")
STEMMED_FROM = 4
"""Letters: rouge-score stems no shorter word."""
COCO_BETA = 1.2
"""Recall counts so much more than precision in pycocoevalcap."""


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


def rouge_l(text: str, reference: str, *, stemmed: bool = False) -> Rouge:
    """ROUGE-L of one text (section 3.1), as rouge-score's `RougeScorer(["rougeL"], use_stemmer=stemmed)`.

    Words are runs of the letters a to z and digits, in lower case; so 0.5 is two words, and other scripts are none.
    """
    mine, theirs = split_words(text, stemmed=stemmed), split_words(reference, stemmed=stemmed)
    if not mine or not theirs:
        return Rouge(0.0, 0.0)
    common = common_length(mine, theirs)
    return Rouge(common / len(mine), common / len(theirs))


def rouge_n(text: str, reference: str, order: int, *, stemmed: bool = False) -> Rouge:
    """ROUGE-1, ROUGE-2, … (section 2), as rouge-score has them."""
    mine = grams(split_words(text, stemmed=stemmed), order)
    theirs = grams(split_words(reference, stemmed=stemmed), order)
    common = (mine & theirs).total()
    return Rouge(common / max(1, mine.total()), common / max(1, theirs.total()))


def coco_rouge_l(text: str, reference: str) -> float:
    """ROUGE-L as pycocoevalcap has it: words stand between single spaces, recall counts more (beta 1.2)."""
    mine, theirs = text.split(" "), reference.split(" ")
    common = common_length(mine, theirs)
    precision, recall = common / len(mine), common / len(theirs)
    return (1 + COCO_BETA**2) * precision * recall / (recall + COCO_BETA**2 * precision) if common else 0.0


def split_words(text: str, *, stemmed: bool = False) -> list[str]:
    """The words that are compared."""
    words = NO_WORD.sub(" ", text.lower()).split()
    return [stem(word) if len(word) >= STEMMED_FROM else word for word in words] if stemmed else words


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence. Time len(first) · len(second), memory len(second)."""
    row = [0] * (len(second) + 1)
    for word in first:
        above = 0
        for place, other in enumerate(second, start=1):
            above, row[place] = row[place], above + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]
