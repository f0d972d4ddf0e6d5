"""Folders of weights, written piece by piece. In: stored tensors. Out: safetensors shards.

A folder appears when it is whole; a killed conversion leaves nothing of that name.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.durable import put_in_place, write_json
from llava_graph.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import torch

    from llava_graph.model.legacy.tensors import Stored

SHARD_BYTES = 4 * 2**30
"""Largest shard: what is held in memory at once. A single tensor may be larger."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into; it gets the name `out` when all went well, else nothing is left.

    Raises InputError when `out` is there already and not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("is there already", where=str(out), next_step="Give a new folder")
    draft = out.absolute().with_name(f".{out.absolute().name}.{uuid.uuid4().hex[:8]}.part")
    draft.mkdir(parents=True)
    try:
        yield draft
        if out.exists():
            out.rmdir()
        put_in_place(draft, out.absolute())
    except OSError as error:
        raise CheckpointError(f"cannot be written ({error})", where=str(out)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class ShardWriter:
    """Collects tensors up to the size of a shard, then writes them; `close` names the shards and writes the index."""

    def __init__(self, folder: Path, *, stem: str = "model", limit: int = SHARD_BYTES) -> None:
        """`stem`-00001-of-00002.safetensors …, or `stem`.safetensors when one is enough."""
        self._folder, self._stem, self._limit = folder, stem, limit
        self._held: dict[str, torch.Tensor] = {}
        self._bytes = self._total = 0
        self._shards: list[list[str]] = []

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Take a tensor."""
        tensor = tensor.detach().cpu().contiguous()
        size = tensor.numel() * tensor.itemsize
        if self._held and self._bytes + size > self._limit:
            self._flush()
        if tensor.untyped_storage().nbytes() != size or self._shares(tensor):
            tensor = tensor.clone()  # a file holds each tensor once, whole and alone
        self._held[name] = tensor
        self._bytes += size

    def _shares(self, tensor: torch.Tensor) -> bool:
        return any(tensor.data_ptr() == held.data_ptr() for held in self._held.values() if held.numel())

    def _flush(self) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        part = self._part(len(self._shards))
        try:
            save_file(self._held, part, metadata={"format": "pt"})
        except SafetensorError as error:
            raise CheckpointError(f"cannot be written ({error})", where=str(self._folder)) from error
        self._shards.append(list(self._held))
        self._total += self._bytes
        self._held, self._bytes = {}, 0

    def _part(self, number: int) -> Path:
        return self._folder / f"{self._stem}.{number}.part"

    def close(self) -> None:
        """Write what is left, name the shards by their number, and the index if there are several."""
        if self._held or not self._shards:
            self._flush()
        count = len(self._shards)
        weight_map: dict[str, str] = {}
        for number, names in enumerate(self._shards):
            piece = f"-{number + 1:05d}-of-{count:05d}" if count > 1 else ""
            file = self._folder / f"{self._stem}{piece}.safetensors"
            self._part(number).rename(file)
            file.chmod(0o644)  # safetensors writes 0600; a shared folder should be readable
            weight_map |= dict.fromkeys(names, file.name)
        if count > 1:
            index = {"metadata": {"total_size": self._total}, "weight_map": dict(sorted(weight_map.items()))}
            write_json(self._folder / f"{self._stem}.safetensors.index.json", index)


def write_weights(
    tensors: Mapping[str, Stored], folder: Path, *, stem: str = "model", limit: int = SHARD_BYTES
) -> None:
    """All tensors to `folder`, holding one shard and one tensor at a time."""
    writer = ShardWriter(folder, stem=stem, limit=limit)
    for name, stored in tensors.items():
        writer.add(name, stored.read())
    writer.close()


def write_pickled(tensors: Mapping[str, Any], file: Path) -> None:
    """A .bin file, which the published programs read; small ones only."""
    import torch

    torch.save({name: stored.read().detach().contiguous().clone() for name, stored in tensors.items()}, file)
