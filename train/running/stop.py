"""An asked-for stop: a signal to any process ends the current step on all of them, a checkpoint is written, and the run exits.

In: SIGTERM (schedulers, torchrun), SIGUSR1 (Slurm before a time limit), SIGINT (Ctrl-C). Out: exit status 128 + signal.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
PATIENCE = 2.0
"""Seconds in which a second SIGINT is an echo: torchrun hands Ctrl-C on to processes that the terminal has told already."""


class StopOnSignal(TrainerCallback):
    """While a run trains it minds the signals; afterwards they do what they did before.

    Processes agree by one number a step, sent while the step is computed and read at the end of the next one: nothing waits.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        """The signal for which the run was ended before its last step."""
        self._heard = 0
        self._heard_at = 0.0
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._asked: tuple[torch.Tensor, Any] | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # noqa: ARG002
        """Listen."""
        self.stopped_by, self._heard, self._asked = None, 0, None
        if args.world_size > 1 and self._group is None:
            # On the CPU: a number on a GPU could be read only by waiting for the GPU.
            self._group = distributed.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():  # Python lets no other set them
            self._before = {number: signal.signal(number, self._hear) for number in STOPPING}

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # noqa: ARG002
        """Save and stop when some process was told to. The last step of a run is finished as ever."""
        number = self._agree()
        if number and state.global_step < state.max_steps:
            self.stopped_by = number
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False  # little time is left

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # noqa: ARG002
        """Listen no more."""
        if self._asked is not None:
            self._asked[1].wait()
            self._asked = None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        now = time.monotonic()
        if number == signal.SIGINT and self._heard == signal.SIGINT and now - self._heard_at > PATIENCE:
            raise KeyboardInterrupt
        if not self._heard:
            self._heard, self._heard_at = number, now
            logging.getLogger(__name__).warning("%s: saves after this step and stops", name_of(number))

    def _agree(self) -> int:
        """The signal that some process had heard when the step before ended; 0: none."""
        if self._group is None:
            return self._heard
        before = self._asked
        told = torch.tensor(self._heard)
        self._asked = told, distributed.all_reduce(told, distributed.ReduceOp.MAX, group=self._group, async_op=True)
        if before is None:
            return 0
        number, sent = before
        sent.wait()
        return int(number)


def name_of(number: int) -> str:
    """SIGTERM for 15."""
    return signal.Signals(number).name


def exit_status(number: int) -> int:
    """What a shell says of a process that a signal ended; schedulers take it for a run that is to be started again."""
    return 128 + number
