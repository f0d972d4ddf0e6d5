"""A sample in, ids, labels and the model's inputs of its images out: by the same functions as in serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from llava_graph.chat import (
    IGNORE_INDEX,
    EncodedSample,
    answer_borders,
    checked_prefix,
    encode_sample,
    fit_length,
    neutralise,
)
from llava_graph.errors import SampleRefused
from llava_graph.images import open_image, upright_size
from llava_graph.model.load import FIXED_TOKENS
from llava_graph.model.prompts import PROCESSOR_ERRORS, special_tokens
from llava_graph.prompt import Message
from train.batching.template_fit import check_rendering, check_template

if TYPE_CHECKING:
    import torch

    from llava_graph.model import LoadedModel
    from train.sources import Sample

PER_TOKEN = ("token_type_ids", "mm_token_type_ids")
"""What some models want beside each token: (1, tokens) in `vision`, to be padded like the ids, with 0."""


class Encoder(Protocol):
    """How a sample becomes what the model takes. It crosses process borders, so it holds no weights."""

    @property
    def max_length(self) -> int:
        """Longest sample in tokens, images included."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that change whenever an encoding could."""

    def warnings(self) -> list[str]:
        """What is odd about its template and tokenizer. Raises InputError where they cannot teach anything."""

    def encode(self, sample: Sample) -> EncodedSample:
        """Ids and labels, image tokens expanded. Raises SampleRefused, ImageError."""

    def vision(self, sample: Sample) -> dict[str, torch.Tensor]:
        """The model's inputs of the sample's images, images first; {} without images. Raises ImageError."""


def build_encoder(loaded: LoadedModel, max_length: int) -> Encoder:
    """Ours for a LLaVA, else the checkpoint's own processor and template."""
    if not loaded.counts_image_tokens:
        return ProcessorEncoder(loaded.processor, max_length)
    return FigureEncoder(loaded=replace(loaded, model=None), max_length=max_length)


@dataclass(frozen=True, kw_only=True)
class FigureEncoder:
    """For LLaVA and its like: our rendering of the template, a known number of tokens for each image."""

    loaded: LoadedModel
    """Its `model` is not asked for anything."""
    max_length: int

    @property
    def identity(self) -> dict[str, Any]:
        """Tokenizer, template, image preparation and limits."""
        return {
            "template": self.loaded.template,
            "tokenizer": tokenizer_identity(self.loaded.tokenizer),
            "images": self.loaded.image_processor.to_json_string(),
            "image_tokens": self.loaded.image_tokens,
            "max_length": self.max_length,
        }

    def warnings(self) -> list[str]:
        """See `check_template`."""
        return check_template(self.loaded.template, self.loaded.tokenizer)

    def encode(self, sample: Sample) -> EncodedSample:
        """Ids and labels. Raises SampleRefused; ImageError where an image's size decides its tokens."""
        if type(self.loaded.processor).__name__ == FIXED_TOKENS:
            tokens = [self.loaded.image_tokens] * len(sample.images)
        else:
            tokens = [self.loaded.tokens_of(upright_size(image, where=sample.name)) for image in sample.images]
        return encode_sample(sample.messages, self.loaded.tokenizer, self.loaded.template, tokens, self.max_length)

    def vision(self, sample: Sample) -> dict[str, torch.Tensor]:
        """As the checkpoint prepares them. Raises ImageError."""
        return self.loaded.prepare([open_image(image, where=sample.name) for image in sample.images])


