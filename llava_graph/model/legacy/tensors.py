"""Weights that stay in their files until they are asked for. In: a file or folder. Out: name -> `Stored`.

Pickled weights (.bin) are read with torch's `weights_only`, so that no code in them runs. Both kinds are mapped into memory:
a tensor costs memory while it is used.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError
from llava_graph.model.towers import read_json, unreadable

if TYPE_CHECKING:
    import torch

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SHARDS = ("model*.safetensors", "pytorch_model*.bin")
"""Weights of a model, the first of the two kinds that is there; other files in a folder (adapters, optimizers) are not."""
MAX_JSON = 64 * 2**20
"""bytes; the index of the largest open models has 10 MB."""
MAX_HEADER = 100 * 2**20
"""bytes of a safetensors header, as its own library allows."""

NUMBER_FORMATS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""safetensors' name -> torch's."""


@dataclass(frozen=True)
class Stored:
    """A tensor that is read, or worked out, by `read()`."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], torch.Tensor]

    @property
    def bytes(self) -> int:
        """Size in memory."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


Tensors = dict[str, Stored]


def constant(tensor: torch.Tensor) -> Stored:
    """A tensor that is in memory already."""
    return Stored(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def changed(stored: Stored, change: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype | None = None) -> Stored:
    """`change` is applied when the tensor is read; it keeps the shape."""
    return Stored(stored.shape, dtype or stored.dtype, lambda: change(stored.read()))


def cast(stored: Stored, dtype: torch.dtype | None) -> Stored:
    """In another number format; whole numbers stay as they are."""
    if dtype is None or stored.dtype == dtype or not stored.dtype.is_floating_point:
        return stored
    return changed(stored, lambda tensor: tensor.to(dtype), dtype)


def has_weights(folder: Path) -> bool:
    """Whether a folder holds the weights of a whole model."""
    return any(any(folder.glob(pattern)) for pattern in SHARDS)


def open_weights(path: Path) -> Tensors:
    """All tensors of a file, or of a model's folder, in the order of its shards. Raises CheckpointError."""
    if not path.is_dir():
        return _open_file(path)
    out: Tensors = {}
    for file in weight_files(path):
        for name, stored in _open_file(file).items():
            if name in out:
                raise CheckpointError(f"{name} is there twice", where=str(path))
            out[name] = stored
    return out


def weight_files(folder: Path) -> list[Path]:
    """The shards of a model, of safetensors if there are any. Raises CheckpointError that names a missing one."""
    for index, pattern in zip(INDEXES, SHARDS, strict=True):
        if (folder / index).is_file():
            return _indexed(folder, index)
        if found := sorted(folder.glob(pattern)):
            return found
    raise CheckpointError("the weights (*.safetensors, pytorch_model*.bin) are missing", where=str(folder))


def _indexed(folder: Path, index: str) -> list[Path]:
    file = folder / index
    if file.stat().st_size > MAX_JSON:
        raise CheckpointError(f"the index has more than {MAX_JSON >> 20} MB", where=str(file))
    weight_map = read_json(file).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError("names no shards (weight_map)", where=str(file))
    names = list(dict.fromkeys(weight_map.values()))
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or "\\" in name or name in {"", ".", ".."}:
            raise CheckpointError(f"names a shard outside its folder ({name!r})", where=str(file))
        if not (folder / name).is_file():
            raise CheckpointError(f"the shard {name} is missing", where=str(folder), next_step="Fetch it again")
    return [folder / name for name in names]


def _open_file(file: Path) -> Tensors:
    from safetensors import SafetensorError

    if not file.is_file():
        raise CheckpointError("no such file", where=str(file))
    try:
        return _open_safetensors(file) if file.suffix == ".safetensors" else _open_pickled(file)
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise unreadable(error, file) from error


def _open_safetensors(file: Path) -> Tensors:
    from safetensors import safe_open

    with file.open("rb") as raw:
        header = int.from_bytes(raw.read(8), "little")
    if header > min(MAX_HEADER, file.stat().st_size):
        raise CheckpointError(f"its header claims {header} bytes", where=str(file), next_step="Fetch it again")
    opened = safe_open(file, framework="pt")
    out: Tensors = {}
    for name in opened.keys():  # noqa: SIM118  (no mapping)
        part = opened.get_slice(name)
        out[name] = Stored(tuple(part.get_shape()), _dtype(part.get_dtype()), _reader(opened, name))
    return out


def _reader(opened: Any, name: str) -> Callable[[], torch.Tensor]:
    return lambda: opened.get_tensor(name)


def _dtype(name: str) -> torch.dtype:
    import torch

    if name not in NUMBER_FORMATS:
        raise ValueError(f"numbers of the format {name} are not known")
    kind: torch.dtype = getattr(torch, NUMBER_FORMATS[name])
    return kind


def _open_pickled(file: Path) -> Tensors:
    import torch

    try:
        weights = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        # Written before torch 1.6: such a file can only be read whole.
        weights = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = weights["state_dict"]
    if not isinstance(weights, dict):
        raise CheckpointError("holds no weights by name", where=str(file))
    return {str(name): constant(value) for name, value in weights.items() if isinstance(value, torch.Tensor)}
