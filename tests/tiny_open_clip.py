"""A small random checkpoint in open_clip's layout, as QuiltNet is published: its config, and one file of all weights."""

import json

import torch

WIDTH, LAYERS, HEADS, SIDE, PATCH = 64, 3, 2, 32, 8


def open_clip_weights():
    """Random weights under the names of open_clip's VisionTransformer, with a text side that is not ours to read."""
    draw = torch.Generator().manual_seed(0)

    def new(*shape, scale=0.2):
        return torch.randn(*shape, generator=draw) * scale

    weights = {
        "visual.class_embedding": new(WIDTH),
        "visual.positional_embedding": new((SIDE // PATCH) ** 2 + 1, WIDTH),
        "visual.conv1.weight": new(WIDTH, 3, PATCH, PATCH),
        "visual.proj": new(WIDTH, 32),
        "logit_scale": new(()),
        "transformer.resblocks.0.attn.in_proj_weight": new(96, 32),
    }
    for norm in ("ln_pre", "ln_post", *(f"transformer.resblocks.{n}.ln_{i}" for n in range(LAYERS) for i in (1, 2))):
        weights[f"visual.{norm}.weight"] = 1 + new(WIDTH)
        weights[f"visual.{norm}.bias"] = new(WIDTH)
    for layer in range(LAYERS):
        block = f"visual.transformer.resblocks.{layer}"
        weights[f"{block}.attn.in_proj_weight"] = new(3 * WIDTH, WIDTH)
        weights[f"{block}.attn.in_proj_bias"] = new(3 * WIDTH)
        for name, shape in (
            ("attn.out_proj", (WIDTH, WIDTH)),
            ("mlp.c_fc", (4 * WIDTH, WIDTH)),
            ("mlp.c_proj", (WIDTH, 4 * WIDTH)),
        ):
            weights[f"{block}.{name}.weight"] = new(*shape)
            weights[f"{block}.{name}.bias"] = new(shape[0])
    return weights


def open_clip_folder(folder, weights=None, *, pickled=False, quick_gelu=False, vision=(), preprocess=()):
    from safetensors.torch import save_file

    folder.mkdir()
    sizes = {"image_size": SIDE, "layers": LAYERS, "width": WIDTH, "patch_size": PATCH, "head_width": WIDTH // HEADS}
    config = {
        "model_cfg": {"embed_dim": 32, "quick_gelu": quick_gelu, "vision_cfg": {**sizes, **dict(vision)}},
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], **dict(preprocess)},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    weights = open_clip_weights() if weights is None else weights
    if pickled:
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(weights, folder / "open_clip_model.safetensors")
    return folder
