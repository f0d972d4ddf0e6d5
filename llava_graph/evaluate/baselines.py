"""What answers without looking: a score means something only beside these. In: records to learn from, items. Out: answers."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from llava_graph.errors import InputError, did_you_mean
from llava_graph.evaluate.answered import CAPTION, Item
from llava_graph.evaluate.words import caption_words

Baseline = Callable[[Item], str]
ABOUT = {
    "majority": "the commonest answer to this kind of question in the training split",
    "question-only": "the answer to the training split's question with the nearest words",
    "retrieval": "the answer of the training figure whose caption (if that is asked for: paragraphs) has the nearest words",
    "caption-echo": "the caption",
    "ocr-echo": "the text in the figure",
}
LEARNING = ("majority", "question-only", "retrieval")
READING = ("ocr-echo",)
"""What is given the text in the figures."""


def make_baseline(name: str, training: Sequence[Item]) -> Baseline:
    """`training`: items that may be learned from. Raises InputError: unknown, or there is nothing to learn from."""
    if name not in ABOUT:
        raise InputError(f"there is no baseline {name!r}", next_step=did_you_mean(name, ABOUT))
    if name in LEARNING and not training:
        raise InputError(
            f"the baseline {name} needs records to learn from, and the data set has no training split",
            next_step="Give --train DATASET",
        )
    if name == "majority":
        return _majority(training)
    if name == "question-only":
        return _nearest(training, lambda item: item.question or "")
    if name == "retrieval":
        return _nearest(training, _told)
    return _caption if name == "caption-echo" else _figure_text


def _caption(item: Item) -> str:
    """Raises InputError where the caption is what is asked for."""
    if item.kind == CAPTION:
        raise InputError("caption-echo would echo the reference: the task asks for the caption", where=item.id)
    return item.figure.caption


def _told(item: Item) -> str:
    """What is known of a figure without looking at it."""
    return "\n".join(item.figure.mentions) if item.kind == CAPTION else item.figure.caption


def _figure_text(item: Item) -> str:
    return " ".join(line.text for line in item.figure.ocr)


def _majority(training: Sequence[Item]) -> Baseline:
    """By kind; of answers that are as common the one that came first. A kind that training lacks gets the commonest of all."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for item in training:
        by_kind[item.kind][item.reference.strip()] += 1
        by_kind[""][item.reference.strip()] += 1
    commonest = {kind: counts.most_common(1)[0][0] for kind, counts in by_kind.items()}
    return lambda item: commonest.get(item.kind, commonest[""])


def _nearest(training: Sequence[Item], text_of: Callable[[Item], str]) -> Baseline:
    """By cosine of tf-idf words among training items of the same kind; without a common word the first of them."""
    indexes: dict[str, _Index] = {}
    for kind in {item.kind for item in training}:
        some = [item for item in training if item.kind == kind]
        indexes[kind] = _Index(map(text_of, some), [item.reference for item in some])
    whole = _Index(map(text_of, training), [item.reference for item in training])
    return lambda item: indexes.get(item.kind, whole).nearest(text_of(item))


class _Index:
    """Texts by their words."""

    def __init__(self, texts: Iterable[str], answers: Sequence[str]) -> None:
        counts = [Counter(caption_words(text)) for text in texts]
        spread = Counter(word for one in counts for word in one)
        self._rarity = {word: math.log((1 + len(counts)) / (1 + seen)) + 1 for word, seen in spread.items()}
        self._answers = answers
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, one in enumerate(counts):
            weights = {word: count * self._rarity[word] for word, count in one.items()}
            norm = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
            for word, weight in weights.items():
                found[word].append((place, weight / norm))
        self._places = {word: _columns(rows) for word, rows in found.items()}

    def nearest(self, text: str) -> str:
        """The answer that stands with the nearest text; the first of those as near."""
        scores = np.zeros(len(self._answers))
        for word, count in Counter(caption_words(text)).items():
            if word in self._places:
                places, weights = self._places[word]
                scores[places] += count * self._rarity[word] * weights
        return self._answers[int(np.argmax(scores.round(12)))]


def _columns(rows: Sequence[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    places, weights = zip(*rows, strict=True)
    return np.array(places), np.array(weights)
