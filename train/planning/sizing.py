"""What a run asks of memory. In: a prepared model, a command and the batches. Out: the numbers that `memory.py` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from train.learning.loss import PIECE_BYTES
from train.learning.parts import LANGUAGE, TOWER, idle_names, layer_number, part_of, tower_layers
from train.learning.stages import size_of
from train.planning.memory import NF4_BYTES, Layers, Memory, Sharing, Step, Weights, estimate
from train.running.distributed import number_of

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.batching.checking import Checked
    from train.batching.order import Order
    from train.flags.arguments import Command, TrainArguments


def estimate_memory(
    command: Command, loaded: LoadedModel, checked: Checked, order: Order | None, *, attention: str
) -> Memory | None:
    """The peak of a step on one device; None for a model whose layers we cannot read."""
    model, training = loaded.model, command.training
    language = language_layers(model)
    if language is None:
        return None
    tower = vision_layers(model)
    return estimate(
        weights=count_weights(model),
        language=language,
        tower=tower,
        step=_step(command, loaded, checked, order, tower, eager=attention == "eager"),
        sharing=how_shared(training),
        optim=str(getattr(training.optim, "value", training.optim)),
    )


def language_layers(model: Any) -> Layers | None:
    """The language model's layers."""
    text = model.config.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    if not heads or not getattr(text, "intermediate_size", None):
        return None
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    return Layers(
        count=text.num_hidden_layers,
        width=text.hidden_size,
        mlp=text.intermediate_size,
        queries=heads * size,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * size,
        heads=heads,
        qk_norm=any(
            name.endswith("q_norm.weight") for name, _ in model.named_parameters() if part_of(name) == LANGUAGE
        ),
    )


def vision_layers(model: Any) -> Layers | None:
    """The vision tower's layers that are used."""
    vision: Any = getattr(model.config, "vision_config", None)
    found = tower_layers(model)
    if found is None or not getattr(vision, "hidden_size", None) or not getattr(vision, "intermediate_size", None):
        return None
    return Layers(
        count=found[1],
        width=vision.hidden_size,
        mlp=vision.intermediate_size,
        heads=getattr(vision, "num_attention_heads", 1),
        quick_gelu=getattr(vision, "hidden_act", "") == "quick_gelu",
    )


def count_weights(model: Any) -> Weights:
    """Numbers of parameters that learn and that do not, and the bytes of one of each."""
    numbers, sizes = {True: 0, False: 0}, {True: 0.0, False: 0.0}
    for parameter in model.parameters():
        learns = parameter.requires_grad
        numbers[learns] += size_of(parameter)
        packed = getattr(parameter, "quant_state", None)
        scales = 0.0 if packed is None else size_of(parameter) * (NF4_BYTES[bool(packed.nested)] - 0.5)
        sizes[learns] += number_of(parameter) * parameter.element_size() + scales
    return Weights(
        trained=numbers[True],
        frozen=numbers[False],
        trained_bytes=sizes[True] / numbers[True] if numbers[True] else 4.0,
        frozen_bytes=sizes[False] / numbers[False] if numbers[False] else 2.0,
    )


def how_shared(training: TrainArguments) -> Sharing:
    """By DeepSpeed's or FSDP's settings, or not."""
    way, optimizer, weights = "none", False, False
    if training.deepspeed:
        zero = dict(training.deepspeed).get("zero_optimization", {})
        way = f"zero{zero.get('stage', 0)}"
        optimizer = zero.get("offload_optimizer", {}).get("device", "none") != "none"
        weights = zero.get("offload_param", {}).get("device", "none") != "none"
    elif training.fsdp:
        settings = training.fsdp_config or {}
        way = "fsdp" if settings.get("reshard_after_forward", True) else "fsdp-grad"
        optimizer = weights = bool(settings.get("cpu_offload"))
    return Sharing(
        processes=training.world_size,
        way=way,
        offload_optimizer=optimizer,
        offload_weights=weights,
        mixed=training.bf16 or training.fp16,
        on_gpu=training.device.type != "cpu",
    )


def _step(
    command: Command, loaded: LoadedModel, checked: Checked, order: Order | None, tower: Layers | None, *, eager: bool
) -> Step:
    training, model = command.training, loaded.model
    vision = getattr(model.config, "vision_config", None)
    side, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    one_tile = (side // patch) ** 2 if isinstance(side, int) and isinstance(patch, int) else loaded.image_tokens
    tokens, learnt, images = _largest_batch(training, checked, order)
    tiles = images * _tiles_each(loaded, side) if tower else 0
    learns = {part_of(name) for name, one in model.named_parameters() if one.requires_grad and ".lora_" not in name}
    return Step(
        tokens=tokens,
        longest=int(checked.lengths.max(initial=1)),
        learnt=learnt,
        vocabulary=model.config.get_text_config().vocab_size,
        tiles=tiles,
        tile_tokens=one_tile,
        piece_bytes=PIECE_BYTES.get(training.device.type, max(PIECE_BYTES.values())),
        compute_bytes=2.0 if training.bf16 or training.fp16 else 4.0,
        residual_bytes=2.0 if training.bf16 else 4.0,  # train.learning.attention.keep_activations_half
        checkpointing=bool(training.gradient_checkpointing),
        eager=eager,
        language_learns=LANGUAGE in learns,
        tower_layers_learn=_learning_tower_layers(model) if TOWER in learns else 0,
        lora_inputs=_lora_inputs(model),
    )


def _tiles_each(loaded: LoadedModel, side: Any) -> int:
    """Squares that the vision tower sees of one image at most: itself, and where images are tiled the largest grid."""
    grids = getattr(loaded.image_processor, "image_grid_pinpoints", None) or ()
    if not grids or not isinstance(side, int):
        return 1
    return 1 + max(int(height) * int(width) for height, width in grids) // side**2


def _largest_batch(training: TrainArguments, checked: Checked, order: Order | None) -> tuple[int, int, int]:
    """Tokens with padding, learnt tokens and images of the largest batch of the first epoch."""
    if order is None or not len(checked.lengths):
        several = training.train_batch_size
        longest = int(checked.lengths.max(initial=1))
        return (
            longest * several,
            int(checked.answers.max(initial=1)) * several,
            int(checked.images.max(initial=0)) * several,
        )
    batches = [np.asarray(rows) for rows in order.batches(0)]
    if order.packing_length is not None:
        tokens = order.packing_length * order.batch
    else:
        tokens = max(int(checked.lengths[rows].max()) * len(rows) for rows in batches)
    return (
        tokens,
        max(int(checked.answers[rows].sum()) for rows in batches),
        max(int(checked.images[rows].sum()) for rows in batches),
    )


def _learning_tower_layers(model: Any) -> int:
    """The tower's layers from the first that learns to the one that is read."""
    found = tower_layers(model)
    if found is None:
        return 0
    idle = idle_names(model)
    used = [
        layer_number(name, found[0])
        for name, _ in model.named_parameters()
        if part_of(name) == TOWER and name not in idle
    ]
    learns = [
        layer_number(name, found[0])
        for name, one in model.named_parameters()
        if part_of(name) == TOWER and one.requires_grad
    ]
    return max(used, default=-1) + 1 - max(min(learns, default=0), 0)


def _lora_inputs(model: Any) -> int:
    """Width of what the LoRA layers of one layer of the language model read, in a model of equal layers."""
    widths = [
        one.shape[-1] for name, one in model.named_parameters() if ".lora_A." in name and part_of(name) == LANGUAGE
    ]
    return round(sum(widths) / max(model.config.get_text_config().num_hidden_layers, 1))
