"""What bears out the sentences of an answer. In: an answer and the figure that it is about. Out: its sentences, judged.

Sentences are compared with the sentences of caption and paragraphs by their content words (inverse document frequency over the
figure's own texts), with the lines in the figure by their whole text, and by their numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from llava_graph.asking import sections_of
from llava_graph.evaluate.numbers import Number, find_numbers
from llava_graph.evidence.directions import directions_of, opposed
from llava_graph.evidence.found import NO_CLAIM, NOT_FOUND, PARTLY, SUPPORTED, Mark, Sentence
from llava_graph.evidence.numbers import is_borne_out
from llava_graph.evidence.sentences import sentences
from llava_graph.evidence.sources import Passage, Sources, compact, plain, sources_of
from llava_graph.evidence.words import OPPOSITE_OF, QUOTED, Word, is_negated, words_of
from llava_graph.record import Figure

ENOUGH, SOME = 0.6, 0.35
"""Share of a sentence's weight that has to be found for "supported" and "partly". Precision hardly moves between 0.5 and 0.8
(docs/benchmarks.md), recall of sentences in other words falls above 0.7."""
ADDS = 0.2
"""Share that a second passage has to add."""
KIN = 0.25
"""Share that a passage has to have for its numbers to count: any small integer stands somewhere."""
MAX_LINES = 12
"""Lines in the figure that are named for one sentence."""


def evidence(text: str, figure: Figure, *, complete: bool = True) -> tuple[Sentence, ...]:
    """The sentences of an answer with what bears them out in the figure's caption, paragraphs, lines of text and table.

    Titles and code are no sentences. While the answer grows (`complete` False) the last sentence is left out.
    """
    return judged(text, sources_of(figure), complete=complete)


def judged(text: str, sources: Sources, *, complete: bool = True) -> tuple[Sentence, ...]:
    """`evidence` over texts that were made ready before."""
    found = []
    sections = sections_of(text, complete=complete)
    for number, section in enumerate(sections, 1):
        body = text[section.start : section.end]
        whole = complete or number < len(sections)
        for start, end in sentences(body, complete=whole):
            sentence, begin = _judge(sources, body[start:end]), section.start + start
            marks = tuple(replace(mark, start=begin + mark.start, end=begin + mark.end) for mark in sentence.marks)
            found.append(replace(sentence, start=begin, end=section.start + end, marks=marks))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A sentence as it is compared."""

    text: str
    words: tuple[Word, ...]
    numbers: tuple[Number, ...]
    keys: frozenset[str]
    total: float
    """Weight of its words."""

    def share(self, sources: Sources, words: frozenset[str]) -> float:
        """How much of its weight `words` have, 0..1."""
        return sum(map(sources.weight, self.keys & words)) / self.total if self.total else 0.0


@lru_cache(maxsize=4096)
def _judge(sources: Sources, text: str) -> Sentence:
    """One sentence, its places counted from its own beginning. Kept: a growing answer asks again and again."""
    words, numbers = tuple(words_of(text)), find_numbers(text)
    keys = frozenset(word.key for word in words)
    claim = _Claim(text, words, numbers, keys, sum(map(sources.weight, keys)))
    names = tuple(_unknown_names(sources, claim))
    lines = _lines(sources, claim)
    if not numbers and not names and len(keys) < 2 and not lines:
        return Sentence(0, len(text), text, NO_CLAIM)
    prose = _nearest(sources, claim)
    known = frozenset().union(*(passage.words for passage in (*prose, *lines)))
    share = claim.share(sources, known) if keys else float(bool(numbers))
    bearing = [_bearing(sources, claim, number, prose) for number in numbers]
    unborne = [number for number, passages in zip(numbers, bearing, strict=True) if not passages]
    marks = [*names, *(Mark(number.start, number.end, "number") for number in unborne), *_opposites(claim, prose)]
    verdict = NOT_FOUND
    if share >= SOME:
        stray = any(word.is_name and word.key not in known for word in words)
        denied = prose and prose[0].negated != is_negated(text)
        verdict = PARTLY if marks or stray or denied or share < ENOUGH else SUPPORTED
    near = prose if verdict != NOT_FOUND else ()
    supports = dict.fromkeys(
        passage.place for passage in (*near, *lines, *(one for some in bearing for one in some[:1]))
    )
    return Sentence(0, len(text), text, verdict, tuple(supports), tuple(sorted(marks, key=lambda mark: mark.start)))


