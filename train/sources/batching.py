"""How the samples of one window become batches. In: tokens and images of each. Out: which share a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.batching.order import group_by_length
from train.batching.packing import pack


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How the samples of a window become batches."""

    batch: int
    """Samples of a batch; packed: rows."""
    grouped: bool = False
    """Batches of similar length and one modality."""
    packing_length: int | None = None
    """Tokens of a packed row; None: samples are padded."""
    max_images: int | None = None
    """Images of a packed row at most."""

    def batches(self, lengths: np.ndarray, images: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
        """(n,) tokens and images of the samples -> which share a batch. Every sample is in one."""
        if self.packing_length is not None:
            rows = pack(lengths.tolist(), images.tolist(), self.packing_length, self.max_images)
            rows = [rows[index] for index in rng.permutation(len(rows))]
            pieces = [rows[start : start + self.batch] for start in range(0, len(rows), self.batch)]
            return [[index for row in piece for index in row] for piece in pieces]
        order = np.arange(len(lengths))
        if self.grouped:
            order = group_by_length(order, lengths, images > 0, self.batch, rng)
        return [order[start : start + self.batch].tolist() for start in range(0, len(order), self.batch)]
