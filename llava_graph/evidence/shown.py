"""How evidence is shown on a page, in a report and on a terminal alike: words, chips, an answer cut where it changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llava_graph.evidence.found import NOT_FOUND, Mark, Sentence
from llava_graph.markdown import Run

NUMBER_NOTE = "This number stands nowhere in the text given. It may have been read off the image: check it."
NAME_NOTE = "This name stands nowhere in the text given: check it."
OPPOSITE_NOTE = "The text says “{}” here: check which is right."
NOT_FOUND_NOTE = "No sentence of the text given says this. It may come from the image, or from nowhere: check it."


@dataclass(frozen=True, slots=True)
class Chip:
    """One place that bears a sentence out."""

    label: str
    """ "caption", "¶ 2", "text in figure: 3", "table" """
    source: str
    """One of `evidence.found.SOURCES`."""
    index: int = 0
    """Which paragraph."""
    spans: tuple[tuple[int, int], ...] = ()
    """Where in the caption or paragraph, in characters."""
    lines: tuple[int, ...] = ()
    """Which lines of text in the figure."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer in one style, of one sentence, with at most one mark."""

    text: str
    style: str
    sentence: int
    """Its number; -1 for none."""
    mark: int
    """Its number among all marks of the answer; -1 for none."""


def chips_of(sentence: Sentence) -> tuple[Chip, ...]:
    """What bears a sentence out, each source once: the caption, paragraphs, the lines together, the table."""
    found: list[Chip] = []
    if spans := _spans(sentence, "caption", 0):
        found.append(Chip("caption", "caption", spans=spans))
    for index in dict.fromkeys(one.index for one in sentence.supports if one.source == "paragraph"):
        found.append(Chip(f"¶ {index + 1}", "paragraph", index, _spans(sentence, "paragraph", index)))
    if lines := tuple(one.index for one in sentence.supports if one.source == "figure text"):
        found.append(Chip(f"text in figure: {len(lines)}", "figure text", lines=lines))
    if any(one.source == "table" for one in sentence.supports):
        found.append(Chip("table", "table"))
    return tuple(found)


def _spans(sentence: Sentence, source: str, index: int) -> tuple[tuple[int, int], ...]:
    return tuple((one.start, one.end) for one in sentence.supports if one.source == source and one.index == index)


def note_of(found: Sentence | Mark) -> str:
    """What a reader is told of a sentence that was not found, or of a mark; empty for what needs no word."""
    if isinstance(found, Sentence):
        return NOT_FOUND_NOTE if found.verdict == NOT_FOUND else ""
    return {"number": NUMBER_NOTE, "name": NAME_NOTE}.get(found.kind) or OPPOSITE_NOTE.format(found.note)


def marks_of(sentences: Sequence[Sentence]) -> list[Mark]:
    """All marks of an answer, in order."""
    return [mark for sentence in sentences for mark in sentence.marks]


def cut(run: Run, sentences: Sequence[Sentence], marks: Sequence[Mark]) -> Iterator[Piece]:
    """A run of an answer, cut where a sentence or a mark begins or ends."""
    places = [[(one.start, one.end) for one in spans] for spans in (sentences, marks)]
    edges = {run.start, run.end}
    edges |= {place for spans in places for span in spans for place in span if run.start < place < run.end}
    for start, end in pairwise(sorted(edges)):
        text = run.text[start - run.start : end - run.start]
        yield Piece(text, run.style, _at(places[0], start), _at(places[1], start))


def _at(spans: Sequence[tuple[int, int]], place: int) -> int:
    """The number of the span that holds a place, -1 if none does."""
    return next((number for number, (start, end) in enumerate(spans) if start <= place < end), -1)
