"""A checkpoint's name in, a folder on this machine out: a folder as it is, else `owner/name` from the Hugging Face hub."""

import re
from pathlib import Path

from llava_graph.errors import CheckpointError

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt")
"""No pickles and no code: what we would not open is not downloaded."""


PICKLES = ("*.bin", "*.bin.index.json")
"""Older weights; read with `weights_only` (torch refuses code in them), and only where a part has no other ones."""


def part_folder(name: Path | str, *, endpoint: str | None = None, cache_dir: Path | None = None) -> Path:
    """The folder of a language model or vision tower; pickled weights are downloaded where there are no others.

    `endpoint` and `cache_dir` as in `checkpoint_folder`. Raises CheckpointError.
    """
    name = str(name).removeprefix("hf-hub:")  # as open_clip writes names
    folder = checkpoint_folder(name, endpoint=endpoint, cache_dir=cache_dir)
    if Path(name).exists() or list(folder.glob("*.safetensors")):
        return folder
    return checkpoint_folder(name, endpoint=endpoint, cache_dir=cache_dir, wanted=(*WANTED, *PICKLES))


def checkpoint_folder(
    name: Path | str,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
    wanted: tuple[str, ...] = WANTED,
) -> Path:
    """The folder of a checkpoint; one from the hub is downloaded once and kept in the hub's cache.

    `endpoint` is the hub's address (default: HF_ENDPOINT, else the public hub). With HF_HUB_OFFLINE=1 only the cache is
    asked. Raises CheckpointError.
    """
    folder = Path(name)
    if folder.exists() or not REPO_ID.fullmatch(str(name)):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            str(name), revision=revision, endpoint=endpoint, cache_dir=cache_dir, allow_patterns=list(wanted)
        )
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            "no such folder, and the hub cannot be reached to look for a model of that name",
            where=str(name),
            next_step="Give the folder of a checkpoint, or check the connection and HF_HUB_OFFLINE",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"no such folder, and the hub has no such model for us ({str(error).strip().splitlines()[0][:160]})",
            where=str(name),
            next_step="Check the name; a gated model needs its licence accepted and HF_TOKEN set",
        ) from error
    return Path(str(found))
