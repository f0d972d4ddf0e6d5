"""A checkpoint in this process as a worker's engine."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from llava_graph.errors import ServeError
from llava_graph.explain import Explainer
from llava_graph.generate import GenerationOptions
from llava_graph.model.prompts import count_tokens, render_prompt
from serve.engines.engine import Step
from serve.protocol.codes import ErrorCode
from serve.protocol.messages import GenerateRequest, Usage, plain_placeholders


class ExplainerEngine:
    """A checkpoint in this process."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._model = explainer.model
        self.name = self._model.name
        self.about = self._model.about
        self.chat_template = self._model.template
        self.prompt = self._model.prompt
        self.instructions = self._model.instructions
        self.max_images = self._model.max_images
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
        seed=request.seed,
    )
