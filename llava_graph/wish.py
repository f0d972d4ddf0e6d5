"""What somebody wants of a figure, and what that makes of it: the question, and the figure as the model is given it."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from llava_graph.asking import Ask, request
from llava_graph.errors import InputError
from llava_graph.explain import Answerer
from llava_graph.explained import ExplainedFigure, with_evidence
from llava_graph.generate import GenerationOptions
from llava_graph.prompt import PromptOptions
from llava_graph.record import Box, Figure
from llava_graph.region import crop

MAX_NEW_TOKENS = 256
"""Where neither the reader nor the length says otherwise: two paragraphs."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How figures are explained."""

    question: str | None = None
    """None: an explanation as `ask` says."""
    ask: Ask = Ask()
    caption: str | None = None
    """None: the record's."""
    region: Box | None = None
    ocr: bool = True
    mentions: bool | None = None
    """None: as the model is used to."""
    max_new_tokens: int | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.question is not None and not self.question.strip():
            raise InputError("the question is empty")

    @property
    def options(self) -> dict[str, Any]:
        """What differs between two wishes, as plain values for a document."""
        row = asdict(self)
        row["region"] = ",".join(f"{side:g}" for side in self.region) if self.region else None
        return {**{name: value for name, value in row.items() if name != "ask"}, **row["ask"]}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A figure as the model is given it, and what it is asked."""

    figure: Figure
    question: str
    told: str
    """The question as a reader sees it; empty where that is the question itself."""
    options: PromptOptions
    generation: GenerationOptions


def prepare(figure: Figure, wish: Wish, answerer: Answerer) -> Prepared:
    """What `wish` makes of a figure for this model. Raises InputError (a region too small), ImageError."""
    given = figure if wish.caption is None else replace(figure, caption=wish.caption)
    if wish.region is not None:
        given = crop(given, wish.region)
    options = answerer.prompt if wish.ocr else replace(answerer.prompt, ocr=False)
    if wish.mentions is not None:
        options = replace(options, mentions=wish.mentions)
    question, told_as, tokens = wish.question, "", None
    if question is None:
        question, tokens = request(wish.ask, given, options, instructions=answerer.instructions)
        told_as = wish.ask.told if answerer.instructions else ""
    return Prepared(
        figure=given,
        question=question,
        told=told_as,
        options=options,
        generation=GenerationOptions(
            max_new_tokens=wish.max_new_tokens or tokens or MAX_NEW_TOKENS, temperature=wish.temperature
        ),
    )


def explain_figure(
    figure: Figure,
    wish: Wish,
    answerer: Answerer,
    *,
    on_text: Callable[[str], None] = lambda _: None,
    stopping: threading.Event | None = None,
) -> ExplainedFigure:
    """One figure explained. Raises what `Answerer.explain` and `prepare` raise."""
    ready = prepare(figure, wish, answerer)
    explained = answerer.explain(
        ready.figure,
        ready.question,
        told=ready.told,
        options=ready.options,
        generation=ready.generation,
        on_text=on_text,
        stopping=stopping,
    )
    whole = figure if wish.caption is None else replace(figure, caption=wish.caption)
    return with_evidence(replace(explained, figure=whole, region=wish.region))
