"""Samples as tensors. In: samples, a tokenizer and an image processor. Out: checked, ordered and padded batches for the model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from llava_graph.chat import IGNORE_INDEX, EncodedSample, encode_sample
from llava_graph.errors import ImageError, RecordError, SampleRefused
from llava_graph.images import open_image
from llava_graph.record import Dropped
from train.samples import Sample, Samples

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel

MEGABATCH = 50
"""Batches among which samples are sorted by length (as in transformers' LengthGroupedSampler)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """How a sample becomes ids and pixels: the same functions as in serving."""

    loaded: LoadedModel
    template: str
    max_length: int
    """tokens, images included"""

    def encode(self, sample: Sample) -> EncodedSample:
        """Ids and labels. Raises SampleRefused."""
        return encode_sample(
            sample.messages, self.loaded.tokenizer, self.template, self.loaded.image_tokens, self.max_length
        )

    def pixels(self, image: bytes | Path, name: str) -> torch.Tensor:
        """(3, H, W) as the checkpoint prepares it. Raises ImageError."""
        values = self.loaded.image_processor(open_image(image, where=name), return_tensors="pt")["pixel_values"]
        return values[0]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The verdict on every sample of a collection. kept + dropped = seen."""

    kept: np.ndarray
    """(n,) numbers of the good samples."""
    lengths: np.ndarray
    """(n,) tokens of each, image included, with its whole context."""
    with_image: np.ndarray
    """(n,) bool"""
    dropped: tuple[Dropped, ...]
    answers_cut: int
    """Samples whose last answer was longer than the room left."""


def check_samples(samples: Samples, encoder: Encoder, *, limit: int | None = None) -> Checked:
    """Encode every sample once and decode its image, so that nothing bad is met in the middle of a run."""
    kept, lengths, with_image, dropped, cut = [], [], [], [], 0
    for index in range(min(len(samples), limit or len(samples))):
        try:
            sample = samples.get(index, None)
            encoded = encoder.encode(sample)
            if sample.image is not None:
                open_image(sample.image, where=sample.name)
        except SampleRefused as error:
            dropped.append(Dropped(item=samples.name(index), reason=error.reason, detail=error.what))
        except ImageError as error:
            missing = isinstance(sample.image, Path) and not sample.image.is_file()
            reason = "image-missing" if missing else "image-broken"
            dropped.append(Dropped(item=samples.name(index), reason=reason, detail=str(error)))
        except RecordError as error:
            dropped.append(Dropped(item=samples.name(index), reason="bad-record", detail=str(error)))
        else:
            kept.append(index)
            lengths.append(len(encoded.input_ids))
            with_image.append(sample.image is not None)
            cut += encoded.answer_cut
    return Checked(
        kept=np.array(kept, dtype=np.int64),
        lengths=np.array(lengths, dtype=np.int64),
        with_image=np.array(with_image, dtype=bool),
        dropped=tuple(dropped),
        answers_cut=cut,
    )


class TrainingSet(Dataset):
    """The good samples by position. Position p is sample p % n as epoch p // n shows it, so that no state is kept."""

    def __init__(self, samples: Samples, checked: Checked, encoder: Encoder) -> None:
        self._samples, self.checked, self._encoder = samples, checked, encoder

    def __len__(self) -> int:
        return len(self.checked.kept)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """{"input_ids", "labels": lists of int, "pixels": (3, H, W) or None}"""
        epoch, row = divmod(int(position), len(self))
        for step in range(len(self)):
            index = int(self.checked.kept[(row + step) % len(self)])
            try:
                sample = self._samples.get(index, epoch)
                encoded = self._encoder.encode(sample)
                pixels = None if sample.image is None else self._encoder.pixels(sample.image, sample.name)
            except (ImageError, SampleRefused) as error:
                # It was good when the run began (a file has gone since): the next sample takes its place, said aloud.
                log.warning("%s is left out from now on: %s", self._samples.name(index), error)
                continue
            return {"input_ids": encoded.input_ids, "labels": encoded.labels, "pixels": pixels}
        raise SampleRefused("no sample can be read any more", reason="all-gone")


class EpochSampler(Sampler[int]):
    """Positions of one epoch in an order that depends on seed and epoch alone; grouped by modality and length if asked.

    A resumed run repeats the order. `epoch` is set from outside before the iteration starts.
    """

    def __init__(self, checked: Checked, *, batch: int, seed: int, grouped: bool) -> None:
        self._checked, self._batch, self._seed, self._grouped = checked, batch, seed, grouped
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._checked.kept)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self.epoch])
        order = rng.permutation(len(self))
        if self._grouped:
            order = group_by_length(order, self._checked.lengths, self._checked.with_image, self._batch, rng)
        yield from (int(row) + self.epoch * len(self) for row in order)


