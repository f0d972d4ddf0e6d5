"""Delta weights: differences to a base model, as the first LLaVA checkpoints were given away. Made and applied tensor by tensor.

The differences are float16, as in LLaVA's `make_delta` and `apply_delta`. A sum of rounded differences is not always the number
that was there; where it is not, ours keeps that number beside (`exact*.safetensors`), which other programs do not look at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.durable import write_json
from llava_graph.errors import CheckpointError
from llava_graph.model.legacy.llava import Llava, llava_names
from llava_graph.model.legacy.names import EMBEDDINGS, HEAD, NEWLINE, PROJECTOR, TOWER
from llava_graph.model.legacy.tensors import Stored, Tensors, open_weights
from llava_graph.model.legacy.write import SHARD_BYTES, ShardWriter
from llava_graph.model.towers import read_json

if TYPE_CHECKING:
    import torch

RECORD = "delta.json"
"""Beside our delta weights: sha256 of each tensor of the base, in float16."""
EXACT = "exact"
NOT_IN_A_BASE = (PROJECTOR, TOWER, NEWLINE)
MAY_BE_LONGER = (EMBEDDINGS, HEAD)
"""New tokens have rows that the base has not; those are kept as they are."""

NORM = "model.norm.weight"
SMALL = 0.1
"""Mean size of the last norm's weights: near 0 in differences, 1 and more in language models (LLaMA 7B: 1.7)."""


def looks_like_delta(folder: Path, tensors: Tensors) -> bool:
    """Whether weights are differences: those that we made say so; published ones have a last norm near 0."""
    if (folder / RECORD).is_file():
        return True
    norm = tensors.get(NORM)
    return norm is not None and float(norm.read().float().abs().mean()) < SMALL


def write_delta(model: Llava, base: Tensors, base_name: str, out: Path, *, limit: int = SHARD_BYTES) -> None:
    """The weights of `model` minus `base` to `out`, with what tells a wrong base apart. Raises CheckpointError."""
    import torch

    check_base(model.tensors, base, model.where)
    hashes: dict[str, str] = {}
    differences, exact = ShardWriter(out, limit=limit), ShardWriter(out, stem=EXACT, limit=limit)
    kept_any = False
    for name, stored in model.tensors.items():
        target = stored.read().to(torch.float16).contiguous()
        if name not in base:
            differences.add(name, target)
            continue
        known = base[name].read().to(torch.float16)
        hashes[name] = _hash(known)
        delta = target.clone()
        delta[: len(known)] -= known
        differences.add(name, delta)
        for key, value in _corrections(name, target, _sum(delta, known)):
            exact.add(key, value)
            kept_any = True
    differences.close()
    if kept_any:
        exact.close()
    write_json(out / RECORD, {"base": base_name, "sha256": hashes})


def _corrections(name: str, target: torch.Tensor, summed: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Where the sum is another number than the target's (bit by bit): its places and the right numbers."""
    import torch

    places = (target.view(torch.int16) != summed.view(torch.int16)).flatten().nonzero().flatten()
    if len(places):
        yield f"{name}:places", places.to(torch.int32) if target.numel() < 2**31 else places
        yield f"{name}:values", target.flatten()[places]


def _sum(delta: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """`delta` with the base added to its first rows."""
    out = delta.clone()
    out[: len(known)] += known
    return out


def apply_delta(model: Llava, base: Tensors, base_name: str) -> Llava:
    """The model whose differences to `base` are the tensors of `model`; they are added when they are read.

    Raises CheckpointError for another base: by the shapes now, by the hashes (of deltas that we made) while reading.
    """
    check_base(model.tensors, base, model.where)
    hashes = read_json(model.where / RECORD).get("sha256") or {}
    corrections: Tensors = {}
    for file in sorted(model.where.glob(f"{EXACT}*.safetensors")):
        corrections |= open_weights(file)
    tensors = {
        name: _added(name, stored, base[name], corrections, hashes, base_name) if name in base else stored
        for name, stored in model.tensors.items()
    }
    return replace(model, tensors=tensors)


def _added(  # noqa: PLR0917  (what one tensor needs, each of its own kind)
    name: str, delta: Stored, known: Stored, corrections: Tensors, hashes: dict[str, Any], base_name: str
) -> Stored:
    import torch

    def read() -> torch.Tensor:
        base = known.read().to(torch.float16)
        if name in hashes and hashes[name] != _hash(base):
            raise CheckpointError(
                f"the base model is another than the one the delta was made with ({name} differs)",
                where=base_name,
                next_step="Give that one as --base; delta.json names it",
            )
        out = _sum(delta.read().to(torch.float16), base)
        if f"{name}:places" in corrections:
            places = corrections[f"{name}:places"].read().long()
            out.view(-1)[places] = corrections[f"{name}:values"].read()
        return out

    return Stored(delta.shape, torch.float16, read)


def check_base(tensors: Tensors, base: Tensors, where: Path) -> None:
    """Raises CheckpointError where the base is of another size, or has not what a base must have."""
    for name, stored in tensors.items():
        if name.startswith(NOT_IN_A_BASE):
            continue
        if name not in base:
            raise CheckpointError(
                f"the base model has no {name}",
                where=str(where),
                next_step="Give the language model it was trained from",
            )
        shape, known = stored.shape, base[name].shape
        longer = name in MAY_BE_LONGER and shape[0] >= known[0] and shape[1:] == known[1:]
        if shape != known and not longer:
            raise CheckpointError(
                f"the base model is another one: {name} is {known} there, and {shape} in the delta",
                where=str(where),
                next_step="A delta of 13 B needs the base of 13 B, one of 7 B that of 7 B",
            )


def base_weights(folder: Path) -> Tensors:
    """The weights of a base model by LLaVA's names. Raises CheckpointError."""
    return llava_names(open_weights(folder), folder)


def _hash(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().view(-1).numpy().tobytes()).hexdigest()
