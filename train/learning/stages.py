"""Which parts of a model learn, and how fast. In: a loaded model and a command. Out: frozen and learning parameters.

Parts are found by the names of modules, so that any image-text-to-text model of transformers is cut the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError, InputError
from train.learning.adapters import add_lora, base_notes, check_lora, needs_lora
from train.learning.new_tokens import add_new_tokens, learning_share, let_rows_learn
from train.learning.parts import CONNECTOR, LANGUAGE, PARTS, TOWER, idle_names, layer_number, part_of, tower_layers
from train.running.distributed import number_of

if TYPE_CHECKING:
    from torch import nn

    from llava_graph.model import LoadedModel
    from train.flags.arguments import Command

TRAINED = {
    "full": frozenset((TOWER, CONNECTOR, LANGUAGE)),
    "projector": frozenset((CONNECTOR,)),
    "frozen-tower": frozenset((CONNECTOR, LANGUAGE)),
}
"""Stage -> the parts that learn."""


def prepare(loaded: LoadedModel, command: Command) -> LoadedModel:
    """Freeze what does not learn; add new tokens and LoRA where asked. Deterministic for the run's seed.

    Raises InputError when the flags contradict each other, CheckpointError when the model has no such part.
    """
    check_lora(command)
    model = loaded.model
    parts = learning_parts(command)
    _check_parts(model, command)
    rows = add_new_tokens(loaded, command)
    learning = learning_names(model, parts, command.model.tune_vit_from_layer)
    model.requires_grad_(False)
    if needs_lora(command):
        add_lora(model, command)
    for name, parameter in model.named_parameters():
        if name in learning:
            parameter.requires_grad_(True)
    if LANGUAGE not in parts:
        let_rows_learn(model, rows, command)
    _keep_full_precision(model, command)
    _spare_backward(model, command)
    return loaded


def learning_parts(command: Command) -> frozenset[str]:
    """The parts that learn whole (the vision tower: perhaps only some layers); LoRA comes on top."""
    asked = command.model
    parts = TRAINED[asked.stage]
    if needs_lora(command):
        parts = frozenset((CONNECTOR,))
    if asked.tune_vit_from_layer is not None:
        parts |= {TOWER}
    if command.data.text_only:
        # No image is shown, so nothing would reach them; parameters without a gradient also stop DDP.
        parts -= {TOWER, CONNECTOR}
        if not parts and not needs_lora(command):
            raise InputError(
                f"--text_only with --stage {asked.stage} leaves nothing to learn", next_step="Take --stage full"
            )
    return parts


def check_reached(model: nn.Module, *, images: int) -> None:
    """Raises InputError when only images would reach what learns, and the data has none (`images`: how many)."""
    learning = {part_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not images and learning <= {CONNECTOR, TOWER}:
        raise InputError(
            f"no sample has an image, and only the {' and the '.join(sorted(learning))} would learn",
            next_step="Give data with images, or take --stage full",
        )


def _check_parts(model: nn.Module, command: Command) -> None:
    """Raises CheckpointError when the command speaks of a part that the model has not."""
    asked, training = command.model, command.training
    found = {part_of(name) for name, _ in model.named_parameters()}
    wanted = {
        CONNECTOR: asked.stage != "full" or training.mm_projector_lr is not None,
        TOWER: asked.stage == "frozen-tower"
        or asked.tune_vit_from_layer is not None
        or training.mm_vision_tower_lr is not None,
    }
    for part, needed in wanted.items():
        if needed and part not in found:
            modules = sorted({".".join(name.split(".")[:-1][:2]) for name, _ in model.named_parameters()})
            raise CheckpointError(
                f"{type(model).__name__} has no {part} that we know (its modules: {', '.join(modules)})",
                where=asked.model_name_or_path,
                next_step=f"Give a model with one of {', '.join(sorted(PARTS[part]))}, or --stage full",
            )


def learning_names(model: nn.Module, parts: frozenset[str], tower_from: int | None) -> set[str]:
    """Names of the parameters of `parts` that learn. `tower_from`: layers of the tower from this one on, None or 0: all.

    Left out are those that no image ever reaches (`idle_names`) and the identity of a linear connector. Raises InputError.
    """
    frozen = idle_names(model) | _identity_names(model)
    names = {name for name, _ in model.named_parameters() if part_of(name) in parts and name not in frozen}
    if TOWER not in parts or not tower_from or tower_from < 0:
        return names
    found = tower_layers(model)
    if found is None:
        raise CheckpointError(
            "the vision tower has no list of layers, so it cannot learn from one of them on",
            next_step="Leave --tune_vit_from_layer out, or give 0 for the whole tower",
        )
    prefix, count = found
    tower = {name for name in names if part_of(name) == TOWER}
    upper = {name for name in tower if layer_number(name, prefix) >= tower_from}
    if not upper:
        used = 1 + max((layer_number(name, prefix) for name in tower), default=-1)
        raise InputError(
            f"--tune_vit_from_layer {tower_from} leaves no layer: the vision tower has {count}, of which the first "
            f"{used} are used",
            next_step=f"Give 0 to {used - 1}, or leave it out to keep the tower frozen",
        )
    return (names - tower) | upper


def _identity_names(model: nn.Module) -> set[str]:
    """A linear connector in transformers' LLaVA is linear_1, no activation, and an identity that must stay one."""
    if getattr(getattr(model, "config", None), "projector_hidden_act", None) != "linear":
        return set()
    return {
        name for name, _ in model.named_parameters() if part_of(name) == CONNECTOR and "linear_2" in name.split(".")
    }


