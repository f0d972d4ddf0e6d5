"""What the conversation shows: the session's turns as plain values for conversation.js, with the evidence for every sentence.

Values in, values out. Text stays text: the browser draws it with textContent.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from llava_graph.asking import MEDICAL_NOTE, is_medical, sections_of, suggested_questions
from llava_graph.evidence import Sentence
from llava_graph.evidence.found import NO_CLAIM, NOT_FOUND
from llava_graph.evidence.judging import judged
from llava_graph.evidence.sources import Sources, sources_of
from llava_graph.record import Figure
from serve.web.conversation.markdown import Block, Run, blocks_of
from serve.web.session import AnswerFacts, Session

NUMBER_NOTE = "This number stands nowhere in the text given. It may have been read off the image: check it."
NAME_NOTE = "This name stands nowhere in the text given: check it."
OPPOSITE_NOTE = "The text says “{}” here: check which is right."
NOT_FOUND_NOTE = "No sentence of the text given says this. It may come from the image, or from nowhere: check it."


def conversation_view(session: Session, figure: Figure | None, *, busy: bool = False) -> dict[str, Any]:
    """The value of the conversation's component. `figure`: with caption, paragraphs and lines as they stand on the page."""
    sources = sources_of(figure) if figure else None
    pairs = list(zip(session.turns[::2], session.turns[1::2], strict=False))
    turns = []
    for number, (question, answer) in enumerate(pairs):
        facts = session.facts[number] if number < len(session.facts) else AnswerFacts()
        writing = busy and number == len(pairs) - 1
        versions = session.versions(number)
        turns.append(
            {
                "id": facts.id,
                "question": question.text,
                "answer": _answer(answer.text, sources, complete=not writing),
                "text": answer.text,
                "writing": writing,
                "version": next((at for at, one in enumerate(versions) if one.facts.id == facts.id), 0),
                "versions": len(versions),
            }
        )
    asked = [question.text for question, _ in pairs]
    return {
        "figure": figure.id if figure else "",
        "busy": busy,
        "turns": turns,
        "given": bool(figure and sources and (sources.prose or sources.inside)),
        "suggestions": [] if busy or figure is None else list(suggested_questions(figure, asked)),
        "note": MEDICAL_NOTE if figure and is_medical(figure) and turns else "",
    }


@lru_cache(maxsize=512)
def _answer(text: str, sources: Sources | None, *, complete: bool) -> dict[str, Any]:
    """Blocks of runs, and what is known of each sentence. Kept: of a conversation only the last answer changes."""
    sentences = judged(text, sources, complete=complete) if sources and (sources.prose or sources.inside) else ()
    cutter = _Cutter(sentences)
    blocks: list[dict[str, Any]] = []
    for section in sections_of(text, complete=complete):
        if section.title:
            blocks.append({"kind": "section", "title": section.title})
        blocks += [cutter.block(block) for block in blocks_of(text, section.start, section.end, complete=complete)]
    return {"blocks": blocks, "sentences": [_told(one) for one in sentences], "marks": cutter.notes}


class _Cutter:
    """Cuts the runs of blocks where a sentence or a mark begins or ends; both go through an answer from left to right."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        self._sentences = sentences
        self._marks = [mark for sentence in sentences for mark in sentence.marks]
        self.notes = [{"kind": mark.kind, "note": _note(mark.kind, mark.note)} for mark in self._marks]

    def block(self, block: Block) -> dict[str, Any]:
        """{"kind", "level", "number", "cells": [[[text, style, sentence, mark], …], …]}; -1 where there is none."""
        return {
            "kind": block.kind,
            "level": block.level,
            "number": block.number,
            "cells": [[piece for run in cell for piece in self._cut(run)] for cell in block.cells],
        }

    def _cut(self, run: Run) -> Iterator[list[Any]]:
        edges = {run.start, run.end}
        for one in (*self._sentences, *self._marks):
            edges |= {place for place in (one.start, one.end) if run.start < place < run.end}
        places = sorted(edges)
        for start, end in pairwise(places):
            text = run.text[start - run.start : end - run.start]
            yield [text, run.style, _at(self._sentences, start), _at(self._marks, start)]


def _at(spans: Sequence[Any], place: int) -> int:
    """The number of the span that holds a place, -1 if none does."""
    return next((number for number, span in enumerate(spans) if span.start <= place < span.end), -1)


def _told(sentence: Sentence) -> dict[str, Any]:
    """A sentence's verdict and its chips: {"label", "caption", "paragraph", "lines"} as the page lights them up."""
    chips: list[dict[str, Any]] = []
    seen = [support for support in sentence.supports if support.source == "caption"]
    if seen:
        chips.append({"label": "caption", "caption": True, "spans": [[one.start, one.end] for one in seen]})
    for index in dict.fromkeys(one.index for one in sentence.supports if one.source == "paragraph"):
        spans = [[one.start, one.end] for one in sentence.supports if one.source == "paragraph" and one.index == index]
        chips.append({"label": f"¶ {index + 1}", "paragraph": index, "spans": spans})
    lines = [one.index for one in sentence.supports if one.source == "figure text"]
    if lines:
        chips.append({"label": f"text in figure: {len(lines)}", "lines": lines})
    if any(one.source == "table" for one in sentence.supports):
        chips.append({"label": "table"})
    note = NOT_FOUND_NOTE if sentence.verdict == NOT_FOUND else ""
    return {"verdict": sentence.verdict if sentence.verdict != NO_CLAIM else "", "chips": chips, "note": note}


def _note(kind: str, other: str) -> str:
    return {"number": NUMBER_NOTE, "name": NAME_NOTE}.get(kind) or OPPOSITE_NOTE.format(other)
