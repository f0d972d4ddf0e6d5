"""What the conversation shows: the session's turns as plain values for conversation.js, with the evidence for every sentence.

Values in, values out. Text stays text: the browser draws it with textContent.
"""

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from llava_graph.asking import MEDICAL_NOTE, is_medical, sections_of, suggested_questions
from llava_graph.evidence import Sentence
from llava_graph.evidence.found import NO_CLAIM
from llava_graph.evidence.judging import judged
from llava_graph.evidence.shown import Chip, chips_of, cut, marks_of, note_of
from llava_graph.evidence.sources import Sources, sources_of
from llava_graph.markdown import Block, blocks_of
from llava_graph.record import Figure
from serve.web.conversation.checking import CHECK, check_view, count_claims
from serve.web.session import AnswerFacts, Session

PROCESS = secrets.token_hex(8)
"""Of this process, which alone knows its visitors' sessions: a page that was loaded from another one does not draw what comes."""


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
                "question": CHECK if facts.claims else question.text,
                "answer": _answer(answer.text, facts, figure, sources, complete=not writing),
                "text": answer.text,
                "writing": writing,
                "version": next((at for at, one in enumerate(versions) if one.facts.id == facts.id), 0),
                "versions": len(versions),
            }
        )
    asked = [question.text for question, _ in pairs]
    return {
        "figure": figure.id if figure else "",
        "process": PROCESS,
        "busy": busy,
        "turns": turns,
        "given": bool(figure and sources and (sources.prose or sources.inside)),
        "claims": 0 if busy or figure is None else count_claims(figure),
        "suggestions": [] if busy or figure is None else list(suggested_questions(figure, asked)),
        "note": MEDICAL_NOTE if figure and is_medical(figure) and turns else "",
    }


def _answer(
    text: str, facts: AnswerFacts, figure: Figure | None, sources: Sources | None, *, complete: bool
) -> dict[str, Any]:
    checked = check_view(text, facts.claims, figure, complete=complete) if facts.claims and figure else None
    return checked or answer_view(text, sources, complete=complete)


@lru_cache(maxsize=512)
def answer_view(text: str, sources: Sources | None, *, complete: bool) -> dict[str, Any]:
    """An answer for blocks.js: blocks of runs, and what is known of each sentence; nothing is, without `sources`. Kept: of a
    conversation only the last answer changes."""
    sentences = judged(text, sources, complete=complete) if sources and (sources.prose or sources.inside) else ()
    cutter = _Cutter(sentences)
    blocks: list[dict[str, Any]] = []
    for section in sections_of(text, complete=complete):
        if section.title:
            blocks.append({"kind": "section", "title": section.title})
        blocks += [cutter.block(block) for block in blocks_of(text, section.start, section.end, complete=complete)]
    return {"blocks": blocks, "sentences": [_told(one) for one in sentences], "marks": cutter.notes}


class _Cutter:
    """Cuts the runs of blocks where a sentence or a mark begins or ends."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        self._sentences, self._marks = sentences, marks_of(sentences)
        self.notes = [{"kind": mark.kind, "note": note_of(mark)} for mark in self._marks]

    def block(self, block: Block) -> dict[str, Any]:
        """{"kind", "level", "number", "cells": [[[text, style, sentence, mark], …], …]}; -1 where there is none."""
        return {
            "kind": block.kind,
            "level": block.level,
            "number": block.number,
            "cells": [
                [
                    [piece.text, piece.style, piece.sentence, piece.mark]
                    for run in cell
                    for piece in cut(run, self._sentences, self._marks)
                ]
                for cell in block.cells
            ],
        }


def _told(sentence: Sentence) -> dict[str, Any]:
    """A sentence's verdict and its chips: {"label", "caption", "paragraph", "lines"} as the page lights them up."""
    verdict = sentence.verdict if sentence.verdict != NO_CLAIM else ""
    return {"verdict": verdict, "chips": [_chip(chip) for chip in chips_of(sentence)], "note": note_of(sentence)}


def _chip(chip: Chip) -> dict[str, Any]:
    spans = [list(span) for span in chip.spans]
    places: dict[str, dict[str, Any]] = {
        "caption": {"caption": True, "spans": spans},
        "paragraph": {"paragraph": chip.index, "spans": spans},
        "figure text": {"lines": list(chip.lines)},
    }
    return {"label": chip.label, **places.get(chip.source, {})}
