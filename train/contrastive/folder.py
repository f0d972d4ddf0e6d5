"""The folder of a contrastive model. In: towers to begin with, or such a folder. Out: a model, and its folder again.

The folder itself is a vision tower in transformers' layout, which `train_mem.py --vision_tower` opens; `text/` is the text
encoder (BlipTextModel) with its tokenizer; `contrastive.safetensors` and `contrastive.json` hold what joins them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.durable import write_json
from llava_graph.errors import CheckpointError
from llava_graph.model.hub import part_folder
from llava_graph.model.towers import quiet_loading, read_errors, read_json, read_tower, unreadable
from train.running.finish import take_weights

if TYPE_CHECKING:
    import torch
    from transformers import BlipTextModel, PreTrainedTokenizerBase

    from llava_graph.model.towers import VisionTower
    from train.contrastive.encoders import ContrastiveModel

TEXT, HEADS, SETTINGS = "text", "contrastive.safetensors", "contrastive.json"
FUSED_TOKEN = "[ENC]"  # noqa: S105  (no password)
"""In the place of [CLS] it tells BLIP's text encoder to look at the image."""
OURS = ("encoders.vision_projection.", "encoders.text_projection.", "temperature", "itm_head.")
"""Beginnings of the names of what is in HEADS."""
NEW = ("itm_head.weight", "itm_head.bias")
"""What a run that matches pairs adds to a folder that did not."""


@dataclass(frozen=True, kw_only=True)
class Contrastive:
    """A model with what it reads."""

    model: ContrastiveModel
    tokenizer: PreTrainedTokenizerBase
    images: Any
    """transformers' image processor: squashes to the tower's square."""
    origin: dict[str, str]
    """What it was made from: {"vision_tower", "text_tower"}, or {"model_name_or_path"}."""


def build_contrastive(
    vision_tower: str,
    text_tower: str,
    *,
    fused: bool,
    projection_dim: int,
    temperature: float,
    bounds: tuple[float, float],
) -> Contrastive:
    """Towers joined by new projections; with `fused` also new cross-attention and a matching head. Raises CheckpointError."""
    import torch

    from train.contrastive.encoders import ContrastiveModel, DualEncoder

    tower = read_tower(vision_tower, torch.float32)
    text, tokenizer = read_text_encoder(text_tower, fused=fused, width=tower.model.config.hidden_size)
    model = ContrastiveModel(
        DualEncoder(tower.model, text, projection_dim),
        temperature=temperature,
        bounds=bounds,
        fused_token=tokenizer.convert_tokens_to_ids(FUSED_TOKEN) if fused else None,
    )
    origin = {"vision_tower": vision_tower, "text_tower": text_tower}
    return Contrastive(model=model, tokenizer=tokenizer, images=image_processor(tower), origin=origin)


def read_contrastive(folder: Path, *, fused: bool, bounds: tuple[float, float]) -> Contrastive:
    """What `save_contrastive` wrote; `fused` adds a matching head where it had none. Raises CheckpointError."""
    from safetensors.torch import load_file

    told = read_json(folder / SETTINGS)
    if not told or not (folder / HEADS).is_file():
        raise CheckpointError(
            f"no folder of train_contrastive.py ({SETTINGS} or {HEADS} is missing)",
            where=str(folder),
            next_step="Give --vision_tower and --text_tower for a new model",
        )
    width = told.get("projection_dim")
    if not isinstance(width, int) or width < 1:
        raise CheckpointError(f"{SETTINGS} states no projection_dim", where=str(folder))
    try:
        heads = load_file(folder / HEADS)
    except read_errors() as error:
        raise unreadable(error, folder / HEADS) from error
    found = build_contrastive(
        str(folder), str(folder / TEXT), fused=fused, projection_dim=width, temperature=1.0, bounds=bounds
    )
    known = found.model.state_dict()
    if missing := [name for name in known if name.startswith(OURS) and name not in heads | dict.fromkeys(NEW)]:
        raise CheckpointError(f"{HEADS} has no {missing[0]}", where=str(folder))
    if wrong := [name for name, head in heads.items() if name in known and known[name].shape != head.shape]:
        raise CheckpointError(f"{HEADS} does not fit its towers ({wrong[0]})", where=str(folder))
    found.model.load_state_dict({name: head for name, head in heads.items() if name in known}, strict=False)
    return Contrastive(
        model=found.model,
        tokenizer=found.tokenizer,
        images=found.images,
        origin={"model_name_or_path": str(folder)},
    )


