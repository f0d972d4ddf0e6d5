"""Which parts learn, and how fast. In: a model and a stage. Out: frozen and trainable parameters, and the optimizer's groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

PARTS = {"vision_tower": "vision tower", "multi_modal_projector": "connector"}
"""Module name -> part; everything else is the language model."""

TRAINED = {
    "full": ("vision tower", "connector", "language model"),
    "projector": ("connector",),
    "frozen-tower": ("connector", "language model"),
}


def part_of(name: str) -> str:
    """The part to which the parameter `name` belongs."""
    return next((part for module, part in PARTS.items() if module in name.split(".")), "language model")


def freeze(model: nn.Module, stage: str) -> None:
    """Let only the parts of `stage` learn. Raises CheckpointError when the model has no such part."""
    found = {part_of(name) for name, _ in model.named_parameters()}
    missing = set(TRAINED[stage]) - found
    if missing:
        raise CheckpointError(f"the model has no {sorted(missing)[0]}", next_step="Give a LLaVA checkpoint")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in TRAINED[stage])


def count_parameters(model: nn.Module) -> dict[str, dict[str, int]]:
    """part -> {"all", "trained"} numbers of parameters."""
    counts: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        count = counts.setdefault(part_of(name), {"all": 0, "trained": 0})
        count["all"] += parameter.numel()
        count["trained"] += parameter.numel() if parameter.requires_grad else 0
    return counts


def parameter_groups(
    model: nn.Module, *, decayed: Iterable[str], weight_decay: float, rates: dict[str, float | None]
) -> list[dict[str, Any]]:
    """Optimizer groups by part and by decay. `rates`: part -> its own learning rate, None for the common one."""
    decayed = set(decayed)
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = part_of(name)
        key = (part if rates.get(part) is not None else "", name in decayed)
        if key not in groups:
            groups[key] = {"params": [], "weight_decay": weight_decay if key[1] else 0.0}
            if key[0]:
                groups[key]["lr"] = rates[part]
        groups[key]["params"].append(parameter)
    return list(groups.values())
