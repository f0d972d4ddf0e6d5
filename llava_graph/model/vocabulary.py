"""New tokens for a language model. In: a tokenizer, a model and the tokens. Out: both know them, and where an answer ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llava_graph.chat import IMAGE_TOKEN, load_template, render

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PAD_TOKEN = "<pad>"  # noqa: S105
IMAGE_START, IMAGE_END = "<im_start>", "<im_end>"
"""LLaVA's names (`mm_use_im_start_end`)."""

ROWS_IN_MULTIPLES_OF = 64
"""Matrix units work in blocks; llava-hf checkpoints are padded so too (32002 -> 32064)."""

MARK = re.compile(r"<\|[^|<>\s]+\|>")
"""A token that a chat template writes by name: ChatML's <|im_end|>, Llama 3's <|eot_id|>."""


def choose_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """ChatML for language models that know it, Vicuna's for all others. Jinja source."""
    return load_template("chatml" if "<|im_end|>" in tokenizer.get_vocab() else "vicuna_v1")


def wrap_images(template: str) -> str:
    """The template with <im_start> and <im_end> around each image."""
    wrapped = f"{IMAGE_START}{IMAGE_TOKEN}{IMAGE_END}"
    return template if wrapped in template else template.replace(IMAGE_TOKEN, wrapped)


def add_tokens(tokenizer: PreTrainedTokenizerBase, template: str, words: Sequence[str] = ()) -> list[int]:
    """Add what is missing of: the marks that the template writes, a padding token, and `words`. Ids of the new ones.

    All but `words` are special: they are never read out of a text, nor shown in an answer.
    """
    known = len(tokenizer)
    marks = [mark for mark in (IMAGE_TOKEN, IMAGE_START, IMAGE_END) if mark in template]
    special = [*marks, *dict.fromkeys(MARK.findall(template))]
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in special if token not in vocabulary]
    if missing:
        tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    tokenizer.add_tokens([word for word in words if word not in vocabulary])
    return list(range(known, len(tokenizer)))


def grow(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, new: Iterable[int]) -> None:
    """Rows for every token in the embeddings and the output head; those of `new` are the mean of the known ones.

    A table that already has unused rows (Qwen's) keeps its size. In place.
    """
    table = model.get_input_embeddings()
    rows = _rows(table)
    wanted = max(rows, len(tokenizer))
    wanted += -wanted % ROWS_IN_MULTIPLES_OF
    new = set(new)
    known = min(new, default=min(rows, len(tokenizer)))
    if wanted != rows:
        model.resize_token_embeddings(wanted, mean_resizing=False)
        new |= set(range(rows, wanted))
    head = model.get_output_embeddings()
    layers = [model.get_input_embeddings(), *([head] if head is not None else [])]
    for layer in layers:
        fill_with_mean(layer.weight, known, sorted(new))


def fill_with_mean(weight: nn.Parameter, known: int, new: list[int]) -> None:
    """Rows `new` of `weight` become the mean of its first `known` rows, as LLaVA sets the rows of its own tokens."""
    import torch

    if not new:
        return
    with whole([weight]), torch.no_grad():
        # In float64: the mean of 32,000 rows does not depend on how the sum is split.
        weight[new] = weight[:known].mean(dim=0, dtype=torch.float64).to(weight.dtype)


def _rows(table: Any) -> int:
    return int(getattr(table.weight, "ds_shape", table.weight.shape)[0])


@contextmanager
def whole(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """The parameters in one piece while they are written, where DeepSpeed's ZeRO-3 keeps a slice on each rank."""
    if not any(hasattr(parameter, "ds_id") for parameter in parameters):
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(list(parameters), modifier_rank=0):
        yield


def end_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> list[int]:
    """Ids that end an answer: the tokenizer's own end, and the special token that the template writes after an answer."""
    after = _after_answer(tokenizer, template)
    found = sorted((after.find(token), token) for token in tokenizer.all_special_tokens if token in after)
    ends = [tokenizer.eos_token, *(token for _, token in found[:1])]
    return [tokenizer.convert_tokens_to_ids(end) for end in dict.fromkeys(ends) if end is not None]


def stop_texts(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[str, ...]:
    """What ends an answer where the template writes no special token after it: `###` of the models of spring 2023."""
    after = _after_answer(tokenizer, template).strip()
    return () if not after or any(token in after for token in tokenizer.all_special_tokens) else (after,)


def _after_answer(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    answer = "\N{WHITE QUESTION MARK ORNAMENT}"
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]
    names = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
    return render(messages, template, add_generation_prompt=False, **names).rpartition(answer)[2]
