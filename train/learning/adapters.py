"""LoRA and QLoRA. In: a model and a command, or an adapter folder. Out: the model with LoRA in its language model.

PEFT puts LoRA into the model itself, so that every module keeps its name and class; `train.running.finish` writes the adapter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError, InputError, missing_extra
from llava_graph.model.adapters import (
    ADAPTER_WEIGHTS,
    NON_LORA,
    PREFIX,
    TOKEN_ROWS,
    adapter_folder,
    read_adapter_config,
)
from llava_graph.model.vocabulary import whole
from train.learning.parts import LANGUAGE, TOWER, idle_names, part_of
from train.running.distributed import is_sharded

if TYPE_CHECKING:
    import torch
    from torch import nn

    from train.flags.arguments import Command


def needs_lora(command: Command) -> bool:
    """Whether the run has LoRA: a new one, or one to go on from."""
    return command.model.lora_enable or bool(command.model.lora_weight_path)


def check_lora(command: Command) -> None:
    """Raises InputError where the flags of LoRA and quantization contradict each other or the stage."""
    asked = command.model
    if not needs_lora(command):
        if asked.bits != 16:
            raise InputError(
                f"--bits {asked.bits}: quantized weights cannot learn", next_step="Add --lora_enable True (QLoRA)"
            )
        if asked.merge_lora:
            raise InputError("--merge_lora without LoRA", next_step="Add --lora_enable True")
        return
    if asked.stage == "projector":
        raise InputError("--stage projector has no LoRA: its language model is frozen", next_step="Leave --stage out")
    if asked.merge_lora and asked.bits != 16:
        raise InputError(
            "--merge_lora with a quantized model would keep its rounding",
            next_step="Leave it out: the adapter is merged with the exact base when it is loaded",
        )
    if asked.lora_target == "all" and asked.tune_vit_from_layer is not None:
        raise InputError("the vision tower gets LoRA (--lora_target all) or learns itself (--tune_vit_from_layer)")
    if asked.bits != 16 and is_sharded(command.training):
        raise InputError(
            f"--bits {asked.bits} does not go with weights in pieces (ZeRO-3, FSDP)", next_step="Take --deepspeed zero2"
        )


def add_lora(model: Any, command: Command) -> None:
    """LoRA on every linear layer of the language model, never on its output head; all else is frozen.

    `--lora_target all`: on the used layers of the vision tower too. `--lora_weight_path`: the shape and the weights of
    that adapter. Of `--lora_bias all` only biases of parts with LoRA learn. Raises CheckpointError.
    """
    import torch

    config = _lora_config(model, command)
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(command.training.seed)
        model.add_adapter(config)
    with_lora = {part_of(name) for name, _ in model.named_parameters() if ".lora_A." in name}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and part_of(name) not in with_lora:
            parameter.requires_grad_(False)
    if command.model.bits != 16:
        _norms_in_full_precision(model)
    if command.model.lora_weight_path:
        restore_adapter(model, adapter_folder(command.model.lora_weight_path))


def _lora_config(model: Any, command: Command) -> Any:
    try:
        from peft import LoraConfig, PeftConfig
    except ModuleNotFoundError as error:
        raise missing_extra(error, needed_for="LoRA") or error from error

    asked = command.model
    if not asked.lora_weight_path:
        return LoraConfig(
            r=asked.lora_r,
            lora_alpha=asked.lora_alpha,
            lora_dropout=asked.lora_dropout,
            bias=asked.lora_bias,
            target_modules=lora_targets(model, asked.lora_target),
            task_type="CAUSAL_LM",
        )
    folder = adapter_folder(asked.lora_weight_path)
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise CheckpointError("the adapter is no LoRA", where=str(folder))
    # By the names that have weights there: endings of names, as older tools wrote, would also meet the vision tower.
    config.target_modules = {name for name in _read(folder)[1] if name}
    config.modules_to_save = config.trainable_token_indices = None
    config.inference_mode = False
    return config


def lora_targets(model: Any, target: str) -> list[str]:
    """Full names of the linear layers that get LoRA. Raises CheckpointError when there is none."""
    from torch.nn import Linear

    parts = (LANGUAGE, TOWER) if target == "all" else (LANGUAGE,)
    head, idle = model.get_output_embeddings(), idle_names(model)
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, Linear) and module is not head and part_of(name) in parts and f"{name}.weight" not in idle
    ]
    if not names:
        raise CheckpointError(f"{type(model).__name__} has no linear layer for LoRA")
    return names


def _norms_in_full_precision(model: nn.Module) -> None:
    """The language model's norms alone, as QLoRA's authors do: with every frozen weight the memory saved would be lost."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "norm" in name and part_of(name) == LANGUAGE:
            parameter.data = parameter.data.float()


