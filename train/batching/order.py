"""In which batches the samples of an epoch come. In: lengths, images, seed, processes. Out: lists of rows, alike on all.

The order depends on seed and epoch alone, so that a run that goes on repeats it. Every process takes as many batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler

from train.batching.packing import pack, split_fullest

MEGABATCH = 50
"""Batches among which samples are sorted by length (as in transformers' LengthGroupedSampler)."""
WINDOW = 4096
"""Samples that are packed together: enough that rows are full, few enough that an epoch stays shuffled."""
SPARE = 0.002
"""Share of rows that a packed epoch may have above the first one, whose number sets the length of all."""
SHUFFLES = 50
"""Shuffles of an epoch that are tried before packing it in so many rows is given up."""
FAR = 2**20
"""Epochs between two draws of one epoch: none is drawn twice."""

Batches = list[list[int]]
"""Rows of `Checked.kept`, a list for each batch of a process."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """How the samples of a run are batched."""

    lengths: np.ndarray
    """(n,) tokens, images included"""
    images: np.ndarray
    """(n,) images"""
    batch: int
    """Samples of a batch of one process; packed: rows."""
    processes: int = 1
    seed: int = 0
    grouped: bool = False
    """Batches of similar length and one modality."""
    packing_length: int | None = None
    """Tokens of a packed row; None: samples are padded."""
    max_images: int | None = None
    """Images of a packed row at most."""
    whole: bool = False
    """Leave out what at the end of an epoch fills no batch of every process (contrastive learning: all compare with as many)."""
    shown: Callable[[int], np.ndarray] | None = None
    """epoch -> the rows that it shows, as many in every epoch (`Checked.shown`); None: each row once."""

    def rows(self, epoch: int, attempt: int = 0) -> np.ndarray:
        """(N,) the rows of an epoch; where a mixture draws them by chance, another draw for another `attempt`."""
        if self.shown is None:
            return np.arange(len(self.lengths))
        return self.shown(epoch + attempt * FAR)

    def batches(self, epoch: int) -> Batches:
        """All batches of an epoch; process p of k takes p, p + k, …; the number is the same in every epoch."""
        return _batches(self, epoch)

    def mine(self, epoch: int, process: int) -> Batches:
        """The batches of one process."""
        return self.batches(epoch)[process :: self.processes]

    def __len__(self) -> int:
        """Batches of one process in an epoch."""
        return len(self.batches(0)) // self.processes

    def summary(self, epoch: int = 0) -> dict[str, int]:
        """Batches, tokens, slots (tokens and padding) and images of an epoch, over all processes."""
        batches = self.batches(epoch)
        if self.packing_length is None:
            slots = sum(int(self.lengths[rows].max()) * len(rows) for rows in batches)
        else:
            slots = len(batches) * self.batch * self.packing_length
        shown = np.array([row for rows in batches for row in rows], dtype=np.int64)
        return {
            "batches": len(batches),
            "tokens": int(self.lengths[shown].sum()),
            "slots": int(slots),
            "images": int(self.images[shown].sum()),
        }

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache(maxsize=4)
def _batches(order: Order, epoch: int) -> Batches:
    if order.packing_length is not None:
        return _packed(order, epoch)
    rng = np.random.default_rng([order.seed, epoch])
    rows = rng.permutation(order.rows(epoch))
    together = order.batch * order.processes
    if order.whole:
        rows = rows[: len(rows) // together * together]
    if order.grouped:
        rows = group_by_length(rows, order.lengths, order.images > 0, together, rng)
    found: Batches = []
    for start in range(0, len(rows), together):
        piece = rows[start : start + together]
        # Strided: neighbours in length come to different processes, which wait for each other.
        found += [piece[process :: order.processes].tolist() for process in range(order.processes)]
    return _as_many_for_each([batch for batch in found if batch], order.processes)


def _packed(order: Order, epoch: int) -> Batches:
    first = _pack_epoch(order, 0, 0)
    wanted = -(-int(len(first) * (1 + SPARE)) // (order.batch * order.processes)) * order.batch * order.processes
    rows = first  # where no shuffle is as good, the first epoch's rows serve again
    for attempt in range(SHUFFLES if epoch else 0):
        found = _pack_epoch(order, epoch, attempt)
        if len(found) <= wanted:
            rows = found
            break
    rows = split_fullest(rows, wanted)
    shuffled = [rows[index] for index in np.random.default_rng([order.seed, epoch, len(rows)]).permutation(len(rows))]
    batches = [
        [row for rows_of_one in shuffled[start : start + order.batch] for row in rows_of_one]
        for start in range(0, len(shuffled), order.batch)
    ]
    return _as_many_for_each(batches, order.processes)


def _pack_epoch(order: Order, epoch: int, attempt: int) -> list[list[int]]:
    """The epoch's samples, shuffled, packed window by window."""
    shuffled = np.random.default_rng([order.seed, epoch, attempt]).permutation(order.rows(epoch, attempt))
    rows: list[list[int]] = []
    for start in range(0, len(shuffled), WINDOW):
        window = shuffled[start : start + WINDOW]
        packed = pack(
            order.lengths[window].tolist(),
            order.images[window].tolist(),
            order.packing_length or 0,
            order.max_images,
        )
        rows += [[int(window[index]) for index in row] for row in packed]
    return rows


def _as_many_for_each(batches: Batches, processes: int) -> Batches:
    """A number of batches that all processes can share: the largest ones are halved; single samples are shown twice."""
    batches = split_fullest(batches, -(-len(batches) // processes) * processes)
    missing = -len(batches) % processes
    return batches + [list(batches[index % len(batches)]) for index in range(missing)]


def group_by_length(
    order: np.ndarray, lengths: np.ndarray, with_image: np.ndarray, batch: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) a permutation -> the same rows so that a batch holds similar lengths and one modality; batches stay shuffled.

    The idea is LLaVA's `group_by_modality_length`, with true token counts; either modality may be missing.
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


class EpochBatches(Sampler[list[int]]):
    """The batches of one process as positions of a `TrainingSet`; `set_epoch` is called before an epoch's iteration starts."""

    def __init__(self, order: Order, process: int) -> None:
        self.order, self._process = order, process
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.order)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration shows."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * len(self.order.lengths)
        for rows in self.order.mine(self.epoch, self._process):
            yield [first + row for row in rows]
