"""torch.compile layer by layer. In: a model. Out: the same model, its layers compiled at their first call.

The layers of a stack are alike, so one compilation serves all (seconds instead of minutes for the whole model), and what
stands around them (joining images and text, the loss) stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

RECOMPILATIONS = 64
"""Batches of samples of every length change their shape; torch's own limit of 8 would fall back to uncompiled code."""


def compile_layers(model: nn.Module) -> int:
    """Compile every layer of every stack of alike layers (language model, vision tower). Returns how many."""
    from torch._dynamo import config

    from train.learning.stages import TOWER, part_of

    config.recompile_limit = max(config.recompile_limit, RECOMPILATIONS)
    compiled = 0
    stacks = {name: stack for name, stack in model.named_modules() if isinstance(stack, torch.nn.ModuleList)}
    for name, stack in stacks.items():
        if not (part_of(name) == TOWER and _nested(name, stacks)):
            # The number of images changes from row to row, the length of a packed row does not.
            dynamic = True if part_of(name) == TOWER else None
            for layer in _alike(stack):
                layer.compile(dynamic=dynamic)
                compiled += 1
    return compiled


def _nested(name: str, stacks: Collection[str]) -> bool:
    """Whether a stack lies in another one, or holds one: the stages of a Swin, whose windows over an unknown number of images
    keep torch's symbolic shapes busy for minutes, for a tenth of the tower's time."""
    return any(other.startswith(f"{name}.") or name.startswith(f"{other}.") for other in stacks)


def _alike(stack: nn.ModuleList) -> list[nn.Module]:
    """The layers of a stack of two or more of one class that have weights of their own."""
    kinds = {type(layer) for layer in stack}
    deep = all(any(True for _ in layer.children()) for layer in stack)
    return list(stack) if len(stack) > 1 and len(kinds) == 1 and deep else []
