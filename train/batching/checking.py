"""Every sample looked at once before a run. In: samples and an encoder. Out: `Checked`, the same on all processes.

A sample is read, its images are decoded, and it is encoded: what is only met at step 40,000 costs a night.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from llava_graph.chat import IGNORE_INDEX
from llava_graph.errors import DatasetError, ImageError, InputError, LlavaGraphError, RecordError, SampleRefused
from llava_graph.record import Dropped
from train.batching.encoding import Encoder
from train.batching.verdicts import Verdict, Verdicts, read_verdicts, save_verdicts, verdict_file
from train.sources.mixture import ALL_ONCE, Mixture, Weights
from train.sources.pictures import Pictures
from train.sources.sample import Samples

PARALLEL_FROM = 2000
"""Samples from which it pays that each worker process first loads a tokenizer for some seconds."""
MAX_WORKERS = 16
"""Each takes some 0.4 GB of memory."""
CHUNK, MAX_CHUNK = 32, 512
"""Samples that a worker looks at in one go: few of a small collection, more of a large one."""
TOLD_EVERY_S = 60
"""Seconds between two lines on how far it is, where no bar can be drawn."""

DROP = Pictures()

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The verdict on every sample of a collection. kept + dropped = seen."""

    kept: np.ndarray
    """(n,) numbers of the good samples."""
    lengths: np.ndarray
    """(n,) tokens of each, images included, with its whole context."""
    answers: np.ndarray
    """(n,) tokens of each that are learnt."""
    images: np.ndarray
    """(n,) images of each."""
    dropped: tuple[Dropped, ...]
    answers_cut: int = 0
    """Samples whose last answer was longer than the room left."""
    turns_cut: int = 0
    """Samples with later turns for which no room was left."""
    repaired: dict[str, int] = field(default_factory=dict)
    """What was mended among the good samples: kind -> samples."""
    part_of: np.ndarray | None = None
    """(n,) the part of a mixture to which each belongs; None: no mixture."""
    weights: Weights = ALL_ONCE

    @property
    def with_image(self) -> np.ndarray:
        """(n,) bool"""
        return self.images > 0

    @property
    def seen(self) -> int:
        """Good and bad samples."""
        return len(self.kept) + len(self.dropped)

    @property
    def reasons(self) -> dict[str, int]:
        """reason -> how many samples were dropped for it, the most frequent first"""
        return dict(Counter(item.reason for item in self.dropped).most_common())

    def shown(self, epoch: int) -> np.ndarray:
        """(N,) the rows of `kept` that epoch `epoch` shows: all of them, or as the weights of a mixture say."""
        if self.part_of is None or self.weights.plain:
            return np.arange(len(self.kept))
        return self.weights.draw(self.part_of, epoch)


def check_samples(
    samples: Samples,
    encoder: Encoder,
    *,
    pictures: Pictures = DROP,
    workers: int | None = None,
    cached: bool = False,
    progress: bool = False,
) -> Checked:
    """Look at every sample once.

    `workers`: processes; None: one a core where there is much to look at. With `cached` earlier verdicts on the same files,
    encoder and options are read from disk, and only samples whose images could not be opened are looked at again.
    """
    file = verdict_file(_identity(samples, encoder, pictures)) if cached else None
    verdicts = read_verdicts(file, len(samples)) if file else None
    todo: Sequence[int] = range(len(samples)) if verdicts is None else verdicts.image_trouble()
    verdicts = verdicts or Verdicts.empty(len(samples))
    if todo:
        verdicts.record(_progress(_look(samples, encoder, pictures, todo, workers), len(todo), shown=progress))
        if file:
            try:
                save_verdicts(verdicts, file)
            except OSError as error:  # the run is worth more than the time that the next one would save
                log.warning("%s: the verdicts on the samples cannot be kept (%s)", file, error.strerror)
    return _checked(samples, verdicts)


def judge(samples: Samples, encoder: Encoder, pictures: Pictures, index: int) -> Verdict:
    """Read, open and encode one sample."""
    try:
        sample = pictures.settle(samples.get(index, None))
        encoded = encoder.encode(sample)
    except InputError as error:
        return Verdict(index, refused=(samples.name(index), reason_of(error), str(error)))
    learnt = sum(label != IGNORE_INDEX for label in encoded.labels)
    return Verdict(
        index,
        len(encoded.input_ids),
        learnt,
        len(sample.images),
        encoded.answer_cut,
        encoded.turns_cut,
        sample.repairs,
    )


def reason_of(error: InputError) -> str:
    """The short name under which a refusal is counted."""
    if isinstance(error, SampleRefused):
        return error.reason
    if isinstance(error, ImageError):
        return "image-broken"
    return "bad-record" if isinstance(error, RecordError) else "template"


