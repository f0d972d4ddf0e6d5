"""Samples as tensors. In: samples, a tokenizer and an image processor. Out: checked, ordered and padded batches for the model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from llava_graph.chat import IGNORE_INDEX
from llava_graph.errors import InputError, SampleRefused
from train.batching.checking import DROP, Checked, reason_of
from train.batching.encoding import PER_TOKEN, Encoder
from train.batching.packing import lay_out
from train.batching.tally import Tally
from train.learning.loss import find_answers
from train.sources import Sample, Samples
from train.sources.pictures import BROKEN, MISSING, REPAIRS, Pictures, is_image_trouble

if TYPE_CHECKING:
    from train.learning.vision_cache import VisionCache

log = logging.getLogger(__name__)


class TrainingSet(Dataset):
    """The good samples by position. Position p is sample p % n as epoch p // n shows it, so that no state is kept.

    An image that has gone since the samples were looked at is dealt with by the same policy as before the run, a sample that
    can no longer be learnt gives its place to the next one; both are counted in `events` and told once.
    """

    def __init__(self, samples: Samples, checked: Checked, encoder: Encoder, pictures: Pictures = DROP) -> None:
        self._samples, self.checked, self._encoder, self._pictures = samples, checked, encoder, pictures
        self.features: VisionCache | None = None
        """What a frozen vision tower sees of the images, in the place of their pixels (`train.learning.vision_cache`)."""
        self.events = Tally(MISSING, BROKEN, *(kind for kinds in REPAIRS.values() for kind in kinds.values()))

    @property
    def encoder(self) -> Encoder:
        """What makes ids, labels and the images' inputs of a sample."""
        return self._encoder

    def image_files(self) -> Iterator[Path]:
        """The files of all good samples' images, in order; images that lie in the data's own files are not among them."""
        for index in self.checked.kept.tolist():
            yield from self._samples.image_files(index)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that change whenever a sample could, but for what lies in its `image_files`."""
        return {**self._samples.identity, "bad_image": self._pictures.policy}

    @property
    def max_length(self) -> int:
        """Tokens of the longest sample allowed."""
        return self._encoder.max_length

    def __len__(self) -> int:
        return len(self.checked.kept)

    def name(self, row: int) -> str:
        """What the sample of row `row` of `Checked.kept` is called."""
        return self._samples.name(int(self.checked.kept[row]))

    def look_up(self, row: int) -> Sample:
        """The sample of row `row` of `Checked.kept`, with its whole context. Raises SampleRefused."""
        return self._pictures.settle(self._samples.get(int(self.checked.kept[row]), None))

    def _vision(self, sample: Sample, row: int) -> dict[str, torch.Tensor]:
        if self.features is None:
            return self._encoder.vision(sample)
        return self.features.read(row, len(sample.images))

    def __getitem__(self, position: int) -> dict[str, Any]:
        """{"input_ids", "labels": lists of int, "vision": model inputs of its images}"""
        epoch, row = divmod(int(position), len(self))
        for step in range(len(self)):
            index = int(self.checked.kept[(row + step) % len(self)])
            try:
                sample = self._pictures.settle(self._samples.get(index, epoch), decode=self.features is None)
                encoded = self._encoder.encode(sample)
                vision = self._vision(sample, (row + step) % len(self))
            except InputError as error:
                self.events.add(reason_of(error), f"{self._samples.name(index)} is left out: {error}")
                continue
            for repair in sample.repairs:
                if is_image_trouble(repair):
                    self.events.add(repair, sample.name)
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
        labels = padded("labels", IGNORE_INDEX)
        return {
            "input_ids": padded("input_ids", self.pad_id),
            "attention_mask": (torch.arange(longest)[None, :] < lengths[:, None]).long(),
            "labels": labels,
            "answer_rows": find_answers(labels),
            **join_token_types([item["vision"] for item in items], longest),
            **join_vision([item["vision"] for item in items]),
        }


@dataclass(frozen=True, kw_only=True)
class PackedCollator:
    """Lays samples end to end in one row (`train.batching.packing.lay_out`)."""

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
        row = lay_out(kept, length=self.length, pad_id=self.pad_id, longest=self.longest)
        return {
            **row,
            "answer_rows": find_answers(row["labels"]),
            **join_vision([item["vision"] for item in kept]),
        }


def join_vision(inputs: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The image inputs of samples, images first, as those of a batch. AnyRes tiles and the like are filled up with zeros."""
    joined = {}
    for name in {name: None for one in inputs for name in one if name not in PER_TOKEN}:
        parts = [one[name] for one in inputs if name in one]
        largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
        joined[name] = torch.cat([_filled(part, largest) for part in parts])
    return joined


def join_token_types(inputs: Sequence[dict[str, torch.Tensor]], longest: int) -> dict[str, torch.Tensor]:
    """What a model wants beside each token, as (batch, `longest`), 0 where there is nothing."""
    joined = {}
    for name in {name: None for one in inputs for name in one if name in PER_TOKEN}:
        joined[name] = torch.zeros((len(inputs), longest), dtype=torch.long)
        for row, one in enumerate(inputs):
            if name in one:
                joined[name][row, : one[name].shape[1]] = one[name][0]
    return joined


def _filled(part: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """`part` with zeros behind each dimension but the first, up to `sizes`."""
    missing = [place for size, has in zip(sizes, part.shape[1:], strict=True) for place in (size - has, 0)]
    return torch.nn.functional.pad(part, missing[::-1]) if any(missing) else part
