"""One blind battle: who answers on which side, what is shown before and after the vote. Pure values."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llava_graph.errors import InputError, did_you_mean
from serve.feedback.lines import BATTLE_VOTES
from serve.web.conversation.view import answer_view
from serve.web.session import Session

VOTES = dict(zip(BATTLE_VOTES, ("A is better", "B is better", "Equally good", "Both are bad"), strict=True))
"""FastChat's names of the votes, and the words on their buttons."""
Draw = Callable[[Sequence[str]], tuple[str, str]]
"""From all models to the left and the right one."""


@dataclass(frozen=True)
class Side:
    """One model's answer to the question: a session of one question."""

    model: str
    session: Session = field(default_factory=Session)
    error: str = ""
    """Why there is no whole answer."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return bool(self.error) or bool(self.session.facts and self.session.facts[-1].seconds is not None)

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.session.turns[-1].text if self.session.turns else ""


@dataclass(frozen=True)
class Battle:
    """Both sides. Names are for the server alone until a vote is given."""

    left: Side
    right: Side
    vote: str = ""

    @property
    def figure(self) -> str:
        """Id of the figure that it is about; empty for none."""
        figure = self.left.session.figure or self.right.session.figure
        return figure.id if figure else ""

    @property
    def state(self) -> str:
        """ "writing", "vote" (both have answered), "voted", or "void": one failed, so there is nothing to compare."""
        if self.vote:
            return "voted"
        if not (self.left.ended and self.right.ended):
            return "writing"
        return "void" if any(side.error or not side.text.strip() for side in (self.left, self.right)) else "vote"

    def voted(self, vote: str) -> "Battle":
        """With the vote. Raises InputError for an unknown vote, or when there is none to give."""
        if vote not in VOTES:
            raise InputError(f"unknown vote {vote!r}", next_step=did_you_mean(str(vote), VOTES))
        if self.state != "vote":
            raise InputError("there is nothing to vote on now", next_step="Compare once more")
        return replace(self, vote=vote)

    def view(self) -> dict[str, Any]:
        """What the browser is told. No name, and nothing that gives one away, before it is due: a time or a count of tokens
        tells a small model from a large one."""
        named = self.state in ("voted", "void")
        question = next((side.session.turns[0].text for side in (self.left, self.right) if side.session.turns), "")
        sides = [_side_view(side, named=named) for side in (self.left, self.right)]
        return {"state": self.state, "question": question, "vote": self.vote, "sides": sides}


def contestants(models: Sequence[str], table_model: str = "") -> list[str]:
    """Who may be drawn: not the model that is there to read tables, unless it takes one to make two."""
    explaining = sorted({*models} - {table_model})
    return explaining if len(explaining) > 1 else sorted({*models})


def draw_pair(models: Sequence[str]) -> tuple[str, str]:
    """Two different models in random order. Raises InputError if there are not two."""
    if len(set(models)) < 2:
        raise InputError("two models are needed to compare", next_step="Start a second one: llava-graph-serve worker")
    left, right = random.SystemRandom().sample(sorted(set(models)), 2)
    return left, right


def _side_view(side: Side, *, named: bool) -> dict[str, Any]:
    view: dict[str, Any] = {"answer": answer_view(side.text, None, complete=side.ended), "ended": side.ended}
    if named:
        facts = side.session.facts[-1] if side.session.facts else None
        view |= {"model": side.model, "error": side.error}
        view |= {"seconds": facts and facts.seconds, "tokens": facts and facts.completion_tokens}
    return view
