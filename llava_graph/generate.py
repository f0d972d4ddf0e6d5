"""Messages and images in, text out as it becomes certain: generation with a loaded model, streamed and stoppable."""

import copy
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llava_graph.prompt import Message
from llava_graph.sampling import NO_NUMBER, GenerationOptions, Sampler, choose

if TYPE_CHECKING:
    from PIL import Image

    from llava_graph.batched.batch import Prompt, Row
    from llava_graph.model.load import LoadedModel

CONTEXT_IDS = 24
"""Tokens before a new one that are decoded with it: characters of several tokens, and spaces, come out as in the whole."""
NEUTRAL = {
    "do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0, "num_beams": 1,
}  # fmt: skip
"""What transformers' generate() is told in place of a checkpoint's settings: a `Sampler` follows them, and beams cannot be
streamed. None would be filled in from the checkpoint again; 50 is the value that it takes for unset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of a streamed answer. The last one carries the reason why it ended and perhaps no text."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None
    """ "stop" (the model or a stop string ended it), "length" (max_new_tokens) or "cancelled"."""


def generate_stream(
    loaded: "LoadedModel",
    prompt: Sequence[Message] | str,
    images: Sequence["Image.Image"],
    generation: GenerationOptions = GenerationOptions(),
    stopping: threading.Event | None = None,
) -> Iterator[Chunk]:
    """Chunks for messages, or for a prompt that is already rendered (as FastChat's protocol sends it).

    Setting `stopping` ends the generation at the next token. Raises InputError (images and placeholders do not match)
    and ContextOverflow at once, and whatever the model raises, in the caller's thread.
    """
    from llava_graph.batched.batch import prepare, row_of

    prepared = prepare(loaded, prompt, images)
    row = row_of(loaded, prepared, generation)
    return _texts(loaded, prepared, row, generation.stop, stopping)


class TokenStream:
    """The token ids of one answer from transformers' generate(), which runs in a thread until the last or `close`."""

    def __init__(
        self, loaded: "LoadedModel", prompt: "Prompt", row: "Row", stopping: threading.Event | None = None
    ) -> None:
        """Begins to compute. `stopping`, if given, ends it at the next token when it is set."""
        from llava_graph.model.prompts import on_device

        self.stopping = stopping or threading.Event()
        self._tokens: queue.Queue[Any] = queue.Queue()
        arguments = on_device(loaded, prompt.inputs) | _arguments(loaded, row)
        work = (loaded.model, arguments, self.stopping, self._tokens)
        self._thread = threading.Thread(target=_generate, args=work, name="generate", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[int]:
        """The tokens, as they come. Raises whatever the model raises."""
        while (item := self._tokens.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """End it, and wait for that."""
        self.stopping.set()
        self._thread.join()


def _arguments(loaded: "LoadedModel", row: "Row") -> dict[str, Any]:
    """transformers' generate() arguments: it takes the likeliest token, and the row's sampler decides which that is."""
    from transformers import LogitsProcessorList

    own = copy.deepcopy(loaded.model.generation_config)
    own.update(**NEUTRAL, max_length=None, max_new_tokens=row.max_new_tokens, eos_token_id=sorted(row.ends) or None)
    decides = [] if row.sampler.plain else [_Decision(row.sampler)]
    return {"generation_config": own, "logits_processor": LogitsProcessorList(decides)}


class _Decision:
    """A logits processor that leaves one token to choose."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __call__(self, ids: Any, scores: Any) -> Any:  # noqa: ARG002  (transformers' signature)
        (token,) = choose([self._sampler], scores)
        if token == NO_NUMBER:
            raise FloatingPointError("the model's logits are no finite numbers")
        decided = scores.new_full(scores.shape, float("-inf"))
        decided[0, token] = 0
        return decided


def own_stops(loaded: "LoadedModel") -> tuple[str, ...]:
    """What the model writes after an answer, where that is text. Other models than LLaVAs end by a token."""
    from llava_graph.model.vocabulary import stop_texts

    return stop_texts(loaded.tokenizer, loaded.template) if loaded.counts_image_tokens else ()


def _texts(
    loaded: "LoadedModel", prompt: "Prompt", row: "Row", stop: Sequence[str], stopping: threading.Event | None
) -> Iterator[Chunk]:
    """Text as it becomes certain; the computing begins when the first piece is asked for."""
    decoder = Decoder(loaded.tokenizer, (*stop, *own_stops(loaded)))
    count, reason, prompt_tokens = 0, "length", prompt.tokens
    stream = TokenStream(loaded, prompt, row, stopping)
    try:
        for token in stream:
            count += 1
            if token in row.ends:
                reason = "stop"
                continue
            if text := decoder.push(token):
                yield Chunk(text=text, prompt_tokens=prompt_tokens, completion_tokens=count)
            if decoder.stopped:
                reason = "stop"
                break
        if reason != "stop" and stream.stopping.is_set():
            reason = "cancelled"
        yield Chunk(text=decoder.rest(), prompt_tokens=prompt_tokens, completion_tokens=count, finish_reason=reason)
    finally:
        stream.close()


def _generate(
    model: Any,
    arguments: dict[str, Any],
    stopping: threading.Event,
    tokens: "queue.Queue[Any]",
) -> None:
    """Thread body: token ids into `tokens`, then None, or the exception that ended it."""
    try:
        import torch
        from transformers import StoppingCriteriaList

        def stopped(ids: Any, *_: Any, **__: Any) -> Any:
            return torch.full((ids.shape[0],), stopping.is_set(), device=ids.device, dtype=torch.bool)

        with torch.inference_mode():
            criteria = StoppingCriteriaList([stopped])
            model.generate(**arguments, streamer=_TokenQueue(tokens), stopping_criteria=criteria)
        tokens.put(None)
    except BaseException as error:  # noqa: BLE001  (handed to the caller's thread, which raises it)
        tokens.put(error)


class _TokenQueue:
    """transformers' streamer protocol: the prompt comes first and whole, then token by token."""

    def __init__(self, tokens: "queue.Queue[Any]") -> None:
        self._tokens, self._prompt_seen = tokens, False

    def put(self, value: Any) -> None:
        """Token ids of one step."""
        if self._prompt_seen:
            for token in value.reshape(-1).tolist():
                self._tokens.put(token)
        self._prompt_seen = True

    def end(self) -> None:
        """The end is put by `_generate`, after errors could still happen."""


class Decoder:
    """Token ids -> text that will not change any more; holds back half characters and the beginning of a stop string."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._ids: list[int] = []
        """The newest tokens, behind `_before`: a long answer is not decoded anew for each of its tokens."""
        self._before = ""
        self._given = 0
        self._text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that has become certain with this token."""
        self._ids.append(token)
        self._text = self._before + self._decoded(self._ids)
        ends = [position for stop in self._stop if (position := self._text.find(stop)) >= 0]
        if ends:
            self.stopped, self._text = True, self._text[: min(ends)]
            return self.rest()
        if self._text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._shorten()
        held = max((_overlap(self._text, stop) for stop in self._stop), default=0)
        return self._give(len(self._text) - held)

    def _shorten(self) -> None:
        """Keep the newest ids only, where their text is the end of the text; a space before the first may belong to it."""
        if len(self._ids) < 2 * CONTEXT_IDS:
            return
        kept = self._ids[-CONTEXT_IDS:]
        text = self._decoded(kept)
        if text and self._text.endswith(text):
            self._ids, self._before = kept, self._text[: -len(text)]

    def _decoded(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def rest(self) -> str:
        """What was held back, when nothing more comes."""
        return self._give(len(self._text))

    def _give(self, upto: int) -> str:
        piece = self._text[self._given : upto]
        self._given = max(self._given, upto)
        return piece


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` could be the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
