"""Samples laid end to end. In: lengths and image counts. Out: which samples share a row, and the row as tensors.

A packed row holds whole samples; each keeps its own positions and sees only itself, so that its logits are those it has alone
(`tests/test_train_packing.py` shows it for each attention).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.chat import IGNORE_INDEX
from llava_graph.errors import InputError

if TYPE_CHECKING:
    import torch


SEGMENTS = 16
"""Borders are filled up to a multiple of this with empty segments: compiled code is made anew for each number."""


def pack(
    lengths: Sequence[int], images: Sequence[int], max_tokens: int, max_images: int | None = None
) -> list[list[int]]:
    """Which samples share a row: lists of indexes, each at most `max_tokens` tokens and `max_images` images long.

    Row by row: the longest sample left, then the longest that fits, until only two or fewer more can; those are the two
    that fill the row best (a knapsack for the last two, where best-fit decreasing leaves a gap as wide as a short sample).
    Raises InputError when a sample alone is over a limit.
    """
    limit = max_images if max_images is not None else sum(images) + 1
    for length, count in zip(lengths, images, strict=True):
        if length > max_tokens or count > limit:
            raise InputError(
                f"a sample of {length} tokens and {count} images is over the limits of a row ({max_tokens}, {limit})",
                next_step="Raise --packing_length or --packing_max_images",
            )
    size = np.asarray(lengths, dtype=np.int64)
    index = np.argsort(size, kind="stable")
    left = _Left(index, size[index], np.asarray(images, dtype=np.int64)[index])
    rows = []
    while len(left.index):
        row = _Room(max_tokens, limit)
        row.take(left, [len(left.index) - 1])
        while chosen := left.best(row.tokens, row.images):
            row.take(left, chosen)
        rows.append(row.samples)
    return rows


@dataclass
class _Left:
    """The samples that have no row yet, sorted by length."""

    index: np.ndarray
    tokens: np.ndarray
    images: np.ndarray

    def best(self, tokens: int, images: int) -> list[int]:
        """Places of the next sample or the last two for a row with so much room; empty when nothing fits."""
        fits = np.flatnonzero(self.images[: np.searchsorted(self.tokens, tokens, side="right")] <= images)
        if not len(fits):
            return []
        sizes = self.tokens[fits]
        one = len(fits) - 1
        if len(fits) < 2 or sizes[0] + sizes[1] > tokens or (len(fits) > 2 and sizes[:3].sum() <= tokens):
            return [int(fits[one])]
        partner = np.searchsorted(sizes, tokens - sizes, side="right") - 1
        partner -= partner == np.arange(len(fits))  # no sample is its own partner
        good = partner >= 0
        good[good] = self.images[fits[good]] + self.images[fits[partner[good]]] <= images
        together = np.where(good, sizes + sizes[partner], -1)
        pair = int(together.argmax())
        if together[pair] <= sizes[one]:
            return [int(fits[one])]
        return sorted((int(fits[pair]), int(fits[partner[pair]])))

    def remove(self, places: list[int]) -> None:
        self.index, self.tokens, self.images = (
            np.delete(one, places) for one in (self.index, self.tokens, self.images)
        )


@dataclass
class _Room:
    """A row that is being filled."""

    tokens: int
    images: int
    samples: list[int] = field(default_factory=list)

    def take(self, left: _Left, places: list[int]) -> None:
        self.tokens -= int(left.tokens[places].sum())
        self.images -= int(left.images[places].sum())
        self.samples += left.index[places].tolist()
        left.remove(places)


def split_fullest(rows: list[list[int]], wanted: int) -> list[list[int]]:
    """`rows` in at least as many rows as `wanted`, where there are samples enough: the row of most samples is halved first.

    Nothing is lost and nothing repeated: processes that step together need equal numbers of rows.
    """
    rows = list(rows)
    while len(rows) < wanted:
        index = max(range(len(rows)), key=lambda row: len(rows[row]), default=-1)
        if index < 0 or len(rows[index]) < 2:
            return rows
        row = rows[index]
        rows[index : index + 1] = [row[: len(row) // 2], row[len(row) // 2 :]]
    return rows


def lay_out(
    items: Sequence[dict[str, Any]], *, length: int | None, pad_id: int, longest: int
) -> dict[str, torch.Tensor]:
    """Encoded samples -> one row.

    input_ids, position_ids (from 0 in each sample), labels: (1, `length`), or as long as the samples together where
    `length` is None; cu_seq_lens_q/k: (segments + 1,) int32 borders, the padding at the end being segments of its own,
    empty ones after them; max_length_q/k: `longest`, an upper bound that stays the same in all batches, so that compiled code
    is not made anew.
    There is no attention_mask: borders and positions say all.
    """
    import torch

    ids = [token for item in items for token in item["input_ids"]]
    labels = [label for item in items for label in item["labels"]]
    sizes = [len(item["input_ids"]) for item in items]
    spare = 0 if length is None else length - len(ids)
    if spare < 0:
        raise InputError(f"{len(ids)} tokens do not fit into a row of {length}")
    if spare:
        ids += [pad_id] * spare
        labels += [IGNORE_INDEX] * spare
        sizes += [longest] * (spare // longest) + [spare % longest] * bool(spare % longest)
    positions = [position for size in sizes for position in range(size)]
    sizes += [0] * (-len(sizes) % SEGMENTS)
    borders = torch.zeros(len(sizes) + 1, dtype=torch.int32)
    borders[1:] = torch.tensor(sizes, dtype=torch.int32).cumsum(0)
    row: dict[str, Any] = {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([labels]),
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    return row
