"""What a source is, told from its own files: never from the spelling of its path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llava_graph.errors import CheckpointError
from llava_graph.model.adapters import ADAPTER, MODEL_CONFIG
from llava_graph.model.legacy.delta import looks_like_delta
from llava_graph.model.legacy.names import EMBEDDINGS, to_llava
from llava_graph.model.legacy.original import PROJECTOR_FILE
from llava_graph.model.legacy.settings import is_llava_config
from llava_graph.model.legacy.tensors import Tensors, has_weights, open_weights
from llava_graph.model.quantize import stored_quantization
from llava_graph.model.towers import read_json

PROJECTOR_FILES = (PROJECTOR_FILE, "mm_projector.safetensors")


class Kind(StrEnum):
    """Layouts that are read."""

    PLAIN = "transformers"
    ORIGINAL = "llava"
    DELTA = "delta"
    LORA = "lora"
    """LLaVA's, with non_lora_trainables.bin"""
    ADAPTER = "adapter"
    """Ours: PEFT's, over a model in transformers' layout"""
    PROJECTOR = "projector"
    LANGUAGE = "language model"
    """A base for others; no LLaVA by itself"""


@dataclass(frozen=True)
class Source:
    """A folder or file and what it holds."""

    path: Path
    kind: Kind
    why: str


def look_at(path: Path) -> Source:
    """What `path` holds. Raises CheckpointError when it is nothing that is known."""
    if path.is_file():
        return _file(path)
    if not path.is_dir():
        raise CheckpointError("no such folder", where=str(path), next_step="Give a checkpoint folder, or owner/name")
    if (path / ADAPTER).is_file():
        ours = (path / MODEL_CONFIG).is_file()
        why = f"{ADAPTER} {'and' if ours else 'without'} {MODEL_CONFIG}"
        return Source(path, Kind.ADAPTER if ours else Kind.LORA, why)
    if has_weights(path):
        return _whole(path, read_json(path / "config.json"))
    for name in PROJECTOR_FILES:
        if (path / name).is_file():
            return Source(path, Kind.PROJECTOR, name)
    raise CheckpointError("no weights that are known", where=str(path), next_step="Is it a checkpoint folder?")


def _whole(path: Path, config: dict[str, object]) -> Source:
    if not config:
        raise CheckpointError("config.json is missing", where=str(path), next_step="Is it a checkpoint folder?")
    if stored := stored_quantization(config):
        raise CheckpointError(
            f"is quantized ({stored}), and packed weights fit no other layout",
            where=str(path),
            next_step="Convert the checkpoint that it was made from",
        )
    if not is_llava_config(config):
        return _other(path, config)
    tensors = named(open_weights(path))
    if looks_like_delta(path, tensors):
        return Source(path, Kind.DELTA, "delta.json, or a last norm near 0")
    return Source(path, Kind.ORIGINAL, f"LLaVA's config.json ({config.get('model_type')})")


def named(tensors: Tensors) -> Tensors:
    """By LLaVA's names, buffers left out."""
    return {ours: stored for name, stored in tensors.items() if (ours := to_llava(name))}


def _file(path: Path) -> Source:
    names = set(open_weights(path))
    if any("mm_projector" in name or "multi_modal_projector" in name for name in names):
        return Source(path, Kind.PROJECTOR, "weights of a connector")
    raise CheckpointError(
        "holds no connector", where=str(path), next_step="Give a folder, or a file as mm_projector.bin"
    )


def _other(path: Path, config: dict[str, object]) -> Source:
    kind = config.get("model_type")
    if "vision_config" not in config and "text_config" not in config and EMBEDDINGS in open_weights(path):
        return Source(path, Kind.LANGUAGE, f"weights of a language model ({kind})")
    return Source(path, Kind.PLAIN, f"transformers' config.json ({kind})")
