"""Muon for the matrices inside the layers, AdamW for everything else, as one optimizer. In: parameter groups. Out: an optimizer.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes every update of a matrix orthogonal. Moonshot's scaling (Liu et
al. 2025, arXiv:2502.16982, eq. 4: 0.2 sqrt(max(rows, columns))) gives its updates the size of AdamW's, so that one learning rate
and one weight decay serve both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from llava_graph.errors import InputError
from train.learning.parts import CONNECTOR, part_of

if TYPE_CHECKING:
    from torch import nn

    from train.flags.arguments import TrainArguments

MOMENTUM = 0.95
_IN_A_LAYER = re.compile(r"\.layers\.\d+\.(?:.*\.)?weight$")


def check_muon(training: TrainArguments) -> None:
    """Raises InputError where --muon cannot be had."""
    if not training.muon:
        return
    kind = str(getattr(training.optim, "value", training.optim))
    if not kind.startswith("adamw_torch"):
        raise InputError(f"--muon goes with AdamW, not with --optim {kind}", next_step="Leave --optim out")
    if training.fp16:
        raise InputError("--muon knows no scaled gradients of --fp16", next_step="Take --bf16 True")
    if training.deepspeed or training.fsdp:
        raise InputError(
            "--muon needs whole matrices, and --deepspeed and --fsdp cut them up",
            next_step="Leave it out, or train with plain torchrun",
        )


def matrices_of(model: nn.Module) -> frozenset[str]:
    """Names of the learning matrices inside the layers of language model and vision tower, and of the connector.

    No embedding, no head, and no table of position biases, which is a table of scalars."""
    return frozenset(
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.ndim == 2 and (_IN_A_LAYER.search(name) or part_of(name) == CONNECTOR)
    )


class MuonAdamW(torch.optim.Optimizer):
    """torch's own Muon and AdamW over the same groups and one state; `matrices` in a group says that Muon takes it."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "matrices": False})
        makers: dict[bool, Callable[..., torch.optim.Optimizer]] = {
            True: lambda mine: torch.optim.Muon(mine, lr=lr, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"),
            False: lambda mine: torch.optim.AdamW(mine, lr=lr, betas=betas, eps=eps, fused=True),
        }
        self._parts: list[tuple[torch.optim.Optimizer, list[int]]] = []
        for kind, make in makers.items():
            places = [place for place, group in enumerate(self.param_groups) if group["matrices"] == kind]
            if places:
                copies = [
                    {name: self.param_groups[place][name] for name in ("params", "lr", "weight_decay")}
                    for place in places
                ]
                self._parts.append((make(copies), places))
        self._join()

    def _join(self) -> None:
        """What the two remember of a parameter lies in this optimizer's state, which is what checkpoints hold."""
        for part, _ in self._parts:
            part.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `state_dict` gave it."""
        super().load_state_dict(state_dict)
        self._join()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both, at the rates of the groups as they are now."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part, places in self._parts:
            for mine, place in zip(part.param_groups, places, strict=True):
                mine["lr"], mine["weight_decay"] = (
                    self.param_groups[place]["lr"],
                    self.param_groups[place]["weight_decay"],
                )
            part.step()
        return loss
