"""LLaVA's layout -> transformers'. In: a `Llava`. Out: a folder that plain transformers opens, with everything to answer."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.chat import IMAGE_TOKEN, load_template
from llava_graph.durable import write_json
from llava_graph.errors import CheckpointError, InputError
from llava_graph.model.adapters import ADAPTER, MODEL_CONFIG
from llava_graph.model.legacy import settings
from llava_graph.model.legacy.llava import REMEMBERED, Llava
from llava_graph.model.legacy.look import Look, prepare_tokens, template_name
from llava_graph.model.legacy.names import EMBEDDINGS, HEAD, NEWLINE, PROJECTOR, Connector, to_transformers
from llava_graph.model.legacy.tensors import Stored, Tensors, cast, constant
from llava_graph.model.legacy.tower import FoundTower, find_tower
from llava_graph.model.legacy.write import write_weights
from llava_graph.model.preparation import build_processor
from llava_graph.model.tokenizer_files import SENTENCEPIECE
from llava_graph.model.towers import read_json
from llava_graph.model.vocabulary import end_tokens

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from llava_graph.model.towers import VisionTower

ROWS_IN_MULTIPLES_OF = 64
"""An embedding that has to grow grows to a multiple of this, as llava-hf's checkpoints did (32002 -> 32064)."""


def write_plain(model: Llava, out: Path, look: Look) -> list[str]:
    """Write all files into the empty folder `out`. Returns what was decided, in sentences. Raises CheckpointError."""
    if model.origin is not None:
        return _rewrite(model, model.origin, out, look)
    where = str(model.where)
    found = find_tower(model, look.vision_tower)
    name, why = template_name(model, look.template)
    own = settings.preparation(model.config, found.tower, where)
    if look.preparation and own == "anyres":
        raise InputError(
            "the checkpoint was trained on tiles, and keeps them", where=where, next_step="Leave --images out"
        )
    tokenizer, template, added = prepare_tokens(model, load_template(name))
    rows = grown_rows(model, len(tokenizer))
    config = plain_config(model, found, tokenizer, rows=rows, tiles=own == "anyres")
    tensors = _grown({**_without_newline(model, own), **found.tensors, **_second_layer(model)}, rows)
    _check(tensors, config, model)
    style = look.prompt or ("llava_graph" if settings.is_early(model.config) else "figure")
    kind = model.connector.kind
    config.about = {
        "description": f"Converted from LLaVA's own layout ({model.config.get('model_type')}, {kind}).",
        "prompt": {"style": style},
        REMEMBERED: {"config": model.config, "rows": model.rows, "added": added, "connector": kind},
    }
    if tokenizer.chat_template:  # the language model's own, which knows no images
        config.about[REMEMBERED]["chat_template"] = tokenizer.chat_template
        tokenizer.chat_template = None
    config.dtype = look.dtype or model.dtype
    config.architectures = [model_class(config).__name__]
    config.save_pretrained(out)
    _generation(tokenizer, template, config).save_pretrained(out)
    _write_processor(config, found.tower, tokenizer, template, look.preparation or own, out)
    keep_sentencepiece(model, out)
    published = config.model_type != "llava_mlp"
    write_weights(_renamed(tensors, model.connector, look, published=published), out, limit=look.shard_bytes)
    images = f"images {look.preparation or own}"
    return [f"vision tower {found.told}", f"chat template {name} ({why})", f"prompt style {style}", images]


def _rewrite(model: Llava, origin: Path, out: Path, look: Look) -> list[str]:
    """A model that was read from transformers' layout: its other files stay as they are."""
    copy_files(origin, out)
    if model.overlay is not None:
        copy_files(model.overlay, out)
        for name in (ADAPTER, MODEL_CONFIG):
            (out / name).unlink(missing_ok=True)
        shutil.copyfile(model.overlay / MODEL_CONFIG, out / "config.json")
    published = read_json(out / "config.json").get("model_type") != "llava_mlp"
    tensors = {**model.tensors, **_second_layer(model)}
    write_weights(_renamed(tensors, model.connector, look, published=published), out, limit=look.shard_bytes)
    return [f"all but the weights as in {model.overlay or origin}", *change_look(out, look)]


