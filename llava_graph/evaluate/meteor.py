"""METEOR (Banerjee and Lavie 2005) with its first two stages: equal words, then equal stems. In: words. Out: 0..1.

The third stage (synonyms) needs WordNet and the fourth (paraphrases) tables; neither is here, so the score is called
"METEOR (exact, stem)" and is lower than one of the full metric.
"""

from collections.abc import Sequence
from itertools import pairwise

from llava_graph.evaluate.porter import stem

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
"""Weight of recall; power and weight of the punishment for scattered matches (NLTK's defaults, METEOR 0.9 and later)."""


def meteor_exact_stem(answer: Sequence[str], reference: Sequence[str]) -> float:
    """As `nltk.translate.meteor_score` with a WordNet that knows no word. Words are compared in lower case."""
    mine, theirs = [word.lower() for word in answer], [word.lower() for word in reference]
    pairs = _aligned(mine, theirs)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(mine), len(pairs) / len(theirs)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return mean * (1 - GAMMA * (_chunks(pairs) / len(pairs)) ** BETA)


def _aligned(mine: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """Places of matching words, by place of the first. As NLTK: from the end, the last free one is taken."""
    free_mine, free_theirs = list(range(len(mine))), list(range(len(theirs)))
    pairs: list[tuple[int, int]] = []
    stems = ([stem(word) for word in mine], [stem(word) for word in theirs])
    for first, second in ((mine, theirs), stems):
        for place in reversed(list(free_mine)):
            other = next((one for one in reversed(free_theirs) if second[one] == first[place]), None)
            if other is not None:
                pairs.append((place, other))
                free_mine.remove(place)
                free_theirs.remove(other)
    return sorted(pairs)


def _chunks(pairs: Sequence[tuple[int, int]]) -> int:
    """Runs of matches that follow each other in both texts."""
    follows = pairwise(pairs)
    return 1 + sum(after != (before[0] + 1, before[1] + 1) for before, after in follows)
