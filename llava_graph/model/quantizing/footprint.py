"""What a model's weights take. In: a model in memory. Out: bytes by part and by type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llava_graph.model.quantize import unquantized

if TYPE_CHECKING:
    import torch

LANGUAGE, EMBEDDINGS, OTHER = "language_model", "embeddings", "other"
SCALES = "scales"
"""The type of what bitsandbytes keeps beside packed weights; transformers' get_memory_footprint() leaves it out."""


def weight_bytes(model: Any) -> dict[str, dict[str, int]]:
    """part -> type -> bytes, every tensor once.

    Parts are named as in the model: vision_tower, multi_modal_projector, language_model (without its embeddings), embeddings,
    lm_head (where it is not the embeddings), other.
    """
    prefixes = _prefixes(model)
    found: dict[str, dict[str, int]] = {part: {} for part in prefixes.values()}
    seen: set[int] = set()
    for name, kind, tensor in _tensors(model):
        if tensor.data_ptr() in seen or not tensor.numel():
            continue
        seen.add(tensor.data_ptr())
        part = next((part for prefix, part in prefixes.items() if f"{name}.".startswith(f"{prefix}.")), OTHER)
        kinds = found.setdefault(part, {})
        kinds[kind] = kinds.get(kind, 0) + tensor.numel() * tensor.element_size()
    return {part: kinds for part, kinds in found.items() if kinds}


def _prefixes(model: Any) -> dict[str, str]:
    """Module name -> part, those inside others first."""
    names = {id(module): name for name, module in model.named_modules()}
    apart = {name: name.rpartition(".")[2] for name in unquantized(model, 8)}
    inside = {names[id(model.get_input_embeddings())]: EMBEDDINGS, names[id(model.get_decoder())]: LANGUAGE}
    return apart | inside


def _tensors(model: Any) -> Iterator[tuple[str, str, torch.Tensor]]:
    """(name, type, tensor) of all weights, and of the scales of packed ones."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        yield name, str(tensor.dtype).removeprefix("torch."), tensor
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        for tensor in _scales(getattr(weight, "quant_state", None)):
            yield name, SCALES, tensor
        # LLM.int8() moves them from the weight to the layer's state at the first product.
        for tensor in (getattr(weight, "SCB", None), getattr(getattr(module, "state", None), "SCB", None)):
            if tensor is not None:
                yield name, SCALES, tensor


def _scales(state: Any) -> Iterator[torch.Tensor]:
    """Of a 4-bit weight: scales of blocks, the 16 values, and under double quantization the scales' own."""
    if state is None:
        return
    for tensor in (state.absmax, state.code, getattr(state, "offset", None)):
        if tensor is not None:
            yield tensor
    yield from _scales(getattr(state, "state2", None))