def change_look(folder: Path, look: Look) -> list[str]:
    """Number format, chat template and prompt style of a transformers folder that is there. Raises InputError for the rest."""
    if look.preparation or look.vision_tower:
        raise InputError(
            "a checkpoint in transformers' layout keeps its vision tower and its images",
            next_step="Leave --images and --vision-tower out",
        )
    config = read_json(folder / "config.json")
    told = []
    if look.dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = str(look.dtype).removeprefix("torch.")
        told.append(f"numbers {config['dtype']}")
    if look.prompt:
        about = config.get("about")
        config["about"] = {**(about if isinstance(about, dict) else {}), "prompt": {"style": look.prompt}}
        told.append(f"prompt style {look.prompt}")
    if look.template:
        (folder / "chat_template.jinja").write_text(load_template(look.template), encoding="utf-8")
        told.append(f"chat template {look.template}")
    if told:
        write_json(folder / "config.json", config)
    return told


def _write_processor(  # noqa: PLR0917  (the parts of a processor, and where it goes)
    config: PretrainedConfig, tower: VisionTower, tokenizer: Any, template: str, preparation: str, out: Path
) -> None:
    processor = build_processor(
        tower,
        tokenizer,
        template,
        preparation="square" if preparation == "crop" else preparation,
        strategy=config.vision_feature_select_strategy,
        grids=tuple(map(tuple, config.image_grid_pinpoints)) if preparation == "anyres" else (),
    )
    if preparation == "crop":
        _crop(processor.image_processor, tower.image_size)
    processor.save_pretrained(out)
    processor.image_processor.save_pretrained(out)


def _without_newline(model: Llava, preparation: str) -> Tensors:
    """LLaVA's `image_newline` stands between rows of tiles; without tiles it is not used, nor kept."""
    return {name: stored for name, stored in model.tensors.items() if name != NEWLINE or preparation == "anyres"}


def grown_rows(model: Llava, tokens: int) -> int:
    """Rows of the converted embedding: as many as before if every token has one."""
    if tokens <= model.rows:
        return model.rows
    return tokens + -tokens % ROWS_IN_MULTIPLES_OF


def _grown(tensors: Tensors, rows: int) -> Tensors:
    """New rows of embedding and head are the mean of the old ones, as LLaVA fills them."""
    return tensors | {name: _with_rows(tensors[name], rows) for name in (EMBEDDINGS, HEAD) if name in tensors}


def _with_rows(stored: Stored, rows: int) -> Stored:
    import torch

    def read() -> torch.Tensor:
        known = stored.read()
        # In float64: the mean of 32,000 rows does not depend on how the sum is split. In pieces: a table is 300 MB.
        total = sum(piece.double().sum(dim=0) for piece in known.split(4096))
        mean = (total / len(known)).to(known.dtype)
        return torch.cat([known, mean.expand(rows - len(known), -1)])

    return stored if stored.shape[0] == rows else replace(stored, shape=(rows, *stored.shape[1:]), read=read)


def _second_layer(model: Llava) -> Tensors:
    """A linear connector stands in transformers' two-layer class with the identity behind it."""
    import torch

    if model.connector.depth != 1:
        return {}
    bias = next(
        stored for name, stored in model.tensors.items() if name.startswith(PROJECTOR) and name.endswith("bias")
    )
    width = bias.shape[0]
    return {
        f"{PROJECTOR}linear_2.weight": constant(torch.eye(width, dtype=bias.dtype)),
        f"{PROJECTOR}linear_2.bias": constant(torch.zeros(width, dtype=bias.dtype)),
    }


def _renamed(tensors: Tensors, connector: Connector, look: Look, *, published: bool) -> Tensors:
    return {
        to_transformers(name, connector, published=published): cast(stored, look.dtype)
        for name, stored in tensors.items()
    }


