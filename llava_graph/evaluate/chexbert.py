"""CheXbert (Smit et al. 2020, arXiv:2004.09167): what radiology reports say of 14 observations, and the vectors behind it.

In: reports; the published `chexbert.pth`. Out: the vector of each report, of 768 numbers, and its 14 findings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llava_graph.errors import CheckpointError
from llava_graph.model.hub import checkpoint_folder
from llava_graph.model.towers import read_errors, unreadable

OBSERVATIONS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
)  # fmt: skip
"""In the order of the heads."""
FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""CheXpert's competition observations, on which "F1-5" is taken."""
CLASSES = (4,) * 13 + (2,)
"""Of each head: blank, positive, negative, uncertain; of No Finding: no, yes."""
FOUND = frozenset({1, 3})
"""Positive, and uncertain, which published scores count as positive."""
LONGEST = 512
HEAD_WIDTH = 64
"""Of an attention head in every BERT of Google's; a checkpoint's weights do not say it."""
VOCABULARY = "vocab.txt"
BASE = "google-bert/bert-base-uncased"
"""Whose words CheXbert reads; the checkpoint does not bring them."""
BATCH = 32


@dataclass(frozen=True)
class Reading:
    """One report."""

    vector: tuple[float, ...]
    """Last hidden state of [CLS]."""
    findings: tuple[bool, ...]
    """Of each of OBSERVATIONS: positive or uncertain."""


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """CheXbert similarity of two reports' vectors, -1 to 1."""
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


@dataclass(frozen=True, kw_only=True)
class CheXbert:
    """The labeler. `open_chexbert` makes one from its checkpoint."""

    bert: Any
    heads: Sequence[tuple[Any, Any]]
    """(weight, bias) of each observation."""
    tokenizer: Any
    _found: dict[str, Reading] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Reports that were read before: many are alike, and two runs that are compared share their references."""

    def __call__(self, reports: Sequence[str]) -> list[Reading]:
        """Each report, cut after 512 tokens as the original cuts it."""
        texts = [re.sub(r"\s+", " ", report).strip() for report in reports]
        new = sorted(set(texts) - set(self._found), key=lambda text: (-len(text), text))
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            self._found.update(zip(some, self._read(some), strict=True))
        return [self._found[text] for text in texts]

    def _read(self, texts: Sequence[str]) -> list[Reading]:
        import torch

        told = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt", verbose=False
        ).to(self.bert.device)
        with torch.inference_mode():
            out = self.bert(input_ids=told["input_ids"], attention_mask=told["attention_mask"])
            vectors = out.last_hidden_state[:, 0]
            classes = [(vectors @ weight.T + bias).argmax(1).tolist() for weight, bias in self.heads]
        return [
            Reading(tuple(vector), tuple(one in FOUND for one in row))
            for vector, row in zip(vectors.tolist(), zip(*classes, strict=True), strict=True)
        ]


def open_chexbert(place: Path | str) -> CheXbert:
    """From `chexbert.pth` or the folder that has it; with `vocab.txt` beside it, else bert-base-uncased's words from the hub.

    The file is read with torch's `weights_only`. Raises CheckpointError.
    """
    import torch
    from transformers import BertConfig, BertModel

    file = Path(place) / "chexbert.pth" if Path(place).is_dir() else Path(place)
    if not file.is_file():
        raise CheckpointError("no such file", where=str(file), next_step="CheXbert's authors publish chexbert.pth")
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except read_errors() as error:
        raise unreadable(error, file) from error
    weights = _weights(stored, file)
    try:
        size = _shape(weights)
        bert = BertModel(BertConfig(**size), add_pooling_layer="bert.pooler.dense.weight" in weights)
        own = {
            name: value for name, value in weights.items() if name.startswith("bert.") and "position_ids" not in name
        }
        bert.load_state_dict({name.removeprefix("bert."): value for name, value in own.items()})
        heads = [(weights[f"linear_heads.{n}.weight"], weights[f"linear_heads.{n}.bias"]) for n in range(len(CLASSES))]
    except (KeyError, RuntimeError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise CheckpointError(
            f"is no CheXbert: a BERT and 14 linear heads are expected ({told})", where=str(file)
        ) from error
    if tuple(len(bias) for _, bias in heads) != CLASSES:
        raise CheckpointError("is no CheXbert: 13 heads of 4 classes and one of 2 are expected", where=str(file))
    place = file.parent if (file.parent / VOCABULARY).is_file() else checkpoint_folder(BASE, wanted=(VOCABULARY,))
    words = _words(place / VOCABULARY)
    if len(words) != size["vocab_size"]:
        raise CheckpointError(
            f"has {len(words)} words, and the checkpoint {size['vocab_size']}",
            where=str(place / VOCABULARY),
            next_step="CheXbert reads bert-base-uncased's",
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    heads = [(weight.float().to(device), bias.float().to(device)) for weight, bias in heads]
    return CheXbert(bert=bert.float().eval().to(device), heads=heads, tokenizer=words)


def _words(file: Path) -> Any:
    """BERT's uncased words. Raises CheckpointError."""
    from transformers import BertTokenizer

    try:
        return BertTokenizer(vocab=str(file), do_lower_case=True)
    except read_errors() as error:
        raise unreadable(error, file) from error


def _weights(stored: object, file: Path) -> dict[str, Any]:
    """By name, without the training's wrapping."""
    inner = stored.get("model_state_dict", stored) if isinstance(stored, Mapping) else None
    if not isinstance(inner, Mapping):
        raise CheckpointError("holds no weights by name", where=str(file))
    return {str(name).removeprefix("module."): value for name, value in inner.items()}


def _shape(weights: Mapping[str, Any]) -> dict[str, int]:
    """The BERT's sizes, as its weights show them."""
    words, places = (weights[f"bert.embeddings.{name}_embeddings.weight"].shape for name in ("word", "position"))
    layers = {int(found[1]) for name in weights if (found := re.match(r"bert\.encoder\.layer\.(\d+)\.", name))}
    return {
        "vocab_size": words[0],
        "hidden_size": words[1],
        "max_position_embeddings": places[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, words[1] // HEAD_WIDTH),
        "intermediate_size": weights["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
    }
