"""Where two answers differ: sentences that only one has, numbers that only one names. Texts in, marked texts out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llava_graph.evaluate.numbers import Number, find_numbers
from llava_graph.evaluate.rouge import rouge_l
from llava_graph.evidence.sentences import Span, sentences

SAME_SENTENCE = 0.6
"""ROUGE-L F1 from which on two sentences say the same in other words; below it most share only the words of the subject."""
SAME_NUMBER = 1e-6
"""Relative: 0.50 and 50 % are one number, 0.5 and 0.51 are two."""


@dataclass(frozen=True)
class Piece:
    """A piece of an answer; all pieces together are the answer."""

    text: str
    only: bool = False
    """In a sentence that the other answer does not have."""
    number: bool = False
    """A number that the other answer does not name."""


@dataclass(frozen=True)
class Marked:
    """An answer with what only it says."""

    pieces: tuple[Piece, ...]
    sentences: int
    only: int
    """Sentences that the other answer does not have."""
    numbers: tuple[str, ...]
    """Numbers that the other answer does not name, each once, as they are written."""


def marked(text: str, other: str) -> Marked:
    """`text` with marks where it says what `other` does not."""
    spans, others = sentences(text), [other[start:end] for start, end in sentences(other)]
    theirs = find_numbers(other)
    alone = [number for number in find_numbers(text) if not any(_same(number, known) for known in theirs)]
    unlike = [span for span in spans if not _is_among(text[span[0] : span[1]], others)]
    named = tuple(dict.fromkeys(text[number.start : number.end] for number in alone))
    return Marked(_pieces(text, unlike, alone), len(spans), len(unlike), named)


def _same(number: Number, other: Number) -> bool:
    return number.near(other, SAME_NUMBER)


def _is_among(sentence: str, others: Sequence[str]) -> bool:
    # ROUGE knows Latin letters only.
    return sentence in others or any(rouge_l(sentence, other).f1 >= SAME_SENTENCE for other in others)


def _pieces(text: str, unlike: Sequence[Span], numbers: Sequence[Number]) -> tuple[Piece, ...]:
    """The text cut where a mark begins or ends."""
    spans = [(number.start, number.end) for number in numbers]
    cuts = sorted({0, len(text), *(place for span in [*unlike, *spans] for place in span)})
    return tuple(
        Piece(text[start:end], _lies_in(start, unlike), _lies_in(start, spans)) for start, end in pairwise(cuts)
    )


def _lies_in(place: int, spans: Sequence[Span]) -> bool:
    return any(start <= place < end for start, end in spans)


def told(names: Sequence[str], sides: Sequence[Marked]) -> str:
    """The differences in a sentence for each answer, `names` being what each is called."""
    if all(not side.only and not side.numbers for side in sides):
        same = "".join(piece.text for piece in sides[0].pieces).split()
        equal = all("".join(piece.text for piece in side.pieces).split() == same for side in sides)
        return "Both answers are the same, word for word." if equal else "Both answers say the same in other words."
    return " ".join(_told(name, side) for name, side in zip(names, sides, strict=True))


def _told(name: str, side: Marked) -> str:
    found = [f"{side.only} of {side.sentences} sentence{'s' if side.sentences > 1 else ''}"] if side.only else []
    if side.numbers:
        found.append(f"the number{'s' if len(side.numbers) > 1 else ''} {', '.join(side.numbers)}")
    return f"Only {name}: {' and '.join(found)}." if found else f"Nothing only {name}."
