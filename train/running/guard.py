"""Steps whose loss or gradient is no number. In: each step's loss and gradient norm, left on the device. Out: names, and an end.

Nothing is read from the device between log lines. Where the optimizer can, a step without a finite gradient changes nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from llava_graph.errors import LlavaGraphError
from train.running.checkpoints import CheckpointTrainer

if TYPE_CHECKING:
    from torch.optim import Optimizer

NAMED = 8
"""Samples of a bad step that are named."""


class NotFinite(LlavaGraphError):
    """A run learns nothing any more: losses or gradients are NaN or infinite."""


@dataclass
class _Step:
    number: int
    """Of the optimizer's steps, from 1."""
    losses: list[torch.Tensor] = field(default_factory=list)
    """One for each batch of this process."""
    norm: torch.Tensor | float | None = None
    """Of the gradient of all processes."""
    left_out: bool = False
    """The engine has seen for itself that it must change nothing."""


class Guard:
    """`samples_of(step)`: for each batch of this process in step `step`, the names of its samples."""

    def __init__(self, samples_of: Callable[[int], Sequence[Sequence[str]]], *, most_in_a_row: int) -> None:
        self._samples_of, self._most = samples_of, most_in_a_row
        self._open: list[_Step] = []
        self._in_a_row = 0
        self.bad_steps = 0
        """Steps without a finite loss or gradient so far."""

    def saw_loss(self, step: int, loss: torch.Tensor) -> None:
        """The loss of a batch of step `step`; it is not read yet."""
        if not self._open or self._open[-1].number != step:
            self._open.append(_Step(step))
        self._open[-1].losses.append(loss.detach())

    def saw_norm(self, norm: torch.Tensor | float | None, *, left_out: bool = False) -> None:
        """The gradient's norm of the step whose losses were seen last; it is not read yet."""
        if self._open:
            self._open[-1].norm, self._open[-1].left_out = norm, left_out

    def check(self, *, harmless: bool) -> None:
        """Look at the steps since the last look. All processes call it; `harmless`: bad steps have changed no weight.

        Raises NotFinite after too many bad steps in a row, or after one that has spoilt the weights.
        """
        steps, self._open = self._open, []
        bad = _on_any(_not_finite(steps), steps)
        for step, is_bad in zip(steps, bad, strict=True):
            self._in_a_row = self._in_a_row + 1 if is_bad else 0
            if is_bad:
                self._tell(step, harmless=harmless or step.left_out)

    def _tell(self, step: _Step, *, harmless: bool) -> None:
        self.bad_steps += 1
        names = _together(self._bad_samples(step))
        listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        told = f"step {step.number}: the loss or the gradient is not finite; its samples: {listed}"
        if not harmless or self._in_a_row >= self._most:
            what = f"{told}; {self._in_a_row} such steps in a row" if harmless else told
            raise NotFinite(
                what,
                next_step="Look at these samples; lower --learning_rate, or --max_grad_norm; float16 needs --bf16 instead. "
                "The last checkpoint is sound",
            )
        logging.getLogger(__name__).warning("%s; the step is left out", told)

    def _bad_samples(self, step: _Step) -> list[str]:
        """Of the batches without a finite loss; of all of them when the losses are finite and the gradient is not."""
        batches = self._samples_of(step.number)
        losses = torch.stack(step.losses).isfinite().tolist() if step.losses else []
        spoilt = [batch for batch, finite in zip(batches, losses, strict=False) if not finite]
        alone = not _on_any([bool(spoilt)], [step])[0]
        return [name for batch in (batches if alone else spoilt) for name in batch]


def _not_finite(steps: Sequence[_Step]) -> list[bool]:
    """For each step, whether one of its losses or its norm is not finite; the device is asked once."""
    if not steps:
        return []
    sums = torch.stack([torch.stack(step.losses).float().sum() for step in steps])
    # FSDP's is spread over the processes.
    norms = [getattr(step.norm, "full_tensor", lambda whole=step.norm: whole)() for step in steps]
    on_device = [norm.detach().float().reshape(()).to(sums.device) for norm in norms if isinstance(norm, torch.Tensor)]
    if on_device:
        sums = torch.cat([sums, torch.stack(on_device)])
    finite = iter(sums.isfinite().tolist())
    bad = [not next(finite) for _ in steps]
    for index, norm in enumerate(norms):
        if isinstance(norm, torch.Tensor):
            bad[index] |= not next(finite)
        elif norm is not None:
            bad[index] |= not math.isfinite(norm)
    return bad


