"""Trained connectors. In: a checkpoint, or the small file that LLaVA's first stage leaves. Out: a model that has its weights.

Read are safetensors, and LLaVA's `mm_projector.bin` (a pickle, with torch's `weights_only`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.errors import CheckpointError
from llava_graph.model.towers import read_errors, unreadable
from llava_graph.model.vocabulary import IMAGE_END, IMAGE_START, whole

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONNECTOR = re.compile(r"(?:^|\.)(?:mm_projector|multi_modal_projector)\.(.+)$")
EMBEDDINGS = re.compile(r"(?:^|\.)embed_tokens\.weight$")
LLAVA_NAMES = {
    "0.weight": "linear_1.weight", "0.bias": "linear_1.bias", "2.weight": "linear_2.weight", "2.bias": "linear_2.bias",
    "weight": "linear_1.weight", "bias": "linear_1.bias",
}  # fmt: skip
"""LLaVA's names of mlp2x_gelu (0 and 2) and linear -> transformers' names."""

FILES = ("mm_projector.safetensors", "mm_projector.bin")


def load_connector(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path | str) -> None:
    """Give `model` the connector at `path`, in place; also the rows of <im_start> and <im_end>, where it holds them.

    `path` is a file, a folder with `mm_projector.bin`, or a checkpoint folder. Raises CheckpointError when the
    connector is another one.
    """
    import torch

    weights = read_weights(Path(path))
    found = {match[1]: weight for name, weight in weights.items() if (match := CONNECTOR.search(name))}
    own = dict(model.model.multi_modal_projector.named_parameters())
    if "linear_1.weight" in own:
        found = {LLAVA_NAMES.get(name, name): weight for name, weight in found.items()}
    kind = getattr(model.config, "projector_hidden_act", None)
    both = "linear_1.weight" in own and "linear_2.weight" in found
    if both and _is_identity(found) != (kind == "linear"):  # of the same shapes
        here, there = ("linear", "mlp2x_gelu") if kind == "linear" else ("mlp2x_gelu", "linear")
        raise CheckpointError(
            f"holds another connector than the model's: {there} there and {here} here",
            where=str(path),
            next_step=f"Add --mm_projector_type {there}, or take a connector of the model's type",
        )
    if kind == "linear" and "linear_2.weight" not in found:
        own = {name: weight for name, weight in own.items() if name.startswith("linear_1")}
    shapes = {name: tuple(getattr(weight, "ds_shape", weight.shape)) for name, weight in own.items()}
    if wrong := sorted(name for name in shapes | found if shapes.get(name) != _shape(found.get(name))):
        raise CheckpointError(
            f"holds another connector than the model's: {wrong[0]} is {_shape(found.get(wrong[0]))} there "
            f"and {shapes.get(wrong[0])} here",
            where=str(path),
            next_step="Check --mm_projector_type, and that vision tower and language model are those it was trained with",
        )
    with whole(list(own.values())), torch.no_grad():
        for name, weight in own.items():
            weight.copy_(found[name])
    rows = next((weight for name, weight in weights.items() if EMBEDDINGS.search(name)), None)
    marks = [tokenizer.get_vocab().get(token) for token in (IMAGE_START, IMAGE_END)]
    if rows is not None and all(mark is not None for mark in marks):
        table = model.get_input_embeddings().weight
        with whole([table]), torch.no_grad():
            table[marks] = rows[-2:].to(table)


def _is_identity(weights: dict[str, torch.Tensor]) -> bool:
    """Whether the second matrix does nothing: so transformers' LLaVA holds a linear connector."""
    import torch

    second, bias = weights["linear_2.weight"], weights.get("linear_2.bias")
    square = second.ndim == 2 and second.shape[0] == second.shape[1]
    plain = square and torch.equal(second, torch.eye(len(second), dtype=second.dtype))
    return plain and (bias is None or not bias.any())


def _shape(weight: torch.Tensor | None) -> tuple[int, ...] | None:
    return None if weight is None else tuple(weight.shape)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file; of a folder, those of its connector. Raises CheckpointError."""
    import torch
    from safetensors import safe_open

    if path.is_dir():
        small = [path / name for name in FILES if (path / name).is_file()]
        files = small[:1] or sorted(path.glob("*.safetensors"))
    else:
        files = [path]
    if not files or not files[0].is_file():
        raise CheckpointError("no trained connector", where=str(path), next_step=f"Give a file such as {FILES[1]}")
    out: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            if file.suffix == ".safetensors":
                with safe_open(file, "pt") as opened:
                    names = [name for name in opened.keys() if CONNECTOR.search(name) or EMBEDDINGS.search(name)]  # noqa: SIM118
                    out |= {name: opened.get_tensor(name) for name in names}
            else:
                out |= torch.load(file, map_location="cpu", weights_only=True)
        except read_errors() as error:
            raise unreadable(error, file) from error
    return out
