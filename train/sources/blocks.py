"""The same sources read in blocks, for data that nobody looks at first: which blocks an epoch reads, and in which windows.

A block is what is read in one go: a row group of parquet, or neighbouring records of a JSON file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from llava_graph.errors import DatasetError, InputError, SampleRefused
from train.sources.figures import FigureReading, split_files
from train.sources.mixture import Weights
from train.sources.sample import Sample, Samples, without_images

BLOCK = 64
"""Records of a JSON file that are read together: as many as a row group of our data sets has figures."""
WINDOW = 1024
"""Samples that are shuffled, grouped and packed together. Their encoded images are some 100 MB; a reader holds two windows."""


class Found(NamedTuple):
    """What stands at one place of a block."""

    name: str
    sample: Sample | InputError
    """Why it cannot be had, where it cannot."""


class Blocks(Protocol):
    """A source in blocks. It crosses process borders."""

    @property
    def sizes(self) -> np.ndarray:
        """(blocks,) samples of each, good and bad."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that change whenever other samples are read, wherever the files lie."""

    def read(self, block: int, epoch: int) -> Iterator[Found]:
        """Everything in one block as epoch `epoch` shows it."""


class FigureBlocks:
    """One split of a data set, a row group at a time; only the parquet footers are read before."""

    def __init__(self, folder: Path, split: str, reading: FigureReading) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._reading = reading
        self._places: list[tuple[Path, int, int]] = []
        sizes = []
        for file in split_files(folder, split):
            try:
                footer = pq.read_metadata(file)
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(f"the shard is broken ({error})", where=str(file)) from error
            first = 0
            for group in range(footer.num_row_groups):
                sizes.append(footer.row_group(group).num_rows)
                self._places.append((file, group, first))
                first += sizes[-1]
        self.sizes = np.array(sizes, dtype=np.int64)

    @property
    def identity(self) -> dict[str, Any]:
        """The shards' names and sizes, and the options of the prompt."""
        files = sorted({file for file, _, _ in self._places})
        named = [[f"{file.parent.name}/{file.name}", file.stat().st_size] for file in files]
        return {"files": named, "options": asdict(self._reading.options)}

    def read(self, block: int, epoch: int) -> Iterator[Found]:
        """The figures of one row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file, group, first = self._places[block]
        try:
            with pq.ParquetFile(file) as parquet:
                rows = parquet.read_row_group(group).to_pylist()
        except (pa.ArrowException, OSError) as error:
            gone = SampleRefused(f"the shard can no longer be read ({error})", reason="file-changed", where=str(file))
            yield from (Found(f"{file.name}:{first + row}", gone) for row in range(1, int(self.sizes[block]) + 1))
            return
        for number, row in enumerate(rows, first + 1):
            name = str(row.get("id", f"{file.name}:{number}"))
            try:
                yield Found(name, self._reading.sample(row, file, number, epoch))
            except InputError as error:
                yield Found(name, error)


class ConversationBlocks:
    """The records of one file, `BLOCK` neighbours at a time."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        starts = np.arange(0, len(samples), BLOCK)
        self.sizes = np.minimum(BLOCK, len(samples) - starts)

    @property
    def identity(self) -> dict[str, Any]:
        """The file's name and size."""
        return {"files": [[Path(path).name, size] for path, size, _ in self._samples.identity["files"]]}

    def read(self, block: int, epoch: int) -> Iterator[Found]:
        """The conversations of one block."""
        for index in range(block * BLOCK, block * BLOCK + int(self.sizes[block])):
            try:
                yield Found(str(index), self._samples.get(index, epoch))
            except InputError as error:
                yield Found(self._samples.name(index), error)


class Entry(NamedTuple):
    """A block as an epoch reads it."""

    part: int
    block: int
    size: int
    """Its samples that count at all."""
    taken: int
    """How many of them: less than all where a weight says so."""
    turn: int
    """Which of several readings of the block in this epoch."""


class Windows:
    """All sources as windows: window g of the run is window g % n of epoch g // n, the same on every process."""

    def __init__(
        self,
        parts: Sequence[Blocks],
        weights: Weights,
        *,
        limit: int | None = None,
        text_only: bool = False,
        window: int = WINDOW,
    ) -> None:
        """Of each part the first `limit` samples count; `window`: about how many samples come together."""
        self._parts, self._weights, self.text_only = tuple(parts), weights, text_only
        self._entries = [
            entry for part, blocks in enumerate(parts) for entry in _entries(part, _first(blocks.sizes, limit), weights)
        ]
        self._together = max(1, window // BLOCK)
        if not self._entries:
            raise DatasetError("there is no sample to stream")

    def __len__(self) -> int:
        """Windows of an epoch: the same number in every epoch."""
        return (len(self._entries) + self._together - 1) // self._together

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that change whenever a window of the run could."""
        digest = hashlib.sha256(np.array(self._entries, dtype=np.int64).tobytes()).hexdigest()
        return {"parts": [part.identity for part in self._parts], "blocks": digest, "together": self._together}

    @property
    def samples(self) -> int:
        """Samples of an epoch, good and bad."""
        return sum(entry.taken for entry in self._entries)

    def read(self, window: int) -> list[Found]:
        """The samples of window `window` of the run, shuffled: a function of seed and number alone."""
        return self.shuffle(window, [found for block in self.blocks(window) for found in block])

    def blocks(self, window: int) -> Iterator[list[Found]]:
        """What `read` reads, a block at a time."""
        epoch, within = divmod(window, len(self))
        order = np.random.default_rng([self._weights.seed, epoch]).permutation(len(self._entries))
        for index in order[within * self._together : (within + 1) * self._together]:
            yield self._taken(self._entries[index], epoch)

    def shuffle(self, window: int, found: Sequence[Found]) -> list[Found]:
        """All that `blocks` gave, as `read` gives it."""
        epoch, within = divmod(window, len(self))
        shuffled = np.random.default_rng([self._weights.seed, epoch, within]).permutation(len(found))
        return [self._shown(found[index]) for index in shuffled]

    def _taken(self, entry: Entry, epoch: int) -> list[Found]:
        found = list(islice(self._parts[entry.part].read(entry.block, epoch), entry.size))
        if entry.taken == len(found):
            return found
        rng = np.random.default_rng([self._weights.seed, epoch, entry.part, entry.block, entry.turn])
        return [found[index] for index in sorted(rng.permutation(len(found))[: entry.taken].tolist())]

    def _shown(self, found: Found) -> Found:
        if self.text_only and isinstance(found.sample, Sample):
            return Found(found.name, without_images(found.sample))
        return found


def _first(sizes: np.ndarray, limit: int | None) -> np.ndarray:
    """(blocks,) how many samples of each block are among the first `limit`."""
    before = np.cumsum(sizes) - sizes
    return sizes if limit is None else np.clip(limit - before, 0, sizes)


def _entries(part: int, sizes: np.ndarray, weights: Weights) -> Iterator[Entry]:
    """What an epoch reads of one source: the same blocks in every epoch, so that windows can be counted."""
    total = int(sizes.sum())
    whole, rest = divmod(weights.count(part, total), max(1, total))
    for turn in range(whole):
        yield from (Entry(part, block, int(size), int(size), turn) for block, size in enumerate(sizes) if size)
    # The rest is spread evenly over the blocks; which samples of a block they are is drawn anew each epoch.
    upto = np.round(np.cumsum([0, *sizes]) * (rest / max(1, total))).astype(int)
    for block, taken in enumerate(np.diff(upto)):
        if taken:
            yield Entry(part, block, int(sizes[block]), int(taken), whole)
