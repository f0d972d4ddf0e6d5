"""LoRA in both layouts: LLaVA's folder with `non_lora_trainables.bin`, and ours, which is PEFT's. Merged piece by piece.

In: a folder. Out: an `Adapter`; a model with it merged in; either folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.durable import write_json
from llava_graph.errors import CheckpointError
from llava_graph.model.adapters import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    MODEL_CONFIG,
    NON_LORA,
    PREFIX,
    TOKEN_ROWS,
    read_adapter_config,
)
from llava_graph.model.legacy.llava import Llava, plain_tensors
from llava_graph.model.legacy.names import (
    EMBEDDINGS,
    HEAD,
    NEWLINE,
    PROJECTOR,
    Connector,
    to_llava,
    to_transformers,
)
from llava_graph.model.legacy.tensors import Stored, Tensors, open_weights
from llava_graph.model.legacy.write import write_pickled, write_weights
from llava_graph.model.load import TOKENIZER_FILES
from llava_graph.model.tokenizer_files import open_tokenizer
from llava_graph.model.towers import read_json

if TYPE_CHECKING:
    import torch

OLD_WEIGHTS = "adapter_model.bin"
OLD_NON_LORA = "non_lora_trainables.bin"
UNKNOWN = ("use_dora", "fan_in_fan_out", "alpha_pattern", "rank_pattern", "layer_replication")
"""Settings of PEFT that add something else than B A alpha / r."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """LoRA for a LLaVA, by LLaVA's names."""

    folder: Path
    config: dict[str, Any]
    """adapter_config.json"""
    pairs: dict[str, tuple[Stored, Stored]]
    """Weight -> A (r, in), B (out, r)."""
    whole: Tensors
    """What learnt beside LoRA."""
    rows: dict[str, tuple[tuple[int, ...], Stored]]
    """Embedding -> numbers and values of its rows that learnt."""
    ours: bool
    """Whether it lies over a model in transformers' layout."""

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        rank = int(self.config.get("r", 8))
        return float(self.config.get("lora_alpha", 8)) / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder of either layout. Raises CheckpointError."""
    config = read_adapter_config(folder)
    if odd := [name for name in UNKNOWN if config.get(name)]:
        raise CheckpointError(f"this kind of LoRA is not known here ({odd[0]})", where=str(folder))
    stored = _stored(folder)
    content = read_json(folder / MODEL_CONFIG)
    pairs: dict[str, dict[str, Stored]] = {}
    rows: dict[str, tuple[tuple[int, ...], Stored]] = {}
    rest: Tensors = {}
    numbers = config.get("trainable_token_indices") or {}
    for name, value in stored.items():
        module, side = _lora_side(name)
        if side:
            pairs.setdefault(_named(module, folder), {})[side] = value
        elif name.endswith(TOKEN_ROWS):
            module = name.removesuffix(TOKEN_ROWS)
            rows[_named(module, folder)] = (tuple(numbers.get(module.removeprefix(PREFIX), ())), value)
        else:
            rest[name] = value
    for file in (NON_LORA, OLD_NON_LORA):
        if (folder / file).is_file():
            rest |= open_weights(folder / file)
            break
    whole = {name: value for name, value in ((to_llava(name), value) for name, value in rest.items()) if name}
    if content and any(name.startswith(f"{PROJECTOR}linear_") for name in whole):
        whole = plain_tensors(whole, content, folder)
    if half := [name for name, sides in pairs.items() if len(sides) != 2]:
        raise CheckpointError(f"half of the LoRA of {half[0]} is missing", where=str(folder))
    return Adapter(
        folder=folder,
        config=config,
        pairs={name: (sides["A"], sides["B"]) for name, sides in pairs.items()},
        whole=whole,
        rows=rows,
        ours=bool(content),
    )


def _stored(folder: Path) -> Tensors:
    for name in (ADAPTER_WEIGHTS, OLD_WEIGHTS):
        if (folder / name).is_file():
            return open_weights(folder / name)
    raise CheckpointError(f"the adapter's weights are missing ({ADAPTER_WEIGHTS} or {OLD_WEIGHTS})", where=str(folder))


def _lora_side(name: str) -> tuple[str, str]:
    """(module, "A" or "B") of a LoRA weight; the side is empty for others. Old files have the adapter's name in between."""
    for side in "AB":
        module, found, _ = name.partition(f".lora_{side}.")
        if found:
            return module, side
    return name, ""


