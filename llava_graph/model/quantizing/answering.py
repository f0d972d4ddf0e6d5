"""One question asked of a model, greedily, alone. In: a question. Out: tokens, text, and when they came."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.dataset import read_dataset
from llava_graph.errors import InputError
from llava_graph.evaluate.run import DataChoice, choose_items, with_pixels
from llava_graph.evaluate.tasks import find_task
from llava_graph.examples import example_figures
from llava_graph.explain import Explainer
from llava_graph.generate import Decoder, TokenStream, own_stops
from llava_graph.images import open_image
from llava_graph.record import Figure, Turn
from llava_graph.sampling import GenerationOptions
from llava_graph.sources import figure_of_image

if TYPE_CHECKING:
    from llava_graph.batched.batch import Prompt
    from llava_graph.model.load import LoadedModel

EXAMPLE_QUESTIONS = (
    None,
    "What does this figure show?",
    "Which values stand on the axes?",
    "What is the highest value?",
)
"""Asked of the example figures where no data set is given; None asks for an explanation."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about a figure."""

    id: str
    figure: Figure
    text: str | None = None
    """None asks to explain it."""
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A greedy answer, and when it came."""

    tokens: tuple[int, ...]
    """Ends included."""
    text: str
    prompt_tokens: int
    first_s: float
    """Seconds until the first token: the image and the prompt are read."""
    seconds: float

    @property
    def tokens_per_s(self) -> float | None:
        """Of the tokens behind the first one; None where there are none."""
        later = self.seconds - self.first_s
        return (len(self.tokens) - 1) / later if len(self.tokens) > 1 and later > 0 else None


def example_questions(count: int) -> Iterator[Question]:
    """The figures in the package with captions, each asked one question after the other, as often as wanted."""
    shown = [figure_of_image(example.path, example.caption) for example in example_figures()]
    pairs = [(figure, question) for question in EXAMPLE_QUESTIONS for figure in shown]
    chosen = enumerate(islice(cycle(pairs), count), 1)
    return (Question(id=f"{number}", figure=figure, text=text) for number, (figure, text) in chosen)


def data_questions(folder: Path, count: int, *, task: str | None = None, split: str | None = None) -> list[Question]:
    """The first `count` questions about figures with a picture: those of an evaluation task, else "explain it".

    Raises DatasetError, InputError (none).
    """
    found = list(islice(_pictured(_questions(folder, task, split)), count))
    if not found:
        raise InputError(
            "no figure with a picture", where=str(folder), next_step="Give another data set, or another split"
        )
    return found


def _questions(folder: Path, task: str | None, split: str | None) -> Iterator[Question]:
    if task is None:
        yield from (Question(id=figure.id, figure=figure) for figure in read_dataset(folder, split))
        return
    data = DataChoice(folder=folder, split=split)
    for item in with_pixels(choose_items(find_task(task), data).items, data):
        yield Question(id=item.id, figure=item.figure, text=item.question, history=item.history)


def _pictured(questions: Iterable[Question]) -> Iterator[Question]:
    return (question for question in questions if question.figure.image is not None)


def read_prompt(loaded: LoadedModel, question: Question, *, task: str | None = None) -> Prompt:
    """The question as the model reads it, in the machine's memory. Raises ImageError, InputError, ContextOverflow."""
    from llava_graph.batched.batch import prepare

    options = find_task(task).options(loaded.prompt) if task else None
    messages = Explainer(model=loaded).messages(question.figure, question.text, options, history=question.history)
    images = [] if question.figure.image is None else [open_image(question.figure.image, where=question.id)]
    return prepare(loaded, messages, images)


def answer_greedily(loaded: LoadedModel, prompt: Prompt, max_new_tokens: int) -> Answered:
    """As `llava_graph.generate` answers, with the tokens themselves."""
    from llava_graph.batched.batch import row_of

    row = row_of(loaded, prompt, GenerationOptions(max_new_tokens=max_new_tokens, temperature=0))
    decoder, text = Decoder(loaded.tokenizer, own_stops(loaded)), ""
    tokens: list[int] = []
    first = begun = time.perf_counter()
    stream = TokenStream(loaded, prompt, row)
    try:
        for token in stream:
            tokens.append(token)
            if len(tokens) == 1:
                first = time.perf_counter()
            if token in row.ends:
                break
            text += decoder.push(token)
            if decoder.stopped:
                break
    finally:
        stream.close()
    return Answered(
        tokens=tuple(tokens),
        text=(text + decoder.rest()).strip(),
        prompt_tokens=prompt.tokens,
        first_s=first - begun,
        seconds=time.perf_counter() - begun,
    )


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """The place (from 1) of the first token in which two answers differ; None where they are the same."""
    place = next((at for at, (a, b) in enumerate(zip(one, other, strict=False), 1) if a != b), None)
    if place is None and len(one) != len(other):
        return min(len(one), len(other)) + 1
    return place
