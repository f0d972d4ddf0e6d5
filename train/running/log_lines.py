"""What a run tells a person while it goes on: a line for each log entry. In: transformers' log entries. Out: text on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

SHOWN: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("loss", "loss", lambda value: f"{value:.4g}"),
    ("eval_loss", "loss", lambda value: f"{value:.4g}"),
    ("loss_ita", "alignment", lambda value: f"{value:.4g}"),
    ("loss_itm", "matching", lambda value: f"{value:.4g}"),
    ("temperature", "temperature", lambda value: f"{value:.3g}"),
    ("eval_image_to_text_r1", "image to text R@1", lambda value: f"{value:.1%}"),
    ("eval_text_to_image_r1", "text to image R@1", lambda value: f"{value:.1%}"),
    ("eval_zero_shot_accuracy", "zero-shot accuracy", lambda value: f"{value:.1%}"),
    ("eval_rouge_l", "ROUGE-L", lambda value: f"{value:.3f}"),
    ("eval_number_fidelity", "number fidelity", lambda value: f"{value:.3f}"),
    ("grad_norm", "gradient", lambda value: f"{value:.3g}"),
    ("learning_rate", "rate", lambda value: f"{value:.3g}"),
    ("tokens_per_second", "tokens/s", lambda value: f"{value:,.0f}"),
    ("pairs_per_second", "pairs/s", lambda value: f"{value:,.0f}"),
    ("padding_share", "padding", lambda value: f"{value:.1%}"),
    ("data_wait_share", "waited", lambda value: f"{value:.1%}"),
    ("mfu", "MFU", lambda value: f"{value:.1%}"),
    ("refused", "refused", lambda value: f"{value:,.0f}"),
    ("peak_memory_gib", "GiB", lambda value: f"{value:.1f}"),
)
"""Entry -> what it is called, and how it is written; the other entries go to the trackers alone."""


class LogLines(TrainerCallback):
    """One line an entry, with the time that is left; in the place of transformers' progress bar and dictionaries."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._begun, self._first = clock(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """The time left is told by the steps of this start."""
        self._begun, self._first = self._clock(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Not the last entry, which the summary tells better."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        kind = "eval " if any(name.startswith("eval_") for name in logs) else "step "
        done = state.global_step - self._first
        left = (self._clock() - self._begun) / done * (state.max_steps - state.global_step) if done else None
        self._say(f"{kind}   {line_of(state.global_step, state.max_steps, logs, left)}")


def line_of(step: int, steps: int, logs: Mapping[str, Any], seconds_left: float | None = None) -> str:
    """`20/1200  loss 1.234  gradient 0.81  rate 0.0008  …  12 min left`"""
    parts = [f"{step:>{len(str(steps))}}/{steps}"]
    parts += [f"{name} {written(float(logs[key]))}" for key, name, written in SHOWN if key in logs]
    if seconds_left is not None and step < steps and "loss" in logs:
        parts.append(f"{_time(seconds_left)} left")
    return "  ".join(parts)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def tell_in_lines(trainer: Trainer, say: Callable[[str], None]) -> None:
    """Let `trainer` tell its progress by lines; trackers get their entries as ever."""
    for kind in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(kind)
    trainer.add_callback(LogLines(say))
