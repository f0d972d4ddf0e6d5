"""What the serving benchmark asks: figures drawn for it, each with a request of its own, and the answer of the model alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.packaged_items import drawn_items
from llava_graph.explain import Explainer
from llava_graph.generate import generate_stream
from llava_graph.images import open_image
from llava_graph.sampling import GenerationOptions

LONGEST = 200
"""Tokens of an answer; the packaged model ends far earlier by itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    messages: list[dict[str, Any]]
    image: bytes
    reference: str
    """The greedy answer alone, through transformers' own generate()."""


def requests(explainer: Explainer, count: int) -> list[Asked]:
    """`count` requests about different figures, told apart by a number in the question. Their references are computed here."""
    asked = []
    for number, item in enumerate(drawn_items("unseen seed", count)):
        figure = item.figure
        question = None if number % 3 == 0 else f"Request {number}: explain this figure, its axes and its series."
        messages = explainer.messages(figure, question)
        greedy = GenerationOptions(max_new_tokens=LONGEST, temperature=0)
        pieces = generate_stream(explainer.model, messages, [open_image(figure.image)], greedy)
        image = figure.image if isinstance(figure.image, bytes) else figure.image.read_bytes()
        asked.append(Asked(messages, image, "".join(piece.text for piece in pieces)))
    return asked


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; nan of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
