"""A figure and a question in, an explanation out, streamed: whatever model answers, the prompt and the record are the same."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.explained.records import Answer, ExplainedFigure, now, versions
from llava_graph.generate import Chunk, GenerationOptions, generate_stream
from llava_graph.images import open_image
from llava_graph.prompt import Message, PromptOptions, build_messages, explain_request
from llava_graph.record import Figure, Turn

if TYPE_CHECKING:
    from PIL import Image

    from llava_graph.model.load import LoadedModel


class Answerer(ABC):
    """A model that can be asked about figures: in this process (`Explainer`) or behind an API (`openai_client.ApiModel`)."""

    name: str
    """What it is called."""
    about: str
    """What it is, in a sentence; may be empty."""
    prompt: PromptOptions
    """What it is shown beside the figure where nobody says otherwise."""
    instructions: bool
    """Whether it does what it is asked; False where its training knew nothing but to explain figures."""

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """Tokens of a text without special tokens; an estimate where the model cannot be asked."""

    @abstractmethod
    def generate_stream(
        self,
        prompt: Sequence[Message],
        images: Sequence["Image.Image"],
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """The answer as it becomes certain; the last chunk has a `finish_reason`. Closing the iterator ends the work."""

    def messages(
        self,
        figure: Figure,
        question: str | None,
        options: PromptOptions | None = None,
        *,
        history: Sequence[Turn] = (),
    ) -> list[Message]:
        """The messages that `stream` sends, with the context budget counted in this model's tokens.

        `options`: None is what the model was trained with.
        """
        return build_messages(figure, question, options or self.prompt, count_tokens=self.count_tokens, history=history)

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
        told: str = "",
        history: Sequence[Turn] = (),
        options: PromptOptions | None = None,
        generation: GenerationOptions = GenerationOptions(),
        on_text: Callable[[str], None] = lambda _: None,
        stopping: threading.Event | None = None,
    ) -> ExplainedFigure:
        """The whole answer with all that led to it; `on_text` gets its pieces as they come.

        `told`: the question as a reader sees it, where it was sent in more words. Raises ImageError, InputError (question),
        ContextOverflow (prompt too long for the model), ServeError (the model's server).
        """
        begun = time.monotonic()
        messages = self.messages(figure, question, options, history=history)
        asked = explain_request(figure.id, options or self.prompt) if question is None else question.strip()
        pieces, last = [], Chunk(text="", prompt_tokens=0, completion_tokens=0)
        for last in self.generate_stream(messages, _images(figure), generation, stopping):
            pieces.append(last.text)
            on_text(last.text)
        answer = Answer(
            question=told or asked,
            text="".join(pieces).strip(),
            model=self.name,
            about=self.about,
            finish_reason=last.finish_reason or "",
            prompt_tokens=last.prompt_tokens or None,
            completion_tokens=last.completion_tokens or None,
            seconds=round(time.monotonic() - begun, 3),
        )
        return ExplainedFigure(
            figure=figure, answers=(answer,), prompt=first_text(messages), created=now(), versions=versions()
        )


def first_text(messages: Sequence[Message]) -> str:
    """What stands beside the image in the first turn, word for word."""
    content = messages[0]["content"]
    return (
        content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["type"] == "text")
    )


class Explainer(Answerer):
    """A model in this process. `path` is a checkpoint folder or owner/name on the hub; None takes the packaged model."""

    def __init__(
        self, path: Path | str | None = None, *, device: str | None = None, model: "LoadedModel | None" = None
    ) -> None:
        """Load the model. Raises CheckpointError, MissingExtra."""
        if model is None:
            from llava_graph.model.load import load

            model = load(path, device=device)
        self.model = model
        self.name, self.about = model.name, model.about
        self.prompt, self.instructions = model.prompt, model.instructions

    def count_tokens(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return len(self.model.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate_stream(
        self,
        prompt: Sequence[Message] | str,
        images: Sequence["Image.Image"],
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """See `llava_graph.generate.generate_stream`; a prompt may also be one that is rendered already."""
        return generate_stream(self.model, prompt, images, generation, stopping)


def _images(figure: Figure) -> list["Image.Image"]:
    return [] if figure.image is None else [open_image(figure.image, where=figure.id)]
