"""BLEU (Papineni et al. 2002): of a whole set of answers, and of one sentence as scripts of medical VQA and reports compute it.

In: words of an answer and of its reference. Out: counts that can be added up over answers, and 0..1.
"""

import math
import sys
from collections import Counter
from collections.abc import Sequence

ORDER = 4
Counts = tuple[float, ...]
"""Matches of 1- to 4-grams, n-grams of the answer, words of the answer, words of the reference."""
CXR_EPSILON = 0.1
"""fast-bleu's default smoothing, with which CXR-Report-Metric computes BLEU-2."""
SMALL, TINY = 1e-9, 1e-15
"""pycocoevalcap adds them to denominators and numerators."""


def grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """n-grams with their counts."""
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def bleu_counts(answer: Sequence[str], reference: Sequence[str]) -> Counts:
    """What one answer adds to the sums of `corpus_bleu`."""
    matches = [sum((grams(answer, n) & grams(reference, n)).values()) for n in range(1, ORDER + 1)]
    guesses = [max(0, len(answer) - n + 1) for n in range(1, ORDER + 1)]
    return (*map(float, matches), *map(float, guesses), float(len(answer)), float(len(reference)))


def corpus_bleu(sums: Sequence[float], order: int) -> float:
    """BLEU-`order` from the sums over all answers; 0 where no n-gram of some order matches."""
    matches, guesses, mine, theirs = sums[:ORDER], sums[ORDER : 2 * ORDER], sums[-2], sums[-1]
    if not all(matches[:order]):
        return 0.0
    logs = sum(math.log(hit / total) for hit, total in zip(matches[:order], guesses, strict=False)) / order
    return math.exp(logs + min(0.0, 1 - theirs / mine))


def coco_bleu(sums: Sequence[float], order: int) -> float:
    """As pycocoevalcap has it: with its small numbers, so that without a match it is not 0."""
    product = 1.0
    for hits, total in zip(sums[:order], sums[ORDER : ORDER + order], strict=True):
        product *= (hits + TINY) / (total + SMALL)
    ratio = (sums[-2] + TINY) / (sums[-1] + SMALL)
    return float(product ** (1 / order) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0))


def nltk_bleu(
    answer: Sequence[str], reference: Sequence[str], weights: Sequence[float] = (0.25,) * 4, *, epsilon: float = 0.0
) -> float:
    """`nltk.translate.bleu_score.sentence_bleu` of one reference.

    `weights` (0, 1, 0, 0) is the precision of bigrams alone, which Quilt-LLaVA's script calls BLEU-2. An order without a match
    counts as 2e-308 (NLTK's default) or, with `epsilon` 0.1, as a tenth of a match (NLTK's method 1, fast-bleu's default).
    """
    counts = [sum((grams(answer, n) & grams(reference, n)).values()) for n in range(1, len(weights) + 1)]
    if not counts[0]:
        return 0.0
    logs = []
    for order, (weight, hits) in enumerate(zip(weights, counts, strict=True), 1):
        total = max(1, len(answer) - order + 1)
        share = hits / total if hits else epsilon / total if epsilon else sys.float_info.min
        logs.append(weight * math.log(share))
    return math.exp(math.fsum(logs)) * math.exp(min(0.0, 1 - len(reference) / len(answer)))


def cxr_words(text: str) -> list[str]:
    """Words of a report as CXR-Report-Metric hands them to BLEU."""
    return [word for word in text.lower().replace(".", " .").split(" ") if word]
