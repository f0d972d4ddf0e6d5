"""Pairs of image and caption. In: the data paths of a run. Out: samples whose one turn is the caption, and an encoder for them.

A caption is a record's caption, else its first answer: what Quilt's and LLaVA's pretraining files hold.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from llava_graph.chat import IGNORE_INDEX, EncodedSample
from llava_graph.conversations import PLACEHOLDER, read_conversation
from llava_graph.errors import SampleRefused
from llava_graph.prompt import PromptOptions, text_message
from llava_graph.record import Figure
from train.contrastive.augmenting import Augmentation
from train.sources import NO_NOISE, Sample
from train.sources.conversations import ConversationSamples
from train.sources.figures import FigureReading, FigureSamples
from train.sources.mixture import Mixture, Weights
from train.sources.opening import Source
from train.sources.sample import printable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from llava_graph.prompt import Message
    from train.sources import Samples


BOX = re.compile(r"\s*\[\d(?:\.\d+)?(?:, \d(?:\.\d+)?){3}\]")
"""Corners behind a part of a narrative, as in `crypts [0.07, 0.14, 0.42, 1.0], stroma [0.5, 0.3, 0.9, 0.7]`."""


@dataclass(frozen=True, slots=True)
class Pair(Sample):
    """One image and its caption."""

    epoch: int | None = None
    """As which it is shown; None: as it is, for evaluation."""
    key: int = 0
    """Of the image: pairs of one image have the same."""

    answer: str = ""
    """The record's first answer, where its caption is something else: a label for zero-shot classification."""

    @property
    def caption(self) -> str:
        """The text."""
        return str(self.messages[0]["content"][0]["text"])


def as_pair(
    caption: str,
    image: bytes | Path | None,
    name: str,
    epoch: int | None,
    repairs: tuple[str, ...] = (),
    *,
    answer: str = "",
) -> Pair:
    """A pair; boxes of a localized narrative are no part of its words. Raises SampleRefused (reasons: no-image, no-caption)."""
    caption, answer = (" ".join(BOX.sub("", text.replace(PLACEHOLDER, " ")).split()) for text in (caption, answer))
    if image is None:
        raise SampleRefused("the record has no image", reason="no-image")
    if not caption:
        raise SampleRefused("the record has no caption and no answer", reason="no-caption")
    told = image if isinstance(image, bytes) else str(image).encode(errors="surrogateescape")
    key = int.from_bytes(hashlib.sha256(told).digest()[:7], "big")
    return Pair([text_message("assistant", caption)], (image,), name, repairs, epoch, key, answer)


def first_answer(messages: Sequence[Message]) -> str:
    """The text of the first turn of an assistant; empty without one."""
    answer = next((message for message in messages if message["role"] == "assistant"), None)
    content = answer["content"] if answer else ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)


class CaptionReading(FigureReading):
    """A figure record as a pair."""

    def sample(self, row: Mapping[str, Any], file: Path, number: int, epoch: int | None) -> Pair:
        """Row `number` (from 1) of `file`. Raises RecordError, SampleRefused."""
        figure = Figure.from_row(row, f"{file.parent.name}/{file.name} row {number}")
        answer = next((turn.text for turn in figure.turns if turn.role == "assistant"), "")
        image = file.parent / figure.image if isinstance(figure.image, Path) else figure.image
        return as_pair(figure.caption or answer, image, figure.id, epoch, answer=answer)


class CaptionSamples(ConversationSamples):
    """The records of a JSON file as pairs: `{"image", "caption"}` (PA-LLaVA), or LLaVA's conversations."""

    def get(self, index: int, epoch: int | None) -> Pair:
        """Raises SampleRefused."""
        record = self._records[index]
        if isinstance(record, Mapping) and isinstance(record.get("caption"), str):
            image = record.get("image")
            if not isinstance(image, str) or not image:
                raise SampleRefused("a caption without the path of an image", reason="no-image")
            name = printable(str(record.get("id", image)))
            return as_pair(printable(record["caption"]), self._folder / printable(image), name, epoch)
        read = read_conversation(record)
        if len(read.images) != 1:
            raise SampleRefused(f"{len(read.images)} images for one caption", reason="no-image")
        return as_pair(first_answer(read.messages), self._placed(read)[0], self.name(index), epoch, read.repairs)

    def image_files(self, index: int) -> tuple[Path, ...]:
        """The one that the record names. Raises SampleRefused."""
        image = self.get(index, None).images[0]
        return (image,) if isinstance(image, Path) else ()