def save_contrastive(model: ContrastiveModel, tokenizer: PreTrainedTokenizerBase, images: Any, out: Path) -> None:
    """Write the folder; a model card is not part of it."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    encoders = model.encoders
    encoders.vision_tower.save_pretrained(out)
    images.save_pretrained(out)
    encoders.text_encoder.save_pretrained(out / TEXT)
    tokenizer.save_pretrained(out / TEXT)
    heads = {name: weight for name, weight in model.state_dict().items() if name.startswith(OURS)}
    save_file({name: head.detach().cpu().contiguous().clone() for name, head in heads.items()}, out / HEADS)
    (out / HEADS).chmod(0o644)
    write_json(out / SETTINGS, {"projection_dim": encoders.width, "fused": model.itm_head is not None})


def restore(model: ContrastiveModel, folder: Path) -> None:
    """The weights of a checkpoint of this run into the model in training. Raises CheckpointError."""
    saved = read_contrastive(folder, fused=model.itm_head is not None, bounds=model.bounds).model
    take_weights(model, saved.state_dict(), folder, next_step="Take the towers that this checkpoint was trained from")


def image_processor(tower: VisionTower) -> Any:
    """Squashes an image to the tower's square, as a LLaVA with --image_aspect_ratio square shows it."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    kind = CLIPImageProcessorPil if tower.class_tokens else SiglipImageProcessorPil
    side = {"height": tower.image_size, "width": tower.image_size}
    return kind(
        size=side,
        crop_size=side,  # nothing is cropped; some engines read the tower's size from it
        do_center_crop=False,
        image_mean=list(tower.mean),
        image_std=list(tower.std),
        resample=tower.resample,
    )


def read_text_encoder(name: str, *, fused: bool, width: int) -> tuple[BlipTextModel, PreTrainedTokenizerBase]:
    """A BERT, or the text encoder of ours, as BLIP's: BERT with cross-attention to image tokens of `width` numbers if `fused`.

    Raises CheckpointError.
    """
    import torch
    from transformers import AutoTokenizer, BlipTextConfig, BlipTextModel

    folder = part_folder(name)
    told = read_json(folder / "config.json")
    kind = told.get("model_type")
    if kind not in ("bert", "blip_text_model"):
        what = f"no text encoder that we know (model_type {kind!r})" if folder.is_dir() else "no such folder"
        raise CheckpointError(what, where=str(folder), next_step="Give a BERT, such as google-bert/bert-base-uncased")
    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if kind == "bert":
                config, weights = _from_bert(folder, tokenizer)
            else:
                config = BlipTextConfig.from_pretrained(folder, local_files_only=True)
                weights = BlipTextModel.from_pretrained(
                    folder, add_pooling_layer=False, dtype=torch.float32, local_files_only=True
                ).state_dict()
    except read_errors() as error:
        raise unreadable(error, folder) from error
    crossed = {key for key in weights if ".crossattention." in key}
    if fused and crossed and config.encoder_hidden_size != width:
        raise CheckpointError(
            f"its cross-attention reads image tokens of {config.encoder_hidden_size} numbers, the tower's have {width}",
            where=str(folder),
        )
    config = copy.deepcopy(config)
    config.is_decoder, config.encoder_hidden_size = fused, width  # BLIP's word for layers with cross-attention
    text = BlipTextModel(config, add_pooling_layer=False)
    missing, unexpected = text.load_state_dict(
        {key: weight for key, weight in weights.items() if fused or key not in crossed}, strict=False
    )
    if unexpected or any(".crossattention." not in key for key in missing):
        raise CheckpointError(f"the text encoder does not load ({[*missing, *unexpected][0]})", where=str(folder))
    if fused:
        tokenizer.add_tokens([FUSED_TOKEN], special_tokens=True)
        if len(tokenizer) > config.vocab_size:
            with quiet_loading():
                text.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return text, tokenizer


def _from_bert(folder: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[Any, dict[str, torch.Tensor]]:
    """BERT's settings and weights as BlipTextModel has them. It adds no embedding of the token's type: ours goes to the words."""
    import torch
    from transformers import BertModel, BlipTextConfig

    bert, report = BertModel.from_pretrained(
        folder,
        add_pooling_layer=False,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise CheckpointError(f"the text encoder does not load ({min(report['missing_keys'])})", where=str(folder))
    names = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
        "max_position_embeddings", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
        "initializer_range",
    )  # fmt: skip
    weights = dict(bert.state_dict())
    types = weights.pop("embeddings.token_type_embeddings.weight")
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"] + types[0]
    settings = {name: getattr(bert.config, name) for name in names}
    marks = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    return BlipTextConfig(**settings, **marks, is_decoder=False, use_cache=False), weights
