"""One model, whatever its files look like: `Llava`, in LLaVA's own layout. Read from LLaVA's and from transformers' folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError
from llava_graph.model.legacy import settings
from llava_graph.model.legacy.names import (
    EMBEDDINGS,
    HEAD,
    PROJECTOR,
    TOWER,
    Connector,
    find_connector,
    from_linear_names,
    to_llava,
)
from llava_graph.model.legacy.tensors import Tensors, open_weights
from llava_graph.model.tokenizer_files import open_tokenizer
from llava_graph.model.towers import read_json
from llava_graph.model.vocabulary import IMAGE_START

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

PLAIN_TYPES = ("llava", "llava_next", "llava_mlp")
"""transformers' model_type of the models that LLaVA's layout can hold."""

REMEMBERED = "llava"
"""Under `about` in a converted config.json: LLaVA's own configuration, its rows, the tokens that were added."""


@dataclass(frozen=True, kw_only=True)
class Llava:
    """A model in LLaVA's own layout."""

    config: dict[str, Any]
    """LLaVA's config.json; of one read from transformers' layout see `original_config`."""
    tensors: Tensors
    """By LLaVA's names; the vision tower's only where the source holds them."""
    tokenizer: PreTrainedTokenizerBase
    where: Path
    """The source, for errors."""
    origin: Path | None = None
    """A folder in transformers' layout that this model was read from: its other files stay as they are."""
    overlay: Path | None = None
    """An adapter's folder, whose files come before those of `origin`."""

    @property
    def connector(self) -> Connector:
        """The kind of its projector. Raises CheckpointError."""
        return find_connector(self.tensors, str(self.where))

    @property
    def rows(self) -> int:
        """Rows of the embedding. Raises CheckpointError."""
        if EMBEDDINGS not in self.tensors:
            raise CheckpointError(f"the weights are not complete ({EMBEDDINGS} is missing)", where=str(self.where))
        return self.tensors[EMBEDDINGS].shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the language model."""
        return self.tensors[EMBEDDINGS].dtype

    @property
    def has_tower(self) -> bool:
        """Whether the vision tower's weights are among its own."""
        return any(name.startswith(TOWER) for name in self.tensors)


def read_original(folder: Path, tensors: Tensors | None = None) -> Llava:
    """A checkpoint in LLaVA's layout; `tensors` instead of those in its files. Raises CheckpointError."""
    config = read_json(folder / "config.json")
    settings.text_type(config, str(folder))  # refused before gigabytes are looked at
    stored = llava_names(open_weights(folder) if tensors is None else tensors, folder)
    model = Llava(config=config, tensors=stored, tokenizer=open_tokenizer(folder), where=folder)
    return tied(model)


def tied(model: Llava) -> Llava:
    """The model. Raises CheckpointError when its output head is missing though it is not the embedding."""
    if HEAD not in model.tensors and not model.config.get("tie_word_embeddings", False):
        raise CheckpointError(f"the weights are not complete ({HEAD} is missing)", where=str(model.where))
    return model


def llava_names(tensors: Tensors, where: Path) -> Tensors:
    """The tensors by LLaVA's names, without buffers. Raises CheckpointError when two have the same name."""
    out: Tensors = {}
    for name, stored in tensors.items():
        ours = to_llava(name)
        if ours is None or ours.startswith(f"{TOWER}head."):  # SigLIP's pooling, which a LLaVA never reads
            continue
        if ours in out:
            raise CheckpointError(f"{ours} is there under two names ({name})", where=str(where))
        out[ours] = stored
    return out


def read_plain(folder: Path) -> Llava:
    """A LLaVA in transformers' layout. Raises CheckpointError."""
    content = read_json(folder / "config.json")
    if content.get("model_type") not in PLAIN_TYPES:
        raise CheckpointError(
            f"a {content.get('model_type')} has no place in LLaVA's layout",
            where=str(folder),
            next_step=f"Only {', '.join(PLAIN_TYPES)} have",
        )
    tensors = plain_tensors(llava_names(open_weights(folder), folder), content, folder)
    config = {"tie_word_embeddings": bool(content.get("tie_word_embeddings", False))}
    model = Llava(config=config, tensors=tensors, tokenizer=open_tokenizer(folder), where=folder, origin=folder)
    return tied(model)


