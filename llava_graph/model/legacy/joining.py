"""A projector's file and a base model -> a whole LLaVA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError, InputError
from llava_graph.model.legacy.kinds import PROJECTOR_FILES
from llava_graph.model.legacy.llava import Llava, llava_names, plain_tensors
from llava_graph.model.legacy.names import EMBEDDINGS, NEWLINE, PROJECTOR, find_connector
from llava_graph.model.legacy.settings import LLAVA_TYPES, is_llava_config
from llava_graph.model.legacy.tensors import Stored, Tensors, open_weights
from llava_graph.model.towers import read_json
from llava_graph.model.vocabulary import IMAGE_END, IMAGE_START

if TYPE_CHECKING:
    import torch

MARKS = 2
"""<im_start> and <im_end>: their rows are saved with a projector that was trained with them."""


def join_projector(path: Path, base: Llava, tower: str | None) -> Llava:
    """The base with the projector at `path` (a file, or the folder of one). Raises CheckpointError, InputError.

    Settings are those of config.json beside the projector; without one the vision tower must be given.
    """
    file = path if path.is_file() else next(path / name for name in PROJECTOR_FILES if (path / name).is_file())
    stored = llava_names(open_weights(file), file)
    if any(name.startswith(f"{PROJECTOR}linear_") for name in stored):
        stored = plain_tensors(stored, {"model_type": "llava", "projector_hidden_act": _act(stored)}, file)
    connector = find_connector(stored, str(file))
    kept = {name: value for name, value in base.tensors.items() if not name.startswith(PROJECTOR)}
    if len(kept) != len(base.tensors):
        if base.connector.kind != connector.kind:
            raise CheckpointError(
                f"the base model has a {base.connector.kind} connector, and this is a {connector.kind} one",
                where=str(file),
            )
        return replace(base, tensors={**kept, **_parts(stored)}, where=file)
    config = read_json(file.parent / "config.json")
    if not is_llava_config(config):
        config = _config(base, connector.kind, tower, file)
    tensors = {**kept, **_parts(stored)}
    if EMBEDDINGS in stored:
        tensors[EMBEDDINGS] = _table(base, stored[EMBEDDINGS], config, file)
        base.tokenizer.add_tokens(_marks(config), special_tokens=True)
    return replace(base, tensors=tensors, config=config, where=file)


def _parts(stored: Tensors) -> Tensors:
    return {name: value for name, value in stored.items() if name.startswith(PROJECTOR) or name == NEWLINE}


def _act(stored: Tensors) -> str:
    """Whether a connector in transformers' naming is linear: then its second layer is the identity."""
    import torch

    second = stored.get(f"{PROJECTOR}linear_2.weight")
    if second is None:
        return "linear"
    weight = second.read().float()
    square = weight.shape[0] == weight.shape[1]
    return "linear" if square and torch.equal(weight, torch.eye(len(weight))) else "gelu"


def _config(base: Llava, kind: str, tower: str | None, file: Path) -> dict[str, Any]:
    text = str(base.config.get("model_type"))
    if text not in LLAVA_TYPES:
        raise CheckpointError(
            f"LLaVA has no model on {text}", where=str(base.where), next_step=f"Known: {', '.join(LLAVA_TYPES)}"
        )
    if tower is None:
        raise InputError(
            "no config.json beside the projector says which vision tower it reads",
            where=str(file),
            next_step="Give --vision-tower",
        )
    model_type, name = LLAVA_TYPES[text]
    return {
        **base.config,
        "model_type": model_type,
        "architectures": [name],
        "mm_vision_tower": tower,
        "mm_projector_type": kind,
        "mm_vision_select_layer": -2,
        "mm_use_im_patch_token": False,
    }


def _marks(config: dict[str, Any]) -> list[str]:
    """Tokens that LLaVA adds before it trains a projector, in this order."""
    patch = ["<im_patch>"] if config.get("mm_use_im_patch_token", True) else []
    return [*patch, *([IMAGE_START, IMAGE_END] if config.get("mm_use_im_start_end") else [])]


def _table(base: Llava, saved: Stored, config: dict[str, Any], file: Path) -> Stored:
    """The embedding with the rows that were saved with the projector: all of them, or those of the two marks alone."""
    known = base.tensors[EMBEDDINGS]
    marks = _marks(config)
    rows = known.shape[0] + len(marks)
    if saved.shape == (rows, known.shape[1]):
        return saved
    if saved.shape != (MARKS, known.shape[1]) or len(marks) < MARKS or known.shape[0] != len(base.tokenizer):
        raise CheckpointError(
            f"the embedding that was saved with it is {saved.shape}, and {known.shape} in the base model",
            where=str(file),
            next_step="Give the language model that it was trained with as --base",
        )

    def read() -> torch.Tensor:
        import torch

        table = known.read()
        mean = table.double().mean(dim=0, keepdim=True).to(table.dtype)
        return torch.cat([table, *[mean] * (len(marks) - MARKS), saved.read().to(table.dtype)])

    return Stored((rows, known.shape[1]), known.dtype, read)
