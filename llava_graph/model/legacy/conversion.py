"""A checkpoint in any layout that is known in; a folder in another layout out. What was found and decided is told."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.errors import CheckpointError, InputError, did_you_mean
from llava_graph.model.adapters import base_folder
from llava_graph.model.hub import PICKLES, WANTED, checkpoint_folder
from llava_graph.model.legacy import lora
from llava_graph.model.legacy.delta import apply_delta, write_delta
from llava_graph.model.legacy.joining import join_projector
from llava_graph.model.legacy.kinds import Kind, Source, look_at
from llava_graph.model.legacy.llava import PLAIN_TYPES, Llava, read_original, read_plain
from llava_graph.model.legacy.look import Look
from llava_graph.model.legacy.names import TOWER, Connector, to_llava, to_transformers
from llava_graph.model.legacy.original import as_original, write_original, write_projector, write_settings
from llava_graph.model.legacy.plain import change_look, copy_files, write_plain
from llava_graph.model.legacy.tensors import Tensors, cast, has_weights, open_weights
from llava_graph.model.legacy.write import new_folder, write_weights
from llava_graph.model.tokenizer_files import open_tokenizer
from llava_graph.model.towers import CLIP_TYPES, SIGLIP_TYPES, read_json

if TYPE_CHECKING:
    from llava_graph.model.legacy.lora import Adapter

TARGETS = ("transformers", "merged", "llava", "projector", "lora", "adapter", "delta")
BASE = "base"
"""Folder for an adapter's base model, beside the adapter."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What is to be made of a checkpoint."""

    to: str = "transformers"
    """One of TARGETS; merged is transformers for an adapter."""
    base: str | None = None
    """Base model of a projector, LoRA or delta: a folder, or owner/name on the hub."""
    with_tower: bool | None = None
    """Whether LLaVA's layout gets the vision tower's weights. None: if they may be others than the published ones."""
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise InputError(f"unknown layout {self.to!r}", next_step=did_you_mean(self.to, TARGETS))


def convert(source: str | Path, out: Path, wanted: Conversion) -> list[str]:
    """Write the checkpoint `source` (a file, a folder, or owner/name on the hub) to the new folder `out`.

    Returns what was found and what was decided, a sentence each. At most one shard and one tensor are in memory, and the
    vision tower. Raises CheckpointError, InputError.
    """
    found = look_at(_fetched(source))
    told = [f"{found.kind.value} ({found.why})"]
    with new_folder(out) as folder:
        told += _write(found, wanted, folder)
    return told


def _fetched(name: str | Path) -> Path:
    """A file or folder as it is, else a checkpoint from the hub: pickled weights only where there are no others."""
    if Path(name).exists():
        return Path(name)
    folder = checkpoint_folder(name)
    return folder if has_weights(folder) else checkpoint_folder(name, wanted=(*WANTED, *PICKLES))


def _write(found: Source, wanted: Conversion, out: Path) -> list[str]:
    if found.kind is Kind.LANGUAGE:
        raise CheckpointError(
            "a language model alone is no LLaVA; it can be the --base of a projector, LoRA or delta",
            where=str(found.path),
            next_step="To train one on it, give it to the trainer as --model_name_or_path with --vision_tower",
        )
    if wanted.to in ("lora", "adapter"):
        return _write_adapter(found, wanted, out)
    if wanted.to in ("transformers", "merged"):
        return _write_transformers(found, wanted, out)
    return _write_llava(found, wanted, out)


def _write_transformers(found: Source, wanted: Conversion, out: Path) -> list[str]:
    if found.kind is Kind.PLAIN:
        return _reshard(found.path, wanted.look, out)
    if found.kind is Kind.ADAPTER and not _is_llava(_base(found, wanted)):
        return _merge_in_memory(found.path, wanted.look, out)
    return write_plain(_read(found, wanted), out, wanted.look)


def _write_llava(found: Source, wanted: Conversion, out: Path) -> list[str]:
    look = wanted.look
    model = as_original(
        _read(found, wanted), with_tower=wanted.with_tower, tower_name=look.vision_tower, dtype=look.dtype
    )
    with_tower = model.has_tower
    if wanted.to == "delta":
        base = _base(found, wanted)
        write_settings(model, out)
        write_delta(model, _read_base(base).tensors, wanted.base or "", out, limit=look.shard_bytes)
        return [f"differences to {wanted.base}"]
    if wanted.to == "projector":
        write_projector(model, out)
        return [f"connector {model.connector.kind}"]
    write_original(model, out, limit=look.shard_bytes)
    return [_tower_told(model, with_tower=with_tower)]


def _tower_told(model: Llava, *, with_tower: bool) -> str:
    name = model.config["mm_vision_tower"]
    if with_tower:
        return f"with the vision tower's weights (of {name})"
    return f"its programs load the published {name} (--with-tower: these weights)"


