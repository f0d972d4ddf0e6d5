"""A figure and a question in, an explanation out, streamed: a loaded model behind two verbs, `stream` and `explain`."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.generate import Chunk, GenerationOptions, generate_stream
from llava_graph.images import open_image
from llava_graph.prompt import Message, PromptOptions, build_messages, explain_request
from llava_graph.record import Figure, Turn

if TYPE_CHECKING:
    from PIL import Image

    from llava_graph.model.load import LoadedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """An answer with all that led to it."""

    text: str
    question: str
    prompt: str
    """The text that stood beside the image in the first turn: context and question."""
    figure: Figure
    """With the caption and OCR that the prompt used."""
    model: str
    finish_reason: str
    """See `Chunk.finish_reason`."""
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Explainer:
    """A model that explains figures. `path` is a checkpoint folder; None takes the packaged model."""

    def __init__(
        self, path: Path | str | None = None, *, device: str | None = None, model: "LoadedModel | None" = None
    ) -> None:
        """Load the model. Raises CheckpointError, MissingExtra."""
        if model is None:
            from llava_graph.model.load import load

            model = load(path, device=device)
        self.model = model

    def messages(
        self,
        figure: Figure,
        question: str | None,
        options: PromptOptions | None = None,
        *,
        history: Sequence[Turn] = (),
    ) -> list[Message]:
        """The messages that `stream` sends, with the context budget counted in this model's tokens.

        `options`: None is what the checkpoint was trained with.
        """
        options = options or self.model.prompt
        return build_messages(figure, question, options, count_tokens=self.count_tokens, history=history)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return len(self.model.tokenizer(text, add_special_tokens=False)["input_ids"])

    def stream(
        self,
        figure: Figure,
        question: str | None = None,
        *,
        history: Sequence[Turn] = (),
        options: PromptOptions | None = None,
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[str]:
        """The answer, piece by piece. See `explain` for the errors."""
        messages = self.messages(figure, question, options, history=history)
        for chunk in self.generate_stream(messages, _images(figure), generation, stopping):
            if chunk.text:
                yield chunk.text

    def explain(
        self,
        figure: Figure,
        question: str | None = None,
        *,
        history: Sequence[Turn] = (),
        options: PromptOptions | None = None,
        generation: GenerationOptions = GenerationOptions(),
    ) -> Explanation:
        """The whole answer. Raises ImageError, InputError (question), ContextOverflow (prompt too long for the model)."""
        begun = time.monotonic()
        messages = self.messages(figure, question, options, history=history)
        chunks = list(self.generate_stream(messages, _images(figure), generation))
        last = chunks[-1]
        return Explanation(
            text="".join(chunk.text for chunk in chunks).strip(),
            question=explain_request(figure.id, options or self.model.prompt) if question is None else question,
            prompt=messages[0]["content"][-1]["text"],
            figure=figure,
            model=self.model.name,
            finish_reason=last.finish_reason or "",
            prompt_tokens=last.prompt_tokens,
            completion_tokens=last.completion_tokens,
            seconds=round(time.monotonic() - begun, 3),
        )

    def generate_stream(
        self,
        prompt: Sequence[Message] | str,
        images: Sequence["Image.Image"],
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """See `llava_graph.generate.generate_stream`."""
        return generate_stream(self.model, prompt, images, generation, stopping)


def _images(figure: Figure) -> list["Image.Image"]:
    return [] if figure.image is None else [open_image(figure.image, where=figure.id)]
