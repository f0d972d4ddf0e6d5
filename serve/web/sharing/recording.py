"""What of a visit is kept, when the operator keeps a log and the visitor has agreed. In: the session. Out: lines in the log."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from llava_graph.record import Figure
from serve.feedback.lines import Feedback, Talk, battle_line, chat_line, vote_line
from serve.feedback.log import ConversationLog, Visitors
from serve.web.options import WebOptions
from serve.web.session import Session


@dataclass(frozen=True)
class Consent:
    """What a visitor has agreed to; nothing, unless they said so."""

    keep: bool = False
    """Questions, answers and votes."""
    keep_figure: bool = False
    """Also the figure, its caption and its text."""

    @classmethod
    def from_page(cls, value: Any) -> "Consent":
        """The switches as the browser sends them: {"keep": true, "figure": true}. Anything else is no consent."""
        if not isinstance(value, dict) or value.get("keep") is not True:
            return cls()
        return cls(keep=True, keep_figure=value.get("figure") is True)


class Recorder:
    """Writes what may be written. Without a log it writes nothing, and says so (`on`)."""

    def __init__(
        self,
        log: ConversationLog | None = None,
        visitors: Visitors | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.log = log
        self._visitors = visitors
        self._now = now

    @property
    def on(self) -> bool:
        """Whether the operator keeps a log."""
        return self.log is not None

    def answer(self, session: Session, consent: Consent, address: str | None = None) -> bool:
        """Keep the last answer as a chat; whether it was kept."""
        if self.log is None or not consent.keep or not session.facts or not session.turns[-1].text.strip():
            return False
        facts = session.facts[-1]
        if facts.seconds is None:
            # It was stopped, or has failed: there is no whole answer to keep.
            return False
        line = chat_line(
            self._talk(self.log, session, consent),
            facts.sampling,
            start=facts.started,
            finish=facts.started + facts.seconds,
            visitor=self._visitor(address),
            completion_tokens=facts.completion_tokens,
        )
        return self.log.write(line)

    def vote(
        self, session: Session, answer: int, feedback: Feedback, consent: Consent, address: str | None = None
    ) -> bool:
        """Keep a vote on answer number `answer`, from 0; whether it was kept. Raises InputError if there is no such answer."""
        if self.log is None or not consent.keep:
            return False
        talk = self._talk(self.log, session, consent).until(answer)
        talk = replace(talk, model=session.facts[answer].model)
        return self.log.write(vote_line(talk, feedback, now=self._now(), visitor=self._visitor(address)))

    def battle(self, sides: tuple[Session, Session], vote: str, consent: Consent, address: str | None = None) -> bool:
        """Keep a vote between the last answers of two sessions; whether it was kept. Raises InputError."""
        if self.log is None or not consent.keep:
            return False
        left, right = (self._talk(self.log, side, consent) for side in sides)
        return self.log.write(battle_line(left, right, vote, now=self._now(), visitor=self._visitor(address)))

    def _talk(self, log: ConversationLog, session: Session, consent: Consent) -> Talk:
        figure = session.figure if consent.keep_figure else None
        return Talk(
            id=session.facts[0].id if session.facts else "",
            model=session.facts[-1].model if session.facts else "",
            turns=session.turns,
            figure=figure,
            images=_kept(log, figure),
        )

    def _visitor(self, address: str | None) -> str:
        return self._visitors.name(address) if self._visitors else ""


def recorder_for(options: WebOptions) -> Recorder:
    """The recorder that the operator asked for. Raises InputError if nothing can be written there."""
    if options.log_dir is None:
        return Recorder()
    return Recorder(ConversationLog(options.log_dir), Visitors() if options.log_visitors else None)


def _kept(log: ConversationLog, figure: Figure | None) -> tuple[str, ...]:
    if figure is None or not isinstance(figure.image, bytes):
        return ()
    name = log.keep_image(figure.image)
    return (name,) if name else ()
