"""What all processes of a step hold, side by side in the order of their ranks: with and without gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1


def rank() -> int:
    """This process's number."""
    return 0 if _alone() else distributed.get_rank()


@torch.no_grad()
def gather(tensor: torch.Tensor) -> torch.Tensor:
    """(n, …) of each process -> (processes · n, …), without gradients."""
    if _alone():
        return tensor.detach()
    pieces = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(pieces, tensor.detach().contiguous())
    return torch.cat(pieces)


def gather_with_gradient(tensor: torch.Tensor) -> torch.Tensor:
    """The same; a process's rows get the sum of the gradients that all processes have for them.

    With DDP, which takes the mean over processes, the gradient is that of the mean of all processes' losses.
    """
    return tensor if _alone() else _Gathered.apply(tensor)


class _Gathered(torch.autograd.Function):
    """torch.distributed.nn's all_gather needs an all_to_all on the way back, which gloo has not everywhere."""

    @staticmethod
    def forward(context: Any, tensor: torch.Tensor) -> torch.Tensor:
        context.rows = len(tensor)
        return gather(tensor)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed)
        start = distributed.get_rank() * context.rows
        return summed[start : start + context.rows]
