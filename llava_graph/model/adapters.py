"""Adapter folders: LoRA weights that lie over a base checkpoint. In: a folder. Out: the base's folder, and the merged model.

The folder is PEFT's own (adapter_config.json, adapter_model.safetensors), so that plain PEFT and transformers open it too:
parts that learnt whole are its `modules_to_save`, new tokens its `trainable_token_indices`.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError, InputError, missing_extra
from llava_graph.model.hub import checkpoint_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
NON_LORA = "non_lora_trainables.safetensors"
"""What learnt beside LoRA, by the names of a whole checkpoint (LLaVA's custom, as safetensors)."""
MODEL_CONFIG = "model_config.json"
"""config.json of the model with its adapter. Under its usual name transformers would look for a whole model here."""
PREFIX = "base_model.model."
"""Before the model's own names in PEFT's files."""
TOKEN_ROWS = ".token_adapter.trainable_tokens_delta"  # noqa: S105
"""Behind an embedding's name: the rows of its new tokens."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a model."""
    return (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()


def adapter_folder(name: Path | str) -> Path:
    """The folder of an adapter with safetensors weights (a folder, or owner/name on the hub). Raises CheckpointError."""
    folder = checkpoint_folder(name)
    if not (folder / ADAPTER).is_file():
        raise CheckpointError(f"no adapter ({ADAPTER} is missing)", where=str(folder))
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        raise CheckpointError(
            "only pickled weights (adapter_model.bin) are there" if pickled else f"{ADAPTER_WEIGHTS} is missing",
            where=str(folder),
            next_step="llava-graph convert makes safetensors of it" if pickled else "Fetch or train the adapter again",
        )
    return folder


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """adapter_config.json. Raises CheckpointError."""
    try:
        config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{ADAPTER} cannot be read ({error})", where=str(folder)) from error
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise CheckpointError(f"{ADAPTER} names no base model (base_model_name_or_path)", where=str(folder))
    return config


def base_folder(folder: Path) -> Path:
    """The folder of an adapter's base: as the adapter names it (folder or owner/name), or inside the adapter's own folder.

    Raises CheckpointError.
    """
    name = read_adapter_config(folder)["base_model_name_or_path"]
    inside = folder / Path(name).name  # the two were moved together
    base = inside if inside.is_dir() and not Path(name).is_dir() else checkpoint_folder(name)
    if not base.is_dir():
        raise CheckpointError(
            f"the base model of the adapter is not there ({name or 'no name'})",
            where=str(folder),
            next_step=f"Write where it is as base_model_name_or_path into {ADAPTER}",
        )
    return base


def base_under(folder: Path, named: Path | str | None) -> Path:
    """The folder whose weights are opened for `folder`: itself, or under an adapter `named`, else the base that it names.

    Raises CheckpointError, and InputError where a base is named for what is no adapter.
    """
    if is_adapter(folder):
        return base_folder(folder) if named is None else checkpoint_folder(named)
    if named is not None:
        raise InputError(
            f"{folder} is no adapter, so it takes no base model",
            next_step=f"Leave the base out; one in LLaVA's own layout: llava-graph convert {folder} NEW_FOLDER --base {named}",
        )
    return folder


def own_config(folder: Path) -> dict[str, Any]:
    """model_config.json; {} for adapters of other trainers, which have none."""
    try:
        config = json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{MODEL_CONFIG} cannot be read ({error})", where=str(folder)) from error
    return config if isinstance(config, dict) else {}


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The base model with an adapter added into its weights, on the same device.

    A quantized model keeps it apart: its packed weights would be rounded anew. Raises CheckpointError, MissingExtra.
    """
    try:
        from peft import PeftModel
        from peft.utils import get_peft_model_state_dict
    except ModuleNotFoundError as error:
        raise missing_extra(error, needed_for="an adapter") or error from error
    from safetensors import safe_open

    with safe_open(adapter_folder(folder) / ADAPTER_WEIGHTS, framework="pt") as file:
        saved = set(file.keys())
    try:
        with warnings.catch_warnings():
            # What is missing is an error below; that tied embeddings stay tied is PEFT's own doing.
            warnings.simplefilter("ignore")
            if getattr(model, "is_quantized", False):
                model.load_adapter(str(folder))
                _take_loose_parameters(model, folder)
                return model
            adapted = PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"the adapter does not fit its base model ({str(error).strip().splitlines()[0][:200]})", where=str(folder)
        ) from error
    missing = saved ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    # PEFT tells some twice: the rows of a tied head, and biases of parts that learnt whole.
    twice = (f"lm_head{TOKEN_ROWS}", ".original_module.", ".modules_to_save.")
    missing = {name for name in missing if not any(piece in name for piece in twice)}
    if missing:
        raise CheckpointError(
            f"{len(missing)} weights of the adapter do not fit its base model ({', '.join(sorted(missing)[:3])})",
            where=str(folder),
        )
    merged = adapted.merge_and_unload()
    _take_loose_parameters(merged, folder)
    return merged


def _take_loose_parameters(model: PreTrainedModel, folder: Path) -> None:
    """What PEFT has no module for: parameters that stand alone, as LLaVA-NeXT's `image_newline`."""
    import torch
    from safetensors.torch import load_file

    if not (folder / NON_LORA).is_file():
        return
    own = dict(model.named_parameters())
    for name, tensor in load_file(folder / NON_LORA).items():
        parameter = own.get(name, own.get(f"model.{name}"))
        if parameter is not None:
            with torch.no_grad():
                parameter.copy_(tensor)
