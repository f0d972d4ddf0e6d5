"""open_clip checkpoints (QuiltNet and others): their folder in, the same vision tower as transformers' CLIPVisionModel out.

Layout: open_clip's `src/open_clip/transformer.py`, class VisionTransformer. Towers that are built otherwise are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError
from llava_graph.model.towers import BICUBIC, BILINEAR, VisionTower, channels, read_errors, read_json, unreadable

if TYPE_CHECKING:
    import torch
    from transformers import CLIPVisionConfig

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PREFIX = "visual."

OUTSIDE = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
"""open_clip's name -> transformers' name, outside the blocks. `proj`, into the space shared with texts, is left out."""

INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""The same inside block N: `transformer.resblocks.N.` -> `encoder.layers.N.`."""

KNOWN_SETTINGS = {
    "image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size", "patch_dropout", "output_tokens",
    "pool_type", "global_average_pool", "attentional_pool",
}  # fmt: skip
"""Of vision_cfg: sizes, what only acts in open_clip's training, and how patches become one vector, which a LLaVA skips."""


def read_tower(folder: Path, dtype: torch.dtype | str = "auto") -> VisionTower:
    """The vision tower of an open_clip folder, its weights in `dtype` ("auto": as stored). Raises CheckpointError."""
    import torch
    from transformers import CLIPVisionModel

    told = read_json(folder / CONFIG)
    config = vision_config(told.get("model_cfg") or {}, folder)
    weights = convert(_read_weights(folder), config.num_hidden_layers, folder)
    with torch.device("meta"):
        model = CLIPVisionModel(config)
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wrong := sorted(name for name in expected | found if expected.get(name) != found.get(name)):
        raise CheckpointError(f"the vision tower's weights do not fit {CONFIG} ({wrong[0]})", where=str(folder))
    model = CLIPVisionModel(config)
    model.load_state_dict(weights)
    stored = next(iter(weights.values())).dtype
    prepared = told.get("preprocess_cfg") or {}
    return VisionTower(
        model=model.to(stored if dtype == "auto" else dtype).eval(),
        name=folder.resolve().name,
        image_size=config.image_size,
        patch_size=config.patch_size,
        class_tokens=1,
        mean=channels(prepared, "mean", folder, "clip"),
        std=channels(prepared, "std", folder, "clip"),
        resample=BILINEAR if prepared.get("interpolation") == "bilinear" else BICUBIC,
    )


def vision_config(model: dict[str, Any], folder: Path) -> CLIPVisionConfig:
    """The shape told by `model_cfg`. Raises CheckpointError for a tower that CLIPVisionModel does not compute."""
    from transformers import CLIPVisionConfig

    vision = model.get("vision_cfg") or {}
    if vision.get("timm_model_name"):
        raise CheckpointError(
            f"its vision tower is timm's {vision['timm_model_name']!r} (as in BiomedCLIP and PubMedCLIP), not open_clip's own",
            where=str(folder),
            next_step="Take an open_clip ViT such as QuiltNet, a CLIP or a SigLIP",
        )
    unknown = {name for name, value in vision.items() if name not in KNOWN_SETTINGS and value not in (None, False)}
    if unknown or not isinstance(vision.get("layers"), int) or not isinstance(vision.get("image_size"), int):
        what = ", ".join(sorted(unknown)) or "layers, image_size"
        raise CheckpointError(
            f"its vision tower is no plain vision transformer (vision_cfg: {what})",
            where=str(folder),
            next_step="Take an open_clip ViT, a CLIP or a SigLIP",
        )
    width = int(vision.get("width", 768))
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=int(width * vision.get("mlp_ratio", 4.0)),
        num_hidden_layers=vision["layers"],
        num_attention_heads=width // int(vision.get("head_width", 64)),
        image_size=vision["image_size"],
        patch_size=int(vision.get("patch_size", 16)),
        projection_dim=int(model.get("embed_dim", 512)),
        hidden_act="quick_gelu" if model.get("quick_gelu") else "gelu",
        layer_norm_eps=1e-5,
    )


def convert(weights: dict[str, torch.Tensor], layers: int, folder: Path) -> dict[str, torch.Tensor]:
    """CLIPVisionModel's state dict. Raises CheckpointError for a weight of the tower that it would not use."""
    visual = {name.removeprefix(PREFIX): weight for name, weight in weights.items() if name.startswith(PREFIX)}
    visual.pop("proj", None)
    out = {}
    for ours, theirs in (_names(layers)).items():
        if theirs in visual:
            out[ours] = visual.pop(theirs)
    for layer in range(layers):
        for kind in ("weight", "bias"):
            joined = visual.pop(f"transformer.resblocks.{layer}.attn.in_proj_{kind}", None)
            if joined is None:
                continue
            for name, part in zip("qkv", joined.chunk(3), strict=True):
                out[f"encoder.layers.{layer}.self_attn.{name}_proj.{kind}"] = part.clone()
    if visual:
        raise CheckpointError(
            f"its vision tower has weights that a CLIP has not ({', '.join(sorted(visual)[:3])})",
            where=str(folder),
            next_step="Take an open_clip ViT, a CLIP or a SigLIP",
        )
    return out


def _names(layers: int) -> dict[str, str]:
    """Transformers' name -> open_clip's, but for queries, keys and values, which open_clip joins."""
    names = {ours: theirs for theirs, ours in OUTSIDE.items()}
    for layer in range(layers):
        for theirs, ours in INSIDE.items():
            for kind in ("weight", "bias"):
                names[f"encoder.layers.{layer}.{ours}.{kind}"] = f"transformer.resblocks.{layer}.{theirs}.{kind}"
    return names


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors.torch import load_file

    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise CheckpointError(f"the weights are missing ({' or '.join(WEIGHTS)})", where=str(folder))
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except read_errors() as error:
        raise unreadable(error, file) from error
    return weights.get("state_dict", weights)
