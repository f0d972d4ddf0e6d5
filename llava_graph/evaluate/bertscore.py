"""BERTScore (Zhang et al. 2020, arXiv:1904.09675): the words of two texts matched by their vectors in a language model.

In: texts. Out: precision, recall and F1 of each pair, as the package bert-score 0.3.13 gives them without idf. That package
itself does not run with transformers 5: it asks the tokenizer for a method that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError

if TYPE_CHECKING:
    import torch

BATCH = 32
"""Pairs at once; it changes a score by rounding only."""
SPECIAL = 2
"""Tokens of an empty text: its beginning and its end."""
SPACED = frozenset({"roberta", "gpt2"})
"""Whose tokenizers tell a word at the beginning of a text from the same one within, unless a space stands before it."""


@dataclass(frozen=True)
class Known:
    """A published model with the package's constants for it."""

    name: str
    layer: int
    """Whose vectors are compared: the one that agrees best with people on WMT16 (`model2layers`)."""
    baseline: float
    """F1 of unlike English sentences there (`rescale_baseline/en`)."""


PUBLISHED_MODEL = "distilroberta-base"
"""CXR-Report-Metric's."""
KNOWN = {
    ("roberta", 6, 768, 50265): Known(PUBLISHED_MODEL, 5, 0.8473319),
    ("roberta", 12, 768, 50265): Known("roberta-base", 10, 0.814463),
    ("roberta", 24, 1024, 50265): Known("roberta-large", 17, 0.83122575),
    ("bert", 12, 768, 30522): Known("bert-base-uncased", 9, 0.35219112),
    ("bert", 24, 1024, 30522): Known("bert-large-uncased", 18, 0.42646673),
    ("bert", 12, 768, 119547): Known("bert-base-multilingual-cased", 9, 0.63146895),
    ("xlm-roberta", 12, 768, 250002): Known("xlm-roberta-base", 9, 0.81639785),
}
"""By what their own config.json says: family, layers, width, vocabulary."""


@dataclass(frozen=True)
class Matched:
    """One pair of texts."""

    precision: float
    recall: float
    f1: float
    """All three before rescaling; 0 where a text is empty."""
    cut: bool = False
    """Whether a text was longer than the model reads; what lies beyond is not scored."""


