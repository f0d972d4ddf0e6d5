"""A data path in, a path on this machine out: as it is, else `owner/name` of one of our data sets on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from llava_graph.dataset import is_dataset
from llava_graph.errors import DatasetError

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
WANTED = ("data/shard-*/*.parquet", "data/shard-*/shard.json", "build.json", "README.md")


def data_folder(name: str, *, endpoint: str | None = None, cache_dir: Path | None = None) -> Path:
    """The folder of a data set; one from the hub is downloaded once and kept in the hub's cache.

    `endpoint` is the hub's address (default: HF_ENDPOINT, else the public hub). Raises DatasetError.
    """
    folder = Path(name)
    if folder.exists() or not REPO_ID.fullmatch(name):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(
            snapshot_download(
                name, repo_type="dataset", endpoint=endpoint, cache_dir=cache_dir, allow_patterns=list(WANTED)
            )
        )
    except LocalEntryNotFoundError as error:
        raise DatasetError(
            "no such folder, and the hub cannot be reached to look for a data set of that name",
            where=name,
            next_step="Give a folder, or check the connection and HF_HUB_OFFLINE",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise DatasetError(
            f"no such folder, and the hub has no such data set for us ({str(error).strip().splitlines()[0][:160]})",
            where=name,
            next_step="Check the name; a gated data set needs its terms accepted and HF_TOKEN set",
        ) from error
    if not is_dataset(found):
        raise DatasetError(
            "the hub's data set is none of ours (build.json and data/shard-* are missing)",
            where=name,
            next_step="Download it, and give its conversation JSON as the data path",
        )
    return found
