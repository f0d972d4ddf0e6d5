"""The vision tower of a LLaVA checkpoint, which seldom holds it. In: a `Llava`. Out: the tower and its weights."""

from __future__ import annotations

from dataclasses import dataclass

from llava_graph.errors import CheckpointError
from llava_graph.model.legacy import settings
from llava_graph.model.legacy.llava import Llava
from llava_graph.model.legacy.names import TOWER
from llava_graph.model.legacy.tensors import Tensors, constant
from llava_graph.model.towers import SIGLIP_TYPES, VisionTower, describe_tower, read_tower


@dataclass(frozen=True, kw_only=True)
class FoundTower:
    """A vision tower for a LLaVA."""

    tower: VisionTower
    """Its weights are not those of `tensors` where the checkpoint brings its own."""
    tensors: Tensors
    """By LLaVA's names."""
    layer: int
    """Whose output is read."""
    told: str


def find_tower(model: Llava, asked: str | None) -> FoundTower:
    """The tower named `asked` (folder or owner/name), else by the checkpoint's configuration. Raises CheckpointError."""
    name = asked or settings.tower_name(model.config, model.where)
    try:
        tower = describe_tower(name) if model.has_tower else read_tower(name)
    except CheckpointError as error:
        raise CheckpointError(
            f"its vision tower cannot be had ({error})",
            where=str(model.where),
            next_step="Give its folder or its name on the hub as --vision-tower",
        ) from error
    layer = int(model.config.get("mm_vision_select_layer", -1 if settings.is_early(model.config) else -2))
    if not model.has_tower:
        weights = tower.model.state_dict()
        tensors = {TOWER + part.removeprefix("vision_model."): constant(weight) for part, weight in weights.items()}
        return FoundTower(tower=tower, tensors=tensors, layer=layer, told=f"{tower.name}, as published")
    tower, layer = _cut_to_own_layers(model, tower, layer)
    own = {part: stored for part, stored in model.tensors.items() if part.startswith(TOWER)}
    return FoundTower(tower=tower, tensors=own, layer=layer, told=f"{tower.name}, with the checkpoint's own weights")


def _cut_to_own_layers(model: Llava, tower: VisionTower, layer: int) -> tuple[VisionTower, int]:
    """LLaVA-NeXT cuts off SigLIP's last layer, instead of reading the one before it."""
    prefix = f"{TOWER}encoder.layers."
    layers = 1 + max(
        (int(name[len(prefix) :].split(".")[0]) for name in model.tensors if name.startswith(prefix)), default=-1
    )
    config = tower.model.config
    if config.model_type not in SIGLIP_TYPES or layers != config.num_hidden_layers - 1:
        return tower, layer
    config.num_hidden_layers = layers
    return tower, -1