def _keep_full_precision(model: nn.Module, command: Command) -> None:
    """What learns is kept in float32 (steps are lost in bfloat16); what is frozen stays as it was loaded."""
    import torch

    if command.training.deepspeed:
        return  # keeps its own float32 copy
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def _spare_backward(model: Any, command: Command) -> None:
    """With gradient checkpointing transformers makes the input of every part need a gradient, which only the reentrant
    kind depends on; a frozen vision tower would be computed backwards for nothing.
    """
    names = (
        "activation_checkpointing_kwargs",
        "gradient_checkpointing_kwargs",
    )  # transformers' new name and its old one
    if not any((getattr(command.training, name, None) or {}).get("use_reentrant") for name in names):
        model.enable_input_require_grads = _nothing


def _nothing() -> None:
    """Instead of `enable_input_require_grads`."""


def stage_notes(model: nn.Module, command: Command) -> list[str]:
    """What a person should know about what learns, for the plan."""
    notes = base_notes(model, command)
    idle = idle_names(model)
    if idle and TOWER in learning_parts(command):
        count = sum(number_of(parameter) for name, parameter in model.named_parameters() if name in idle)
        notes.append(f"{count / 1e6:.2f} M parameters of the vision tower lie behind the layer that is read: frozen")
    if _identity_names(model):
        notes.append("the connector is linear: its second matrix is an identity and stays frozen")
    if command.data.text_only:
        notes.append("--text_only: vision tower and connector stay frozen")
    if needs_lora(command) and command.model.lora_target != "all" and TOWER not in learning_parts(command):
        notes.append("with LoRA the vision tower is frozen; --lora_target all or --tune_vit_from_layer 0 let it learn")
    return notes


def size_of(parameter: Any) -> int:
    """Numbers in a parameter, as it is before quantization (4-bit packs two in a byte) and before it is cut up."""
    packed = getattr(getattr(parameter, "quant_state", None), "shape", None)
    return number_of(parameter) if packed is None else int(packed.numel())


def count_parameters(model: nn.Module) -> dict[str, dict[str, int]]:
    """part -> {"all", "trained"} numbers of parameters; of an embedding with new tokens only their rows are trained."""
    counts: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        count = counts.setdefault(part_of(name), {"all": 0, "trained": 0})
        count["all"] += size_of(parameter)
        count["trained"] += round(size_of(parameter) * learning_share(parameter)) if parameter.requires_grad else 0
    return counts


def parameter_groups(
    model: nn.Module,
    *,
    decayed: Iterable[str],
    weight_decay: float,
    rates: dict[str, float | None],
    matrices: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Optimizer groups by part and by decay. `rates`: part -> its own learning rate, None for the common one.

    Parameters named in `matrices` come into groups of their own, marked so.

    An embedding of which only the new rows learn is never decayed: that would move the others.
    """
    decayed = set(decayed)
    groups: dict[tuple[str, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = part_of(name)
        own = part if rates.get(part) is not None else ""
        key = (own, name in decayed and learning_share(parameter) == 1, name in matrices)
        if key not in groups:
            groups[key] = {"params": [], "weight_decay": weight_decay if key[1] else 0.0}
            if key[0]:
                groups[key]["lr"] = rates[part]
            if key[2]:
                groups[key]["matrices"] = True
        groups[key]["params"].append(parameter)
    return list(groups.values())
