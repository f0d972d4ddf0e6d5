"""Names of weights in LLaVA's own layout and in transformers', both ways. In: a name. Out: a name. Nothing is read.

The mapping is that of transformers' conversion scripts; their order of files and 5.x's renaming while loading agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llava_graph.errors import CheckpointError

PROJECTOR = "model.mm_projector."
TOWER = "model.vision_tower.vision_tower.vision_model."
NEWLINE = "model.image_newline"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"

IDLE = re.compile(r"(\.rotary_emb\.inv_freq|\.position_ids)$")
"""Buffers that models work out by themselves."""

WRAPPED = re.compile(r"^(?:model\.)+(?=model\.|lm_head\.|language_model\.|multi_modal_projector\.)")
"""A layer around the model: PEFT's, or transformers' LlavaModel."""
TOWER_NAME = re.compile(r"^(?:model\.)?vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?")
TRANSFORMERS_NAMES = (
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.", "model."),
    ("language_model.", "model."),
    ("multi_modal_projector.", PROJECTOR),
    ("image_newline", NEWLINE),
)
"""Beginning of a name -> LLaVA's, the first that fits."""


@dataclass(frozen=True)
class Connector:
    """LLaVA's projector by its layers: (vision width) -> linear, then GELU and linear `depth` - 1 times."""

    depth: int
    bare: bool
    """Whether it is one layer without a number in its name (mm_projector_type linear)."""

    @property
    def kind(self) -> str:
        """`mm_projector_type`."""
        return "linear" if self.bare else f"mlp{self.depth}x_gelu"

    @property
    def layers(self) -> dict[str, str]:
        """LLaVA's name of a layer after `model.mm_projector.` -> transformers' name after `multi_modal_projector.`."""
        if self.bare:
            return {"": "linear_1."}
        if self.depth <= 2:
            return {f"{2 * number}.": f"linear_{number + 1}." for number in range(self.depth)}
        return {f"{2 * number}.": f"{2 * number}." for number in range(self.depth)}


def find_connector(names: Iterable[str], where: str) -> Connector:
    """The kind of projector that has these weights (names in LLaVA's layout). Raises CheckpointError."""
    parts = {name.removeprefix(PROJECTOR) for name in names if name.startswith(PROJECTOR)}
    layers = {name.rpartition(".")[0] for name in parts}
    if parts == {"weight", "bias"}:
        return Connector(depth=1, bare=True)
    depth = len(layers)
    expected = {f"{2 * number}.{kind}" for number in range(depth) for kind in ("weight", "bias")}
    if not parts or parts != expected:
        raise CheckpointError(
            f"its connector is no linear or mlpNx_gelu one ({', '.join(sorted(parts ^ expected)[:3])})"
            if parts
            else "it has no connector (model.mm_projector)",
            where=where,
            next_step="Only LLaVA's linear and mlpNx_gelu connectors are known" if parts else "Is it a LLaVA?",
        )
    return Connector(depth=depth, bare=False)


def to_llava(name: str) -> str | None:
    """A name as any LLaVA writes it -> LLaVA's own layout; None for buffers. The connector keeps its layers' names.

    Knows llava-hf's layout, the names in memory of transformers 5, PEFT's prefixes, and towers with and without
    `vision_model`.
    """
    if IDLE.search(name):
        return None
    name = WRAPPED.sub("", name.removeprefix("base_model."))
    if match := TOWER_NAME.match(name):
        return TOWER + name[match.end() :]
    for theirs, ours in TRANSFORMERS_NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def to_transformers(name: str, connector: Connector, *, published: bool = True) -> str:
    """LLaVA's own name -> transformers'. `published`: llava-hf's layout, else the names in memory, which classes of ours have."""
    if name.startswith(TOWER):
        inside = name.removeprefix(TOWER)
        return f"vision_tower.vision_model.{inside}" if published else f"model.vision_tower.{inside}"
    if name.startswith(PROJECTOR):
        inside = name.removeprefix(PROJECTOR)
        if not inside.startswith("linear_"):  # the identity that transformers' class has behind a linear connector
            layer = next(layer for layer in connector.layers if inside.startswith(layer))
            inside = f"{connector.layers[layer]}{inside.removeprefix(layer)}"
        return f"multi_modal_projector.{inside}" if published else f"model.multi_modal_projector.{inside}"
    if name == NEWLINE:
        return "image_newline" if published else f"model.{name.removeprefix('model.')}"
    if name.startswith("lm_head."):
        return f"language_model.{name}" if published else name
    inside = name.removeprefix("model.")
    return f"language_model.model.{inside}" if published else f"model.language_model.{inside}"


def from_linear_names(name: str, connector: Connector) -> str:
    """transformers' layers of a connector (linear_1, linear_2) -> LLaVA's, in a name of LLaVA's layout."""
    if not name.startswith(PROJECTOR):
        return name
    inside = name.removeprefix(PROJECTOR)
    for theirs, ours in connector.layers.items():
        if inside.startswith(ours):
            return f"{PROJECTOR}{theirs}{inside.removeprefix(ours)}"
    return name


def is_language(name: str) -> bool:
    """Whether a weight belongs to the language model (a name of LLaVA's layout)."""
    return name.startswith(("model.embed_tokens.", "model.layers.", "model.norm.", "lm_head."))
