"""Tokenizers as they lie in checkpoints. In: a folder. Out: a transformers tokenizer.

LLaMA's and Vicuna's folders bring `tokenizer.model` alone. transformers reads it with the packages sentencepiece and protobuf;
the format is simple enough to do without.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError
from llava_graph.model.towers import quiet_loading, read_errors, read_json, unreadable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SENTENCEPIECE = "tokenizer.model"
MAX_BYTES = 64 * 2**20
"""The largest in use has 4 MB."""

PIECES, TRAINER = 1, 2
"""Fields of ModelProto (sentencepiece_model.proto)."""
PIECE, KIND = 1, 3
"""Fields of a piece."""
MODEL_TYPE, BPE = 3, 2
"""Field of TrainerSpec, and its value for byte pair encoding."""
NORMAL, CONTROL, USER = 1, 3, 4
"""Kinds of pieces; control pieces are special tokens."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


@dataclass(frozen=True)
class Pieces:
    """The vocabulary of a sentencepiece file; a piece's id is its place."""

    pieces: tuple[str, ...]
    kinds: tuple[int, ...]


def open_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint folder; no code in it is run. Raises CheckpointError."""
    from transformers import AutoTokenizer

    if (folder / SENTENCEPIECE).is_file() and not (folder / "tokenizer.json").is_file():
        return _open_llama(folder)
    try:
        with quiet_loading(), warnings.catch_warnings():
            # transformers reads the model's config.json too, and warns of old settings that concern no tokenizer.
            warnings.simplefilter("ignore", FutureWarning)
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except read_errors() as error:
        raise unreadable(error, folder) from error
    return tokenizer


def _open_llama(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AddedToken, LlamaTokenizer
    from transformers.tokenization_utils_base import generate_merges

    found = read_pieces(folder / SENTENCEPIECE)
    settings = {**read_json(folder / "special_tokens_map.json"), **read_json(folder / "tokenizer_config.json")}
    names = ("unk_token", "bos_token", "eos_token", "pad_token")
    told: dict[str, Any] = {name: _text(settings[name]) for name in names if settings.get(name)}
    kept = (
        "model_max_length",
        "padding_side",
        "legacy",
        "add_bos_token",
        "add_eos_token",
        "clean_up_tokenization_spaces",
    )
    told |= {name: settings[name] for name in kept if settings.get(name) is not None}
    told.setdefault("add_bos_token", True)
    # Before there was this setting, a blank was put before the text after every special token.
    told.setdefault("legacy", True)
    vocabulary = {piece: number for number, piece in enumerate(found.pieces)}
    tokenizer = LlamaTokenizer(vocab=vocabulary, merges=generate_merges(vocabulary), **told)
    for wanted, special in ((CONTROL, True), (USER, False)):
        pieces = [piece for piece, kind in zip(found.pieces, found.kinds, strict=True) if kind == wanted]
        tokenizer.add_tokens([AddedToken(piece, normalized=False, special=special) for piece in pieces], special)
    for token, number in sorted(_added(folder, settings).items(), key=lambda item: item[1]):
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=True)], special_tokens=True)
        if tokenizer.convert_tokens_to_ids(token) != number:
            raise CheckpointError(f"the token {token} cannot have the number {number}", where=str(folder))
    tokenizer.init_kwargs["legacy"] = told["legacy"]  # else it is not saved
    tokenizer.name_or_path = str(folder)
    return tokenizer


def _added(folder: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Tokens that were added to the file's own -> their numbers."""
    told = settings.get("added_tokens_decoder")
    decoder = told if isinstance(told, dict) else {}
    return {_text(entry): int(number) for number, entry in decoder.items()} | read_json(folder / "added_tokens.json")


def _text(entry: Any) -> str:
    return str(entry.get("content") if isinstance(entry, dict) else entry)


def read_pieces(file: Path) -> Pieces:
    """The pieces of a sentencepiece model with byte pair encoding. Raises CheckpointError."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"has more than {MAX_BYTES >> 20} MB", where=str(file))
        data = file.read_bytes()
        fields = list(_fields(data))
        pieces = [dict(_fields(value)) for number, value in fields if number == PIECES]
        trainer = next((dict(_fields(value)) for number, value in fields if number == TRAINER), {})
        texts = tuple(piece[PIECE].decode("utf-8") for piece in pieces)
        kinds = tuple(piece.get(KIND, NORMAL) for piece in pieces)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise CheckpointError(f"is no sentencepiece model ({error})", where=str(file)) from error
    if trainer.get(MODEL_TYPE) != BPE or not texts or len(set(texts)) != len(texts):
        raise CheckpointError(
            "is no byte pair encoding as LLaMA's",
            where=str(file),
            next_step="Save the tokenizer with transformers, which writes tokenizer.json",
        )
    return Pieces(texts, kinds)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a protocol buffer message: whole numbers, or bytes."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire)
        if size is None:
            if wire != BYTES:
                raise ValueError(f"unknown wire type {wire}")
            size, place = _varint(data, place)
        if place + size > len(data):
            raise ValueError("it ends in the middle")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
