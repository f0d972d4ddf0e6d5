"""What computes the answers of a worker. In: a checked request and decoded images. Out: the growing answer.

`Engine` is the seam: a checkpoint in this process (`serve.engines.in_process`) is one.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from llava_graph.prompt import PromptOptions
from serve.protocol.messages import GenerateRequest, Usage


@dataclass(frozen=True)
class Step:
    """The answer so far."""

    text: str
    """All of it, without the prompt."""
    usage: Usage | None = None
    finish_reason: str | None = None
    """None until the last step; then "stop" (the model ended, or a stop string came) or "length"."""


class Engine(Protocol):
    """A model that answers. Its methods are called from several threads at once."""

    name: str
    """What the model is called when nobody gives it another name."""
    about: str
    """What it is, in a sentence for the people on the page."""
    chat_template: str
    """Jinja source."""
    prompt: PromptOptions
    """What its training showed beside the figure, and how."""
    instructions: bool
    """Whether it does what it is asked; False where its training knew nothing but to explain figures."""
    context_length: int
    """tokens, prompt and answer together"""

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """The prompt of a conversation, open for the answer."""

    def count_tokens(self, prompt: str) -> int:
        """Tokens of a rendered prompt; an image placeholder counts as the image's tokens."""

    def generate(
        self, request: GenerateRequest, images: Sequence[Image.Image], stopping: threading.Event
    ) -> Iterator[Step]:
        """Answer `request`; ends soon after `stopping` is set.

        Raises ServeError 40303 when the prompt leaves no room for an answer; nothing is ever cut off the prompt.
        """
