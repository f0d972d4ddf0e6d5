"""Tiny random checkpoints in the layouts that LLaVA's own programs write, and what such a model computes, in plain torch."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

WIDTH, VISION, SIDE, PATCH = 32, 24, 28, 14
PATCHES = (SIDE // PATCH) ** 2
WORDS = "USER: ASSISTANT: Human: Assistant: What does this figure show? A rising curve. A chat between a curious user"


def tokenizer(folder: Path, *, marks=(), words=()) -> int:
    """A byte-level tokenizer with <unk>, <s>, </s>, and `marks` at its end, into a folder. Returns its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>", *words],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator([WORDS] * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", model_max_length=512
    )
    fast.add_tokens(list(marks), special_tokens=True)
    fast.save_pretrained(folder)
    return len(fast)


def tower(folder: Path, kind="clip", layers=3):
    """A vision tower's folder as on the hub; returns the model."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

    shape = {
        "hidden_size": VISION, "intermediate_size": 40, "num_hidden_layers": layers, "num_attention_heads": 2,
        "image_size": SIDE, "patch_size": PATCH,
    }  # fmt: skip
    torch.manual_seed(5)
    if kind == "clip":
        model = CLIPVisionModel(CLIPVisionConfig(**shape))
    else:
        model = SiglipVisionModel(SiglipVisionConfig(**shape, vision_use_head=False))
    model.save_pretrained(folder)
    mean = 0.48 if kind == "clip" else 0.5
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [mean] * 3, "image_std": [0.27] * 3}))
    return model.eval()


def language(kind="llama", rows=300, *, tied=False, dtype=torch.float32, seed=1):
    """A language model alone."""
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

    config = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}[kind](
        vocab_size=rows, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, rope_theta=5000.0, rms_norm_eps=1e-5, tie_word_embeddings=tied, max_position_embeddings=256,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).to(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(torch.rand_like(parameter) * 0.1)
    return model.eval()


def projector(kind: str, dtype=torch.float32) -> dict:
    """Weights of a connector by LLaVA's names."""
    torch.manual_seed(7)
    sizes = {"linear": [VISION], "mlp2x_gelu": [VISION, WIDTH], "mlp3x_gelu": [VISION, WIDTH, WIDTH]}[kind]
    out = {}
    for number, size in enumerate(sizes):
        name = "model.mm_projector." + ("" if kind == "linear" else f"{2 * number}.")
        out[f"{name}weight"] = (torch.randn(WIDTH, size) * 0.2).to(dtype)
        out[f"{name}bias"] = (torch.randn(WIDTH) * 0.2).to(dtype)
    return out


def config(model, tower_folder, kind="mlp2x_gelu", **more) -> dict:
    """LLaVA's config.json; `more` may take keys away by None."""
    text = model.config
    model_type, name = {
        "llama": ("llava_llama", "LlavaLlamaForCausalLM"),
        "mistral": ("llava_mistral", "LlavaMistralForCausalLM"),
        "qwen2": ("llava_qwen", "LlavaQwenForCausalLM"),
    }[text.model_type]
    keys = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings", "hidden_act",
        "bos_token_id", "eos_token_id",
    )  # fmt: skip
    out = {key: getattr(text, key) for key in keys}
    out |= {
        "architectures": [name], "model_type": model_type, "rope_theta": 5000.0, "torch_dtype": "float16",
        "use_mm_proj": True, "mm_vision_tower": str(tower_folder), "mm_projector_type": kind, "mm_hidden_size": VISION,
        "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch", "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False, "image_aspect_ratio": "pad", "tokenizer_padding_side": "right",
    }  # fmt: skip
    return {key: value for key, value in {**out, **more}.items() if value is not None}


