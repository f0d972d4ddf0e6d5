"""What is asked and what was answered: one question about one figure, its reference, and a run's answer to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llava_graph.record import Figure, Turn

EXPLAIN, CAPTION, OPEN, CLOSED, CHOICE, LABEL, REPORT, CHAT, FREE, TABLE, SEVERAL = (
    "explain", "caption", "open", "closed", "choice", "label", "report", "chat", "free", "table",
    "several",
)  # fmt: skip
"""Kinds of questions; each has scores of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question."""

    id: str
    """The figure's id; of a dialogue with the number of its question: `arxiv:1801.01974v2#fig10/q2`."""
    figure: Figure
    question: str | None
    """As it is sent; None: an explain request."""
    reference: str
    kind: str
    references: tuple[str, ...] = ()
    """All right answers, where there are several (TextVQA: ten, repeats included); `reference` is the one most gave."""
    turn: int = 1
    """Number of the question in its dialogue."""
    history: tuple[Turn, ...] = ()
    """The reference's turns before it."""

    @property
    def mark(self) -> str:
        """Of what is asked: answers are joined by id and this, as numbers of questions alone have been mixed up before."""
        text = "\x1f".join([self.question or "", *(turn.text for turn in self.history)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A run's answer to one item."""

    id: str
    text: str
    mark: str = ""
    """Item.mark; empty in files that others have written."""
    prompt: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An item with the answer to it."""

    item: Item
    text: str
    finish_reason: str = ""
    """ "length": the answer was cut; empty where nobody told."""
