"""What a checkpoint says of itself in its config.json, under `about`; read without its weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_graph.errors import CheckpointError, InputError
from llava_graph.prompt import PromptOptions

SEVERAL_IMAGES = 8
"""Images that a model is trusted with in one conversation unless it says that it learnt with fewer."""


@dataclass(frozen=True, kw_only=True)
class About:
    """A checkpoint's own words; what it does not say has its default."""

    name: str
    """What the checkpoint calls itself, else its folder's name."""
    description: str = ""
    """What it is, in a sentence."""
    prompt: PromptOptions = PromptOptions()
    """What its training showed beside the figure, and how."""
    instructions: bool = True
    """Whether it follows instructions; one that learnt nothing but to explain figures says no."""
    max_images: int = SEVERAL_IMAGES
    """Images that one conversation may show; a model that learnt with one says so."""


def read_about(config: Mapping[str, Any], folder: Path) -> About:
    """`about` of the parsed config.json of the checkpoint in `folder`. Raises CheckpointError for prompt options unknown here."""
    told = config.get("about")
    told = told if isinstance(told, dict) else {}
    return About(
        name=str(told.get("name") or folder.resolve().name),
        description=str(told.get("description", "")),
        prompt=_prompt_options(told.get("prompt"), folder),
        instructions=told.get("instructions") is not False,
        max_images=told["max_images"] if told.get("max_images") in range(1, SEVERAL_IMAGES) else SEVERAL_IMAGES,
    )


def about_folder(folder: Path) -> About:
    """The same for a folder whose weights somebody else has loaded. Raises CheckpointError."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"config.json cannot be read ({error})", where=str(folder), next_step="Is this a checkpoint folder?"
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError("config.json is no JSON object", where=str(folder))
    return read_about(config, folder)


def _prompt_options(told: Any, folder: Path) -> PromptOptions:
    """`about.prompt`: the options that differ from our defaults. Raises CheckpointError."""
    try:
        return PromptOptions(**(told or {}))
    except (TypeError, InputError) as error:
        raise CheckpointError(
            f"config.json tells of a prompt that we do not know ({error})", where=str(folder)
        ) from error
