"""A figure's texts made ready to be searched: passages of caption and paragraphs, lines in the figure, rows of its table."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

from llava_graph.evaluate.numbers import Number, find_numbers
from llava_graph.evidence.found import Support
from llava_graph.evidence.sentences import sentences
from llava_graph.evidence.words import is_negated, words_of
from llava_graph.record import Figure, OcrLine, Table

LEAST = 0.4
"""Weight of a word that is in every passage: it still has to be there."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence of caption or paragraphs, a line in the figure or a row of its table."""

    place: Support
    text: str
    words: frozenset[str]
    numbers: tuple[Number, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Everything that is given of a figure in words."""

    prose: tuple[Passage, ...]
    """Sentences of the caption and of the paragraphs."""
    inside: tuple[Passage, ...]
    """Lines in the figure and rows of the table."""
    weights: dict[str, float]
    """Word -> how much it tells, 0..1: one that is everywhere in these texts tells little."""
    holding: dict[str, tuple[int, ...]]
    """Word -> the passages of `prose` that have it, by number."""
    plain: str
    """All texts in small letters with single spaces, for quotes."""
    compact: str
    """All letters and digits of them, for names that are written apart: ResNet50, ResNet-50."""

    def weight(self, word: str) -> float:
        """Of a word that stands nowhere it is the highest."""
        return self.weights.get(word, 1.0)


def sources_of(figure: Figure) -> Sources:
    """The figure's texts, ready to be searched; those of the figures looked at last are kept."""
    return _sources(figure.label, figure.caption, figure.mentions, figure.ocr, figure.table)


@lru_cache(maxsize=16)
def _sources(
    label: str, caption: str, mentions: tuple[str, ...], ocr: tuple[OcrLine, ...], table: Table | None
) -> Sources:
    prose = [*_passages("caption", 0, caption)]
    for number, paragraph in enumerate(mentions):
        prose += _passages("paragraph", number, paragraph)
    inside = [_line(number, line) for number, line in enumerate(ocr)]
    rows = (table.header, *table.rows) if table else ()
    inside += [_passage(Support("table", number), " | ".join(row)) for number, row in enumerate(rows)]
    texts = [label, caption, *mentions, *(line.text for line in ocr), *(" ".join(row) for row in rows)]
    holding: dict[str, list[int]] = defaultdict(list)
    for number, passage in enumerate(prose):
        for word in passage.words:
            holding[word].append(number)
    return Sources(
        prose=tuple(prose),
        inside=tuple(inside),
        weights=_weights([passage.words for passage in (*prose, *inside)]),
        holding={word: tuple(numbers) for word, numbers in holding.items()},
        plain=plain(" \n ".join(texts)),
        compact=compact(" ".join(texts)),
    )


def plain(text: str) -> str:
    """Small letters, single spaces, one kind of quote."""
    return " ".join(text.casefold().replace("’", "'").split())


def compact(text: str) -> str:
    """Letters and digits alone."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _passages(source: str, index: int, text: str) -> list[Passage]:
    return [_passage(Support(source, index, start, end), text[start:end]) for start, end in sentences(text)]


def _passage(place: Support, text: str) -> Passage:
    found = frozenset(word.key for word in words_of(text))
    return Passage(place, text, found, find_numbers(text), is_negated(text))


def _line(number: int, line: OcrLine) -> Passage:
    passage = _passage(Support("figure text", number), line.text)
    if line.value is None:
        return passage
    # As it was read as a number: "4 000" is one tick, and no four.
    return replace(passage, numbers=(Number(line.text, line.value, percent="%" in line.text),))


def _weights(passages: list[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency (Spärck Jones 1972) over the figure's own passages, scaled to LEAST..1."""
    counts = Counter(word for words in passages for word in words)
    most = math.log(1 + len(passages))
    return {
        word: max(LEAST, math.log((1 + len(passages)) / count) / most) if most else 1.0
        for word, count in counts.items()
    }