def model_class(config: PretrainedConfig) -> Any:
    """transformers' class for a configuration."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText._model_mapping[type(config)]


def plain_config(model: Llava, found: FoundTower, tokenizer: Any, *, rows: int, tiles: bool) -> PretrainedConfig:
    """transformers' configuration of the whole model; `tiles` for LLaVA-NeXT. Raises CheckpointError."""
    from transformers import LlavaConfig, LlavaNextConfig

    from llava_graph.model import connectors

    tower, connector, where = found.tower, model.connector, str(model.where)
    text = settings.text_config(model.config, rows, where)
    text.pad_token_id = tokenizer.pad_token_id
    strategy = settings.select_strategy(model.config, tower)
    common: dict[str, Any] = {
        "vision_config": tower.model.config,
        "text_config": text,
        "image_token_index": tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        "vision_feature_layer": found.layer,
        "vision_feature_select_strategy": strategy,
        "tie_word_embeddings": bool(text.tie_word_embeddings),
        "pad_token_id": tokenizer.pad_token_id,
        "projector_hidden_act": "linear" if connector.depth == 1 else "gelu",
    }
    if tiles and connector.depth > 2:
        raise CheckpointError(f"transformers' LLaVA-NeXT has no {connector.kind} connector", where=where)
    if tiles:
        grids = [list(grid) for grid in settings.pinpoints(model.config, where)]
        return LlavaNextConfig(image_grid_pinpoints=grids, **common)
    common["image_seq_length"] = tower.patches + (tower.class_tokens if strategy == "full" else 0)
    if connector.depth <= 2:
        return LlavaConfig(**common)
    connectors.register()
    return connectors.LlavaMlpConfig(connector_depth=connector.depth, **common)


def _check(tensors: Tensors, config: PretrainedConfig, model: Llava) -> None:
    """Raises CheckpointError where names or shapes are not those of the model that is to be."""
    import torch

    with torch.device("meta"):
        empty = model_class(config)(config)
    expected = {name: tuple(weight.shape) for name, weight in empty.state_dict().items()}
    found = {to_transformers(name, model.connector, published=False): stored.shape for name, stored in tensors.items()}
    if config.tie_word_embeddings:
        found.setdefault(HEAD, expected[HEAD])
    for name in sorted(expected | found):
        if expected.get(name) == found.get(name):
            continue
        if name not in found:
            what = f"the weights are not complete ({name} is missing)"
        elif name not in expected:
            what = f"there is a weight that the model has no place for ({name})"
        else:
            what = f"{name} is {found[name]}, and {expected[name]} by config.json and the vision tower"
        raise CheckpointError(
            what, where=str(model.where), next_step="Is it another --vision-tower, or half a checkpoint?"
        )


def _generation(tokenizer: Any, template: str, config: PretrainedConfig) -> Any:
    """Greedy by default; an answer ends where the chat template ends one."""
    from transformers import GenerationConfig

    told = config.text_config.eos_token_id
    ends = [*(told if isinstance(told, list) else [told]), *end_tokens(tokenizer, template)]
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[end for end in dict.fromkeys(ends) if end is not None],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )


def _crop(image_processor: Any, side: int) -> None:
    """The shorter side scaled to the tower's, the middle cut out: CLIP's own preparation, which LLaVA uses unless told to pad."""
    image_processor.do_pad = False
    image_processor.size = type(image_processor.size)(shortest_edge=side)
    image_processor.do_center_crop = True


def keep_sentencepiece(model: Llava, out: Path) -> None:
    """The published programs read this file of a tokenizer alone."""
    file = Path(model.tokenizer.name_or_path) / SENTENCEPIECE
    if file.is_file():
        shutil.copyfile(file, out / SENTENCEPIECE)


def copy_files(folder: Path, out: Path) -> None:
    """All files of a checkpoint but its weights."""
    weights = {
        file.name for pattern in ("*.safetensors", "*.bin", "*.index.json", "*.pt") for file in folder.glob(pattern)
    }
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.name not in weights and not file.name.startswith("."):
            shutil.copyfile(file, out / file.name)
