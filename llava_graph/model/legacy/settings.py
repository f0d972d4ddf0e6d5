"""LLaVA's config.json and what it means. In: the JSON object. Out: transformers' configs, and back."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError
from llava_graph.model.preparation import Grids

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from llava_graph.model.legacy.names import Connector
    from llava_graph.model.towers import VisionTower

TEXT_TYPES = {
    "llava": "llama", "llava_llama": "llama", "tiny_llava": "llama", "llava_mistral": "mistral", "llava_qwen": "qwen2",
}  # fmt: skip
"""LLaVA's model_type -> that of its language model."""

LLAVA_TYPES = {
    "llama": ("llava_llama", "LlavaLlamaForCausalLM"),
    "mistral": ("llava_mistral", "LlavaMistralForCausalLM"),
    "qwen2": ("llava_qwen", "LlavaQwenForCausalLM"),
}
"""Language model -> model_type and class in LLaVA's code."""

REFUSED = {
    "mpt": "its language model (MPT) brings code of its own, which transformers no longer has",
    "phi": "Phi adds a bias to its output, which transformers' LLaVA has not",
    "stablelm": "transformers' LLaVA has not been tried with StableLM",
    "gemma": "Gemma scales its embeddings, which transformers' LLaVA does not",
    "mixtral": "mixtures of experts have other names in transformers 5",
}
"""Part of a model_type -> why such a checkpoint is not converted."""


def text_type(config: dict[str, Any], where: str) -> str:
    """model_type of the language model. Raises CheckpointError with the reason for one that is not converted."""
    kind = str(config.get("model_type"))
    if kind in TEXT_TYPES:
        return TEXT_TYPES[kind]
    reason = next((why for part, why in REFUSED.items() if part in kind), "no such LLaVA is known here")
    raise CheckpointError(
        f"model_type {kind!r} is not converted: {reason}", where=where, next_step=f"Known: {', '.join(TEXT_TYPES)}"
    )


def is_early(config: dict[str, Any]) -> bool:
    """Whether this is LLaVA of spring 2023 (version 0, as LLaVA-Graph): a linear projector before there were others."""
    return "mm_projector_type" not in config


def text_config(config: dict[str, Any], rows: int, where: str) -> PretrainedConfig:
    """The language model's configuration; `rows` is the size of its vocabulary. Raises CheckpointError."""
    from transformers import CONFIG_MAPPING

    kind = text_type(config, where)
    known = {*CONFIG_MAPPING[kind]().to_dict(), "rope_theta", "rope_scaling", "torch_dtype"} - {"transformers_version"}
    given = {name: value for name, value in config.items() if name in known}
    given = {name: value for name, value in given.items() if value is not None or not name.startswith("rope_")}
    given |= {"model_type": kind, "architectures": None, "vocab_size": rows, "_name_or_path": ""}
    try:
        return CONFIG_MAPPING[kind](**given)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"config.json describes no {kind} ({error})", where=where) from error


def preparation(config: dict[str, Any], tower: VisionTower, where: str) -> str:
    """pad, crop, square or anyres: what LLaVA's own code does with an image for this checkpoint. Raises CheckpointError."""
    asked = config.get("image_aspect_ratio")
    if asked == "pad":
        return "pad"
    if asked == "anyres":
        if config.get("mm_patch_merge_type") != "spatial_unpad":
            raise CheckpointError(
                f"its tiles are merged as {config.get('mm_patch_merge_type', 'flat')!r}, which transformers' LLaVA-NeXT "
                "does not do",
                where=where,
                next_step="Only spatial_unpad, as in LLaVA 1.6, is known",
            )
        return "anyres"
    if isinstance(asked, str) and asked.startswith("anyres"):
        raise CheckpointError(
            f"image_aspect_ratio {asked!r} needs LLaVA-OneVision", where=where, next_step="Take its -hf checkpoint"
        )
    return "crop" if tower.class_tokens else "square"  # what CLIP's, and SigLIP's, own preparation does