def _nearest(sources: Sources, claim: _Claim) -> tuple[Passage, ...]:
    """The passage that shares most with the sentence, and one more where that adds much."""
    scores: dict[int, float] = {}
    for key in claim.keys:
        for number in sources.holding.get(key, ()):
            scores[number] = scores.get(number, 0.0) + sources.weight(key)
    ranked = sorted(scores, key=lambda number: (-scores[number], number))[:8]
    if not ranked or len(claim.keys) + len(claim.numbers) < 2:
        return ()
    # Of passages that share as much the one with the same numbers is meant.
    best = max(ranked, key=lambda number: scores[number] / claim.total + 0.1 * _common(claim, sources.prose[number]))
    first = sources.prose[best]
    rest = claim.keys - first.words
    more = [
        (sum(map(sources.weight, rest & sources.prose[number].words)), -number) for number in ranked if number != best
    ]
    if more and max(more)[0] >= ADDS * claim.total:
        return first, sources.prose[-max(more)[1]]
    return (first,)


def _common(claim: _Claim, passage: Passage) -> int:
    return sum(is_borne_out(number, passage.numbers, claim.text) for number in claim.numbers)


def _lines(sources: Sources, claim: _Claim) -> tuple[Passage, ...]:
    """The lines in the figure and rows of the table of which every word stands in the sentence."""
    found = (
        passage
        for passage in sources.inside
        if passage.words and passage.words <= claim.keys and _telling(passage.text)
    )
    return tuple(found)[:MAX_LINES]


def _telling(text: str) -> bool:
    """Whether a line is more than a letter or two."""
    return sum(letter.isalpha() for letter in text) > 2


def _bearing(sources: Sources, claim: _Claim, number: Number, prose: Sequence[Passage]) -> tuple[Passage, ...]:
    """Where a number stands: in the passages nearest to the sentence, in their kin, in the figure or its table."""
    kin = (passage for passage in sources.prose if claim.share(sources, passage.words) >= KIN or not claim.keys)
    for passage in (*prose, *kin, *sources.inside):
        # A tick is no value: "about 62" is not borne out by the 60 of a scale.
        sentence = "" if passage.place.source == "figure text" else claim.text
        if is_borne_out(number, passage.numbers, sentence):
            return (passage,)
    return ()


def _unknown_names(sources: Sources, claim: _Claim) -> Iterator[Mark]:
    """Names and quotes that stand in none of the texts."""
    for word in claim.words:
        token = claim.text[word.start : word.end]
        if word.is_name and word.key not in sources.weights and compact(token) not in sources.compact:
            yield Mark(word.start, word.end, "name")
    for quote in QUOTED.finditer(claim.text):
        inner = quote[0][1:-1]
        keys = {word.key for word in words_of(inner)}
        if keys and plain(inner) not in sources.plain and not keys <= sources.weights.keys():
            yield Mark(quote.start() + 1, quote.end() - 1, "name")


def _opposites(claim: _Claim, prose: Sequence[Passage]) -> Iterator[Mark]:
    """Words of the sentence of which the passage nearest to it says the opposite, of anything or of the same word."""
    if not prose:
        return
    told, words = directions_of(prose[0].text), prose[0].words
    for said in directions_of(claim.text):
        other = opposed(said, told)
        if other is None and said.key in claim.keys and said.key not in words:
            other = next((one for one in told if one.key == OPPOSITE_OF[said.key] and one.key in words), None)
        if other:
            yield Mark(said.start, said.end, "opposite", other.text)
