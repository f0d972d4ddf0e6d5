"""A sample in, ids, labels and the model's inputs of its images out: by the same functions as in serving."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from llava_graph.chat import EncodedSample, encode_sample
from llava_graph.images import open_image
from llava_graph.model.load import FIXED_TOKENS

if TYPE_CHECKING:
    import torch

    from llava_graph.model import LoadedModel
    from train.sources import Sample

LLAVA = (*FIXED_TOKENS, "llava_next")
"""Models whose template we render and whose images we count ourselves."""


class Encoder(Protocol):
    """How a sample becomes what the model takes. It crosses process borders, so it holds no weights."""

    @property
    def max_length(self) -> int:
        """Longest sample in tokens, images included."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that change whenever an encoding could."""

    def encode(self, sample: Sample) -> EncodedSample:
        """Ids and labels, image tokens expanded. Raises SampleRefused, ImageError."""

    def vision(self, sample: Sample) -> dict[str, torch.Tensor]:
        """The model's inputs of the sample's images, images first; {} without images. Raises ImageError."""


def build_encoder(loaded: LoadedModel, max_length: int) -> Encoder:
    """Ours for a LLaVA, else the checkpoint's own processor and template."""
    light = replace(loaded, model=SimpleNamespace(config=loaded.model.config))
    return FigureEncoder(loaded=light, max_length=max_length)


@dataclass(frozen=True, kw_only=True)
class FigureEncoder:
    """For LLaVA and its like: our rendering of the template, a known number of tokens for each image."""

    loaded: LoadedModel
    """Its `model` need hold no more than the `config`."""
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

    def encode(self, sample: Sample) -> EncodedSample:
        """Ids and labels. Raises SampleRefused; ImageError where an image's size decides its tokens."""
        if self.loaded.model.config.model_type in FIXED_TOKENS:
            tokens = [self.loaded.image_tokens] * len(sample.images)
        else:
            tokens = [self.loaded.tokens_of(open_image(image, where=sample.name).size) for image in sample.images]
        return encode_sample(sample.messages, self.loaded.tokenizer, self.loaded.template, tokens, self.max_length)

    def vision(self, sample: Sample) -> dict[str, torch.Tensor]:
        """As the checkpoint prepares them. Raises ImageError."""
        return self.loaded.prepare([open_image(image, where=sample.name) for image in sample.images])


def tokenizer_identity(tokenizer: Any) -> str:
    """A digest of everything that a tokenizer does."""
    import hashlib

    backend = getattr(tokenizer, "backend_tokenizer", None)
    told = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(f"{tokenizer.special_tokens_map}{told}".encode()).hexdigest()
