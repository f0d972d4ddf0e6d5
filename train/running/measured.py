"""A Trainer whose log lines tell how fast it is. In: batches. Out: rates beside the losses, throughput.json at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer

from llava_graph.durable import write_json
from llava_graph.errors import DatasetError
from train.running.flops import Counts, count_costs, near_layers, peak_tflops
from train.running.meters import FIELDS, Meter, Waiting, peak_memory_gib, rates
from train.sources.pictures import REPAIRS

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

FILE = "throughput.json"
NAMED = 8
"""Samples of a batch without an answer that are named."""
FEW = 20
"""Samples lost in the course of a run that stop nothing, whatever their share."""
STEPS, LOST, MEMORY = len(FIELDS), len(FIELDS) + 3, len(FIELDS) + 4
"""Places behind the counts in what processes tell each other; seconds and seconds waited lie between the first two."""
MENDED = {kind for kinds in REPAIRS.values() for kind in kinds.values()}
"""Events of a `TrainingSet` that lose no sample."""


class MeasuredTrainer(Trainer):
    """A Trainer whose log lines tell how fast it is; `args` are our `TrainArguments`.

    It stops when more than the share `max_refused` of the samples cannot be read any more and gave their places to others.
    A subclass knows `samples_of(step)`, as for `train.running.guard`.
    """

    samples_of: Callable[[int], list[list[str]]]

    def __init__(self, *, max_refused: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._max_refused = max_refused
        whole = self.accelerator.unwrap_model(self.model)
        text = whole.config.get_text_config()
        self._costs = count_costs(whole)
        self._speed = Meter(text.sliding_window if near_layers(text) else None)
        self.add_callback(self._speed)
        self._total: torch.Tensor | None = None
        self.summary: dict[str, Any] = {}
        """What throughput.json holds, after training."""

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """As ever, timed and counted."""
        self._speed.start()
        batches = Waiting(epoch_iterator)
        taken, items = super().get_batch_samples(batches, num_batches, device)
        self._speed.saw(taken, batches.seconds)
        self._tell_idle(taken)
        return taken, items

    def _tell_idle(self, batches: Sequence[Mapping[str, Any]]) -> None:
        """Name the samples of batches from which nothing is learnt (their loss is 0)."""
        for number, batch in enumerate(batches):
            rows = batch.get("answer_rows")
            if rows is not None and not len(rows):
                step = self.state.global_step + 1
                names = self.samples_of(step)[number : number + 1]
                listed = ", ".join(name for batch_names in names for name in batch_names[:NAMED])
                log.warning("step %d: a batch without a token to learn: %s", step, listed)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A line of losses gets rates, the last line those of the whole run."""
        if "loss" in logs or "train_runtime" in logs:
            window = self._of_all(*self._speed.take(), self._lost())
            self._total = window if self._total is None else self._total + window
            if "loss" in logs:
                logs.update(self._rates(window), peak_memory_gib=round(float(window[:, MEMORY].max()), 3))
                if lost := int(window[:, LOST].sum()):
                    logs["refused"] = lost
                self._check_lost(lost, _sums(self._total).samples)
            if "train_runtime" in logs:
                self._summarize(self._total, float(window[:, MEMORY].max()))
                # transformers counts rows of a packed batch, and evaluation as training.
                logs.pop("train_samples_per_second", None)
                names = ("samples_per_second", "tokens_per_second")
                logs.update({f"train_{name}": self.summary[name] for name in names if name in self.summary})
        super().log(logs, start_time)

    def _of_all(self, counts: Counts, steps: float, seconds: float, waited: float, lost: int = 0) -> torch.Tensor:
        """(processes, numbers) float64: what each process counted, then steps, seconds, seconds waited, lost, memory."""
        own = [*(getattr(counts, name) for name in FIELDS), steps, seconds, waited, lost, peak_memory_gib()]
        told = torch.tensor([own], dtype=torch.float64, device=self.args.device)
        return (self.accelerator.gather(told) if self.args.world_size > 1 else told).cpu()

    def _lost(self) -> int:
        """Samples of this process that could not be read in the course of the run."""
        events = getattr(self.train_dataset, "events", None)
        counts = events.counts() if events is not None else {}
        return sum(count for kind, count in counts.items() if kind not in MENDED)

    def _check_lost(self, lost: int, seen: int) -> None:
        """Raises DatasetError on all processes."""
        if lost > FEW and lost > self._max_refused * seen:
            counts = ", ".join(f"{count} {kind}" for kind, count in self.train_dataset.events.counts().items())
            raise DatasetError(
                f"{lost} of {seen} samples could not be read any more since the run began (on this process: {counts})",
                next_step="Is the disk with the data still there? A checkpoint goes on from where it was saved; "
                "--max_refused allows a larger share",
            )

    def _rates(self, window: torch.Tensor) -> dict[str, float]:
        steps, seconds, waited = window[:, STEPS:LOST].mean(0).tolist()
        return rates(_sums(window), steps, seconds, waited, self._costs, len(window), self._peak())

    def _peak(self) -> float | None:
        """TFLOP/s of one device: as stated, else by its name; None on a CPU, whose peak has no one name."""
        if self.args.peak_tflops:
            return self.args.peak_tflops
        return peak_tflops(torch.cuda.get_device_name(), self._precision()) if torch.cuda.is_available() else None

    def _precision(self) -> str:
        if self.args.bf16 or self.args.fp16:
            return "bfloat16" if self.args.bf16 else "float16"
        tf32 = torch.cuda.is_available() and torch.get_float32_matmul_precision() != "highest"
        return "tf32" if tf32 else "float32"

    def _summarize(self, whole: torch.Tensor, memory: float) -> None:
        """The run as a whole: `summary`, and throughput.json."""
        if self._speed.first_step is None:
            return
        first = self._of_all(self._speed.first_step[0], 1, *self._speed.first_step[1:])
        # Rates leave out the first step, unless there is no other.
        steps = int(whole[0, STEPS])
        self.summary = {
            "steps": steps,
            "seconds": round(float(whole[:, STEPS + 1].mean()), 3),
            "first_step_seconds": round(float(first[:, STEPS + 1].mean()), 3),
            **self._rates(whole - first if steps > 1 else whole),
            "peak_memory_gib": round(memory, 3),
            "counts": asdict(_sums(whole)),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else self.args.device.type,
            "processes": len(whole),
            "precision": self._precision(),
            "peak_tflops": self._peak(),
            "flops_for_each": asdict(self._costs) if self._costs else None,
        }
        if self.args.should_save:
            write_json(Path(self.args.output_dir) / FILE, self.summary)


def _sums(window: torch.Tensor) -> Counts:
    """Over processes."""
    return Counts(**{name: int(value) for name, value in zip(FIELDS, window.sum(0).tolist(), strict=False)})
