"""Which numbers the flags take. In: flags as they were given. Out: nothing, or an InputError that says the range.

Texts are checked, before transformers' TrainingArguments reads them: some values break it, and others mean something else there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llava_graph.errors import InputError


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`, and `also`, a number outside with a meaning of its own."""

    low: float
    high: float
    words: str
    without_low: bool = False
    without_high: bool = False
    also: float | None = None

    def holds(self, number: float) -> bool:
        """Whether `number` is allowed; never for NaN and infinity."""
        if not math.isfinite(number):
            return False
        if number == self.also:
            return True
        above = self.low < number if self.without_low else self.low <= number
        return above and (number < self.high if self.without_high else number <= self.high)


COUNT = Range(1, math.inf, "at least 1")
NUMBER = Range(0, math.inf, "finite and 0 or more")
POSITIVE = Range(0, math.inf, "finite and more than 0", without_low=True)
SHARE = Range(0, 1, "in 0..1")
PART = Range(0, 1, "in 0..1, 1 left out", without_high=True)
SEED = Range(0, 2**32 - 1, "in 0..4294967295")
STEPS = Range(1, math.inf, "at least 1, or -1 for all epochs", also=-1)

RANGES: dict[str, Range] = {
    **dict.fromkeys(
        (
            "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps",
            "model_max_length", "packing_length", "packing_max_images", "max_samples", "check_workers", "lora_r",
            "max_bad_steps", "dataloader_prefetch_factor",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            "learning_rate", "mm_projector_lr", "mm_vision_tower_lr", "weight_decay", "max_grad_norm", "adam_epsilon",
            "warmup_steps", "dataloader_num_workers", "max_context_tokens", "eval_generate",
        ),
        NUMBER,
    ),
    **dict.fromkeys(
        (
            "adam_beta1", "adam_beta2", "label_smoothing_factor", "lora_dropout", "context_dropout", "ocr_corruption",
        ),
        PART,
    ),
    **dict.fromkeys(("num_train_epochs", "peak_tflops", "lora_alpha"), POSITIVE),
    **dict.fromkeys(("warmup_ratio", "max_refused"), SHARE),
    **dict.fromkeys(("seed", "data_seed"), SEED),
    "max_steps": STEPS,
}  # fmt: skip
"""Flag -> the numbers that it takes."""


def check_ranges(flags: Mapping[str, Sequence[str]], ranges: Mapping[str, Range] = RANGES) -> None:
    """Raises InputError for a number that its flag does not take. What is no number is left to the parser."""
    for name, values in flags.items():
        if name not in ranges:
            continue
        for value in values:
            try:
                number = float(value)
            except ValueError:
                continue
            if not ranges[name].holds(number):
                raise InputError(f"--{name} must be {ranges[name].words}, got {value}")
