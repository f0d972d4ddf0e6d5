"""The loss over the answers, computed inside the model's forward. In: a batch with labels. Out: one number.

Logits are made only where an answer's token is learnt, and in pieces: over the vocabulary they are the largest tensor of a step.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from llava_graph.chat import IGNORE_INDEX

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PIECE_BYTES = {"cuda": 2**31, "cpu": 2**29}
"""Logits of a piece in float32: enough to keep the device busy, little beside a model."""
CHANGED_LOGITS = ("final_logit_softcapping", "logits_scaling", "logit_scale", "output_multiplier_scale")
"""Settings of language models that change logits after the head; such models compute their own."""


def install_answer_loss(model: PreTrainedModel, label_smoothing: float = 0.0) -> None:
    """Let `model(..., labels=…, num_items_in_batch=…)` return `{"loss": …}` alone, computed here.

    `num_items_in_batch` are the learnt tokens of all accumulated batches of all processes; None: those of this batch.
    Without labels (generation) the model is as before. The sum equals the model's own loss; a batch without a learnt token
    gives 0 with a gradient of 0, never NaN; so does one whose images alone would reach what learns, and that has none.
    `label_smoothing` is the share of each target that is spread over the whole vocabulary.
    """
    original = model.forward
    own_head = _has_plain_head(model)

    def forward(
        *args: Any,
        labels: torch.Tensor | None = None,
        answer_rows: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **inputs: Any,
    ) -> Any:
        if labels is None:
            return original(*args, **inputs)
        inputs.setdefault("use_cache", False)
        rows = find_answers(labels) if answer_rows is None else answer_rows
        targets = labels.flatten()[rows + 1]
        if own_head:
            inputs.pop("logits_to_keep", None)
            hidden = model.model(*args, **inputs)[0].flatten(0, 1)[rows]
            total = chunked_cross_entropy(hidden, targets, model.get_output_embeddings(), label_smoothing)
        else:
            logits = original(*args, **inputs).logits.flatten(0, 1)[rows]
            total = cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=label_smoothing)
        if torch.is_grad_enabled() and not total.requires_grad:
            learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
            total = total + sum(0 * parameter.sum() for parameter in learning)
        count = len(targets) if num_items_in_batch is None else num_items_in_batch
        return {"loss": total / (count.clamp(min=1) if isinstance(count, torch.Tensor) else max(count, 1))}

    # The Trainer asks the signature whether the model normalizes its loss itself.
    forward.__signature__ = _with_loss_arguments(original)  # type: ignore[attr-defined]
    model.forward = forward


def find_answers(labels: torch.Tensor) -> torch.Tensor:
    """(batch, length) labels -> (answers,) the places, counted through all rows, whose next token is learnt.

    Batches bring them along as `answer_rows`: found on a GPU, they would make it wait.
    """
    learnt = torch.zeros_like(labels, dtype=torch.bool)
    learnt[:, :-1] = labels[:, 1:] != IGNORE_INDEX
    return learnt.flatten().nonzero()[:, 0]


def chunked_cross_entropy(
    hidden: torch.Tensor, targets: torch.Tensor, head: nn.Linear, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Sum of the cross entropies of `head(hidden)` (n, vocabulary) against `targets` (n,), in float32.

    Only one piece of logits exists at a time, in the backward pass too, where it is computed again.
    """
    rows = max(
        256, PIECE_BYTES.get(hidden.device.type, 2**30) // (4 * head.out_features)
    )  # ZeRO-3 leaves weights without a shape
    if len(targets) <= rows:
        return _piece(hidden, targets, head, label_smoothing)
    pieces = [
        checkpoint(
            _piece,
            hidden[start : start + rows],
            targets[start : start + rows],
            head,
            label_smoothing,
            use_reentrant=False,
        )
        for start in range(0, len(targets), rows)
    ]
    return torch.stack(pieces).sum()


def _piece(hidden: torch.Tensor, targets: torch.Tensor, head: nn.Module, label_smoothing: float) -> torch.Tensor:
    return cross_entropy(head(hidden).float(), targets, reduction="sum", label_smoothing=label_smoothing)


def _has_plain_head(model: PreTrainedModel) -> bool:
    """Whether the logits are `lm_head(model.model(...)[0])` and nothing else, as in LLaVA and LLaVA-NeXT."""
    from transformers import LlavaForConditionalGeneration, LlavaNextForConditionalGeneration

    text = model.config.get_text_config()
    plain = all(getattr(text, name, None) in (None, 1, 1.0) for name in CHANGED_LOGITS)
    return plain and isinstance(model, LlavaForConditionalGeneration | LlavaNextForConditionalGeneration)


def _with_loss_arguments(forward: Any) -> inspect.Signature:
    signature = inspect.signature(forward)
    kept = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    rest = [inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]
    return signature.replace(parameters=[*kept, *rest])