def remembered(folder: Path) -> dict[str, Any]:
    """What a conversion kept of LLaVA's own layout in config.json; {} for other models."""
    about = read_json(folder / "config.json").get("about")
    kept = about.get(REMEMBERED) if isinstance(about, dict) else None
    return kept if isinstance(kept, dict) else {}


def original_config(model: Llava) -> dict[str, Any]:
    """LLaVA's config.json of a model. Raises CheckpointError when its language model is none of LLaVA's."""
    if model.origin is None:
        return model.config
    kept = remembered(model.origin).get("config")
    if not isinstance(kept, dict):
        return _new_config(model.origin, model.connector)
    aspect = _aspect(model.origin, "")
    before = "pad" if kept.get("image_aspect_ratio") == "pad" else "square"
    changed = aspect != before and kept.get("image_aspect_ratio") != "anyres"
    return {**kept, **({"image_aspect_ratio": aspect} if changed else {})}


def plain_tensors(tensors: Tensors, content: dict[str, Any], where: Path) -> Tensors:
    """LLaVA's names for the connector of a transformers model. Raises CheckpointError."""
    connector = _plain_connector(content, where)
    if connector.depth == 1:
        _check_identity(tensors, where)
        tensors = {name: stored for name, stored in tensors.items() if not name.startswith(f"{PROJECTOR}linear_2.")}
    return {from_linear_names(name, connector): stored for name, stored in tensors.items()}


def _plain_connector(content: dict[str, Any], where: Path) -> Connector:
    if content["model_type"] == "llava_mlp":
        return Connector(depth=int(content.get("connector_depth", 3)), bare=False)
    act = content.get("projector_hidden_act", "gelu")
    if act not in ("gelu", "linear"):
        raise CheckpointError(f"LLaVA's code has no connector with {act}", where=str(where))
    kept = (content.get("about") or {}).get(REMEMBERED) or {}
    bare = kept.get("connector", "linear") == "linear"
    return Connector(depth=2, bare=False) if act == "gelu" else Connector(depth=1, bare=bare)


def _check_identity(tensors: Tensors, where: Path) -> None:
    """Raises CheckpointError when the second layer of a linear connector is no longer the identity."""
    import torch

    second = tensors.get(f"{PROJECTOR}linear_2.weight"), tensors.get(f"{PROJECTOR}linear_2.bias")
    for stored in second:
        if stored is None:
            raise CheckpointError("the connector is not complete (linear_2)", where=str(where))
        values = stored.read()
        wanted = torch.eye(len(values)) if values.ndim == 2 else torch.zeros(len(values))
        if not torch.equal(values.float(), wanted):
            raise CheckpointError(
                "its linear connector has a second layer that learnt, for which LLaVA's layout has no place",
                where=str(where),
                next_step="Keep transformers' layout",
            )


def _new_config(folder: Path, connector: Connector) -> dict[str, Any]:
    from transformers import AutoConfig

    from llava_graph.model import connectors

    connectors.register()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    about = getattr(config, "about", None) or {}
    name = str(about.get("assembled", {}).get("vision_tower") or "")
    template = folder / "chat_template.jinja"
    marks = template.is_file() and IMAGE_START in template.read_text(encoding="utf-8")
    made = settings.llava_config(config, connector, name, _aspect(folder, config.model_type))
    return {**made, "mm_use_im_start_end": marks}


def _aspect(folder: Path, kind: str) -> str:
    """`image_aspect_ratio` of a transformers checkpoint."""
    if kind == "llava_next":
        return "anyres"
    found: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        content = read_json(folder / name)
        found |= content.get("image_processor", content)
    return "pad" if found.get("do_pad") else "square"