def refuse_too_many(checked: Checked, max_refused: float, *, where: str) -> None:
    """Stop a run that would teach less than it seems. Raises DatasetError with the reasons and an example of each."""
    share = len(checked.dropped) / max(1, checked.seen)
    if len(checked.kept) and share <= max_refused:
        return
    examples = {item.reason: item for item in reversed(checked.dropped)}
    told = "; ".join(
        f"{count} {reason}, such as {examples[reason].item}: {examples[reason].detail}"
        for reason, count in checked.reasons.items()
    )
    if not len(checked.kept):
        raise DatasetError(f"no sample can be learnt from ({told or 'there is none'})", where=where)
    raise DatasetError(
        f"{len(checked.dropped)} of {checked.seen} samples cannot be learnt from ({told})",
        where=where,
        next_step=f"Mend them, or allow more than {max_refused:.0%} with --max_refused",
    )


def as_first_process(make: Callable[[], T]) -> T:
    """What `make` gives in process 0, on all processes: they must not differ in what a sample is worth.

    The others wait for as long as it takes. An error of ours is told once, by the first.
    """
    from datetime import timedelta

    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return make()
    # A group of its own: the usual one gives up after half an hour, and cannot carry objects on every accelerator.
    group = distributed.new_group(backend="gloo", timeout=timedelta(days=7))
    box: list[Any] = [None]
    if distributed.get_rank() == 0:
        try:
            box = [make()]
        except LlavaGraphError as error:
            box = [error]
    distributed.broadcast_object_list(box, src=0, group=group)
    distributed.destroy_process_group(group)
    if isinstance(box[0], LlavaGraphError):
        if distributed.get_rank() == 0:
            raise box[0]
        raise SystemExit(2)
    return box[0]


def _checked(samples: Samples, verdicts: Verdicts) -> Checked:
    kept = verdicts.kept()
    rows = verdicts.rows[kept]
    mixture = samples if isinstance(samples, Mixture) else None
    return Checked(
        kept=kept,
        lengths=rows["tokens"].astype(np.int64),
        answers=rows["answers"].astype(np.int64),
        images=rows["images"].astype(np.int64),
        dropped=tuple(
            Dropped(item=item, reason=reason, detail=detail)
            for _, (item, reason, detail) in sorted(verdicts.refused.items())
        ),
        answers_cut=int(rows["answer_cut"].sum()),
        turns_cut=int(rows["turns_cut"].sum()),
        repaired=verdicts.count_repairs(kept),
        part_of=mixture.part_of(kept) if mixture else None,
        weights=mixture.weights if mixture else ALL_ONCE,
    )


def _identity(samples: Samples, encoder: Encoder, pictures: Pictures) -> dict[str, Any]:
    return {"samples": samples.identity, "encoder": encoder.identity, "pictures": pictures.policy}


def _look(
    samples: Samples, encoder: Encoder, pictures: Pictures, todo: Sequence[int], workers: int | None
) -> Iterator[Verdict]:
    """A verdict on each of `todo`, in any order."""
    if workers is None:
        workers = min(MAX_WORKERS, usable_cores()) if len(todo) >= PARALLEL_FROM else 1
    if workers <= 1:
        yield from (judge(samples, encoder, pictures, index) for index in todo)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # Spawned, not forked: a fork after torch has started its threads, or a GPU its driver, can hang.
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(samples, encoder, pictures)
    )
    size = min(MAX_CHUNK, max(CHUNK, len(todo) // (workers * MAX_CHUNK)))
    with pool:
        try:
            for verdicts in pool.map(_look_here, (todo[start : start + size] for start in range(0, len(todo), size))):
                yield from verdicts
        except BrokenProcessPool as error:
            raise DatasetError(
                "a process that looked at the samples was killed, perhaps for its memory",
                next_step=f"Give fewer than {workers} --check_workers",
            ) from error


_mine: list[tuple[Samples, Encoder, Pictures]] = []
"""What a worker process looks at, and with what."""


def _begin(samples: Samples, encoder: Encoder, pictures: Pictures) -> None:
    _mine[:] = [(samples, encoder, pictures)]


def _look_here(indices: Sequence[int]) -> list[Verdict]:
    [(samples, encoder, pictures)] = _mine
    return [judge(samples, encoder, pictures, index) for index in indices]


def _progress(verdicts: Iterable[Verdict], total: int, *, shown: bool) -> Iterator[Verdict]:
    """A bar on a terminal, a line a minute in a log."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if shown and console.is_terminal:
        yield from track(verdicts, "looking at the samples", total=total, console=console, transient=True)
        return
    told = monotonic()
    for number, verdict in enumerate(verdicts, 1):
        if shown and monotonic() - told > TOLD_EVERY_S:
            told = monotonic()
            console.print(f"looked at {number:,} of {total:,} samples", highlight=False)
        yield verdict


@lru_cache
def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
