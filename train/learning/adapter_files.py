"""A model with LoRA as files. In: the model and its whole state. Out: PEFT's adapter, or the state of a model without LoRA."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.model.adapters import ADAPTER_WEIGHTS, NON_LORA, PREFIX, TOKEN_ROWS
from train.learning.parts import LANGUAGE, part_of

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
"""Name in the model -> tensor."""


def save_adapter(model: Any, state: State, base: str, out: Path) -> None:
    """adapter_config.json, adapter_model.safetensors and non_lora_trainables.safetensors to `out`.

    `state` holds at least all that learns. `base` is where the base model lies: a folder, or owner/name on the hub.
    """
    whole, modules = learnt_whole(model)
    rows = token_rows(model)
    config = copy.deepcopy(model.peft_config["default"])
    config.base_model_name_or_path = base
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)
    config.modules_to_save = modules or None
    config.trainable_token_indices = rows or None
    tensors = _peft_tensors(model, state)
    for module in modules:
        tensors |= {name: state[name] for name in state if name.startswith(f"{module}.")}
    for module, numbers in rows.items():
        tensors[f"{module}{TOKEN_ROWS}"] = state[f"{module}.weight"][numbers]
    config.save_pretrained(str(out))
    _save({f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}, out / ADAPTER_WEIGHTS)
    if whole:
        _save(_file_names(model, {name: state[name] for name in whole}), out / NON_LORA)
    else:
        (out / NON_LORA).unlink(missing_ok=True)


def _save(tensors: State, file: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, file, metadata={"format": "pt"}
    )
    file.chmod(0o644)


def _peft_tensors(model: Any, state: State) -> State:
    """LoRA's own tensors, and the biases that --lora_bias lets learn."""
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(model, state_dict=state, adapter_name="default", save_embedding_layers=False))


def _file_names(model: Any, state: State) -> State:
    """The names that a whole checkpoint has for these tensors."""
    from transformers.core_model_loading import revert_weight_conversion

    from llava_graph.model.build import PUBLISHED_TYPES, published_names

    if model.config.model_type in PUBLISHED_TYPES:
        return published_names(model, state)
    return dict(revert_weight_conversion(model, state))


def learnt_whole(model: Any) -> tuple[list[str], list[str]]:
    """What learns beside LoRA: names of its parameters, and of the modules that hold them and nothing of LoRA."""
    names = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and part_of(name) != LANGUAGE and not _is_lora(name)
    ]
    with_lora = {name.partition(".lora_")[0] for name, _ in model.named_parameters() if _is_lora(name)}
    modules: list[str] = []
    for name in sorted(names):
        module = name.rpartition(".")[0]
        inside = any(module == kept or module.startswith(f"{kept}.") for kept in modules)
        if not inside and not any(lora.startswith(f"{module}.") or lora == module for lora in with_lora):
            modules.append(module)
    return names, modules


def _is_lora(name: str) -> bool:
    return ".lora_" in name or ".base_layer." in name


def token_rows(model: Any) -> dict[str, list[int]]:
    """Embedding (one name of tied ones) -> its rows that learn."""
    found = {}
    for name, parameter in model.named_parameters():
        rows = getattr(parameter, "learning_rows", None)
        if rows is not None:
            found[name.removesuffix(".weight")] = list(rows)
    return found


def without_lora(model: Any, state: State, *, merged: bool) -> State:
    """The state of the model as if it had no LoRA: `merged` adds it to its layers, else it is left out.

    Quantized weights come out as the numbers they stand for.
    """
    state = _dequantized(model, state)
    plain = {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}
    if merged:
        for name, module in model.named_modules():
            if "default" in getattr(module, "lora_A", {}):
                down, up = state[f"{name}.lora_A.default.weight"], state[f"{name}.lora_B.default.weight"]
                weight = plain[f"{name}.weight"]
                added = weight.float() + (up.float() @ down.float()) * module.scaling["default"]
                plain[f"{name}.weight"] = added.to(weight.dtype)
    return plain


def _dequantized(model: Any, state: State) -> State:
    """bitsandbytes' packed weights as numbers; their scales are left out."""
    from torch.nn import Linear

    state = dict(state)
    for name, module in model.named_modules():
        kind = type(getattr(module, "weight", None)).__name__
        if not isinstance(module, Linear) or kind not in ("Params4bit", "Int8Params"):
            continue
        from peft.utils.integrations import dequantize_bnb_weight

        weight = dequantize_bnb_weight(module.weight, state=getattr(module, "state", None))
        for key in [key for key in state if key.startswith((f"{name}.weight", f"{name}.SCB"))]:
            del state[key]
        state[f"{name}.weight"] = weight.detach().cpu()
    return state