def open_pairs(sources: Sequence[Source], *, seed: int, limit: int | None = None) -> Mixture:
    """Every source opened; of each the first `limit` pairs count. Raises DatasetError."""
    parts: list[tuple[str, Samples]] = []
    for source in sources:
        if source.has_splits:
            reading = CaptionReading(options=PromptOptions(), noise=NO_NOISE)
            parts.append((source.path.name, FigureSamples(source.path, source.split, reading)))
        else:
            parts.append((source.path.name, CaptionSamples(source.path, source.image_folder or source.path.parent)))
    return Mixture(parts, Weights(parts=tuple(source.weight for source in sources), seed=seed), limit)


@dataclass(frozen=True, kw_only=True)
class PairEncoder:
    """Captions as tokens, images as pixels. It crosses process borders, so it holds no weights."""

    tokenizer: PreTrainedTokenizerBase
    images: Any
    """transformers' image processor of the vision tower."""
    max_length: int
    """Tokens of a caption, [CLS] and [SEP] included; the rest is cut off."""
    augmentation: Augmentation | None = None
    """Of training; None: images are squashed to a square, as the tower will be shown them."""
    seed: int = 0

    @property
    def identity(self) -> dict[str, Any]:
        """Tokenizer, image preparation and length; augmentation decides no verdict."""
        vocabulary = hashlib.sha256(repr(sorted(self.tokenizer.get_vocab().items())).encode()).hexdigest()[:16]
        return {"pairs": vocabulary, "images": self.images.to_json_string(), "max_length": self.max_length}

    def warnings(self) -> list[str]:
        """None: there is no template."""
        return []

    def encode(self, sample: Sample) -> EncodedSample:
        """The caption's tokens, at most `max_length`."""
        return self.encode_text(_pair(sample).caption)

    def encode_text(self, text: str) -> EncodedSample:
        """A text's tokens, at most `max_length`."""
        ids = list(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        cut = len(ids) > self.max_length
        if cut:
            ids = [*ids[: self.max_length - 1], ids[-1]]
        return EncodedSample(ids, [IGNORE_INDEX, *ids[1:]], answer_cut=cut)

    def vision(self, sample: Sample) -> dict[str, torch.Tensor]:
        """{"pixel_values": (1, 3, side, side), "image_keys": (1,)}"""
        pair, image = _pair(sample), sample.images[0]
        side = int(self.images.size["height"])
        if self.augmentation is not None and pair.epoch is not None:
            # A function of seed, epoch and pair alone, so that a run that goes on repeats it.
            chance = random.Random(f"{self.seed}/{pair.epoch}/{pair.name}")  # noqa: S311  (no secret)
            image = self.augmentation.show(image, pair.caption, side, int(self.images.resample), chance)  # type: ignore[arg-type]
        pixels = self.images(image, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "image_keys": torch.tensor([pair.key])}


def _pair(sample: Sample) -> Pair:
    if not isinstance(sample, Pair):
        raise TypeError(f"no pair: {type(sample).__name__}")
    return sample


@dataclass(frozen=True, kw_only=True)
class PairCollator:
    """Captions filled up to `length` tokens, the same in all batches of all processes."""

    pad_id: int
    length: int

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """pixel_values (n, 3, side, side), input_ids, attention_mask, labels (n, length), image_keys (n,).

        The labels are for counting tokens; nothing learns to write them.
        """
        ids = torch.full((len(items), self.length), self.pad_id)
        mask = torch.zeros_like(ids)
        for row, item in enumerate(items):
            ids[row, : len(item["input_ids"])] = torch.tensor(item["input_ids"])
            mask[row, : len(item["input_ids"])] = 1
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": ids.masked_fill(mask == 0, IGNORE_INDEX),
            **{name: torch.cat([item["vision"][name] for item in items]) for name in ("pixel_values", "image_keys")},
        }
