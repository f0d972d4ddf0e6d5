"""What is asked for a comparison, and the answers as they grow. In: figures and a question. Out: columns beside each other."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.prompt import PromptOptions, checked_question
from llava_graph.record import Figure, Turn
from llava_graph.several_images import COMPARE_REQUEST, build_comparison
from serve.client import ModelClient, ModelDetails, Sampling
from serve.web.at_once import at_once
from serve.web.banner import sentences
from serve.web.compare.differences import Marked, marked, told
from serve.web.conversation.answering import Wish, limited
from serve.web.given import Given, given_for, pixels_of
from serve.web.session import Session

UPDATE_S = 0.1
"""At most so often are the answers drawn."""


@dataclass(frozen=True)
class Column:
    """One answer, and what it was given."""

    heading: str
    given: Given
    text: str = ""
    error: str = ""
    """Why there is no whole answer."""
    seconds: float | None = None
    """None: it is still being written."""
    completion_tokens: int | None = None


@dataclass(frozen=True)
class Contrast:
    """Answers beside each other."""

    question: str
    columns: tuple[Column, ...]
    figures: tuple[str, ...]
    """Ids of the figures that it is about, the one that is shown last."""
    note: str = ""
    """How they were asked."""
    names: tuple[str, ...] = ()
    """What the answers are called where their differences are told; empty: they are not compared by sentences."""
    history: tuple[Turn, ...] = ()
    """Earlier questions and answers about the same figures."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return all(column.seconds is not None for column in self.columns)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What a next question about the same figures builds on."""
        first = self.columns[0]
        if len(self.columns) > 1 or not first.text.strip():
            return self.history
        return (*self.history, Turn(role="user", text=self.question), Turn(role="assistant", text=first.text))

    def stopped(self) -> "Contrast":
        """With every answer ended where it is."""
        return replace(self, columns=tuple(replace(column, seconds=column.seconds or 0.0) for column in self.columns))

    def view(self) -> dict[str, Any]:
        """What the browser shows; where the answers differ is marked when all have ended."""
        sides = self._marked()
        columns = [_column_view(column) for column in self.columns]
        for column, side in zip(columns, sides, strict=False):
            column["pieces"] = [asdict(piece) for piece in side.pieces]
        return {
            "question": self.question,
            "note": self.note,
            "earlier": [asdict(turn) for turn in self.history],
            "columns": columns,
            "verdict": told(self.names, sides) if sides else "",
        }

    def _marked(self) -> list[Marked]:
        """Both answers with what only they say; empty as long as they are not both there."""
        if not self.names or not self.ended or not all(column.text and not column.error for column in self.columns):
            return []
        one, other = (column.text for column in self.columns)
        return [marked(one, other), marked(other, one)]


def _column_view(column: Column) -> dict[str, Any]:
    return {
        "heading": column.heading,
        "text": column.text,
        "note": column.given.note,
        "error": column.error,
        "seconds": column.seconds,
        "tokens": column.completion_tokens,
    }


def with_and_without(session: Session, wish: Wish, details: ModelDetails) -> Contrast:
    """The same, asked with the lines of text in the figure and without them.

    Raises InputError where there is nothing to leave out.
    """
    figure = session.figure
    if figure is None or not figure.ocr:
        raise InputError(
            "there is no text of the figure to leave out",
            next_step="Switch lines on, or add what stands in the figure.",
        )
    if not session.shown.options(details.prompt).ocr:
        raise InputError("the text in the figure is not given to the model", next_step="Switch it on in the context.")
    alone = replace(session, turns=(), facts=())
    bare = replace(alone, figure=replace(figure, ocr=()))
    regions = wish.regions, [replace(part, figure=replace(part.figure, ocr=())) for part in wish.regions]
    given = [
        given_for(one, wish.question, details, parts, wish.ask)
        for one, parts in zip((alone, bare), regions, strict=True)
    ]
    lines = f"{len(figure.ocr)} line{'s' if len(figure.ocr) > 1 else ''}"
    return Contrast(
        given[0].asked,
        (
            Column(f"With the text in the figure ({lines})", given[0]),
            Column("Without the text in the figure", given[1]),
        ),
        (figure.id,),
        "Both are asked with temperature 0, so that they differ by the text alone.",
        ("with the text", "without it"),
    )


def two_figures(
    sessions: tuple[Session, Session], wish: Wish, details: ModelDetails, history: Sequence[Turn] = ()
) -> Contrast:
    """A question about the figures of two sessions, each with what its visitor has switched on (no question: compare them).
    A model of one image is asked about each by itself. Raises InputError."""
    question = wish.question
    figures = [_as_shown(session, details.prompt) for session in sessions]
    ids = tuple(figure.id for figure in figures)
    if details.max_images >= len(figures):
        asked = COMPARE_REQUEST if question is None else checked_question(question)
        everything = replace(details.prompt, caption=True, ocr=True, title=True, abstract=True, mentions=True)
        messages = build_comparison(figures, asked, everything, history=history)
        given = Given(messages, pixels_of(figures), asked)
        return Contrast(asked, (Column("About both figures", given),), ids, history=tuple(history))
    columns = tuple(
        Column(f"Figure {name}", given_for(replace(session, turns=(), facts=()), question, details, ask=wish.ask))
        for name, session in zip("AB", sessions, strict=True)
    )
    return Contrast(
        "Explain each figure." if question is None else question.strip(),
        columns,
        ids,
        f"{details.name} takes one image, so it cannot see both figures at once: it was asked the same about each by itself.",
    )


def _as_shown(session: Session, trained: PromptOptions) -> Figure:
    """The figure with what of it the model is given, and nothing else: two figures may be switched differently."""
    if session.figure is None:
        raise InputError("two figures are needed to compare", next_step="Choose one.")
    options, figure = session.shown.options(trained), session.shown.figure(session.figure)
    paper = figure.paper
    return replace(
        figure,
        label=figure.label if options.caption else "",
        caption=figure.caption if options.caption else "",
        ocr=figure.ocr if options.ocr else (),
        mentions=figure.mentions if options.mentions else (),
        paper=replace(
            paper,
            title=paper.title if options.title else "",
            abstract=paper.abstract if options.abstract else "",
        ),
    )


async def answered(client: ModelClient, contrast: Contrast, model: str, sampling: Sampling) -> AsyncGenerator[Contrast]:
    """The contrast as its answers grow, all at once. An error of one is that column's end, not the other's."""
    streams = [_written(client, column, model, sampling) for column in contrast.columns]
    drawn = 0.0
    async with aclosing(at_once(streams, contrast.columns)) as steps:
        async for columns in steps:
            contrast = replace(contrast, columns=tuple(columns))
            if contrast.ended or time.monotonic() - drawn > UPDATE_S:
                drawn = time.monotonic()
                yield contrast


async def _written(client: ModelClient, column: Column, model: str, sampling: Sampling) -> AsyncGenerator[Column]:
    begun = time.monotonic()
    try:
        given = column.given
        limits = limited(sampling, given)
        async with aclosing(client.answer(model, given.messages, given.images, limits)) as replies:
            async for reply in replies:
                column = replace(column, text=reply.text, completion_tokens=reply.completion_tokens)
                yield column
    except LlavaGraphError as error:
        column = replace(column, error=sentences(error))
    yield replace(column, seconds=time.monotonic() - begun)
