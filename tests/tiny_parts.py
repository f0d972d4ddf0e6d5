"""Small random parts of a LLaVA, saved as the hub has them: a language model with its tokenizer, and a vision tower."""

from pathlib import Path
from typing import Any

import torch
from tiny_model import TEXTS
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

SIDE, PATCH = 32, 8
PATCHES = (SIDE // PATCH) ** 2


def build_tokenizer(*, pad: str | None = None) -> PreTrainedTokenizerFast:
    """Bytes and merges with <s> and </s> only: a language model's tokenizer before it has seen an image."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", *([pad] if pad else [])]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token=pad)


def save_language_model(
    out: Path, *, kind: Any = LlamaForCausalLM, config: Any = LlamaConfig, rows: int = 300, **settings: Any
) -> Path:
    """A language model of two layers, 64 wide, with `rows` embeddings, of transformers' class `kind`."""
    sizes = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(0)
    model = kind(config(vocab_size=rows, **{**sizes, **settings}))
    model.save_pretrained(out)
    build_tokenizer().save_pretrained(out)
    return out


def save_tower(out: Path, *, siglip: bool = False) -> Path:
    """A vision tower of three layers for images of 32 px in patches of 8: 16 patches."""
    config, kind = (SiglipVisionConfig, SiglipVisionModel) if siglip else (CLIPVisionConfig, CLIPVisionModel)
    torch.manual_seed(1)
    kind(
        config(
            hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=2,
            image_size=SIDE, patch_size=PATCH,
        )
    ).save_pretrained(out)  # fmt: skip
    return out