def _read(found: Source, wanted: Conversion) -> Llava:
    """A whole model of any source. Raises CheckpointError when its base is not given."""
    if found.kind is Kind.PLAIN:
        return read_plain(found.path)
    if found.kind is Kind.ORIGINAL:
        return read_original(found.path)
    base = _base(found, wanted)
    if found.kind is Kind.DELTA:
        return apply_delta(read_original(found.path), _read_base(base).tensors, str(base.path))
    if found.kind is Kind.PROJECTOR:
        return join_projector(found.path, _read_base(base), wanted.look.vision_tower)
    return lora.adapt(_read_base(base), lora.read_adapter(found.path))


def _base(found: Source, wanted: Conversion) -> Source:
    """The base model. Raises InputError when it is needed and not given, CheckpointError when it is no model."""
    if wanted.base is None and found.kind is Kind.ADAPTER:
        return look_at(base_folder(found.path))
    if wanted.base is None:
        raise InputError(
            f"{found.kind.value if wanted.to != 'delta' else 'a delta'}: the base model is needed",
            where=str(found.path),
            next_step="Give the folder or hub name of the model that it was trained from as --base",
        )
    base = look_at(_fetched(wanted.base))
    if base.kind not in (Kind.LANGUAGE, Kind.PLAIN, Kind.ORIGINAL):
        raise CheckpointError(f"is no base model but a {base.kind.value}", where=wanted.base)
    return base


def _read_base(base: Source) -> Llava:
    """A base model: a LLaVA, or a language model that has no connector yet."""
    if base.kind is Kind.PLAIN:
        return read_plain(base.path)
    if base.kind is Kind.ORIGINAL:
        return read_original(base.path)
    tensors = {ours: stored for name, stored in open_weights(base.path).items() if (ours := to_llava(name))}
    config = read_json(base.path / "config.json")
    return Llava(config=config, tensors=tensors, tokenizer=open_tokenizer(base.path), where=base.path)


def _is_llava(base: Source) -> bool:
    return base.kind is not Kind.PLAIN or read_json(base.path / "config.json").get("model_type") in PLAIN_TYPES


def _write_adapter(found: Source, wanted: Conversion, out: Path) -> list[str]:
    if found.kind not in (Kind.LORA, Kind.ADAPTER):
        raise InputError(f"{found.kind.value}: there is no LoRA in it", where=str(found.path))
    base, adapter = _read_base(_base(found, wanted)), lora.read_adapter(found.path)
    name = wanted.base or adapter.config["base_model_name_or_path"]
    if wanted.to == "lora":
        tower = any(part.startswith(TOWER) for part in (*adapter.pairs, *adapter.whole))
        whole = _untouched(base, adapter)
        original = as_original(whole, with_tower=tower, tower_name=wanted.look.vision_tower, dtype=None)
        return lora.write_original_lora(original, adapter, out, name)
    told = write_plain(_untouched(base, adapter), out / BASE, wanted.look)
    lora.write_plain_lora(adapter, out / BASE, base_connector(base, adapter), out, BASE)
    for file in (out / BASE).iterdir():
        if file.suffix in (".json", ".jinja", ".model") and not file.name.startswith(("config", "generation", "model")):
            shutil.copyfile(file, out / file.name)
    return [*told, f"the base model, with what learnt beside LoRA, in {BASE}/"]


def _untouched(base: Llava, adapter: Adapter) -> Llava:
    """The base with what learnt beside LoRA."""
    config = read_json(adapter.folder / "config.json") or base.config
    return replace(base, tensors={**base.tensors, **adapter.whole}, config=config)


def base_connector(base: Llava, adapter: Adapter) -> Connector:
    """The connector of a base, or the one that an adapter brings."""
    return _untouched(base, adapter).connector


def _reshard(folder: Path, look: Look, out: Path) -> list[str]:
    """The same model in other shards or another number format; LLaVA's weights by their published names."""
    copy_files(folder, out)
    config = read_json(folder / "config.json")
    tower = (config.get("vision_config") or {}).get("model_type")
    rename = config.get("model_type") in ("llava", "llava_next") and tower in CLIP_TYPES + SIGLIP_TYPES
    tensors: Tensors = {}
    for name, stored in open_weights(folder).items():
        ours = to_llava(name) if rename else name
        if ours is not None:
            new = to_transformers(ours, Connector(depth=2, bare=False)) if rename else ours
            tensors[new] = cast(stored, look.dtype)
    write_weights(tensors, out, limit=look.shard_bytes)
    return ["the same model, written anew", *change_look(out, look)]


def _merge_in_memory(folder: Path, look: Look, out: Path) -> list[str]:
    """An adapter over a model that LLaVA's layout cannot hold: transformers and PEFT merge it, whole in memory."""
    from llava_graph.model.build import save_checkpoint
    from llava_graph.model.load import load

    loaded = load(folder, device="cpu", dtype=look.dtype or "auto")
    save_checkpoint(loaded.model, loaded.processor, out)
    return ["merged by PEFT"]
