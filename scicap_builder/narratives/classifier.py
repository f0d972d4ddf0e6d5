"""A vote of image classifiers: is this picture what is wanted? Any transformers checkpoint with labels, from a local folder.

Quilt-1M asks two ConvNeXt-Tiny and a DINO ViT whether a frame is histology; one yes is enough. Their weights are not public.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from llava_graph.errors import CheckpointError, InputError, did_you_mean


class ImageVote:
    """Calls several classifiers until one gives the label. Loaded once a process."""

    def __init__(self, folders: tuple[str, ...], label: str) -> None:
        """Raises CheckpointError for a folder that is none of a classifier, InputError for a label that it does not have."""
        self._models = [_load(folder) for folder in folders]
        self._label = label.casefold()
        for folder, (_, model) in zip(folders, self._models, strict=True):
            known = [str(name) for name in model.config.id2label.values()]
            if self._label not in {name.casefold() for name in known}:
                raise InputError(
                    f"the classifier has no label {label!r}", where=folder, next_step=did_you_mean(label, known)
                )

    def __call__(self, image: np.ndarray) -> bool:
        """Whether one of them takes the (height, width, 3) uint8 RGB image for the label."""
        import torch

        picture = Image.fromarray(image)
        for processor, model in self._models:
            with torch.inference_mode():
                scores = model(**processor(images=picture, return_tensors="pt")).logits[0]
            if str(model.config.id2label[int(scores.argmax())]).casefold() == self._label:
                return True
        return False


@lru_cache(maxsize=4)
def vote_of(folders: tuple[str, ...], label: str) -> ImageVote:
    """The vote, loaded once a process."""
    return ImageVote(folders, label)


def _load(folder: str) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    if not Path(folder).is_dir():
        raise CheckpointError("no such folder", where=folder, next_step="Give the folder of an image classifier")
    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForImageClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"is no image classifier of transformers ({error})", where=folder) from error
    return processor, model.eval()