def _named(module: str, folder: Path) -> str:
    name = to_llava(f"{module}.weight")
    if name is None:
        raise CheckpointError(f"LoRA on {module} has no place in a LLaVA", where=str(folder))
    return name


def adapt(base: Llava, adapter: Adapter) -> Llava:
    """The base with the adapter's weights in place of its own, LoRA merged as it is read. Raises CheckpointError."""
    tensors = {**base.tensors, **adapter.whole}
    for name, pair in adapter.pairs.items():
        down, up = pair
        if name not in tensors or tensors[name].shape != (up.shape[0], down.shape[1]):
            found = tensors[name].shape if name in tensors else "not there"
            raise CheckpointError(
                f"it lies over another base model: {name} must be {(up.shape[0], down.shape[1])}, and is {found}",
                where=str(adapter.folder),
                next_step="Give the base that it was trained on as --base",
            )
        tensors[name] = _merged(tensors[name], pair, adapter.scale)
    for name, (numbers, values) in adapter.rows.items():
        tensors[name] = _with_new_rows(tensors[name], numbers, values)
        if name == EMBEDDINGS and HEAD in tensors and base.config.get("tie_word_embeddings"):
            tensors[HEAD] = tensors[name]
    own = read_json(adapter.folder / "config.json")
    has_tokenizer = any((adapter.folder / name).is_file() for name in TOKENIZER_FILES)
    return replace(
        base,
        tensors=tensors,
        config=own or base.config,
        tokenizer=open_tokenizer(adapter.folder) if has_tokenizer else base.tokenizer,
        overlay=adapter.folder if adapter.ours and base.origin else None,
        where=adapter.folder,
    )


def _merged(weight: Stored, pair: tuple[Stored, Stored], scale: float) -> Stored:
    def read() -> torch.Tensor:
        down, up = (side.read().float() for side in pair)
        return (weight.read().float() + (up @ down) * scale).to(weight.dtype)

    return Stored(weight.shape, weight.dtype, read)


def _with_new_rows(table: Stored, numbers: tuple[int, ...], values: Stored) -> Stored:
    def read() -> torch.Tensor:
        known = table.read().clone()
        known[list(numbers)] = values.read().to(known)
        return known

    return Stored(table.shape, table.dtype, read)


def write_original_lora(base: Llava, adapter: Adapter, out: Path, base_name: str) -> list[str]:
    """LLaVA's folder: adapter, `non_lora_trainables.bin`, and the configuration and tokenizer of the whole model."""
    whole = {name: stored for name, stored in base.tensors.items() if name.startswith(PROJECTOR) or name == NEWLINE}
    adapted = adapt(base, adapter)
    whole |= {name: adapted.tensors[name] for name in (*adapter.whole, *adapter.rows)}
    write_pickled({PREFIX + name: stored for name, stored in whole.items()}, out / OLD_NON_LORA)
    named = {name.removesuffix(".weight"): pair for name, pair in adapter.pairs.items()}
    _write_pairs(adapter, {f"{PREFIX}{name}": pair for name, pair in named.items()}, sorted(named), base_name, out)
    write_json(out / "config.json", adapted.config)
    adapted.tokenizer.save_pretrained(out)
    return [f"lies over {base_name}, which LLaVA's own programs need in LLaVA's layout (--to llava)"]


def write_plain_lora(adapter: Adapter, base: Path, connector: Connector, out: Path, base_name: str) -> None:
    """Our folder, which is PEFT's, over the model in transformers' layout at `base`."""
    pairs = {
        to_transformers(name, connector, published=False).removesuffix(".weight"): pair
        for name, pair in adapter.pairs.items()
    }
    _write_pairs(adapter, {f"{PREFIX}{name}": pair for name, pair in pairs.items()}, sorted(pairs), base_name, out)
    write_json(out / MODEL_CONFIG, read_json(base / "config.json"))


def _write_pairs(
    adapter: Adapter, pairs: dict[str, tuple[Stored, Stored]], modules: list[str], base_name: str, out: Path
) -> None:
    write_weights(
        {f"{name}.lora_{side}.weight": pair["AB".index(side)] for name, pair in pairs.items() for side in "AB"},
        out,
        stem=ADAPTER_WEIGHTS.removesuffix(".safetensors"),
    )
    # Full names of the modules: endings alone (q_proj) would also meet the vision tower.
    changes = {"base_model_name_or_path": base_name, "target_modules": modules, "inference_mode": True}
    changes |= {"modules_to_save": None, "trainable_token_indices": None}
    write_json(out / ADAPTER, {**adapter.config, **changes})
