"""Tiny text encoders with the same weights everywhere: a RoBERTa as BERTScore reads it, a CheXbert in the layout of `chexbert.pth`.

Needs only numpy, torch and transformers, so that the original packages can be measured on them in environments of their own
(`tests/interop/original_scores.py`).
"""

import json
import zlib
from pathlib import Path

import numpy as np

ROBERTA = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
BERT_WORDS = str.split(
    "[PAD] [UNK] [CLS] [SEP] [MASK] no the is there a are of lungs clear heart size normal effusion pleural left right small "
    "pneumothorax edema , . ##s ##al acute process opacity lobe lower upper"
)
HEADS = 14


def filled(model):
    """The model with weights that depend on their names alone; large enough that texts differ."""
    import torch

    weights = model.state_dict()
    for name, value in weights.items():
        if value.is_floating_point():
            drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(value.shape))
            norm, size = name.endswith("LayerNorm.weight"), 0.05 if name.endswith(".bias") else 0.5
            weights[name] = torch.tensor(1 + 0.1 * drawn if norm else size * drawn, dtype=value.dtype)
    model.load_state_dict(weights)
    return model.eval()


def byte_alphabet() -> list[str]:
    """GPT-2's signs for the 256 bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + place) for place in range(len(hidden))]


def write_roberta(folder: Path, *, longest: int = 40) -> Path:
    """A checkpoint with a byte-level tokenizer of a few merges; texts are cut at `longest` tokens."""
    from transformers import RobertaConfig, RobertaModel

    folder.mkdir(parents=True)
    merges = [
        "Ġ t",
        "h e",
        "Ġt he",
        "i s",
        "Ġ is",
        "Ġ e",
        "Ġe f",
        "u s",
        "us ion",
        "i o",
        "io n",
        "l u",
        "lu n",
        "lun g",
    ]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_alphabet(), *(pair.replace(" ", "") for pair in merges)]
    (folder / "vocab.json").write_text(json.dumps({piece: place for place, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": longest, "tokenizer_class": "RobertaTokenizer"})
    )
    config = RobertaConfig(
        **ROBERTA, max_position_embeddings=longest + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2
    )
    model = filled(RobertaModel(config, add_pooling_layer=False))
    model.save_pretrained(folder)
    return folder


def write_bert(folder: Path) -> Path:
    """A BERT with its vocabulary, from which `write_chexbert` starts."""
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(BERT_WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512, "do_lower_case": True}))
    config = BertConfig(
        vocab_size=len(BERT_WORDS), hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=32
    )
    filled(BertModel(config)).save_pretrained(folder)
    return folder


def chexbert_weights(folder: Path) -> dict:
    """Of a `write_bert` folder, as `chexbert.pth` names them: under DataParallel, with 14 heads."""
    import torch
    from transformers import BertModel

    bert = BertModel.from_pretrained(folder)
    weights = {f"module.bert.{name}": value for name, value in bert.state_dict().items()}
    for head in range(HEADS):
        classes = 2 if head == HEADS - 1 else 4
        draw = np.random.default_rng([11, head])
        for name, shape in (("weight", (classes, bert.config.hidden_size)), ("bias", (classes,))):
            drawn = torch.tensor(draw.standard_normal(shape), dtype=torch.float32)
            weights[f"module.linear_heads.{head}.{name}"] = drawn
    weights["module.bert.embeddings.position_ids"] = torch.arange(bert.config.max_position_embeddings)[None]
    return weights
