"""An answer as documents show it: sections of blocks, each sentence with what bears it out. Values in and out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from llava_graph.asking import sections_of
from llava_graph.evidence.found import NO_CLAIM
from llava_graph.evidence.shown import Chip, Piece, chips_of, cut, marks_of, note_of
from llava_graph.explained.records import Answer
from llava_graph.markdown import Block, Run, blocks_of


@dataclass(frozen=True, slots=True)
class Words:
    """Words of an answer in one style."""

    text: str
    style: str = ""
    """Words of "strong", "em", "code", "formula"."""
    verdict: str = ""
    """Of the sentence they are part of; empty where nothing could be looked for."""
    mark: str = ""
    """Why to check them; empty if there is no reason."""
    chips: tuple[Chip, ...] = ()
    """At the end of a sentence: what bears it out."""
    note: str = ""
    """At the end of a sentence: why to check it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph, an item, a row or code."""

    cells: tuple[tuple[Words, ...], ...]
    """One, but for a row."""
    level: int = 0
    number: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines of one kind that belong together: the items of a list, the rows of a table, or one paragraph."""

    kind: str
    """See `llava_graph.markdown`."""
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A section of an answer; `title` is empty for one that has none."""

    title: str
    groups: tuple[Group, ...]


def parts_of(answer: Answer) -> tuple[Part, ...]:
    """An answer in its sections; none for an answer without text."""
    marks = marks_of(answer.sentences)
    notes = [note_of(mark) for mark in marks]

    def words(runs: Sequence[Run]) -> Iterator[Words]:
        pieces = [piece for run in runs for piece in cut(run, answer.sentences, marks)]
        for piece, after in zip(pieces, [*pieces[1:], Piece("", "", -1, -1)], strict=True):
            sentence = answer.sentences[piece.sentence] if piece.sentence >= 0 else None
            ends = sentence is not None and piece.sentence != after.sentence
            note = note_of(sentence) if sentence and ends else ""
            yield Words(
                piece.text,
                piece.style,
                sentence.verdict if sentence and sentence.verdict != NO_CLAIM else "",
                notes[piece.mark] if piece.mark >= 0 else "",
                # Of a sentence that was not found they would be what comes nearest.
                chips_of(sentence) if sentence and ends and not note else (),
                note,
            )

    def line(block: Block) -> Line:
        return Line(tuple(tuple(words(runs)) for runs in block.cells), block.level, block.number)

    return tuple(
        Part(
            section.title,
            tuple(
                Group(kind, tuple(line(block) for _, block in together))
                for (kind, _), together in groupby(
                    enumerate(blocks_of(answer.text, section.start, section.end)), _belongs
                )
            ),
        )
        for section in sections_of(answer.text)
    )


def _belongs(item: tuple[int, Block]) -> tuple[str, int]:
    """Items and rows stand together, everything else by itself."""
    place, block = item
    return block.kind, -1 if block.kind in ("item", "numbered", "row") else place


def has_evidence(answers: Sequence[Answer]) -> bool:
    """Whether any sentence has been looked for."""
    return any(answer.sentences for answer in answers)
