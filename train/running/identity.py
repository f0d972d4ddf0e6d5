"""What a run reads, as short digests of the contents: files may move or be copied between two starts, and must not change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.model.adapters import base_folder, is_adapter
from llava_graph.model.hub import checkpoint_folder
from llava_graph.prompt import PromptOptions
from train.learning.loading import joins_parts
from train.sources.figures import split_files
from train.sources.opening import sources_of

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.flags.arguments import Command, DataArguments

TASTE = 256
"""Bytes that are read of each weight: other weights differ in them, and 7 billion take a moment."""
COLUMN = 1 << 16
"""Bytes that are read of each chunk of an image column; of all others everything is read."""


def data_digest(data: DataArguments) -> str:
    """Of every text that the data flags name, and how a mixture reads it. Of pictures only beginnings are read."""
    digest = hashlib.sha256()
    for source in sources_of(data, PromptOptions()):
        told = [asdict(source.options), source.split]
        digest.update(json.dumps(told, default=str).encode())
        files = split_files(source.path, source.split) if source.path.is_dir() else [source.path]
        for file in files:
            for piece in _shard(file) if file.suffix == ".parquet" else _whole(file):
                digest.update(piece)
    return digest.hexdigest()[:16]


def _whole(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(1 << 22):
            yield piece


def _shard(file: Path) -> Iterator[bytes]:
    """The compressed bytes of a parquet file's columns."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    with file.open("rb") as opened:
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                start = column.dictionary_page_offset or column.data_page_offset
                size = column.total_compressed_size
                opened.seek(start)
                picture = column.path_in_schema.partition(".")[0] == "image"
                yield f"{column.path_in_schema} {size}".encode()
                yield opened.read(min(size, COLUMN) if picture else size)


def base_digest(command: Command, loaded: LoadedModel) -> str:
    """Of the model that an adapter is trained for, and of the connector that is laid into it."""
    asked = command.model
    folder = Path(loaded.model.name_or_path) if joins_parts(command) else checkpoint_folder(asked.model_name_or_path)
    digest = hashlib.sha256()
    for place in (folder, base_folder(folder)) if is_adapter(folder) else (folder,):
        _weigh(place, digest)
    if asked.pretrain_mm_mlp_adapter and not joins_parts(command):
        _weigh(checkpoint_folder(asked.pretrain_mm_mlp_adapter), digest)
    return digest.hexdigest()[:16]


def _weigh(place: Path, digest: Any) -> None:
    """A taste of each weight in a folder, or in a file."""
    files = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    for file in files:
        digest.update(f"{file.stat().st_size}".encode())
        for piece in _tastes(file):
            digest.update(piece)


def _tastes(file: Path) -> Iterator[bytes]:
    """Name, shape and the middle of each tensor of a safetensors file; the beginning of another one."""
    with file.open("rb") as opened:
        if file.suffix != ".safetensors":
            yield opened.read(1 << 20)
            return
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
        for name, told in sorted(header.items()):
            if name == "__metadata__":
                continue
            start, end = told["data_offsets"]
            yield f"{name} {told['dtype']} {told['shape']}".encode()
            opened.seek(8 + length + max(start, (start + end - TASTE) // 2))
            yield opened.read(min(TASTE, end - start))
