"""A conversation about one figure: what the model is given can be changed between two questions. Values in and out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from llava_graph.errors import InputError
from llava_graph.explain import Answerer, first_text
from llava_graph.explained import Answer, ExplainedFigure, now, versions
from llava_graph.record import Figure, OcrLine, Turn
from llava_graph.wish import Prepared, Wish, prepare

EDITED = "visitor"
"""The source of a line of text that a person has corrected; the page calls it so too."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question as it was sent, and its answer."""

    sent: str
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Chat:
    """What stands between a person and a model. Every change gives a new one."""

    figure: Figure
    """With the caption and lines as they stand now."""
    wish: Wish = Wish()
    """Without a question."""
    exchanges: tuple[Exchange, ...] = ()

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns so far, as the model reads them."""
        return tuple(
            turn
            for exchange in self.exchanges
            for turn in (Turn(role="user", text=exchange.sent), Turn(role="assistant", text=exchange.answer.text))
        )

    def prepared(self, answerer: Answerer, question: str | None) -> Prepared:
        """The next question (None: an explanation) as it is sent. Raises InputError, ImageError."""
        return prepare(self.figure, replace(self.wish, question=question), answerer)

    def prompt(self, answerer: Answerer, question: str | None = None) -> str:
        """The text beside the image in the first turn, word for word, if `question` were asked now."""
        ready = self.prepared(answerer, question)
        messages = answerer.messages(ready.figure, ready.question, ready.options, history=self.history)
        return first_text(messages)

    def ask(self, answerer: Answerer, question: str | None, on_text: Callable[[str], None] = lambda _: None) -> "Chat":
        """The conversation with one more answer. Ctrl-C ends the answer: what has come of it counts.

        Raises what `Answerer.explain` does.
        """
        ready = self.prepared(answerer, question)
        pieces: list[str] = []

        def hear(piece: str) -> None:
            pieces.append(piece)
            on_text(piece)

        try:
            explained = answerer.explain(
                ready.figure,
                ready.question,
                told=ready.told,
                history=self.history,
                options=ready.options,
                generation=ready.generation,
                on_text=hear,
            )
            answer = explained.answers[-1]
        except KeyboardInterrupt:
            text = "".join(pieces).strip()
            asked = ready.told or ready.question
            answer = Answer(
                question=asked, text=text, model=answerer.name, about=answerer.about, finish_reason="cancelled"
            )
        if not answer.text:
            return self  # turns without words would break the conversation
        return replace(self, exchanges=(*self.exchanges, Exchange(ready.question, answer)))

    def without_last(self) -> "Chat":
        """Before the last question. Raises InputError if there is none."""
        if not self.exchanges:
            raise InputError("nothing has been asked yet")
        return replace(self, exchanges=self.exchanges[:-1])

    def with_caption(self, caption: str) -> "Chat":
        """Another caption from now on."""
        return replace(self, figure=replace(self.figure, caption=caption))

    def with_line(self, number: int, text: str) -> "Chat":
        """Line `number` (from 1) of the text in the figure reads `text`; empty takes it away. Raises InputError."""
        lines = list(self.figure.ocr)
        if not 1 <= number <= len(lines):
            raise InputError(f"there is no line {number}", next_step=f"Known: 1 to {len(lines)}" if lines else "")
        place = number - 1
        corrected: list[OcrLine] = [replace(lines[place], text=text, confidence=1.0, source=EDITED)] if text else []
        lines[place : place + 1] = corrected
        return replace(self, figure=replace(self.figure, ocr=tuple(lines)))

    def with_wish(self, **changes: Any) -> "Chat":
        """Other wishes from now on: `ocr`, `mentions`, `region`."""
        return replace(self, wish=replace(self.wish, **changes))

    def explained(self, answerer: Answerer) -> ExplainedFigure:
        """All of it, to be written down. Raises what `prompt` raises."""
        first = replace(self, exchanges=())
        sent = self.exchanges[0].sent if self.exchanges else None
        return ExplainedFigure(
            figure=self.figure,
            answers=tuple(exchange.answer for exchange in self.exchanges),
            prompt=first.prompt(answerer, sent),
            region=self.wish.region,
            created=now(),
            versions=versions(),
        )
