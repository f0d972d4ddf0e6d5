"""Training without a look at every sample first: ready batches from windows, refused and counted on the way.

No sample is carried from one window to the next, so where a reader stands is two numbers. They travel with every batch: a
run that goes on repeats nothing and leaves nothing out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from llava_graph.chat import EncodedSample
from llava_graph.errors import CheckpointError, DatasetError, InputError, SampleRefused
from train.batching.checking import reason_of
from train.batching.encoding import Encoder
from train.sources.batching import Batching
from train.sources.blocks import Found, Windows
from train.sources.cursor import Cursor, counts_of
from train.sources.pictures import Pictures
from train.sources.sample import Sample

ENOUGH = 256
"""Samples after which a reader judges whether too many are refused."""

Item = dict[str, Any]
"""{"input_ids", "labels": lists of int, "vision": model inputs of its images, "name"}"""
Ready = tuple[Sample, EncodedSample]
"""A sample that is kept, its images not yet decoded."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamedBatch:
    """Samples that go through the model together."""

    items: list[Item]
    reader: int
    """Which reader of this process it comes from."""
    cursor: Cursor
    """Where that reader stands after it."""
    names: tuple[str, ...] = ()
    """Of the samples."""
    failure: str = ""
    """Why the run must stop, if it must: an error in a worker process would lose its words on the way."""


