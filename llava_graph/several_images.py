"""Prompts with more than one image: figures side by side, and parts of a figure beside the whole. For models that take several.

Names ("Figure A", "Region B") stand before the image they belong to, as text, so that every chat template can say them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from llava_graph.errors import InputError
from llava_graph.figure_text import distinct, write
from llava_graph.prompt import (
    CountTokens,
    Message,
    PromptOptions,
    about_tokens,
    checked_question,
    opening_message,
    render_context,
    text_message,
)
from llava_graph.record import Box, Figure, Turn

NAMES = ascii_uppercase
"""Of figures and regions: A, B, …"""
COMPARE_REQUEST = "Compare the figures: what do they have in common, and where do they differ?"


@dataclass(frozen=True)
class Part:
    """A region of a figure."""

    name: str
    """ "A", "B", …"""
    box: Box
    """0..1 of the whole figure."""
    figure: Figure
    """The region as a figure of its own (`llava_graph.region.crop`)."""


def build_comparison(
    figures: Sequence[Figure],
    question: str | None = None,
    options: PromptOptions = PromptOptions(),
    *,
    count_tokens: CountTokens = about_tokens,
    history: Sequence[Turn] = (),
) -> list[Message]:
    """Messages that end with `question` (None: COMPARE_REQUEST) about several figures: image and context of each, named
    Figure A, Figure B, …, in the first turn; each context has the whole budget of `options`.

    Raises InputError for fewer than two figures, more than there are names, a figure without an image, a wrong question
    or history.
    """
    if not 2 <= len(figures) <= len(NAMES):
        raise InputError(f"a comparison needs 2 to {len(NAMES)} figures, got {len(figures)}")
    if missing := [figure.id for figure in figures if figure.image is None]:
        raise InputError("a figure without an image cannot be compared", where=missing[0])
    request = COMPARE_REQUEST if question is None else checked_question(question)
    first, *rest = alternating([*history, Turn(role="user", text=request)])
    content: list[dict[str, str]] = []
    for name, figure in zip(NAMES, figures, strict=False):
        context = render_context(figure, options, count_tokens)
        content += [_text(f"Figure {name}:\n"), {"type": "image"}, _text(f"{context}\n\n" if context else "\n")]
    opening = {"role": "user", "content": [*content, _text(first.text)]}
    return [opening, *(text_message(turn.role, turn.text) for turn in rest)]


def build_region_question(
    figure: Figure,
    parts: Sequence[Part],
    question: str,
    options: PromptOptions = PromptOptions(),
    *,
    count_tokens: CountTokens = about_tokens,
    history: Sequence[Turn] = (),
) -> list[Message]:
    """Messages that end with `question` about `parts` of `figure`: the whole figure with its context opens the conversation,
    the place, image and text of each part come with the question.

    A part's text is beside the context's budget: it is what the question is about. Raises InputError.
    """
    request = Turn(role="user", text=checked_question(question))
    asked = {"role": "user", "content": [*_shown(parts, options), _text(request.text)]}
    turns = alternating([*history, request])
    if len(turns) > 1:
        opening = opening_message(figure, turns[0].text, options, count_tokens)
        return [opening, *(text_message(turn.role, turn.text) for turn in turns[1:-1]), asked]
    context = render_context(figure, options, count_tokens)
    whole = [{"type": "image"}, _text(f"{context}\n\n" if context else "\n")]
    return [{"role": "user", "content": [*whole, *asked["content"]]}]


def _shown(parts: Sequence[Part], options: PromptOptions) -> list[dict[str, str]]:
    """Of each part its name and place (per cent of the whole, as of a line of text), its image and the text in it."""
    content: list[dict[str, str]] = []
    for part in parts:
        place = " ".join(f"{100 * side:.0f}" for side in part.box)
        lines = write(distinct(part.figure.ocr), options.ocr_style) if options.ocr else ""
        told = f"Text in region {part.name}:\n{lines}\n\n" if lines else "\n"
        content += [_text(f"Region {part.name} of the figure [{place}], larger:\n"), {"type": "image"}, _text(told)]
    return content


def alternating(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns, checked: the user first and last. Raises InputError."""
    if [turn.role for turn in turns] != [("user", "assistant")[index % 2] for index in range(len(turns))]:
        raise InputError("the turns must alternate, the user first and last")
    return turns


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
