"""The device that a person names -> torch's, tried before a model is fetched and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llava_graph.errors import InputError

if TYPE_CHECKING:
    import torch


def device_named(device: str | torch.device | None) -> torch.device:
    """The device; None is the GPU if there is one. Raises InputError for one that is unknown, or not there."""
    import torch

    if device is None or device == "":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    next_step = "Give cpu, cuda, cuda:1, …, or leave it out"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"there is no device {str(device)!r}", next_step=next_step) from error
    if place.type == "meta":
        raise InputError("the device 'meta' holds no weights", next_step=next_step)
    if place.type != "cpu":
        try:
            torch.empty(0, device=place)
        except (RuntimeError, AssertionError, NotImplementedError, ImportError, ValueError) as error:
            why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise InputError(f"the device {str(device)!r} cannot be used here ({why})", next_step=next_step) from error
    return place
