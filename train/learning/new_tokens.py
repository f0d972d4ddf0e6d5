"""Tokens that a run adds to the vocabulary. In: a loaded model and a command. Out: rows of the embedding that learn.

Their rows learn also where the language model is frozen: the gradient of all other rows is set to zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llava_graph.chat import IMAGE_TOKEN
from llava_graph.errors import InputError
from llava_graph.model.hub import part_folder
from llava_graph.model.vocabulary import IMAGE_END, IMAGE_START, add_tokens, grow
from train.learning.loading import joins_parts

if TYPE_CHECKING:
    import torch

    from llava_graph.model import LoadedModel
    from train.flags.arguments import Command


def wanted_tokens(command: Command) -> list[str]:
    """The tokens that a command asks for, each once. Raises InputError."""
    for token in command.model.new_tokens:
        if token.strip() != token or not token:
            raise InputError(f"--new_tokens: {token!r} is no token", next_step="Leave out the spaces around it")
    marks = (IMAGE_START, IMAGE_END) if command.model.mm_use_im_start_end else ()
    return list(dict.fromkeys([*command.model.new_tokens, *marks]))


def add_new_tokens(loaded: LoadedModel, command: Command) -> tuple[int, ...]:
    """The ids of all asked tokens, and of the marks that the asked chat template brought into the vocabulary.

    Asked tokens that the vocabulary lacks are added, their rows being the mean of all others. Raises InputError.
    """
    wanted = set(wanted_tokens(command))
    if fresh := add_tokens(loaded.tokenizer, loaded.template, command.model.new_tokens) if wanted else []:
        grow(loaded.model, loaded.tokenizer, fresh)
    vocabulary = loaded.tokenizer.get_vocab()
    if command.model.chat_template or joins_parts(command):
        wanted |= set(vocabulary) - _known_before(command) - {IMAGE_TOKEN, loaded.tokenizer.pad_token}
    return tuple(sorted(vocabulary[token] for token in wanted if token in vocabulary))


def _known_before(command: Command) -> set[str]:
    """The vocabulary of the checkpoint, before `train.learning.loading` gave it what images and templates need."""
    from transformers import AutoTokenizer

    folder = part_folder(command.model.model_name_or_path)
    return set(AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False).get_vocab())


def embedding_weights(model: Any) -> list[torch.nn.Parameter]:
    """The weights of the input embedding and of the output head: one if they are tied."""
    weights = [model.get_input_embeddings().weight]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not weights[0]:
        weights.append(head.weight)
    return weights


def let_rows_learn(model: Any, rows: Sequence[int], command: Command) -> None:
    """Let only `rows` of the embeddings learn: the optimizer sees the whole weight, with zeros for all other rows.

    Raises InputError under FSDP, which gives its shards their gradient past all hooks.
    """
    import torch

    if not rows:
        return
    if command.training.fsdp:
        raise InputError(
            "new tokens beside a frozen language model cannot learn under FSDP", next_step="Take DeepSpeed for this run"
        )
    for weight in embedding_weights(model):
        others = torch.ones(_rows(weight), 1, dtype=torch.bool)
        others[list(rows)] = False
        weight.requires_grad_(True)
        weight.learning_rows = tuple(rows)  # type: ignore[attr-defined]
        weight.register_hook(_Mask(others))


class _Mask:
    """Zeros for the gradient of some rows."""

    def __init__(self, others: torch.Tensor) -> None:
        self._others = others

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self._others = self._others.to(gradient.device)
        return gradient.masked_fill(self._others, 0)


def learning_share(parameter: Any) -> float:
    """How much of a learning parameter moves: 1, or the share of its new rows."""
    rows = getattr(parameter, "learning_rows", None)
    return 1.0 if rows is None else len(rows) / _rows(parameter)


def _rows(weight: Any) -> int:
    return int(getattr(weight, "ds_shape", weight.shape)[0])