def group_by_length(
    order: np.ndarray, lengths: np.ndarray, with_image: np.ndarray, batch: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) a permutation -> the same rows so that a batch holds similar lengths and one modality; batches stay shuffled.

    The idea is LLaVA's `group_by_modality_length`, with true token counts.
    """
    full: list[np.ndarray] = []
    rest: list[np.ndarray] = []
    for modality in (True, False):
        rows = order[with_image[order] == modality]
        for start in range(0, len(rows), MEGABATCH * batch):
            megabatch = rows[start : start + MEGABATCH * batch]
            megabatch = megabatch[np.argsort(-lengths[megabatch], kind="stable")]
            for first in range(0, len(megabatch), batch):
                piece = megabatch[first : first + batch]
                (full if len(piece) == batch else rest).append(piece)
    shuffled = [full[index] for index in rng.permutation(len(full))]
    # Incomplete batches go last: in the middle they would shift all that follow.
    return np.concatenate([*shuffled, *rest]) if len(order) else order


@dataclass(frozen=True)
class Collator:
    """Pads on the right: ids with `pad_id`, labels with -100; images are stacked in the order of their samples.

    `logits_to_keep` (positions,) tells the model to compute logits only where some sample has an answer: most of a
    prompt is image and context, and logits over the vocabulary are the largest tensor of a step.
    """

    pad_id: int

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask, labels: (batch, longest); pixel_values: (images, 3, H, W) if there are any."""
        longest = max(len(item["input_ids"]) for item in items)

        def padded(name: str, filler: int) -> torch.Tensor:
            rows = [[*item[name], *[filler] * (longest - len(item[name]))] for item in items]
            return torch.tensor(rows, dtype=torch.long)

        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        batch = {
            "input_ids": padded("input_ids", self.pad_id),
            "attention_mask": (torch.arange(longest)[None, :] < lengths[:, None]).long(),
            "labels": padded("labels", IGNORE_INDEX),
        }
        batch["logits_to_keep"] = answer_positions(batch["labels"])
        pixels = [item["pixels"] for item in items if item["pixels"] is not None]
        if pixels:
            batch["pixel_values"] = torch.stack(pixels)
        return batch


def answer_positions(labels: torch.Tensor) -> torch.Tensor:
    """(batch, length) labels -> (positions,) from which some sample predicts a token of an answer."""
    return (labels[:, 1:] != IGNORE_INDEX).any(dim=0).nonzero()[:, 0]


def answer_loss(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Cross entropy over the answers alone, in float32.

    `outputs.logits` (batch, positions, vocabulary) stand at `answer_positions(labels)`. Divided by `num_items_in_batch`,
    the answer tokens of all accumulated batches, or by those of this batch.
    """
    targets = labels[:, answer_positions(labels) + 1]
    wanted = targets != IGNORE_INDEX
    logits = outputs.logits[wanted].float()
    total = torch.nn.functional.cross_entropy(logits, targets[wanted], reduction="sum")
    return total / (wanted.sum() if num_items_in_batch is None else num_items_in_batch)
