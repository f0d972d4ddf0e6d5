"""A figure and a question in, an explanation out, streamed: a loaded model behind two verbs, `stream` and `explain`."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.chat import count_images, encode_prompt, encode_text
from llava_graph.errors import ContextOverflow, InputError
from llava_graph.images import open_image
from llava_graph.prompt import Message, PromptOptions, build_messages
from llava_graph.record import Figure, Turn

if TYPE_CHECKING:
    from PIL import Image

    from llava_graph.model.load import LoadedModel


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How the answer is sampled. None: as the checkpoint's own generation_config says."""

    max_new_tokens: int = 256
    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.temperature is not None and self.temperature < 0:
            raise InputError(f"temperature must be >= 0, got {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be in (0, 1], got {self.top_p}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of a streamed answer. The last one carries the reason why it ended and perhaps no text."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None
    """ "stop" (the model or a stop string ended it), "length" (max_new_tokens) or "cancelled"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """An answer with all that led to it."""

    text: str
    question: str
    figure: Figure
    """With the caption and OCR that the prompt used."""
    model: str
    finish_reason: str
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
        options: PromptOptions = PromptOptions(),
        *,
        history: Sequence[Turn] = (),
    ) -> list[Message]:
        """The messages that `stream` sends, with the context budget counted in this model's tokens."""
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
        options: PromptOptions = PromptOptions(),
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[str]:
        """The answer, piece by piece. See `explain` for the errors."""
        for chunk in self.generate_stream(*self._prepared(figure, question, history, options), generation, stopping):
            if chunk.text:
                yield chunk.text

    def explain(
        self,
        figure: Figure,
        question: str | None = None,
        *,
        history: Sequence[Turn] = (),
        options: PromptOptions = PromptOptions(),
        generation: GenerationOptions = GenerationOptions(),
    ) -> Explanation:
        """The whole answer. Raises ImageError, InputError (question), ContextOverflow (prompt too long for the model)."""
        begun = time.monotonic()
        messages, images = self._prepared(figure, question, history, options)
        chunks = list(self.generate_stream(messages, images, generation))
        last = chunks[-1]
        return Explanation(
            text="".join(chunk.text for chunk in chunks).strip(),
            question=messages[-1]["content"][-1]["text"] if question is None else question,
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
        """Chunks for messages, or for a prompt that is already rendered (as FastChat's protocol sends it).

        Setting `stopping` ends the generation at the next token. Raises InputError, ContextOverflow, and whatever the
        model raises, in the caller's thread.
        """
        ids = self._encode(prompt, len(images))
        room = self.model.context_length - len(ids)
        if room < 1:
            raise ContextOverflow(
                f"the prompt has {len(ids)} tokens (images included), the model reads {self.model.context_length}",
                next_step="Shorten the question or the context, or clear the chat",
            )
        inputs = self._inputs(ids, images)
        return self._run(
            inputs, len(ids), min(generation.max_new_tokens, room), generation, stopping or threading.Event()
        )

    def _prepared(
        self, figure: Figure, question: str | None, history: Sequence[Turn], options: PromptOptions
    ) -> tuple[list[Message], list["Image.Image"]]:
        images = [open_image(figure.image, where=figure.id)] if figure.image is not None else []
        return self.messages(figure, question, options, history=history), images

    def _encode(self, prompt: Sequence[Message] | str, images: int) -> list[int]:
        loaded = self.model
        if isinstance(prompt, str):
            return encode_text(prompt, loaded.tokenizer, loaded.image_tokens, images)
        if count_images(prompt) != images:
            raise InputError(f"the messages hold {count_images(prompt)} image(s), {images} were given")
        return encode_prompt(prompt, loaded.tokenizer, loaded.template, loaded.image_tokens)

    def _inputs(self, ids: list[int], images: Sequence["Image.Image"]) -> dict[str, Any]:
        import torch

        device = self.model.model.device
        input_ids = torch.tensor([ids], device=device)
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        if images:
            pixels = self.model.image_processor(images=list(images), return_tensors="pt")["pixel_values"]
            inputs["pixel_values"] = pixels.to(device, self.model.model.dtype)
        return inputs

    def _run(
        self,
        inputs: dict[str, Any],
        prompt_tokens: int,
        room: int,
        generation: GenerationOptions,
        stopping: threading.Event,
    ) -> Iterator[Chunk]:
        """Generate in a thread, hand out text as it becomes certain."""
        tokens: queue.Queue[Any] = queue.Queue()
        worker = threading.Thread(target=self._generate, args=(inputs, room, generation, stopping, tokens), daemon=True)
        worker.start()
        decoder = _Decoder(self.model.tokenizer, generation.stop)
        count, reason = 0, "length"
        try:
            while (item := tokens.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                count += 1
                if item in self._end_ids(generation):
                    reason = "stop"
                    continue
                text = decoder.push(item)
                if text:
                    yield Chunk(text=text, prompt_tokens=prompt_tokens, completion_tokens=count)
                if decoder.stopped:
                    reason = "stop"
                    break
            if reason != "stop" and stopping.is_set():
                reason = "cancelled"
            yield Chunk(text=decoder.rest(), prompt_tokens=prompt_tokens, completion_tokens=count, finish_reason=reason)
        finally:
            stopping.set()
            worker.join()

    def _end_ids(self, generation: GenerationOptions) -> set[int]:
        ends = self.model.model.generation_config.eos_token_id
        own = ends if isinstance(ends, list) else [ends]
        return {*generation.stop_token_ids, *(token for token in own if token is not None)}

    def _generate(
        self,
        inputs: dict[str, Any],
        room: int,
        generation: GenerationOptions,
        stopping: threading.Event,
        tokens: "queue.Queue[Any]",
    ) -> None:
        """Thread body: token ids into `tokens`, then None, or the exception that ended it."""
        try:
            import torch
            from transformers import StoppingCriteriaList

            if generation.seed is not None:
                torch.manual_seed(generation.seed)
            options: dict[str, Any] = {
                "max_new_tokens": room,
                "eos_token_id": sorted(self._end_ids(generation)) or None,
            }
            if generation.temperature is not None:
                options |= {"do_sample": generation.temperature > 1e-4}  # FastChat's threshold for greedy
                options |= {"temperature": generation.temperature} if options["do_sample"] else {"temperature": None}
            if generation.top_p is not None and options.get("do_sample", True):
                options["top_p"] = generation.top_p
            if generation.repetition_penalty is not None:
                options["repetition_penalty"] = generation.repetition_penalty
            with torch.inference_mode():
                self.model.model.generate(
                    **inputs,
                    **options,
                    streamer=_TokenQueue(tokens),
                    stopping_criteria=StoppingCriteriaList([lambda ids, *_, **__: _all(ids, stopping.is_set())]),
                )
            tokens.put(None)
        except BaseException as error:  # noqa: BLE001  (handed to the caller's thread, which raises it)
            tokens.put(error)


def _all(ids: Any, done: bool) -> Any:
    import torch

    return torch.full((ids.shape[0],), done, device=ids.device, dtype=torch.bool)


class _TokenQueue:
    """transformers' streamer protocol: the prompt comes first and whole, then token by token."""

    def __init__(self, tokens: "queue.Queue[Any]") -> None:
        self._tokens, self._prompt_seen = tokens, False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            for token in value.reshape(-1).tolist():
                self._tokens.put(token)
        self._prompt_seen = True

    def end(self) -> None:
        """The end is put by `_generate`, after errors could still happen."""


class _Decoder:
    """Token ids -> text that will not change any more; holds back half characters and the beginning of a stop string."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._ids: list[int] = []
        self._given = 0
        self._text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        self._ids.append(token)
        self._text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        ends = [position for stop in self._stop if (position := self._text.find(stop)) >= 0]
        if ends:
            self.stopped, self._text = True, self._text[: min(ends)]
            return self.rest()
        if self._text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        held = max((_overlap(self._text, stop) for stop in self._stop), default=0)
        return self._give(len(self._text) - held)

    def rest(self) -> str:
        return self._give(len(self._text))

    def _give(self, upto: int) -> str:
        piece = self._text[self._given : upto]
        self._given = max(self._given, upto)
        return piece


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` could be the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