@dataclass(frozen=True, kw_only=True)
class BertScorer:
    """A model with the layer that is compared. `open_bert_scorer` makes one from a checkpoint."""

    model: Any
    tokenizer: Any
    layer: int
    name: str = ""
    """Of the published model, where it is one."""
    baseline: float | None = None
    """F1 that becomes 0; 1 stays 1. None: not rescaled."""
    _found: dict[tuple[str, str], Matched] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Pairs that were matched before: two runs that are compared share their references and often answers."""

    @property
    def about(self) -> str:
        """For the score's note."""
        rescaled = "not rescaled" if self.baseline is None else "rescaled"
        return f"{self.name or 'unknown model'}, layer {self.layer}, {rescaled}"

    @property
    def longest(self) -> int:
        """Tokens that are read, with beginning and end."""
        config = self.model.config
        places = getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        before = (
            SPECIAL if config.model_type in ("roberta", "xlm-roberta") else 0
        )  # their places begin behind the padding's
        return int(min(places - before, self.tokenizer.model_max_length))

    def rescaled(self, f1: float) -> float:
        """F1 on the scale on which unlike texts have 0."""
        return f1 if self.baseline is None else (f1 - self.baseline) / (1 - self.baseline)

    def __call__(self, answers: Sequence[str], references: Sequence[str]) -> list[Matched]:
        """Each answer against its reference."""
        pairs = list(zip(answers, references, strict=True))
        new = sorted(set(pairs) - set(self._found), key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            self._found.update(zip(some, self._matched(some), strict=True))
        return [self._found[pair] for pair in pairs]

    def _matched(self, pairs: Sequence[tuple[str, str]]) -> list[Matched]:
        import torch

        (mine, counts, cut), (theirs, their_counts, their_cut) = (
            self._read([one[side] for one in pairs]) for side in (0, 1)
        )
        likeness = mine @ theirs.transpose(1, 2)  # (pairs, tokens of the answer, tokens of the reference)
        there = _places(counts, mine.shape[1]).unsqueeze(2) & _places(their_counts, theirs.shape[1]).unsqueeze(1)
        likeness = torch.where(there, likeness, torch.zeros(()))
        precision = _mean_inside(likeness.amax(2), counts)
        recall = _mean_inside(likeness.amax(1), their_counts)
        rows = zip(precision.tolist(), recall.tolist(), counts, their_counts, cut, their_cut, strict=True)
        return [
            Matched(p, r, 2 * p * r / (p + r) if p + r else 0.0, a or b)
            if min(one, other) > SPECIAL
            else Matched(0.0, 0.0, 0.0)
            for p, r, one, other, a, b in rows
        ]

    def _read(self, texts: Sequence[str]) -> tuple[torch.Tensor, list[int], list[bool]]:
        """Unit vectors (texts, tokens, width); tokens of each text; whether it was cut."""
        import torch

        space = " " if self.model.config.model_type in SPACED else ""
        ids = [
            self.tokenizer(space + text.strip() if text.strip() else "", verbose=False)["input_ids"] for text in texts
        ]
        cut = [len(one) > self.longest for one in ids]
        ids = [[*one[: self.longest - 1], one[-1]] if long else one for one, long in zip(ids, cut, strict=True)]
        counts = [len(one) for one in ids]
        filled = torch.full((len(ids), max(counts)), self.tokenizer.pad_token_id)
        for row, one in enumerate(ids):
            filled[row, : len(one)] = torch.tensor(one)
        mask = _places(counts, filled.shape[1])
        with torch.inference_mode():
            device = self.model.device
            out = self.model(filled.to(device), attention_mask=mask.long().to(device), output_hidden_states=True)
            vectors = out.hidden_states[self.layer].float().cpu()
            return vectors / vectors.norm(dim=-1, keepdim=True), counts, cut


def _places(counts: Sequence[int], width: int) -> torch.Tensor:
    """(texts, width): where a token stands."""
    import torch

    return torch.arange(width) < torch.tensor(list(counts)).unsqueeze(1)


def _mean_inside(best: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Mean over the tokens between beginning and end; these two count as partners but not for themselves."""
    import torch

    inside = _places([count - 1 for count in counts], best.shape[1])
    inside[:, 0] = False
    return torch.where(inside, best, torch.zeros(())).sum(1) / inside.sum(1).clamp(min=1)


def open_bert_scorer(name: Path | str, known_models: Mapping[tuple[str, int, int, int], Known] = KNOWN) -> BertScorer:
    """From a checkpoint folder, or `owner/name` on the hub. Raises CheckpointError.

    A published model brings its layer and its English baseline; of another one the last layer is compared, unscaled.
    """
    from llava_graph.evaluate.encoders import open_encoder, open_words

    model, folder = open_encoder(name)
    config = model.config
    known = known_models.get((config.model_type, config.num_hidden_layers, config.hidden_size, config.vocab_size))
    tokenizer = open_words(folder)
    if len(tokenizer("")["input_ids"]) != SPECIAL or tokenizer.pad_token_id is None:
        raise CheckpointError("is no encoder of BERT's kind: its texts have no beginning and end", where=str(name))
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"its tokenizer has {len(tokenizer)} words and its model {config.vocab_size}", where=str(name)
        )
    if known and hasattr(getattr(model, "encoder", None), "layer"):
        del model.encoder.layer[known.layer :]  # what lies above is not looked at
    if known is None:
        return BertScorer(model=model, tokenizer=tokenizer, layer=config.num_hidden_layers)
    return BertScorer(model=model, tokenizer=tokenizer, layer=known.layer, name=known.name, baseline=known.baseline)