def pinpoints(config: dict[str, Any], where: str) -> Grids:
    """(height, width) in px of the tiled grids; LLaVA writes (width, height). Raises CheckpointError."""
    given = config.get("image_grid_pinpoints")
    try:
        read: Any = ast.literal_eval(given) if isinstance(given, str) else given
        grids = tuple((int(height), int(width)) for width, height in read)
    except (ValueError, TypeError, SyntaxError) as error:
        raise CheckpointError(f"image_grid_pinpoints are no grids ({given!r})", where=where) from error
    if not grids:
        raise CheckpointError("image_grid_pinpoints are missing", where=where)
    return grids


def select_strategy(config: dict[str, Any], tower: VisionTower) -> str:
    """transformers' name: default leaves the class token out."""
    return "default" if tower.class_tokens and config.get("mm_vision_select_feature", "patch") == "patch" else "full"


def llava_config(config: PretrainedConfig, connector: Connector, tower_name: str, aspect: str) -> dict[str, Any]:
    """LLaVA's config.json for a transformers LLaVA that never had one. Raises CheckpointError."""
    text, vision = config.text_config, config.vision_config
    if text.model_type not in LLAVA_TYPES:
        raise CheckpointError(
            f"LLaVA's own code has no model on {text.model_type}",
            next_step=f"It has: {', '.join(LLAVA_TYPES)}; keep transformers' layout",
        )
    kind, cls = LLAVA_TYPES[text.model_type]
    out = {name: value for name, value in text.to_diff_dict().items() if name != "rope_parameters"}
    # What the diff leaves out are defaults of today; LLaVA's transformers had others.
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    more = (
        "num_key_value_heads",
        "max_position_embeddings",
        "rms_norm_eps",
        "hidden_act",
        "bos_token_id",
        "eos_token_id",
    )
    out |= {name: getattr(text, name) for name in (*sizes, *more)}
    rope = dict(text.rope_parameters or {})
    out["rope_theta"] = rope.pop("rope_theta", 10000.0)
    if rope.pop("rope_type", "default") != "default":
        out["rope_scaling"] = {"type": text.rope_parameters["rope_type"], **rope}
    whole = vision.model_type == "clip_vision_model" and config.vision_feature_select_strategy == "full"
    out |= {
        "architectures": [cls],
        "model_type": kind,
        "tie_word_embeddings": bool(config.tie_word_embeddings),
        "torch_dtype": str(config.dtype or "float16").removeprefix("torch."),
        "use_mm_proj": True,
        "mm_vision_tower": tower_name,
        "mm_projector_type": connector.kind,
        "mm_hidden_size": vision.hidden_size,
        "mm_vision_select_layer": config.vision_feature_layer,
        "mm_vision_select_feature": "cls_patch" if whole else "patch",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "tokenizer_padding_side": "right",
        "image_aspect_ratio": aspect,
        "mm_patch_merge_type": "spatial_unpad" if aspect == "anyres" else "flat",
    }
    if aspect == "anyres":
        out["image_grid_pinpoints"] = [[width, height] for height, width in config.image_grid_pinpoints]
    for name in ("dtype", "transformers_version", "_name_or_path"):
        out.pop(name, None)
    return out


def is_llava_config(config: dict[str, Any]) -> bool:
    """Whether config.json is LLaVA's own rather than transformers' (which may say `llava` too)."""
    kind = str(config.get("model_type"))
    own = (
        "mm_vision_tower" in config
        or kind.startswith(("llava_", "tiny_llava"))
        or (kind == "llava" and "hidden_size" in config)
    )
    return own and "vision_config" not in config and "text_config" not in config


def tower_name(config: dict[str, Any], where: Path) -> str:
    """`mm_vision_tower`. Raises CheckpointError."""
    name = config.get("mm_vision_tower") or config.get("vision_tower")
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            "config.json names no vision tower (mm_vision_tower)", where=str(where), next_step="Give --vision-tower"
        )
    return name