class StreamedBatches(IterableDataset):
    """Batches without end, epoch after epoch.

    There are `processes` x `readers` readers; reader r of process p takes the windows p * readers + r, and then every
    (processes x readers)th, so that all see different samples and each epoch is seen whole. The readers of a process are the
    workers of its data loader (none: one reader). `max_refused` is the share of refused samples that stops the run.
    """

    def __init__(
        self,
        windows: Windows,
        encoder: Encoder,
        batching: Batching,
        *,
        pictures: Pictures,
        max_refused: float,
        seed: int = 0,
        process: int = 0,
        processes: int = 1,
        readers: int = 1,
    ) -> None:
        self.windows, self.encoder, self._batching = windows, encoder, batching
        self.pictures, self._max_refused, self._seed = pictures, max_refused, seed
        self.readers, self._all_readers = readers, processes * readers
        self._first = process * readers
        self.cursors: list[Cursor] = []
        """Where each reader begins."""
        self.begin_at(0)
        self._told: set[str] = set()
        self.turn = 0
        """The reader whose batch comes first."""

    def begin_at(self, window: int) -> None:
        """The readers of all processes share out the windows from this one of the run on."""
        self.cursors = [Cursor(window + self._first + reader) for reader in range(self.readers)]

    @property
    def packed(self) -> bool:
        """Whether samples are laid end to end."""
        return self._batching.packing_length is not None

    @property
    def epochs(self) -> float:
        """How often the data was gone through up to here, in whole windows; the other processes' share counts as this one's."""
        gone = sum(cursor.window - self._first - reader for reader, cursor in enumerate(self.cursors))
        return gone / self.readers / len(self.windows)

    def __iter__(self) -> Iterator[StreamedBatch]:
        """The batches of one reader: in a worker process that of its turn."""
        worker = get_worker_info()
        reader = (self.turn + (worker.id if worker else 0)) % self.readers
        cursor, idle, most = self.cursors[reader], 0, 0
        window = _Window(self._looking, cursor.window)
        while True:
            samples, plan, cursor = self._open(cursor, window)
            if told := self._failure(cursor, idle):
                yield StreamedBatch([], reader, cursor, failure=told)
                return
            idle += 1
            following = cursor.window + self._all_readers
            most = max(most, window.steps)
            steps = -(-most // max(1, len(plan) - cursor.batch))
            window = _Window(self._looking, following)
            for number in range(cursor.batch, len(plan)):
                items, cursor = self._load([samples[index] for index in plan[number]], cursor)
                if items:
                    idle = 0
                    ends = number + 1 == len(plan)
                    after = replace(cursor, window=following, batch=0) if ends else replace(cursor, batch=number + 1)
                    yield StreamedBatch(items, reader, after, names=tuple(item["name"] for item in items))
                window.go_on(steps)  # so that nobody waits where a window ends
            cursor = replace(cursor, window=following, batch=0)

    def _looking(self, window: _Window) -> Iterator[None]:
        """Look at a window, a block that is read or a sample at a time."""
        found: list[Found] = []
        for block in self.windows.blocks(window.number):
            found += block
            yield
        for one in self.windows.shuffle(window.number, found):
            window.seen += 1
            try:
                sample, encoded = self.look(one)
            except InputError as error:
                window.refused.append(self._told_once(error, one.name))
            else:
                window.ready.append((sample, encoded))
                window.repaired += sample.repairs
                window.cut += encoded.answer_cut
            yield

    def _open(self, cursor: Cursor, window: _Window) -> tuple[list[Ready], list[list[int]], Cursor]:
        """The good samples of the cursor's window, its batches, and the cursor with the window counted."""
        window.go_on()
        samples = window.ready
        rng = np.random.default_rng([self._seed, cursor.window])
        lengths = np.array([len(encoded.input_ids) for _, encoded in samples], dtype=np.int64)
        images = np.array([len(sample.images) for sample, _ in samples], dtype=np.int64)
        plan = self._batching.batches(lengths, images, rng)
        if cursor.batch == 0:  # else it was counted before
            cursor = cursor.counted(seen=window.seen, refused=window.refused, repaired=window.repaired, cut=window.cut)
        return samples, plan, cursor

    def look(self, found: Found) -> Ready:
        """Raises InputError when it is refused. Pixels are decoded when their batch is due: a window of them is too large."""
        if isinstance(found.sample, InputError):
            raise found.sample
        sample = self.pictures.settle(found.sample, decode=False)
        if len(sample.images) > (self._batching.max_images or len(sample.images)):
            raise SampleRefused(
                f"{len(sample.images)} images are over --packing_max_images",
                reason="too-many-images",
                where=sample.name,
            )
        return sample, self.encoder.encode(sample)

    def _told_once(self, error: InputError, name: str) -> str:
        """The reason under which it is counted; the first of its kind is told by this reader."""
        reason = reason_of(error)
        if reason not in self._told:
            self._told.add(reason)
            log.warning("%s is left out: %s (%s is counted from now on, not told again)", name, error, reason)
        return reason

    def _load(self, samples: Sequence[Ready], cursor: Cursor) -> tuple[list[Item], Cursor]:
        """The samples as items. One whose pixels are broken behind a good header is settled by the policy now."""
        items: list[Item] = []
        for sample, known in samples:
            try:
                settled, encoded = self.pictures.settle(sample), known
                if repairs := settled.repairs[len(sample.repairs) :]:
                    encoded, cursor = self.encoder.encode(settled), cursor.counted(repaired=repairs)
                vision = self.encoder.vision(settled)
            except InputError as error:
                cursor = cursor.counted(refused=[self._told_once(error, sample.name)])
                continue
            items.append(
                {"input_ids": encoded.input_ids, "labels": encoded.labels, "vision": vision, "name": settled.name}
            )
        return items, cursor

    def _failure(self, cursor: Cursor, idle: int) -> str:
        bad = sum(cursor.refused.values())
        reasons = ", ".join(
            f"{count} {reason}" for reason, count in sorted(cursor.refused.items(), key=lambda one: -one[1])
        )
        if idle > len(self.windows):
            return f"no sample of a whole epoch can be learnt from ({reasons})"
        if cursor.seen >= min(ENOUGH, self.windows.samples) and bad > self._max_refused * cursor.seen:
            return f"{bad} of the first {cursor.seen} samples cannot be learnt from ({reasons})"
        return ""


class _Window:
    """What is known of a window that is looked at step by step, as `looking` says."""

    def __init__(self, looking: Callable[[_Window], Iterator[None]], number: int) -> None:
        self.number = number
        self.ready: list[Ready] = []
        self.seen = self.cut = self.steps = 0
        self.refused: list[str] = []
        self.repaired: list[str] = []
        self._left = looking(self)

    def go_on(self, steps: int | None = None) -> None:
        """So many steps; None: to its end."""
        self.steps += sum(1 for _ in islice(self._left, steps))


class Stream:
    """The batches of one process as its trainer takes them, and where to go on.

    `collate` makes the model's inputs of a list of items, in the worker processes. `state` is taken at any time between two
    batches; what a worker has prepared but nobody has taken is prepared again after `restore`.
    """

    def __init__(
        self,
        batches: StreamedBatches,
        collate: Callable[[list[Item]], dict[str, Any]],
        *,
        workers: int = 0,
        **loading: Any,
    ) -> None:
        """`workers`: of the data loader, as many as `batches` has readers (0: one). `loading`: more for the data loader."""
        if batches.readers != max(1, workers):
            raise InputError(f"{batches.readers} readers need as many workers, got {workers}")
        self.batches = batches
        self.names: tuple[str, ...] = ()
        """Of the samples of the batch that was taken last."""
        self._loader = DataLoader(
            batches,
            batch_size=None,
            collate_fn=_Collated(collate),  # type: ignore[arg-type]
            num_workers=workers,
            **loading,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Without end. Raises DatasetError when more than the allowed share of samples is refused."""
        for inputs, batch in self._loader:
            if batch.failure:
                raise DatasetError(
                    batch.failure, next_step="Mend them, or allow more with --max_refused; --audit True tells more"
                )
            self.batches.cursors[batch.reader] = batch.cursor
            self.batches.turn = (batch.reader + 1) % self.batches.readers
            self.names = batch.names
            yield inputs

    def state(self) -> dict[str, Any]:
        """Plain values from which `restore` goes on with the next batch."""
        return {"turn": self.batches.turn, "cursors": [vars(cursor) for cursor in self.batches.cursors]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken. Raises CheckpointError when it is of another number of readers."""
        if len(state["cursors"]) != self.batches.readers:
            raise CheckpointError(
                f"the checkpoint's data was read by {len(state['cursors'])} workers, now there are {self.batches.readers}",
                next_step=f"Go on with --dataloader_num_workers {len(state['cursors'])}",
            )
        self.batches.cursors = [Cursor(**cursor) for cursor in state["cursors"]]
        self.batches.turn = int(state["turn"])

    def counts(self) -> dict[str, Any]:
        """seen, refused and repaired by kind, answers cut: of this process, as far as its batches were taken."""
        return counts_of(self.batches.cursors)


class _Collated:
    """A streamed batch -> the model's inputs, and the batch without its items."""

    def __init__(self, collate: Callable[[list[Item]], dict[str, Any]]) -> None:
        self._collate = collate

    def __call__(self, batch: StreamedBatch) -> tuple[dict[str, Any], StreamedBatch]:
        return ({} if batch.failure else self._collate(batch.items)), replace(batch, items=[])
