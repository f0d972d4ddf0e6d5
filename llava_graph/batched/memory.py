"""How much a cache of keys and values may hold. In: a loaded model. Out: tokens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llava_graph.model.load import LoadedModel

SHARE = 0.4
"""Of the free memory. The buffers have room for half as much again, and prompts that are read need some beside them."""


def bytes_per_token(loaded: LoadedModel) -> int:
    """Keys and values of one token in all layers."""
    config = loaded.model.config.get_text_config()
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    return 2 * config.num_hidden_layers * kept * head * loaded.model.dtype.itemsize


def tokens_that_fit(loaded: LoadedModel) -> int:
    """In the memory that is free now; at least one whole context."""
    return max(loaded.context_length, int(SHARE * free_bytes(loaded) / bytes_per_token(loaded)))


def free_bytes(loaded: LoadedModel) -> int:
    """Where the model is."""
    if loaded.model.device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(loaded.model.device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # no Linux: half of what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def free_memory(loaded: LoadedModel) -> None:
    """Give back what torch's allocator keeps for later."""
    if loaded.model.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
