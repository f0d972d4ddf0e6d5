"""Samples as tensors. In: samples, a tokenizer and an image processor. Out: checked, ordered and padded batches for the model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from llava_graph.chat import IGNORE_INDEX, EncodedSample, encode_sample
from llava_graph.errors import ImageError, RecordError, SampleRefused
from llava_graph.images import open_image
from llava_graph.record import Dropped
from train.packing import lay_out
from train.samples import Sample, Samples

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel

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

    @property
    def max_length(self) -> int:
        """Tokens of the longest sample allowed."""
        return self._encoder.max_length

    def __len__(self) -> int:
        return len(self.checked.kept)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """{"input_ids", "labels": lists of int, "vision": model inputs of its images}"""
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
            vision = {} if pixels is None else {"pixel_values": pixels[None]}
            return {"input_ids": encoded.input_ids, "labels": encoded.labels, "vision": vision}
        raise SampleRefused("no sample can be read any more", reason="all-gone")


@dataclass(frozen=True)
class PaddedCollator:
    """Pads on the right: ids with `pad_id`, labels with -100."""

    pad_id: int

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask, labels: (batch, longest); the inputs of all images, in the order of their samples."""
        longest = max(len(item["input_ids"]) for item in items)

        def padded(name: str, filler: int) -> torch.Tensor:
            rows = [[*item[name], *[filler] * (longest - len(item[name]))] for item in items]
            return torch.tensor(rows, dtype=torch.long)

        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        return {
            "input_ids": padded("input_ids", self.pad_id),
            "attention_mask": (torch.arange(longest)[None, :] < lengths[:, None]).long(),
            "labels": padded("labels", IGNORE_INDEX),
            **join_vision([item["vision"] for item in items]),
        }


@dataclass(frozen=True, kw_only=True)
class PackedCollator:
    """Lays samples end to end in one row (`train.packing.lay_out`)."""

    pad_id: int
    longest: int
    """Tokens of the longest sample allowed."""
    length: int | None = None
    """Tokens of a row; None: no padding at all, rows differ in length."""

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """See `lay_out`, with the inputs of all images. What took a bad sample's place and does not fit is left out, aloud."""
        kept = list(items)
        while self.length is not None and sum(len(item["input_ids"]) for item in kept) > self.length:
            longest = max(range(len(kept)), key=lambda index: len(kept[index]["input_ids"]))
            log.warning("a sample of %d tokens does not fit into its row", len(kept.pop(longest)["input_ids"]))
        return {
            **lay_out(kept, length=self.length, pad_id=self.pad_id, longest=self.longest),
            **join_vision([item["vision"] for item in kept]),
        }


def join_vision(inputs: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The image inputs of samples, images first, as those of a batch. AnyRes tiles are filled up to the largest number."""
    joined = {}
    for name in {name: None for one in inputs for name in one}:
        parts = [one[name] for one in inputs if name in one]
        if parts[0].ndim == 5:  # (images, tiles, 3, H, W)
            tiles = max(part.shape[1] for part in parts)
            parts = [torch.nn.functional.pad(part, (0,) * 7 + (tiles - part.shape[1],)) for part in parts]
        joined[name] = torch.cat(parts)
    return joined
