"""A `Llava` -> LLaVA's own files: the whole checkpoint, or its projector alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.chat import IMAGE_TOKEN
from llava_graph.durable import write_json
from llava_graph.errors import CheckpointError
from llava_graph.model.legacy.llava import Llava, original_config, remembered
from llava_graph.model.legacy.names import EMBEDDINGS, HEAD, PROJECTOR, TOWER
from llava_graph.model.legacy.plain import keep_sentencepiece
from llava_graph.model.legacy.tensors import Stored, Tensors, cast
from llava_graph.model.legacy.write import SHARD_BYTES, write_pickled, write_weights
from llava_graph.model.towers import read_json

if TYPE_CHECKING:
    import torch

PROJECTOR_FILE = "mm_projector.bin"


def as_original(model: Llava, *, with_tower: bool | None, tower_name: str | None, dtype: torch.dtype | None) -> Llava:
    """The model as LLaVA keeps it: no image token that we added. `with_tower` None: the vision tower only if it may have learnt.

    Raises CheckpointError when nothing says which vision tower its programs are to load.
    """
    rows = _rows(model)
    config = {**original_config(model), "vocab_size": rows}
    if with_tower is None:
        with_tower = bool(config.get("unfreeze_mm_vision_tower")) or _trained_here(model)
    tensors: Tensors = {
        name: cast(_first_rows(stored, rows) if name in (EMBEDDINGS, HEAD) else stored, dtype)
        for name, stored in model.tensors.items()
        if with_tower or not name.startswith(TOWER)
    }
    with_tower = with_tower and model.has_tower
    if tower_name:
        config["mm_vision_tower"] = tower_name
    if not config.get("mm_vision_tower"):
        raise CheckpointError(
            "nothing says which vision tower LLaVA's programs are to load",
            where=str(model.where),
            next_step="Give its name on the hub, or its folder, as --vision-tower",
        )
    if with_tower:
        config["unfreeze_mm_vision_tower"] = True  # else LLaVA loads the published one instead of these weights
    if dtype is not None:
        config["torch_dtype"] = str(dtype).removeprefix("torch.")
    return replace(model, tensors=tensors, config=config)


def _trained_here(model: Llava) -> bool:
    about = read_json(model.origin / "config.json").get("about") if model.origin else None
    return isinstance(about, dict) and "trained" in about


def write_original(model: Llava, out: Path, *, limit: int = SHARD_BYTES) -> None:
    """config.json, tokenizer and weights of a model made by `as_original`, or read from LLaVA's layout."""
    write_settings(model, out)
    write_weights(model.tensors, out, limit=limit)


def write_settings(model: Llava, out: Path) -> None:
    """config.json and the tokenizer."""
    write_json(out / "config.json", model.config)
    if model.origin is not None:
        model.tokenizer.chat_template = remembered(model.origin).get("chat_template")
    model.tokenizer.save_pretrained(out)
    if model.origin is not None:
        _forget_tokens(out, _removable(model))
    keep_sentencepiece(model, out)


def write_projector(model: Llava, out: Path) -> None:
    """mm_projector.bin and config.json, as LLaVA's first stage leaves them."""
    write_pickled(
        {name: stored for name, stored in model.tensors.items() if name.startswith(PROJECTOR)}, out / PROJECTOR_FILE
    )
    write_json(out / "config.json", model.config)


def _added(model: Llava) -> list[str]:
    """Tokens that a conversion, or the assembly of a model, gave the tokenizer."""
    if model.origin is None:
        return []
    return list(remembered(model.origin).get("added", [IMAGE_TOKEN]))


def _removable(model: Llava) -> list[str]:
    """Those of them behind which no other token stands: their numbers can go without another's changing."""
    added, tokenizer = set(_added(model)), model.tokenizer
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: -item[1])
    out = []
    for token, _ in vocabulary:
        if token not in added:
            break
        out.append(token)
    return out


def _rows(model: Llava) -> int:
    """Rows of the embedding without those of the removed tokens."""
    removed = len(_removable(model))
    if not removed or model.origin is None:
        return model.rows
    rows = remembered(model.origin).get("rows")
    if removed == len(_added(model)) and isinstance(rows, int):
        return min(rows, model.rows)
    return max(model.tokenizer.get_vocab().values()) + 1 - removed


def _first_rows(stored: Stored, rows: int) -> Stored:
    if stored.shape[0] == rows:
        return stored
    return replace(stored, shape=(rows, *stored.shape[1:]), read=lambda: stored.read()[:rows])


def _forget_tokens(folder: Path, tokens: list[str]) -> None:
    """Take tokens out of the files of a tokenizer."""
    gone = set(tokens)
    core = read_json(folder / "tokenizer.json")
    if core:
        core["added_tokens"] = [entry for entry in core.get("added_tokens", []) if entry.get("content") not in gone]
        write_json(folder / "tokenizer.json", core)
    settings = read_json(folder / "tokenizer_config.json")
    decoder = settings.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        settings["added_tokens_decoder"] = {
            number: entry for number, entry in decoder.items() if entry.get("content") not in gone
        }
    for name, value in list(settings.items()):
        if isinstance(value, str) and value in gone:
            settings.pop(name)
        elif isinstance(value, dict) and name != "added_tokens_decoder":
            settings[name] = {key: entry for key, entry in value.items() if _text(entry) not in gone}
        elif isinstance(value, list):
            settings[name] = [entry for entry in value if _text(entry) not in gone]
    settings.pop("processor_class", None)
    write_json(folder / "tokenizer_config.json", settings)


def _text(entry: Any) -> str:
    return str(entry.get("content") if isinstance(entry, dict) else entry)
