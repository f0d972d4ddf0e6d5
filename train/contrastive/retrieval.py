"""Zero-shot scores of a contrastive model. In: features of held-out pairs, or of images and labels. Out: recalls, accuracy.

recall@k as in CLIP, ALBEF and BLIP: the share of queries with a right answer among the k most similar candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Subset

from llava_graph.errors import InputError
from train.contrastive.encoders import same_pair
from train.running.guard import NotFinite
from train.running.watch import evaluating

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import Trainer

    from train.batching.batches import TrainingSet
    from train.contrastive.encoders import ContrastiveModel
    from train.contrastive.pairs import PairCollator, PairEncoder

AT = (1, 5, 10)
ROWS = 1024
"""Queries whose similarities are held at a time."""


def ranks(similarity: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(n,) how many wrong candidates stand before the first right one. `similarity` (n, m), `right` (n, m) bool.

    A tie counts against the query, and so does NaN: a model that sees everything alike finds nothing.
    """
    best = similarity.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return (~(similarity < best) & ~right).sum(1)


def recalls(found: torch.Tensor) -> dict[str, float]:
    """{"r1", "r5", "r10"} of ranks (n,); 0 … 1"""
    return {f"r{k}": float((found < k).double().mean()) for k in AT}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Held-out pairs as a model sees them, on the CPU."""

    image: torch.Tensor
    """(n, d)"""
    text: torch.Tensor
    """(n, d)"""
    keys: torch.Tensor
    """(n,) of the images"""
    ids: torch.Tensor
    """(n, tokens) of the captions"""


def retrieval(seen: Seen) -> dict[str, float]:
    """Recalls of captions by images and of images by captions. Right is every pair of the same image or the same words."""
    found: dict[str, list[torch.Tensor]] = {"image_to_text": [], "text_to_image": []}
    for start in range(0, len(seen.image), ROWS):
        rows = slice(start, start + ROWS)
        right = same_pair(seen.keys[rows], seen.ids[rows], seen.keys, seen.ids)
        found["image_to_text"].append(ranks(seen.image[rows] @ seen.text.T, right))
        found["text_to_image"].append(ranks(seen.text[rows] @ seen.image.T, right))
    return {f"{way}_{name}": value for way, parts in found.items() for name, value in recalls(torch.cat(parts)).items()}


def classification(image: torch.Tensor, labels: torch.Tensor, truth: Sequence[int]) -> dict[str, float]:
    """{"accuracy", "macro_f1"} of images (n, d) that take the most similar of labels (c, d); macro over the labels in `truth`."""
    told, right = (image @ labels.T).argmax(1), torch.tensor(truth)
    scores = []
    for label in sorted(set(truth)):
        hits = int(((told == label) & (right == label)).sum())
        scores.append(2 * hits / (int((told == label).sum()) + int((right == label).sum())))
    return {"accuracy": float((told == right).double().mean()), "macro_f1": sum(scores) / len(scores)}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation of a run looks at."""

    collator: PairCollator
    encoder: PairEncoder
    pairs: TrainingSet | None = None
    labelled: TrainingSet | None = None
    """Images whose text is their label."""
    label_prompt: str = "{}"

    def __post_init__(self) -> None:
        """Raises InputError where labels cannot be told apart."""
        if self.labelled is not None:
            check_labels(self.label_texts(sorted({label_of(self.labelled, row) for row in range(len(self.labelled))})))

    def label_texts(self, labels: Sequence[str]) -> dict[str, list[int]]:
        """label -> the tokens that stand for it."""
        return {label: self.encoder.encode_text(self.label_prompt.replace("{}", label)).input_ids for label in labels}

    def run(self, trainer: Trainer, model: ContrastiveModel) -> dict[str, float]:
        """`eval_…` scores; the data are shared out over the processes, which all call it. No random number is drawn.

        Raises NotFinite where the weights are spoilt.
        """
        told: dict[str, float] = {}
        with evaluating(model):
            if self.pairs is not None:
                seen = self._see(self.pairs, trainer, model)
                told |= {"eval_pairs": len(seen.image)} | {f"eval_{k}": v for k, v in retrieval(seen).items()}
            if self.labelled is not None:
                told |= {f"eval_zero_shot_{k}": v for k, v in self._classify(self.labelled, trainer, model).items()}
        return told

    def _see(self, dataset: TrainingSet, trainer: Trainer, model: ContrastiveModel) -> Seen:
        from accelerate.utils import gather_object

        args = trainer.args
        mine = range(args.process_index, len(dataset), args.world_size)
        parts = [
            (image.cpu(), text.cpu(), batch["image_keys"].cpu(), batch["input_ids"].cpu())
            for batch, image, text in self._features(Subset(dataset, mine), trainer, model)
        ]
        everyone = gather_object(parts) if args.world_size > 1 else parts
        image, text, keys, ids = (torch.cat(list(pieces)) for pieces in zip(*everyone, strict=True))
        if spoilt := int((~(image.isfinite() & text.isfinite()).all(1)).sum()):
            raise NotFinite(
                f"the features of {spoilt} of {len(image)} held-out pairs are not finite: nothing can be compared",
                next_step="Lower --learning_rate, or --max_grad_norm. Checkpoints from before are sound",
            )
        return Seen(image=image, text=text, keys=keys, ids=ids)

    def _features(
        self, dataset: Any, trainer: Trainer, model: ContrastiveModel
    ) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]]:
        args = trainer.args
        loader = DataLoader(
            dataset,
            batch_size=args.per_device_eval_batch_size,
            collate_fn=self.collator,
            num_workers=args.dataloader_num_workers,
            generator=torch.Generator(),  # else it would draw from the run's
        )
        for loaded in loader:
            batch = {name: value.to(args.device) for name, value in loaded.items()}
            with _precision(trainer):
                image, _ = model.encoders.look(batch["pixel_values"])
                yield batch, image, model.encoders.read(batch["input_ids"], batch["attention_mask"])

    def _classify(self, dataset: TrainingSet, trainer: Trainer, model: ContrastiveModel) -> dict[str, float]:
        seen = self._see(dataset, trainer, model)
        # Rows were shared out by stride, and come back process by process.
        order = [
            row for rank in range(trainer.args.world_size) for row in range(rank, len(dataset), trainer.args.world_size)
        ]
        names = [label_of(dataset, row) for row in order]
        labels = sorted(set(names))
        texts = self.label_texts(labels).values()
        nothing = {"pixel_values": torch.zeros(1), "image_keys": torch.zeros(1)}
        batch = self.collator([{"input_ids": ids, "vision": nothing} for ids in texts])
        with _precision(trainer):
            place = trainer.args.device
            text = model.encoders.read(batch["input_ids"].to(place), batch["attention_mask"].to(place)).cpu()
        return classification(seen.image, text, [labels.index(name) for name in names])


def check_labels(tokens: Mapping[str, Sequence[int]]) -> None:
    """Raises InputError for less than two labels, and for two that are the same `tokens` once they are cut."""
    if len(tokens) < 2:
        raise InputError(f"--zero_shot_data has one label alone: {next(iter(tokens), '')!r}")
    first: dict[tuple[int, ...], str] = {}
    for label, ids in tokens.items():
        other = first.setdefault(tuple(ids), label)
        if other != label:
            raise InputError(
                f"the labels {other!r} and {label!r} of --zero_shot_data are the same tokens",
                next_step="Raise --max_caption_tokens, or take a --text_tower that knows these words",
            )


def label_of(dataset: TrainingSet, row: int) -> str:
    """The first answer of a row, whole; of a record without one its caption."""
    from train.contrastive.pairs import Pair

    pair = dataset.look_up(row)
    return pair.answer or pair.caption if isinstance(pair, Pair) else ""


def _precision(trainer: Trainer) -> AbstractContextManager[Any]:
    context: Callable[[], AbstractContextManager[Any]] = trainer.accelerator.autocast
    return context()
