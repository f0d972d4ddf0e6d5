"""torch.compile layer by layer. In: a model. Out: the same model, its layers compiled at their first call.

The layers of a stack are alike, so one compilation serves all (seconds instead of minutes for the whole model), and what
stands around them (joining images and text, the loss) stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

RECOMPILATIONS = 64
"""The number of images and of samples in a row changes; torch's own limit of 8 would fall back to uncompiled code."""


def compile_layers(model: nn.Module) -> int:
    """Compile every layer of every stack of alike layers (language model, vision tower). Returns how many."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILATIONS)
    layers = [layer for stack in model.modules() if isinstance(stack, torch.nn.ModuleList) for layer in _alike(stack)]
    for layer in layers:
        layer.compile()
    return len(layers)


def _alike(stack: nn.ModuleList) -> list[nn.Module]:
    """The layers of a stack of two or more of one class that have weights of their own."""
    kinds = {type(layer) for layer in stack}
    deep = all(any(True for _ in layer.children()) for layer in stack)
    return list(stack) if len(stack) > 1 and len(kinds) == 1 and deep else []
