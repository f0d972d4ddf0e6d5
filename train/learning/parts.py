"""The parts of a model by the names of its modules. In: a model. Out: which part a parameter belongs to, and which are idle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

TOWER, CONNECTOR, LANGUAGE, OTHER = "vision tower", "connector", "language model", "other"

PARTS = {
    CONNECTOR: frozenset((
        "multi_modal_projector", "mm_projector", "connector", "projector", "aligner", "merger", "deepstack_merger_list",
        "language_projection", "vision_projection", "image_to_text_projection", "qformer", "query_tokens",
        "resampler_model", "vision_adapter", "visual_embeddings_table", "embed_vision", "image_newline",
        "view_separator",
    )),
    OTHER: frozenset((
        "audio_tower", "embed_audio", "vqmodel", "generation_embeddings", "generation_aligner", "generation_head",
    )),
    TOWER: frozenset((
        "vision_tower", "vision_model", "vision_encoder", "visual", "image_tower", "video_tower", "vision_embed_tokens",
    )),
}  # fmt: skip
"""Part -> names of its modules in transformers' models; the first part wins (a merger lies inside its vision tower), and
what no name claims is the language model. "other" has nothing to do with explaining images and never learns."""


def part_of(name: str) -> str:
    """The part to which the parameter or module `name` belongs."""
    pieces = set(name.split("."))
    return next((part for part, modules in PARTS.items() if pieces & modules), LANGUAGE)


def idle_names(model: nn.Module) -> set[str]:
    """Parameters of the vision tower behind the layer that is read: they never get a gradient.

    transformers' LLaVA models read hidden states by `vision_feature_layer` (-2: all layers but the last), before the final
    norm and the pooling head. Other models read the tower's own output, past everything but the head.
    """
    tower = [name for name, _ in model.named_parameters() if part_of(name) == TOWER]
    idle = {name for name in tower if "head" in name.split(".")}
    config = getattr(model, "config", None)
    read = getattr(config, "vision_feature_layer", getattr(config, "vision_feature_layers", None))
    found = tower_layers(model)
    if read is None or found is None:
        return idle
    prefix, count = found
    # Hidden state 0 is the embedding, so state n is what layer n - 1 gives.
    states = [index if index >= 0 else count + 1 + index for index in ([read] if isinstance(read, int) else read)]
    last = max(index for index, name in enumerate(tower) if name.startswith(prefix))
    idle |= {name for name in tower if layer_number(name, prefix) >= max(states)}
    return idle | set(tower[last + 1 :])


def tower_layers(model: nn.Module) -> tuple[str, int] | None:
    """The vision tower's longest list of modules: (its name with a dot behind, its length)."""
    from torch.nn import ModuleList

    lists = [
        (f"{name}.", len(module))
        for name, module in model.named_modules()
        if isinstance(module, ModuleList) and part_of(name) == TOWER
    ]
    return max(lists, key=lambda found: found[1], default=None)


def layer_number(name: str, prefix: str) -> int:
    """Number of the layer of the parameter `name`; -1 outside of the layers."""
    return int(name.removeprefix(prefix).partition(".")[0]) if name.startswith(prefix) else -1
