"""A byte-level BPE tokenizer trained on given texts. In: texts and a vocabulary size. Out: a transformers tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.dataset import is_dataset, read_dataset
from llava_graph.errors import InputError, SampleRefused
from llava_graph.prompt import PromptOptions, build_sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, IMAGE = "<pad>", "<s>", "</s>", "<image>"
IM_START, IM_END = "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (PAD, BOS, EOS, IMAGE, IM_START, IM_END)
"""Ids 0 to 5, in this order: enough for every chat template shipped."""

MIN_VOCABULARY = 256 + len(SPECIAL_TOKENS)
"""All bytes, so that no text is ever unknown, and the special tokens."""


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, end_of_turn: str = IM_END, max_length: int = 2048
) -> PreTrainedTokenizerFast:
    """Train byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2) with digits kept single, so that a number's length shows.

    `end_of_turn` is the tokenizer's eos token: what the chat template writes after an answer. Few texts give fewer
    tokens than `vocab_size`. Raises InputError when vocab_size cannot hold all bytes or there is no text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < MIN_VOCABULARY:
        raise InputError(
            f"a vocabulary of {vocab_size} cannot hold all bytes", next_step=f"Take at least {MIN_VOCABULARY}"
        )
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    counted = _Counted(texts)
    bpe.train_from_iterator(counted, trainer)
    if not counted.seen:
        raise InputError("there is no text to train the tokenizer on", next_step="Give --texts files with text in them")
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=end_of_turn,
        pad_token=PAD,
        image_token=IMAGE,
        extra_special_tokens=[IM_START, IM_END, EOS],
        model_max_length=max_length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def read_texts(sources: Iterable[Path]) -> Iterator[str]:
    """The non-empty lines of UTF-8 text files, and the conversations of data sets of ours (their training split).

    Raises InputError that names the source.
    """
    for source in sources:
        if is_dataset(source):
            yield from _conversations(source)
            continue
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read as UTF-8 text ({error})", where=str(source)) from error
        yield from (line for line in text.splitlines() if line.strip())


def _conversations(folder: Path) -> Iterator[str]:
    """What a model reads and writes about each figure: the prompt's text and the answers."""
    for figure in read_dataset(folder, "train"):
        try:
            messages = build_sample(figure, PromptOptions(table=False))
        except SampleRefused:
            continue  # a figure without a target still is a figure; only its text is not needed here
        for message in messages:
            yield from (part["text"] for part in message["content"] if part["type"] == "text")


class _Counted:
    """An iterable that remembers how many texts went by."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.seen = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.seen += 1
            yield text