def save(folder: Path, weights: dict, layout="safetensors", shards=1) -> None:
    """Weights as one or several files, with the index that goes with several."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(weights)
    pieces = [names[number::shards] for number in range(shards)]
    stem, ending = ("model", "safetensors") if layout == "safetensors" else ("pytorch_model", "bin")
    weight_map = {}
    for number, piece in enumerate(pieces, 1):
        name = f"{stem}.{ending}" if shards == 1 else f"{stem}-{number:05d}-of-{shards:05d}.{ending}"
        held = {key: weights[key] for key in piece}
        if layout == "safetensors":
            save_file({key: value.clone() for key, value in held.items()}, folder / name, metadata={"format": "pt"})
        else:
            torch.save(held, folder / name)
        weight_map |= dict.fromkeys(piece, name)
    if shards > 1:
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


def weights_of(folder: Path) -> dict:
    """All tensors of a folder of safetensors shards."""
    from safetensors.torch import load_file

    out = {}
    for file in sorted(folder.glob("model*.safetensors")):
        out |= load_file(file)
    return out


def forward(text, vision, weights, ids, pixels, *, layer=-2, drop=1):
    """Logits as LLaVA's own code computes them: image features stand where `ids` is -200."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(text.config).to(next(iter(weights.values())).dtype).eval()
    own = {key: value for key, value in weights.items() if "mm_projector" not in key and "vision_tower" not in key}
    own.pop("model.image_newline", None)
    if text.config.tie_word_embeddings:
        own["lm_head.weight"] = own["model.embed_tokens.weight"]
    model.load_state_dict(own)
    with torch.no_grad():
        features = vision(pixels, output_hidden_states=True).hidden_states[layer][:, drop:]
        features = project(weights, features)
        pieces, image = [], 0
        for number in ids:
            if number == -200:
                pieces.append(features[image])
                image += 1
            else:
                pieces.append(model.get_input_embeddings()(torch.tensor([number])))
        return model(inputs_embeds=torch.cat(pieces)[None]).logits[0]


def project(weights, features):
    """LLaVA's connector."""
    parts = {key.removeprefix("model.mm_projector."): value for key, value in weights.items() if "mm_projector" in key}
    if "weight" in parts:
        return functional.linear(features, parts["weight"], parts["bias"])
    depth = len(parts) // 2
    for number in range(depth):
        features = nn.GELU()(features) if number else features
        features = functional.linear(features, parts[f"{2 * number}.weight"], parts[f"{2 * number}.bias"])
    return features


def same(one, two):
    return one.dtype == two.dtype and torch.equal(one, two)


MARKS = ("<im_patch>", "<im_start>", "<im_end>")


@dataclass
class Published:
    """A checkpoint in LLaVA's layout with all that is needed to say what it computes."""

    folder: Path
    weights: dict
    text: object
    vision: object
    config: dict
    tower: Path


def publish(folder, *, text="llama", connector="mlp2x_gelu", layout="bin", shards=1, tied=False, kind="clip", **more):
    """Write a checkpoint. `marks`: tokens of its tokenizer; `rows`: more rows than tokens; the rest goes into config.json."""
    marks, extra = more.pop("marks", ()), more.pop("rows", 0)
    own_tower, newline = more.pop("own_tower", False), more.pop("newline", False)
    dtype = more.pop("dtype", torch.float32)
    source, tower_folder = folder / "source", folder / "tower"
    vision = tower(tower_folder, kind)
    rows = tokenizer(source, marks=marks) + extra
    model = language(text, rows, tied=tied, dtype=dtype)
    weights = {name: value for name, value in model.state_dict().items() if not (tied and name == "lm_head.weight")}
    weights |= projector(connector, dtype)
    if newline:
        weights["model.image_newline"] = torch.randn(WIDTH).to(dtype)
    if own_tower:
        with torch.no_grad():
            for parameter in vision.parameters():
                parameter.add_(0.01)
        prefix = "model.vision_tower.vision_tower.vision_model."
        weights |= {prefix + name: value.clone() for name, value in vision.state_dict().items()}
    save(source, weights, layout, shards)
    if own_tower:
        for file in tower_folder.glob("*.safetensors"):
            file.unlink()
    settings = config(model, tower_folder, connector, **more)
    (source / "config.json").write_text(json.dumps(settings))
    return Published(source, weights, model, vision, settings, tower_folder)


EARLY = {
    "connector": "linear", "marks": MARKS, "shards": 2, "mm_projector_type": None, "mm_use_im_patch_token": None,
    "mm_use_im_start_end": True, "image_aspect_ratio": "square", "mm_vision_select_feature": None,
}  # fmt: skip