def _are_finite(weights: Sequence[torch.Tensor]) -> bool:
    """Whether all numbers are that this process holds of these weights; the device is asked once."""
    # ZeRO-3 and FSDP keep a part of each weight here.
    own = [getattr(weight, "ds_tensor", weight).detach() for weight in weights]
    flags = [getattr(part, "to_local", lambda whole=part: whole)().isfinite().all() for part in own]
    return not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())


def _on_any_process(own: bool, device: torch.device) -> bool:
    if _alone():
        return own
    told = torch.tensor(int(own), dtype=torch.int32, device=device)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return bool(told)


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1


def _on_any(own: list[bool], steps: Sequence[_Step]) -> list[bool]:
    """For each place, whether it is true on some process."""
    if _alone() or not own:
        return own
    told = torch.tensor(own, dtype=torch.int32, device=steps[0].losses[0].device)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return [bool(one) for one in told.tolist()]


def _together(own: list[str]) -> list[str]:
    """The lists of all processes, one after the other."""
    if _alone():
        return own
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, own)
    return [name for names in gathered for name in names]


def can_leave_out(optimizer: Any) -> bool:
    """Whether torch's optimizer takes a number on the device that tells it to change nothing in a step (`found_inf`)."""
    plain = getattr(optimizer, "optimizer", optimizer)
    return isinstance(plain, torch.optim.Adam) and bool(plain.defaults.get("fused"))


def leave_out_if_bad(optimizer: Any, norm: torch.Tensor | float | None) -> None:
    """Let the next step of such an optimizer change nothing when the gradient's norm is not finite; the device decides."""
    plain: Optimizer = getattr(optimizer, "optimizer", optimizer)
    if isinstance(norm, torch.Tensor):
        plain.found_inf = (~norm.detach().isfinite()).float().reshape(())  # type: ignore[attr-defined]


class GuardedTrainer(CheckpointTrainer):
    """A Trainer that stops at losses and gradients that are not finite, before it saves them.

    A subclass knows `samples_of(step)`: for each batch of this process in step `step` (from 1), the names of its samples.
    """

    samples_of: Callable[[int], list[list[str]]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._finite_total = 0.0
        self.guard = Guard(self.samples_of, most_in_a_row=self.args.max_bad_steps)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """As ever; the loss is remembered."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.guard.saw_loss(self.state.global_step + 1, loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        if not self.args.fp16:  # whose scale is found by steps that overflow, and are left out
            self.guard.saw_norm(norm, left_out=self.is_deepspeed_enabled and not self.model_wrapped.was_step_applied())
            if self._leaves_out:
                leave_out_if_bad(self.optimizer, norm)
        return norm

    @property
    def _leaves_out(self) -> bool:
        return not self._is_cut_up() and can_leave_out(self.optimizer)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The steps of a line of losses are looked at before it is written; its NaN does not go on into the next one."""
        if "loss" in logs:
            self._look()
            self._tr_loss.nan_to_num_(0.0, 0.0, 0.0)
            if not math.isfinite(self._total_loss_scalar):  # type: ignore[has-type]
                self._total_loss_scalar = self._finite_total
            self._finite_total = self._total_loss_scalar
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.check_before_saving()
        super()._save_checkpoint(model, trial)

    def check_before_saving(self) -> None:
        """All processes call it. Raises NotFinite, on each, when the steps or the weights that they left are not finite.

        A rate that is far too high spoils the weights in a step whose loss and gradient are still numbers.
        """
        self._look()
        learns = [weight for weight in self.model_wrapped.parameters() if weight.requires_grad]
        if _on_any_process(not _are_finite(learns), self.args.device):
            raise NotFinite(
                f"after step {self.state.global_step} the weights are not finite, and are not saved",
                where=str(self.args.output_dir),
                next_step="Lower --learning_rate. Checkpoints that are there are sound",
            )

    def _look(self) -> None:
        self.guard.check(harmless=self._leaves_out or self.args.fp16)
