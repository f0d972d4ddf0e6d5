"""How well a quantized model's answers agree with the full one's. In: both models, questions. Out: shares, ROUGE-L, divergence.

First the full model answers and its next-token probabilities are kept on disk, then the quantized one is asked and read along
those answers: the two are never in memory together.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.evaluate.rouge import rouge_l
from llava_graph.model.quantizing.answering import Answered, Question, answer_greedily, first_difference, read_prompt
from llava_graph.record import Dropped
from llava_graph.sources import reason_of
from llava_graph.sources import told as told_error

if TYPE_CHECKING:
    import torch

    from llava_graph.batched.batch import Prompt
    from llava_graph.model.load import LoadedModel

Tick = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of a quantized model with the full one; per-token figures are read along the full model's answers."""

    questions: int
    tokens: int
    """of the full model's answers"""
    exact: float
    """Share of answers that are the same text."""
    first_difference: float | None
    """Median place (from 1) of the first other token, over the answers that differ; None: none does."""
    answer_tokens: float
    """Median length of the full model's answers."""
    rouge_l: float
    """Mean F1 between the two answers."""
    same_next_token: float
    """Share of places in which both would take the same next token."""
    kl: float
    """Mean KL(full || quantized) of the next token, nats."""
    max_new_tokens: int
    data: str
    left_out: Mapping[str, int]
    """reason -> questions that could not be asked"""


@dataclass(frozen=True, kw_only=True)
class FullAnswers:
    """What the full model said; its log-probabilities are files in `folder`, one an answer."""

    questions: tuple[Question, ...]
    answers: tuple[Answered, ...]
    dropped: tuple[Dropped, ...]
    folder: Path
    max_new_tokens: int
    task: str | None


def ask_full(
    loaded: LoadedModel,
    questions: Iterable[Question],
    folder: Path,
    *,
    max_new_tokens: int = 128,
    task: str | None = None,
    tick: Tick = lambda: None,
) -> FullAnswers:
    """The full model's answers. What cannot be asked costs itself only. Raises InputError where `folder` is full.

    A question takes 4 bytes of `folder` for every token of its answer and of the vocabulary.
    """
    asked: list[Question] = []
    answers: list[Answered] = []
    dropped: list[Dropped] = []
    for question in questions:
        tick()
        try:
            prompt = read_prompt(loaded, question, task=task)
            answer = answer_greedily(loaded, prompt, max_new_tokens)
        except (LlavaGraphError, OSError) as error:
            dropped.append(Dropped(item=question.id, reason=reason_of(error), detail=told_error(error, question.id)))
            continue
        _keep(next_log_probabilities(loaded, prompt, answer.tokens), folder / f"{len(asked)}.npy")
        asked.append(question)
        answers.append(answer)
    return FullAnswers(
        questions=tuple(asked),
        answers=tuple(answers),
        dropped=tuple(dropped),
        folder=folder,
        max_new_tokens=max_new_tokens,
        task=task,
    )


def _keep(found: torch.Tensor, file: Path) -> None:
    try:
        np.save(file, found.numpy())
    except OSError as error:
        raise InputError(
            f"what the full model predicts cannot be kept there ({error.strerror or error})",
            where=str(file.parent),
            next_step="Ask fewer --questions, or set TMPDIR to a folder with more room",
        ) from error


def agreement(loaded: LoadedModel, full: FullAnswers, *, data: str, tick: Tick = lambda: None) -> Agreement | None:
    """The quantized model beside it; None where no question could be asked."""
    import torch

    if not full.questions:
        return None
    texts: list[tuple[str, str]] = []
    differences: list[int] = []
    divergence: list[float] = []
    same: list[bool] = []
    for number, (question, before) in enumerate(zip(full.questions, full.answers, strict=True)):
        tick()
        prompt = read_prompt(loaded, question, task=full.task)
        after = answer_greedily(loaded, prompt, full.max_new_tokens)
        texts.append((before.text, after.text))
        if place := first_difference(before.tokens, after.tokens):
            differences.append(place)
        ours = next_log_probabilities(loaded, prompt, before.tokens)
        theirs = torch.from_numpy(np.load(full.folder / f"{number}.npy"))
        divergence += next_token_divergence(theirs, ours).tolist()
        same += (theirs.argmax(-1) == ours.argmax(-1)).tolist()
    return Agreement(
        questions=len(texts),
        tokens=len(same),
        exact=fmean(before == after for before, after in texts),
        first_difference=median(differences) if differences else None,
        answer_tokens=median(len(answer.tokens) for answer in full.answers),
        rouge_l=fmean(_alike(before, after) for before, after in texts),
        same_next_token=fmean(same),
        kl=fmean(divergence),
        max_new_tokens=full.max_new_tokens,
        data=data,
        left_out=dict(Counter(drop.reason for drop in full.dropped)),
    )


def _alike(before: str, after: str) -> float:
    """ROUGE-L F1; two empty answers are the same."""
    return 1.0 if before == after else rouge_l(after, before).f1


def next_log_probabilities(loaded: LoadedModel, prompt: Prompt, answer: Sequence[int]) -> torch.Tensor:
    """What the model holds of each next token as it reads `answer` behind `prompt`: (tokens, vocabulary), float32, on the CPU."""
    import torch

    from llava_graph.model.prompts import on_device

    behind = torch.tensor([list(answer)])
    inputs = dict(prompt.inputs)
    shape = inputs["input_ids"].shape
    for name, tensor in prompt.inputs.items():
        if name == "input_ids":
            inputs[name] = torch.cat([tensor, behind.to(tensor.dtype)], dim=1)
        elif tensor.shape == shape:  # an attention mask; kinds of tokens, of which 0 is text
            more = torch.full_like(behind, 1 if name == "attention_mask" else 0)
            inputs[name] = torch.cat([tensor, more.to(tensor.dtype)], dim=1)
    places = len(answer) + 1
    keeps = "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
    with torch.inference_mode():
        logits = loaded.model(**on_device(loaded, inputs), **({"logits_to_keep": places} if keeps else {})).logits
        return logits[0, -places:-1].float().log_softmax(-1).cpu()


def next_token_divergence(full: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(full || other) in nats, (tokens,), of log-probabilities (tokens, vocabulary)."""
    return (full.exp() * (full - other)).sum(-1).clamp_min(0)


def as_dict(found: Agreement) -> dict[str, Any]:
    """Plain values, for config.json."""
    return asdict(found)


def told(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value) as people read it, of `as_dict`'s values."""
    place = found["first_difference"]
    left_out = ", ".join(f"{reason} {count}" for reason, count in found["left_out"].items())
    rows = [
        ("asked", f"{found['questions']} questions of {found['data']}, {found['max_new_tokens']} tokens at most"),
        ("the same answer", f"{found['exact']:.1%}"),
        (
            "first other token",
            "none"
            if place is None
            else f"token {place:g} (median of answers that differ; {found['answer_tokens']:g} long)",
        ),
        ("ROUGE-L between the answers", f"{found['rouge_l']:.3f}"),
        ("the same next token", f"{found['same_next_token']:.1%} of {found['tokens']:,}"),
        ("mean KL of the next token", f"{found['kl']:.2g} nats"),
    ]
    return [*rows, ("left out", left_out)] if left_out else rows