class ProcessorEncoder:
    """For any other model: its own processor and chat template (Qwen-VL, Idefics3, SmolVLM, Gemma 3, InternVL, …).

    The processor says what it writes in the place of each image. With that, answers are found as everywhere: the ids of the
    text before an answer must begin the ids of the whole.
    """

    def __init__(self, processor: Any, max_length: int) -> None:
        self._processor, self.max_length = processor, max_length
        self._specials = special_tokens(processor)
        self._last: tuple[Sample, dict[str, Any], EncodedSample] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    @property
    def identity(self) -> dict[str, Any]:
        """Tokenizer, template, image preparation and limits."""
        return {
            "template": self._processor.chat_template,
            "tokenizer": tokenizer_identity(self._processor.tokenizer),
            "processor": self._processor.to_json_string(),
            "images": self._processor.image_processor.to_json_string(),
            "max_length": self.max_length,
        }

    def warnings(self) -> list[str]:
        """See `check_rendering`."""
        return check_rendering(self._rendered, self._processor.tokenizer, self._specials)

    def encode(self, sample: Sample) -> EncodedSample:
        """Ids and labels. Raises SampleRefused (also: processor, template, image-alignment, image-cut); ImageError."""
        return self._both(sample)[1]

    def vision(self, sample: Sample) -> dict[str, torch.Tensor]:
        """Everything that the processor makes beside ids and mask: `pixel_values`, `image_grid_thw`, `token_type_ids`, …"""
        inputs, encoded = self._both(sample)
        return {
            name: value[:, : len(encoded.input_ids)] if name in PER_TOKEN else value for name, value in inputs.items()
        }

    def _both(self, sample: Sample) -> tuple[dict[str, Any], EncodedSample]:
        # A processor makes ids and pixels in one go, and is asked for both, one after the other.
        if self._last is None or self._last[0] is not sample:
            try:
                self._last = (sample, *self._process(sample))
            except PROCESSOR_ERRORS as error:
                raise SampleRefused(
                    f"the processor cannot take it ({' '.join(str(error).split())[:200]})", reason="processor"
                ) from error
        return self._last[1:]

    def _process(self, sample: Sample) -> tuple[dict[str, Any], EncodedSample]:
        messages = neutralise(sample.messages, self._specials)
        text = self._rendered(messages, False)
        bos = self._processor.tokenizer.bos_token
        special = not (bos and text.startswith(bos))  # as transformers' own apply_chat_template decides
        images = [open_image(image, where=sample.name) for image in sample.images]
        asked = {"images": [images], "return_text_replacement_offsets": True} if images else {}
        made = self._processor(text=[text], add_special_tokens=special, return_tensors="pt", **asked)
        whole = made.pop("input_ids")[0].tolist()
        shown = _Shown(text, made.pop("text_replacement_offsets", [[]])[0] if images else [])
        if len(shown.places) != len(images):
            raise SampleRefused(
                f"the processor put {len(shown.places)} of {len(images)} images into the text", reason="image-alignment"
            )

        def ids_of(part: str) -> list[int]:
            tokens = self._processor.tokenizer(part, add_special_tokens=special)["input_ids"]
            return list(tokens)

        if ids_of(shown.whole) != whole:
            raise SampleRefused("the processor's ids are not those of its text", reason="image-alignment")
        labels = [IGNORE_INDEX] * len(whole)
        for borders in answer_borders(messages, self._rendered, self._specials):
            start, end = (len(checked_prefix(ids_of(shown.prefix(border)), whole)) for border in borders)
            labels[start:end] = whole[start:end]
        labels[:1] = [IGNORE_INDEX]
        encoded = fit_length(whole, labels, self.max_length)
        if images and len(encoded.input_ids) < len(ids_of(shown.prefix(text[: shown.places[-1][1]]))):
            raise SampleRefused(
                f"an image of a later turn does not fit into {self.max_length} tokens", reason="image-cut"
            )
        made.pop("attention_mask", None)
        return dict(made), encoded

    def _rendered(self, messages: Sequence[Message], open_turn: bool) -> str:
        return self._processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=open_turn)


class _Shown:
    """A rendered text and what the processor writes in the place of each image."""

    def __init__(self, text: str, offsets: Sequence[dict[str, Any]]) -> None:
        self.places = [tuple(one["span"]) for one in offsets]
        """(start, end) of each image's mark in `text`"""
        self._text = text
        self._written = [one["replacement"] for one in offsets]
        self._gained = list(
            accumulate(
                (
                    len(written) - (end - start)
                    for (start, end), written in zip(self.places, self._written, strict=True)
                ),
                initial=0,
            )
        )
        pieces, last = [], 0
        for (start, end), written in zip(self.places, self._written, strict=True):
            pieces += [text[last:start], written]
            last = end
        self.whole = "".join([*pieces, text[last:]])

    def prefix(self, part: str) -> str:
        """The beginning `part` of the text with its images written out."""
        before = sum(end <= len(part) for _, end in self.places)
        return self.whole[: len(part) + self._gained[before]]


def tokenizer_identity(tokenizer: Any) -> str:
    """A digest of everything that a tokenizer does."""
    import hashlib

    backend = getattr(tokenizer, "backend_tokenizer", None)
    told = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(f"{tokenizer.special_tokens_map}{told}".encode()).hexdigest()
