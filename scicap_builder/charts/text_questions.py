"""Questions about the text in a figure: what is written, where, what stands at a place. In: the lines as seen. Out: questions.

Their answers are copies, word for word and number for number: what a language model from scratch has to learn first, and what
the few names in other answers teach it only slowly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from llava_graph.figure_text import written_place
from llava_graph.record import OcrLine
from scicap_builder.charts.question import Question
from scicap_builder.charts.wording import say

READ = 12
"""Lines in the answer that reads all."""


def ask_texts(lines: Sequence[OcrLine], rng: np.random.Generator, count: int) -> list[Question]:
    """Up to `count` different questions, in random order."""
    found = [maker(lines, rng) for maker in MAKERS]
    kept = [question for question in found if question is not None]
    return [kept[index] for index in rng.permutation(len(kept))[:count]]


def read_all(lines: Sequence[OcrLine], rng: np.random.Generator) -> Question | None:
    """Up to READ lines in the order in which they are given."""
    if not lines:
        return None
    text = say(rng, "[Read the text in the figure.|What is written in the figure?|Which words are in the figure?]")
    return Question("text", text, "; ".join(line.text for line in lines[:READ]) + ".")


def where_text_stands(lines: Sequence[OcrLine], rng: np.random.Generator) -> Question | None:
    """The box of a line in per cent of the figure's width and height."""
    line = _one_of(lines, rng)
    if line is None:
        return None
    return Question("place", f"Where does “{line.text}” stand?", f"{written_place(line)}.")


def text_at(lines: Sequence[OcrLine], rng: np.random.Generator) -> Question | None:
    """The line of a box."""
    line = _one_of(lines, rng)
    if line is None:
        return None
    return Question("text", f"What is written at {written_place(line)}?", f"{line.text}.")


def ticks_of(lines: Sequence[OcrLine], rng: np.random.Generator) -> Question | None:
    """The ticks of an axis, from left to right or from below, and on demand where they stand."""
    axis = "x" if rng.random() < 0.5 else "y"
    panels = {line.panel for line in lines}
    ticks = [line for line in lines if line.role == f"{axis}-tick"]
    if len(panels) > 1 or len(ticks) < 2:
        return None
    side = 0 if axis == "x" else 1
    ticks.sort(key=lambda line: line.box[side], reverse=axis == "y")
    if rng.random() < 0.5:
        return Question("text", f"Name the ticks of the {axis}-axis.", ", ".join(line.text for line in ticks) + ".")
    places = (f"{line.text}: {written_place(line)}" for line in ticks)
    return Question("place", f"Where do the ticks of the {axis}-axis stand?", ", ".join(places) + ".")


def _one_of(lines: Sequence[OcrLine], rng: np.random.Generator) -> OcrLine | None:
    """A line that is no tick and that no other one is equal to."""
    times = Counter(line.text for line in lines)
    single = [line for line in lines if times[line.text] == 1 and line.role not in ("x-tick", "y-tick")]
    return single[int(rng.integers(len(single)))] if single else None


MAKERS = (read_all, where_text_stands, text_at, text_at, ticks_of, ticks_of)
