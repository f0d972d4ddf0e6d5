"""Vision towers: a CLIP, SigLIP, SigLIP 2 or open_clip checkpoint in; transformers' own vision model out.

Nothing of a checkpoint's text side is kept. Pickled weights are read with torch's `weights_only`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError
from llava_graph.model.hub import checkpoint_folder, part_folder
from llava_graph.model.load import first_line, progress_bar

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CLIP_TYPES = ("clip", "clip_vision_model")
SIGLIP_TYPES = ("siglip", "siglip_vision_model")
"""SigLIP 2 of a fixed resolution is one of these too."""

BICUBIC, BILINEAR = 3, 2
"""PIL's numbers of the two ways to scale that towers are trained with."""


@dataclass(frozen=True, kw_only=True)
class VisionTower:
    """A vision model with the images it was trained on."""

    model: PreTrainedModel
    """CLIPVisionModel or SiglipVisionModel, on the CPU."""
    name: str
    image_size: int
    """px a side"""
    patch_size: int
    """px a side"""
    class_tokens: int
    """Tokens before those of the patches: 1 for CLIP, 0 for SigLIP."""
    mean: tuple[float, ...]
    """Of the channels, 0..1."""
    std: tuple[float, ...]
    resample: int = BICUBIC

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return (self.image_size // self.patch_size) ** 2


def read_tower(name: Path | str, dtype: torch.dtype | str = "auto") -> VisionTower:
    """The vision tower of the checkpoint `name` (folder or owner/name). Raises CheckpointError."""
    from llava_graph.model import open_clip

    folder = part_folder(name)
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind in CLIP_TYPES + SIGLIP_TYPES and _has_weights(folder):
        return _transformers_tower(folder, str(kind), dtype)
    if (folder / open_clip.CONFIG).is_file():
        return open_clip.read_tower(folder, dtype)
    if not folder.is_dir():
        raise CheckpointError("no such folder", where=str(folder), next_step="Give the folder of a vision tower")
    if kind == "siglip2":
        raise CheckpointError(
            "SigLIP 2 NaFlex takes patches of any aspect instead of an image, which LLaVA does not pass on",
            where=str(folder),
            next_step="Take a SigLIP 2 of a fixed resolution, such as google/siglip2-so400m-patch14-384",
        )
    raise CheckpointError(
        f"no vision tower that we know (model_type {kind!r})" if kind else "config.json names no model_type",
        where=str(folder),
        next_step="Give a CLIP, SigLIP, SigLIP 2 or open_clip checkpoint with its weights",
    )


def _has_weights(folder: Path) -> bool:
    """Whether there are weights in transformers' own naming beside those of open_clip."""
    return any(file.name.startswith(("model", "pytorch_model")) for file in folder.iterdir() if file.is_file())


def _transformers_tower(folder: Path, kind: str, dtype: Any) -> VisionTower:
    from transformers import CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

    common = {"dtype": dtype, "local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    try:
        with quiet_loading():
            if kind in CLIP_TYPES:
                model, report = CLIPVisionModel.from_pretrained(folder, **common)
            else:
                config = SiglipVisionConfig.from_pretrained(folder, local_files_only=True)
                config.vision_use_head = False  # pooling, which a LLaVA never reads
                model, report = SiglipVisionModel.from_pretrained(folder, config=config, **common)
    except read_errors() as error:
        raise unreadable(error, folder) from error
    if missing := sorted([*report["missing_keys"], *map(str, report["mismatched_keys"])], key=str):
        raise CheckpointError(
            f"the vision tower does not load: {len(missing)} weights are missing ({', '.join(missing[:3])})",
            where=str(folder),
        )
    return _described(model.eval(), folder, kind)


def describe_tower(name: Path | str) -> VisionTower:
    """A tower without its weights (on torch's meta device), for checkpoints that bring their own. Raises CheckpointError."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

    folder = checkpoint_folder(name, wanted=("*.json",))
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in CLIP_TYPES + SIGLIP_TYPES:
        raise CheckpointError(
            f"no vision tower that we know (model_type {kind!r})" if folder.is_dir() else "no such folder",
            where=str(folder),
        )
    try:
        with torch.device("meta"):
            if kind in CLIP_TYPES:
                model: PreTrainedModel = CLIPVisionModel(
                    CLIPVisionConfig.from_pretrained(folder, local_files_only=True)
                )
            else:
                config = SiglipVisionConfig.from_pretrained(folder, local_files_only=True)
                config.vision_use_head = False
                model = SiglipVisionModel(config)
    except read_errors() as error:
        raise unreadable(error, folder) from error
    return _described(model, folder, str(kind))


def _described(model: PreTrainedModel, folder: Path, kind: str) -> VisionTower:
    """A tower with the images that its folder says it takes."""
    prepared = read_json(folder / "preprocessor_config.json")
    return VisionTower(
        model=model,
        name=folder.resolve().name,
        image_size=int(model.config.image_size),
        patch_size=int(model.config.patch_size),
        class_tokens=1 if kind in CLIP_TYPES else 0,
        mean=channels(prepared, "image_mean", folder, kind),
        std=channels(prepared, "image_std", folder, kind),
        resample=int(prepared.get("resample", BICUBIC)),
    )


def channels(prepared: dict[str, Any], name: str, folder: Path, kind: str) -> tuple[float, ...]:
    """Three numbers from a checkpoint's image preparation; the family's own where it brings none."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    given = prepared.get(name)
    if given is None:
        clip = OPENAI_CLIP_MEAN if name.endswith("mean") else OPENAI_CLIP_STD
        given = clip if kind in CLIP_TYPES else 0.5
    values = [given] * 3 if isinstance(given, int | float) else list(given)
    if len(values) != 3 or not all(isinstance(value, int | float) for value in values):
        raise CheckpointError(f"{name} must be three numbers, got {given!r}", where=str(folder))
    return tuple(float(value) for value in values)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object; {} without the file. Raises CheckpointError."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read ({error})", where=str(file)) from error
    if not isinstance(content, dict):
        raise CheckpointError("holds no JSON object", where=str(file))
    return content


def read_errors() -> tuple[type[Exception], ...]:
    """What transformers, torch and safetensors raise for files that they cannot read."""
    import pickle

    from safetensors import SafetensorError

    known = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError)
    return (*known, SafetensorError, pickle.UnpicklingError)


def unreadable(error: Exception, folder: Path) -> CheckpointError:
    """Our error for one of `read_errors`."""
    import pickle

    if isinstance(error, pickle.UnpicklingError):
        return CheckpointError("its pickled weights hold more than tensors and are not opened", where=str(folder))
    told = f"damaged, or something else: no {error}" if isinstance(error, KeyError) else first_line(error)
    return CheckpointError(f"does not load ({told})", where=str(folder))


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without transformers' table of weights that are left out on purpose, and without its progress bar."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with progress_bar(shown=False):
            yield
    finally:
        logging.set_verbosity(before)