def _read(folder: Path) -> tuple[dict[str, torch.Tensor], set[str]]:
    """The tensors of adapter_model.safetensors by the names of the model, and the modules that have LoRA there."""
    from safetensors.torch import load_file

    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / ADAPTER_WEIGHTS).items()}
    return tensors, {name.rpartition(".lora_A.")[0] for name in tensors if ".lora_A." in name}


def restore_adapter(model: Any, folder: Path) -> None:
    """The weights of an adapter folder into a model that has LoRA of the same shape. Raises CheckpointError."""
    import torch

    tensors, _ = _read(folder)
    rows = _token_rows(folder)
    own = dict(model.named_parameters())
    loose = {name: tensor for name, tensor in _loose(folder).items() if name in own}
    unknown = []
    for name, tensor in {**loose, **tensors}.items():
        module = name.removesuffix(TOKEN_ROWS)
        known_as = f"{module}.weight" if module in rows else _with_adapter_name(name)
        target = own.get(known_as)
        if target is None or not _fits(target, tensor, only_rows=module in rows):
            unknown.append(name)
            continue
        with whole([target]), torch.no_grad():
            target[rows[module] if module in rows else slice(None)] = tensor.to(target)
    if unknown:
        raise CheckpointError(
            f"{len(unknown)} weights of the adapter do not fit the model ({', '.join(unknown[:3])})",
            where=str(folder),
            next_step="Is it an adapter of another base model, or of another rank?",
        )


def _fits(target: Any, tensor: torch.Tensor, *, only_rows: bool) -> bool:
    shape = getattr(target, "ds_shape", target.shape)
    return bool(shape[1:] == tensor.shape[1:] if only_rows else shape == tensor.shape)


def _loose(folder: Path) -> dict[str, torch.Tensor]:
    """What learnt whole, by the names of the model as far as they differ from a checkpoint's by "model." alone."""
    from safetensors.torch import load_file

    file = folder / NON_LORA
    return {f"model.{name}": tensor for name, tensor in load_file(file).items()} if file.is_file() else {}


def _with_adapter_name(name: str) -> str:
    """PEFT's files leave out the adapter's name: lora_A.weight is lora_A.default.weight in the model."""
    for piece in (".lora_A.", ".lora_B."):
        name = name.replace(piece, f"{piece}default.")
    return name


def _token_rows(folder: Path) -> dict[str, list[int]]:
    """Embedding -> the rows of its new tokens, of an adapter's configuration."""
    return read_adapter_config(folder).get("trainable_token_indices") or {}


def base_notes(model: nn.Module, command: Command) -> list[str]:
    """What to know when the adapter of --lora_weight_path was made for another base than this run's; [] when it fits.

    Compared are rows of a few weights with those of its base. Of a base that is not on this machine only the name is known.
    """
    asked = command.model
    if not asked.lora_weight_path:
        return []
    folder = adapter_folder(asked.lora_weight_path)
    name = read_adapter_config(folder)["base_model_name_or_path"]
    inside = folder / Path(name).name
    base = next((place for place in (Path(name), inside) if place.is_dir()), None)
    if base is None:
        known = name == asked.model_name_or_path
        return [] if known else [f"the adapter was made for {name}, which is not here to be compared with this base"]
    if asked.bits != 16 or is_sharded(command.training):
        return []  # weights here are packed or in pieces
    if _has_rows_of(model, base):
        return []
    return [
        f"the adapter was made for another base ({base}): on this one it starts from something that nobody has trained"
    ]


COMPARED = 8
"""Weights of which a row is compared: those of a layer or so."""


def _has_rows_of(model: nn.Module, base: Path) -> bool:
    """Whether the first rows of some matrices of the language model are those in the files of `base`."""
    import torch
    from safetensors import safe_open

    own = {
        _layer_name(name): parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and part_of(name) == LANGUAGE and ".layers." in name and ".lora_" not in name
    }
    compared = 0
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            names = [name for name in opened.keys() if part_of(name) == LANGUAGE and ".layers." in name]  # noqa: SIM118
            for name in names:
                mine = own.get(_layer_name(name))
                if mine is None or compared == COMPARED:
                    continue
                compared += 1
                row = opened.get_slice(name)[:1]
                kinds = {row.dtype, mine.dtype}
                coarse = next((kind for kind in (torch.bfloat16, torch.float16) if kind in kinds), torch.float32)
                if not torch.equal(row.to(coarse), mine.detach()[:1].cpu().to(coarse)):
                    return False
    return True


def _layer_name(name: str) -> str:
    """A weight's name from its layer on: the same in a model, with LoRA or without, and in its files."""
    return name.partition(".layers.")[2].replace(".base_layer.", ".")
