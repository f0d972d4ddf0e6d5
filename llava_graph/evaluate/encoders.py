"""Text encoders out of local files or the hub's cache, for scores. No code of a checkpoint is run; pickles hold tensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llava_graph.errors import CheckpointError
from llava_graph.model.hub import part_folder
from llava_graph.model.towers import quiet_loading, read_errors, unreadable


def open_encoder(name: Path | str) -> tuple[Any, Path]:
    """A transformers encoder in float32 on the GPU if there is one, and its folder. Raises CheckpointError."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder = _there(name)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except read_errors() as error:
        raise unreadable(error, folder) from error
    if any(getattr(config, one, None) is None for one in ("num_hidden_layers", "hidden_size", "vocab_size")):
        raise CheckpointError(f"is no text encoder: a {config.model_type}", where=str(name))
    try:
        with quiet_loading():
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32
            )
    except read_errors() as error:
        raise unreadable(error, folder) from error
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), folder


def open_words(name: Path | str) -> Any:
    """The tokenizer of a folder, or of `owner/name` on the hub. Raises CheckpointError."""
    from llava_graph.model.tokenizer_files import open_tokenizer

    return open_tokenizer(_there(name))


def _there(name: Path | str) -> Path:
    folder = part_folder(name)
    if not folder.is_dir():
        raise CheckpointError(
            "no such folder", where=str(name), next_step="Give a checkpoint folder, or owner/name on the hub"
        )
    return folder
