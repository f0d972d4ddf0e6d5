"""How fast a run learns. In: its batches as they come, and the clock. Out: counts, times and rates (`measured.py` logs them).

Nothing is read from the device between log lines. Evaluating and saving are not counted: the clock stands meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from transformers import TrainerCallback

from llava_graph.chat import IGNORE_INDEX
from train.running.flops import Costs, Counts

FIELDS = tuple(one.name for one in fields(Counts))

Numbers = Mapping[str, int | torch.Tensor]


def count_batch(batch: Mapping[str, Any], window: int | None = None) -> Numbers:
    """What a batch shows the model, by the names of `Counts`; numbers that only the device knows are left there.

    Padded: input_ids, attention_mask (batch, length). Packed: input_ids (1, length) and the samples' borders cu_seq_lens_q;
    a segment without an answer is padding. `window`: tokens that a sliding attention sees.
    """
    ids, labels = batch["input_ids"], batch["labels"]
    rows = batch.get("answer_rows")
    answers = len(rows) if rows is not None else int((labels[:, 1:] != IGNORE_INDEX).sum())
    samples: int | torch.Tensor = len(ids)
    if (borders := batch.get("cu_seq_lens_q")) is not None:
        learnt = torch.nn.functional.pad((labels.flatten() != IGNORE_INDEX).long().cumsum(0), (1, 0))
        real = learnt.index_select(0, borders.long()).diff() > 0
        sizes, samples = borders.diff().long() * real, real.long().sum()
    elif (mask := batch.get("attention_mask")) is not None:
        sizes = mask.sum(1)
    else:
        sizes = torch.full((len(ids),), ids.shape[1])
    pixels = batch.get("pixel_values")
    images = 0 if pixels is None else len(pixels)
    far = (sizes - (window or 0)).clamp(min=0)
    return {
        "samples": samples,
        "images": images,
        "tiles": count_tiles(pixels) if pixels is not None and pixels.ndim == 5 else images,
        "tokens": sizes.sum(),
        "slots": ids.numel(),
        "answers": answers,
        "pairs": (sizes * (sizes + 1) // 2).sum(),
        "near_pairs": ((sizes * (sizes + 1) - far * (far + 1)) // 2).sum() if window else 0,
        "idle_batches": int(answers == 0),
    }


def count_tiles(pixels: torch.Tensor) -> torch.Tensor:
    """Tiles of an AnyRes batch (images, tiles, 3, H, W) that are not filled up with zeros, looked at in 8 x 8 places."""
    height, width = pixels.shape[-2:]
    return (pixels[..., :: max(height // 8, 1), :: max(width // 8, 1)] != 0).flatten(2).any(2).sum()


def add_up(batches: Sequence[Numbers]) -> Counts:
    """The sums; the device is asked once."""
    left = [value for numbers in batches for value in numbers.values() if isinstance(value, torch.Tensor)]
    read = iter(torch.stack([value.reshape(()).long() for value in left]).tolist() if left else [])
    totals = dict.fromkeys(FIELDS, 0)
    for numbers in batches:
        for name, value in numbers.items():
            totals[name] += next(read) if isinstance(value, torch.Tensor) else value
    return Counts(**totals)


def rates(  # noqa: PLR0917  (a formula)
    counts: Counts, steps: float, seconds: float, waited: float, costs: Costs | None, devices: int, peak: float | None
) -> dict[str, float]:
    """Rates over all processes. `seconds` and `waited` are of one process; `peak` is TFLOP/s of one device."""
    seconds = max(seconds, 1e-9)
    told = {
        "tokens_per_second": counts.tokens / seconds,
        "answer_tokens_per_second": counts.answers / seconds,
        "samples_per_second": counts.samples / seconds,
        "images_per_second": counts.images / seconds,
        "step_seconds": seconds / max(steps, 1),
        "padding_share": 1 - counts.tokens / max(counts.slots, 1),
        "data_wait_share": min(waited / seconds, 1.0),
    }
    if costs is not None:
        told["tflops_per_device"] = costs.of(counts) / seconds / devices / 1e12
        if peak:
            told["mfu"] = told["tflops_per_device"] / peak
    return {name: float(f"{value:.6g}") for name, value in told.items()}


def peak_memory_gib() -> float:
    """The most memory this process has had: of its GPU as torch allocates it, else resident on the host."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)


class Waiting:
    """An iterator over batches that knows how long it was waited for, in seconds."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __iter__(self) -> Waiting:
        return self

    def __next__(self) -> Any:
        begun = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.seconds += time.perf_counter() - begun


class Meter(TrainerCallback):
    """Counts batches and time since the last log line, and since the first step, which also compiles and warms up."""

    def __init__(self, window: int | None = None) -> None:
        self._window = window
        self._batches: list[Numbers] = []
        self._since: float | None = None
        self._seconds = self._waited = 0.0
        self._steps = 0
        self.first_step: tuple[Counts, float, float] | None = None
        """What the first step counted, took and waited, in this process."""

    def start(self) -> None:
        """The clock runs, if it does not yet."""
        if self._since is None:
            self._since = time.perf_counter()

    def pause(self) -> None:
        """The clock stands, once the device has done what it was told."""
        if self._since is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._seconds += time.perf_counter() - self._since
        self._since = None

    def saw(self, batches: Sequence[Mapping[str, Any]], waited: float) -> None:
        """The batches of a step, and how long they were waited for."""
        self._batches += [count_batch(batch, self._window) for batch in batches]
        self._waited += waited

    def take(self) -> tuple[Counts, int, float, float]:
        """(counts, steps, seconds, seconds waited) since the last time."""
        self.pause()
        taken = add_up(self._batches), self._steps, self._seconds, self._waited
        self._batches, self._steps, self._seconds, self._waited = [], 0, 0.0, 0.0
        return taken

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._steps += 1
        if self.first_step is None:
            self.pause()
            self.first_step = add_up(self._batches), self._seconds, self._waited
        if control.should_log or control.should_evaluate or control.should_save:
            self.pause()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if control.should_log or control.should_evaluate or control.should_save:
            self.pause()


def summary_line(summary: Mapping[str, Any]) -> str:
    """`summary` for a person."""
    parts = [
        f"{summary['tokens_per_second']:,.0f} tokens/s ({summary['answer_tokens_per_second']:,.0f} learnt)",
        f"{summary['samples_per_second']:.3g} samples/s",
        f"padding {summary['padding_share']:.1%}",
        f"waited for data {summary['data_wait_share']:.1%}",
        f"at most {summary['peak_memory_gib']:.1f} GiB",
        *([f"MFU {summary['mfu']:.1%}"] if "mfu" in summary else []),
    ]
    return f"speed   {', '.join(parts)}"
