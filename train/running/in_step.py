"""Processes that share weights or gradients run the same modules in every step, also those whose batch holds no image.

In: a model and the inputs of one image. Out: the model; a batch without images looks at a blank one, which counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from train.batching.encoding import PER_TOKEN, Encoder
from train.sources import Sample
from train.sources.pictures import BLANK_SIDE_PX

if TYPE_CHECKING:
    from torch import nn

    from train.batching.batches import TrainingSet


def image_inputs(dataset: TrainingSet) -> dict[str, torch.Tensor]:
    """The model's inputs of the shortest sample with an image; {} when no sample has one."""
    rows = dataset.checked.images.nonzero()[0]
    if not len(rows):
        return {}
    return _of_images(dataset[int(rows[dataset.checked.lengths[rows].argmin()])]["vision"])


def white_inputs(encoder: Encoder) -> dict[str, torch.Tensor]:
    """The model's inputs of a white image, for samples that nobody has looked at."""
    from PIL import Image

    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "White."}]}
    white = Image.new("RGB", (BLANK_SIDE_PX, BLANK_SIDE_PX), "white")
    return _of_images(encoder.vision(Sample([question, answer], (white,), "white")))


def _of_images(vision: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one for name, one in vision.items() if name not in PER_TOKEN}


def install_blank_image(model: Any, vision: Mapping[str, torch.Tensor]) -> None:
    """Let a batch without any of the inputs `vision` run the vision tower on zeros of the same shapes, times zero.

    Otherwise ZeRO-3 and FSDP gather another weight on this process than on the others and never come together again, and
    DDP waits for gradients that do not come. As with a real image the features come right before the language model and
    go into its input: forward and backward then ask for weights, and give gradients, in the same order everywhere.
    """
    blank = {name: torch.zeros_like(one) if one.is_floating_point() else one for name, one in vision.items()}
    original = model.forward
    wanted = [False]

    def look(module: nn.Module, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:  # noqa: ARG001
        embeds = inputs.get("inputs_embeds")
        if not wanted[0] or embeds is None:
            return None
        wanted[0] = False
        found = model.get_image_features(**{name: one.to(embeds.device) for name, one in blank.items()})
        nothing = sum(one.float().mean() for one in _tensors(found)) * 0.0
        return args, {**inputs, "inputs_embeds": embeds + torch.as_tensor(nothing).to(embeds.dtype)}

    def forward(*args: Any, **inputs: Any) -> Any:
        wanted[0] = inputs.get("labels") is not None and not any(name in inputs for name in blank)
        try:
            return original(*args, **inputs)
        finally:
            wanted[0] = False

    forward.__signature__ = getattr(original, "__signature__", None)  # type: ignore[attr-defined]
    model.get_decoder().register_forward_pre_hook(look, with_kwargs=True)
    model.forward = forward


def _tensors(found: Any) -> Iterator[torch.Tensor]:
    """The features in what a model's `get_image_features` returns: an output with them pooled, lists, or a tensor."""
    found = getattr(found, "pooler_output", found)
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, tuple | list):
        for one in found:
            yield from _tensors(one)
