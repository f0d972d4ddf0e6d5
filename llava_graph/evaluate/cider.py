"""CIDEr-D (Vedantam et al. 2015): cosines of n-grams weighted by how rare they are in the references. In: words. Out: 0..10.

The corpus that says what is rare is that of all references of the set, so a score belongs to that set.
"""

import math
from collections import Counter
from collections.abc import Sequence

from llava_graph.evaluate.bleu import ORDER, grams

SIGMA = 6.0
"""Words: width of the Gaussian by which another length is punished."""
Vector = dict[tuple[str, ...], float]


def cider_d(answers: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each answer with one reference each, as pycocoevalcap's "CIDEr" of the same words."""
    known = [[grams(reference, order) for order in range(1, ORDER + 1)] for reference in references]
    spread = Counter(gram for one in known for counts in one for gram in counts)
    total = math.log(len(references)) if references else 0.0
    scores = []
    for answer, reference, theirs in zip(answers, references, known, strict=True):
        penalty = math.exp(-((len(answer) - len(reference)) ** 2) / (2 * SIGMA**2))
        cosines = [
            _clipped_cosine(_weighted(grams(answer, order), spread, total), _weighted(theirs[order - 1], spread, total))
            for order in range(1, ORDER + 1)
        ]
        scores.append(10 * penalty * sum(cosines) / ORDER)
    return scores


def _weighted(counts: Counter[tuple[str, ...]], spread: Counter[tuple[str, ...]], total: float) -> Vector:
    return {gram: count * (total - math.log(max(1, spread[gram]))) for gram, count in counts.items()}


def _clipped_cosine(mine: Vector, theirs: Vector) -> float:
    norm = math.sqrt(sum(v * v for v in mine.values())) * math.sqrt(sum(v * v for v in theirs.values()))
    return (
        sum(min(value, theirs.get(gram, 0.0)) * theirs.get(gram, 0.0) for gram, value in mine.items()) / norm
        if norm
        else 0.0
    )
