"""What computes the answers of a worker. In: a checked request and decoded images. Out: the growing answer.

`Engine` is the seam: the packaged or any other LLaVA checkpoint in this process (`ExplainerEngine`) is one.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from llava_graph.errors import ServeError
from llava_graph.explain import Explainer
from llava_graph.generate import GenerationOptions
from llava_graph.model.prompts import count_tokens, render_prompt
from llava_graph.prompt import PromptOptions
from serve.codes import ErrorCode
from serve.protocol import GenerateRequest, Usage, plain_placeholders


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


class ExplainerEngine:
    """A checkpoint in this process."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._model = explainer.model
        self.name = self._model.name
        self.about = self._model.about
        self.chat_template = self._model.template
        self.prompt = self._model.prompt
        self.context_length = self._model.context_length

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """See Engine."""
        return render_prompt(self._model, messages)

    def count_tokens(self, prompt: str) -> int:
        """See Engine."""
        return count_tokens(self._model, plain_placeholders(prompt))

    def generate(
        self, request: GenerateRequest, images: Sequence[Image.Image], stopping: threading.Event
    ) -> Iterator[Step]:
        """See Engine."""
        prompt = request.messages or plain_placeholders(request.prompt)
        text = ""
        for piece in self._explainer.generate_stream(prompt, images, generation_options(request), stopping):
            text += piece.text
            usage = Usage(piece.prompt_tokens, piece.completion_tokens)
            yield Step(text, usage, "stop" if piece.finish_reason == "cancelled" else piece.finish_reason)


def generation_options(request: GenerateRequest) -> GenerationOptions:
    """Raises ServeError 40302 for a parameter that this engine cannot honour: it is not ignored in silence."""
    for name, neutral in (("top_k", (-1, 0)), ("presence_penalty", (0,)), ("frequency_penalty", (0,))):
        if getattr(request, name) not in neutral:
            raise ServeError(
                f"{name} is not supported by this worker",
                code=ErrorCode.PARAM_OUT_OF_RANGE,
                next_step=f"Leave it out or send {neutral[0]}",
            )
    return GenerationOptions(
        max_new_tokens=request.max_new_tokens,
        temperature=request.temperature,
        top_p=request.top_p or None,
        repetition_penalty=None if request.repetition_penalty == 1 else request.repetition_penalty,
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
    )
