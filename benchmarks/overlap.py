"""Overlap of a text with its reference, as captioning measures it: BLEU-4 and CIDEr, in their plain forms.

In: texts and references. Out: 0..1 (BLEU) and 0..10 (CIDEr).
"""

import math
from collections import Counter
from collections.abc import Sequence

from llava_graph.evaluate.bleu import ORDER, grams
from llava_graph.evaluate.rouge import split_words


def bleu(text: str, reference: str) -> float:
    """Sentence BLEU-4 with one added to the counts above single words (Lin and Och 2004), and the brevity penalty."""
    mine, theirs = split_words(text), split_words(reference)
    if not mine or not theirs:
        return 0.0
    logs = 0.0
    for order in range(1, ORDER + 1):
        counts, known = grams(mine, order), grams(theirs, order)
        smooth = 0 if order == 1 else 1
        hits, total = sum((counts & known).values()) + smooth, sum(counts.values()) + smooth
        if not hits or not total:
            return 0.0
        logs += math.log(hits / total) / ORDER
    return math.exp(logs + min(0.0, 1 - len(theirs) / len(mine)))


def cider(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """CIDEr of each text with one reference each (Vedantam et al. 2015): cosine of tf-idf n-grams, 1 to 4, times 10."""
    scores = [0.0] * len(texts)
    for order in range(1, ORDER + 1):
        known = [grams(split_words(reference), order) for reference in references]
        spread = Counter(gram for counts in known for gram in counts)
        for place, text in enumerate(texts):
            mine = _weighted(grams(split_words(text), order), spread, len(references))
            theirs = _weighted(known[place], spread, len(references))
            norm = math.sqrt(sum(v * v for v in mine.values()) * sum(v * v for v in theirs.values()))
            dot = sum(value * theirs.get(gram, 0.0) for gram, value in mine.items())
            scores[place] += 10 * dot / norm / ORDER if norm else 0.0
    return scores


def _weighted(
    counts: Counter[tuple[str, ...]], spread: Counter[tuple[str, ...]], total: int
) -> dict[tuple[str, ...], float]:
    length = sum(counts.values()) or 1
    return {gram: count / length * math.log(total / max(1, spread[gram])) for gram, count in counts.items()}
