"""Non-padding tokens a second: packed rows against transformers' Trainer and LLaVA's padding (docs/benchmarks.md).

    python -m benchmarks training      or      python benchmarks/bench_training.py --preset gpu --profile

Every contestant trains the same model on samples with the lengths of real figures (`figure_lengths.json`: context and first
mention of the figures of 23 papers). Contestants take turns, round by round; medians are printed, with the ratio to the first.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from benchmarks.training_contestants import CONTESTANTS, FUSED, SIZES, Figures, Sizes, build
from train.running.flops import count_costs, peak_tflops
from train.running.meters import add_up, count_batch

LENGTHS = Path(__file__).parent / "figure_lengths.json"
LONGEST = 4096
"""Tokens of a sample, image included."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One contestant, one round."""

    contestant: str
    seconds: float
    """Of the timed steps."""
    tokens: int
    """Non-padding tokens of the timed steps."""
    slots: int
    """Tokens and padding."""
    answers: int
    """Learnt tokens."""
    images: int
    flops: float
    """Of the timed steps, as `train.running.flops` counts them."""
    memory_gb: float
    losses: list[tuple[int, float]]
    """(tokens seen, loss)"""

    @property
    def speed(self) -> float:
        """Non-padding tokens a second."""
        return self.tokens / self.seconds


class Clock(TrainerCallback):
    """Times the steps after the warm-up."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up, self.start, self.end = warm_up, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step in (self.warm_up, state.max_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if state.global_step == self.warm_up:
                self.start = time.perf_counter()
            self.end = time.perf_counter()


class Profiler(TrainerCallback):
    """Where the last steps' time goes, by kernel, as a table in `file`."""

    def __init__(self, first: int, file: Path) -> None:
        self._first, self._file = first, file
        self._profile: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step == self._first:
            self._profile = torch.profiler.profile()
            self._profile.__enter__()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._profile.__exit__(None, None, None)
        order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        self._file.write_text(self._profile.key_averages().table(sort_by=order, row_limit=40, max_name_column_width=90))


def measure(name: str, sizes: Sizes, data: Figures, device: str, profile: Path | None = None) -> Run:
    """Train for the warm-up and the timed steps."""
    steps = sizes.warm_up + sizes.steps
    model = build(sizes, device)
    clock = Clock(sizes.warm_up)
    seen: list[Any] = []
    logged: list[torch.Tensor] = []
    with tempfile.TemporaryDirectory(prefix="bench-training-") as out:
        trainer = CONTESTANTS[name](sizes, data, model, out, steps)
        costs = count_costs(model)
        step = trainer.training_step

        def counted(model: Any, inputs: dict[str, Any], *more: Any) -> Any:
            seen.append(count_batch(inputs))
            logged.append(step(model, inputs, *more))
            return logged[-1]

        trainer.training_step = counted
        if profile:
            trainer.add_callback(Profiler(steps - 2, profile))
        trainer.add_callback(clock)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    timed = add_up(seen[sizes.warm_up :])
    progress = np.cumsum([add_up([one]).tokens for one in seen]).tolist()
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else math.nan
    found = Run(
        contestant=name, seconds=clock.end - clock.start, tokens=timed.tokens, slots=timed.slots, answers=timed.answers,
        images=timed.images, flops=costs.of(timed) if costs else math.nan, memory_gb=peak,
        losses=list(zip(progress, [float(one) for one in logged], strict=True)),
    )  # fmt: skip
    del trainer, model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return found


def table(runs: Sequence[Run], peak_flops: float | None) -> list[str]:
    """Medians by contestant, in Markdown."""
    names = list(dict.fromkeys(run.contestant for run in runs))
    base = statistics.median(run.speed for run in runs if run.contestant == names[0])
    lines = [
        "| trainer | tokens/s (all rounds) | ratio | padding | learnt tokens/s | images/s | model TFLOP/s | MFU | memory GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        mine = [run for run in runs if run.contestant == name]
        run = sorted(mine, key=lambda one: one.speed)[len(mine) // 2]
        rate = run.flops / run.seconds
        each = ", ".join(f"{one.speed:,.0f}" for one in mine)
        cells = [
            name, f"{run.speed:,.0f} ({each})", f"{run.speed / base:.2f}", f"{1 - run.tokens / run.slots:.1%}",
            f"{run.answers / run.seconds:,.0f}", f"{run.images / run.seconds:,.1f}", f"{rate / 1e12:,.3g}",
            f"{rate / peak_flops:.1%}" if peak_flops else "-", f"{run.memory_gb:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def curves(runs: Sequence[Run]) -> list[str]:
    """Loss against tokens seen, first round of each contestant."""
    lines = []
    for name in dict.fromkeys(run.contestant for run in runs):
        run = next(one for one in runs if one.contestant == name)
        points = " ".join(f"{tokens / 1000:.0f}k:{loss:.2f}" for tokens, loss in run.losses)
        lines.append(f"loss  {name}: {points}")
    return lines


def main(argv: Sequence[str] = ()) -> None:
    """Print the table and the loss curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="gpu" if torch.cuda.is_available() else "cpu", choices=list(SIZES))
    parser.add_argument("--only", nargs="*", default=None, help="contestants, by name")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--samples", type=int, default=None, help="samples a step")
    parser.add_argument("--peak-tflops", type=float, default=None, help="for MFU, where the device is not known")
    parser.add_argument(
        "--profile", type=Path, default=None, help="table of kernels of the last contestant's last steps"
    )
    parser.add_argument("--json", type=Path, default=None, help="write every run here")
    options = parser.parse_args(argv)
    from dataclasses import replace

    sizes = SIZES[options.preset]
    only = options.only or [name for name in CONTESTANTS if name != FUSED or sizes.name == "cpu-half"]
    if options.samples:
        sizes = replace(sizes, samples=options.samples)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    peak = options.peak_tflops or peak_tflops(_device_name(), "bfloat16" if sizes.dtype == "bfloat16" else "float32")
    lengths = [pair for pair in json.loads(LENGTHS.read_text())["lengths"] if sum(pair) + sizes.image_tokens <= LONGEST]
    data = Figures(lengths, sizes, sizes.samples * 64)
    print(
        f"{_device_name()}, torch {torch.__version__}, {sizes.dtype}; {len(data)} samples of {data.lengths.mean():.0f} tokens",
        flush=True,
    )
    runs: list[Run] = []
    for round_ in range(options.rounds or sizes.rounds):
        for name in only:
            start = time.perf_counter()
            last = name == only[-1] and round_ + 1 == (options.rounds or sizes.rounds)
            runs.append(measure(name, sizes, data, device, options.profile if last else None))
            print(
                f"round {round_ + 1}  {name}: {runs[-1].speed:,.0f} tokens/s ({time.perf_counter() - start:.0f} s in all)",
                flush=True,
            )
            if options.json:
                options.json.write_text(json.dumps([asdict(run) for run in runs]))
    print("\n".join(["", *table(runs, peak * 1e12 if peak else None), "", *curves(runs)]), flush=True)


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"


if __name__ == "__main__":
    main(sys.argv[1:])
