"""A Trainer over a stream. In: the batches of one process as they are read. Out: a run that can go on, and counts.

A step's batches are taken when it begins, none ahead of it: where the stream stands after a step is what a checkpoint holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from transformers import TrainerCallback

from llava_graph.durable import read_json, write_json
from llava_graph.errors import CheckpointError, DatasetError
from train.batching.checking import as_first_process
from train.running.in_step import white_inputs
from train.running.trainer import PartsTrainer
from train.sources.cursor import add_counts

if TYPE_CHECKING:
    from train.sources.streaming import Stream

COUNTS_FILE = "dropped.json"
"""{"counts": reason -> samples, "seen", "repaired", "answers_cut"} after the run, of all processes, and the first "samples"."""


class StreamedTrainer(PartsTrainer):
    """A Trainer over a `Stream`, each process over its own."""

    def __init__(self, *, stream: Stream, **kwargs: Any) -> None:
        batches = stream.batches
        text_only = batches.windows.text_only
        super().__init__(
            packed=batches.packed,
            an_image=dict if text_only else partial(white_inputs, batches.encoder),
            train_dataset=batches,
            **kwargs,
        )
        self.stream = stream
        self.told: dict[str, Any] = {}
        """What all processes have counted, after training."""
        self.args.ignore_data_skip = True  # it is the stream that goes on
        self._names: dict[int, list[list[str]]] = {}
        self._random_from: str | None = None
        self._group = distributed.new_group(backend="gloo") if self.args.world_size > 1 else None
        self.add_callback(_TellEpochs(stream))

    def get_train_dataloader(self) -> Any:
        """Not accelerate's, which is always a batch ahead."""
        return _OnDevice(self.stream, self.args.device, non_blocking=self.args.dataloader_pin_memory)

    def set_initial_training_values(self, *args: Any, **kwargs: Any) -> Any:
        """transformers would begin another epoch of a stream whose run has ended."""
        _, *others = super().set_initial_training_values(*args, **kwargs)
        return (1, *others)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """As ever. What a loader draws when it begins must not count: random draws go on from here."""
        taken = super().get_batch_samples(self._taken(epoch_iterator, num_batches), num_batches, device)
        if self._random_from is not None:
            super()._load_rng_state(self._random_from)
            self._random_from = None
        return taken

    def _taken(self, batches: Iterator[Any], count: int) -> Iterator[Any]:
        """The next step's batches, once all processes have theirs. Raises on all when the data of one stops the run."""
        taken: list[Any] = []
        names: list[list[str]] = []
        failure = None
        try:
            for _ in range(count):
                taken.append(next(batches))
                names.append(list(self.stream.names))
        except DatasetError as error:
            failure = error
        self._stop_together(failure)
        self._names[self.state.global_step + 1] = names
        yield from taken

    def _stop_together(self, failure: DatasetError | None) -> None:
        """A process that ends alone would leave the others waiting. The first that fails says why."""
        if self._group is None:
            if failure is not None:
                raise failure
            return
        rank, size = self.args.process_index, self.args.world_size
        first = torch.tensor(rank if failure is not None else size)
        distributed.all_reduce(first, distributed.ReduceOp.MIN, group=self._group)
        if failure is not None and first == rank:
            raise failure
        if first < size:
            raise SystemExit(2)

    def samples_of(self, step: int) -> list[list[str]]:
        """Names of the samples of each batch of this process in step `step` (from 1); known until it was looked at."""
        return self._names.get(step, [])

    def _look(self) -> None:
        super()._look()
        self._names = {step: names for step, names in self._names.items() if step > self.state.global_step}

    # ---- counts ----

    def _lost(self) -> int:
        return sum(self.stream.counts()["refused"].values())

    def _check_lost(self, lost: int, seen: int) -> None:
        """The stream judges by itself."""

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
        """As ever; afterwards `told` and COUNTS_FILE tell of the samples."""
        from accelerate.utils import gather_object

        if resume_from_checkpoint:
            self._restore(Path(resume_from_checkpoint))
        output = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        self.told = add_counts(gather_object([self.stream.counts()]))
        if self.args.should_save:
            file = Path(self.args.output_dir) / COUNTS_FILE
            named = read_json(file)["samples"] if file.is_file() else []  # among the first
            counts = {"counts" if name == "refused" else name: value for name, value in self.told.items()}
            write_json(file, {**counts, "samples": named})
        return output

    # ---- going on ----

    def _save_rng_state(self, output_dir: str) -> None:
        """Random draws, and where this process's stream stands."""
        super()._save_rng_state(output_dir)
        state = {"processes": self.args.world_size, **self.stream.state()}
        _state_file(Path(output_dir), self.args.process_index).write_text(json.dumps(state), encoding="utf-8")

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Put off until the first batches were taken; transformers would do it before."""
        self._random_from = checkpoint

    def _restore(self, folder: Path) -> None:
        """Where the run of a checkpoint stood. Raises CheckpointError when that is no place of this process."""
        file = _state_file(folder, self.args.process_index)
        nowhere = {"processes": 0, "cursors": []}
        state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else nowhere
        same = state["processes"] == self.args.world_size
        if self.args.allow_changed_resume:
            window = as_first_process(lambda: _first_open_window(folder))
            if not same or len(state["cursors"]) != self.stream.batches.readers:
                self.stream.batches.begin_at(window)
                return
        if not same:
            raise CheckpointError(
                f"it does not say where process {self.args.process_index} of {self.args.world_size} stood in the stream",
                where=str(folder),
                next_step="Go on with as many processes as it had, or add --allow_changed_resume True",
            )
        self.stream.restore(state)


class _OnDevice:
    """The batches of a stream on the device; it has no length."""

    def __init__(self, stream: Stream, device: torch.device, *, non_blocking: bool) -> None:
        self._stream, self._device, self._non_blocking = stream, device, non_blocking

    def __iter__(self) -> Iterator[Any]:
        from accelerate.utils import send_to_device

        for inputs in self._stream:
            yield send_to_device(inputs, self._device, non_blocking=self._non_blocking)


class _TellEpochs(TrainerCallback):
    """The epoch of log lines: transformers takes the whole run for one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        state.epoch = round(self._stream.batches.epochs, 4)


def stream_line(told: Mapping[str, Any]) -> str:
    """What a stream has counted, for a person."""
    from train.planning.plan_text import counted

    return (
        f"data    looked at {told['seen']:,} samples; dropped: {counted(told['refused'])}; "
        f"repaired: {counted(told['repaired'])}; answers cut: {told['answers_cut']}"
    )


def _state_file(folder: Path, process: int) -> Path:
    return folder / f"stream_{process}.json"


def _first_open_window(folder: Path) -> int:
    """The first window of the run that some reader has not finished: from there on nothing is left out."""
    states = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("stream_*.json")]
    return min((cursor["window"] for state in states for cursor in state["cursors"]), default=0)
