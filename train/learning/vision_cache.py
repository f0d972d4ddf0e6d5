"""What a frozen vision tower sees, computed once. In: a data set and a model. Out: features on disk, a model that takes them.

A tower that does not learn gives the same features in every epoch and in every run on the same images. They are kept as the
connector reads them, in the run's number format, in a file that is read row by row.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from llava_graph.errors import InputError, SampleRefused
from train.batching.checking import as_first_process
from train.learning.parts import TOWER, part_of
from train.sources.sample import file_identity

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.batching.batches import TrainingSet
    from train.flags.arguments import TrainArguments

BLOCK = 32
"""Samples that are computed together and marked as done together: what a killed run repeats."""
STORED = {torch.float32: np.float32, torch.float16: np.float16, torch.bfloat16: np.uint16}
"""Number format -> that of the file; bfloat16 is stored by its bits."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VisionCache:
    """Features on disk. It crosses process borders, so the file is opened where it is read."""

    folder: Path
    first: np.ndarray
    """(samples + 1,) number of the first image of each sample of `Checked.kept`"""
    shape: tuple[int, int]
    """(tokens, width) of an image's features, class token included"""
    kind: torch.dtype

    def read(self, row: int, images: int) -> dict[str, torch.Tensor]:
        """{"pixel_values": (images, tokens, width)} of a sample, {} without images. Raises SampleRefused (features-missing)."""
        start, end = int(self.first[row]), int(self.first[row + 1])
        if end - start != images:
            raise SampleRefused(f"{images} images, but features of {end - start} were kept", reason="features-missing")
        if not images:
            return {}
        found = torch.from_numpy(np.array(self.open("r")[start:end]))
        return {"pixel_values": found.view(self.kind) if self.kind == torch.bfloat16 else found}

    def open(self, mode: Any) -> np.memmap:
        """All features (images, tokens, width) as a file in memory."""
        return np.memmap(
            self.folder / "features.bin", STORED[self.kind], mode=mode, shape=(int(self.first[-1]), *self.shape)
        )


def check_cacheable(loaded: LoadedModel, training: TrainArguments) -> None:
    """Raises InputError with the reason why a run's features cannot be kept."""
    from llava_graph.model.load import FIXED_TOKENS

    model = loaded.model
    if any(one.requires_grad for name, one in model.named_parameters() if part_of(name) == TOWER):
        raise InputError("--vision_cache: the vision tower learns", next_step="Use --stage projector or frozen-tower")
    if type(loaded.processor).__name__ != FIXED_TOKENS or not isinstance(model.config.vision_feature_layer, int):
        raise InputError("--vision_cache is for models that read one layer of the tower and one square an image")
    if training.deepspeed or training.fsdp:
        raise InputError("--vision_cache: the weights are shared out among the processes before it could be filled")


def fill_cache(folder: Path, dataset: TrainingSet, loaded: LoadedModel, training: TrainArguments) -> VisionCache:
    """Compute what is missing in the cache of this data, tower and number format below `folder`. Resumes; all processes help."""
    check_cacheable(loaded, training)
    kind = torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else torch.float32
    tower = loaded.model.base_model.vision_tower
    cache = VisionCache(
        folder / as_first_process(lambda: _identity(dataset, loaded, kind)),
        np.concatenate([[0], np.cumsum(dataset.checked.images)]),
        (_tokens(loaded), loaded.model.config.vision_config.hidden_size),
        kind,
    )
    blocks = -(-len(dataset) // BLOCK)
    with training.main_process_first(desc="opening the vision cache"):
        done = _begin(cache, blocks)
    mine = [block for block in range(blocks) if not done[block]][training.process_index :: training.world_size]
    if mine:
        tower.to(training.device)
        _compute(cache, dataset, loaded, training, mine)
    _wait(training)
    if not _done(cache, blocks).all():
        raise InputError(
            "the vision cache is not complete", where=str(cache.folder), next_step="Start again: it goes on"
        )
    return cache


def take_features(loaded: LoadedModel) -> None:
    """Let the vision tower pass on what already are features: (images, tokens, width) in the place of pixels."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    tower = loaded.model.base_model.vision_tower
    original = tower.forward

    def forward(pixel_values: torch.Tensor, *args: Any, **more: Any) -> Any:
        if pixel_values.ndim != 3:
            return original(pixel_values, *args, **more)
        layers = _EveryLayer(pixel_values)
        return BaseModelOutputWithPooling(last_hidden_state=pixel_values, hidden_states=layers)

    tower.forward = forward
    tower.takes_features = True  # nothing of it is computed any more (`train.running.flops`)


class _EveryLayer:
    """The hidden states of which only the kept ones are asked for."""

    def __init__(self, features: torch.Tensor) -> None:
        self._features = features

    def __getitem__(self, layer: int) -> torch.Tensor:
        return self._features


def _compute(
    cache: VisionCache, dataset: TrainingSet, loaded: LoadedModel, training: TrainArguments, blocks: Sequence[int]
) -> None:
    tower, layer = loaded.model.base_model.vision_tower, loaded.model.config.vision_feature_layer
    stored = cache.open("r+")
    loader = DataLoader(
        _Blocks(dataset, blocks), batch_size=None, num_workers=training.dataloader_num_workers, collate_fn=_as_is
    )
    for block, pixels in _progress(loader, training, len(blocks)):
        if pixels is not None:
            with torch.no_grad(), torch.autocast(training.device.type, cache.kind, enabled=cache.kind != torch.float32):
                seen = tower(pixels.to(training.device), output_hidden_states=True).hidden_states[layer]
            bits = seen.to(cache.kind).cpu()
            start = int(cache.first[block * BLOCK])
            stored[start : start + len(bits)] = (
                bits.view(torch.uint16) if cache.kind == torch.bfloat16 else bits
            ).numpy()
            stored.flush()
        _mark(cache, block)


class _Blocks(Dataset):
    """The pixels of blocks of samples."""

    def __init__(self, dataset: TrainingSet, blocks: Sequence[int]) -> None:
        self._dataset, self._blocks = dataset, blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor | None]:
        block = self._blocks[number]
        rows = range(block * BLOCK, min((block + 1) * BLOCK, len(self._dataset)))
        samples = [self._dataset.look_up(row) for row in rows]
        parts = [self._dataset.encoder.vision(one)["pixel_values"] for one in samples if one.images]
        return block, torch.cat(parts) if parts else None


def _as_is(one: Any) -> Any:
    return one


def _progress(loader: DataLoader, training: TrainArguments, total: int) -> Iterator[tuple[int, torch.Tensor | None]]:
    from rich.progress import track

    shown = training.process_index == 0 and not training.disable_tqdm
    yield from track(loader, "vision features", total=total, disable=not shown)


def _begin(cache: VisionCache, blocks: int) -> np.ndarray:
    """The folder with room for all features. (blocks,) bool: which are done. Raises InputError where it cannot be."""
    size = int(cache.first[-1]) * int(np.prod(cache.shape)) * np.dtype(STORED[cache.kind]).itemsize or 1
    file, partial = cache.folder / "features.bin", cache.folder / "features.partial"
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        if not file.is_file():
            (cache.folder / "done").write_bytes(bytes(blocks))
            with partial.open("wb") as room:
                _take_room(room.fileno(), size)
            partial.rename(file)
        return _done(cache, blocks)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(
            f"--vision_cache cannot be kept here ({error.strerror})",
            where=str(cache.folder),
            next_step=f"Name a folder that can be written, on a disk with {size / 2**30:,.2f} GiB free",
        ) from error


def _take_room(file: int, size: int) -> None:
    """So many bytes on the disk now: on a full one, writing through memory would kill the process (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _done(cache: VisionCache, blocks: int) -> np.ndarray:
    return np.frombuffer((cache.folder / "done").read_bytes(), dtype=np.uint8, count=blocks) > 0


def _mark(cache: VisionCache, block: int) -> None:
    """One byte a block, so that processes write beside each other."""
    with (cache.folder / "done").open("r+b") as file:
        file.seek(block)
        file.write(b"\x01")


def _wait(training: TrainArguments) -> None:
    if training.world_size > 1:
        torch.distributed.barrier()


def _identity(dataset: TrainingSet, loaded: LoadedModel, kind: torch.dtype) -> str:
    """What decides the features: the samples and their images, how these are prepared, tower, layer and format."""
    told = {
        "samples": dataset.identity,
        "kept": hashlib.sha256(dataset.checked.kept.tobytes()).hexdigest(),
        "files": _states(dataset.image_files()),
        "images": loaded.image_processor.to_json_string(),
        "layer": loaded.model.config.vision_feature_layer,
        "format": str(kind),
        "tower": _weights(loaded),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _states(files: Iterable[Path]) -> str:
    """A digest of the files' names, sizes and times of change: an image that was replaced is seen anew."""
    digest = hashlib.sha256()
    for file in files:
        try:
            state = file_identity(file)
        except (OSError, ValueError):  # missing, and shown blank
            state = [ascii(file)]
        digest.update(json.dumps(state).encode())
    return digest.hexdigest()


def _weights(loaded: LoadedModel) -> str:
    digest = hashlib.sha256()
    for name, weight in loaded.model.base_model.vision_tower.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tokens(loaded: LoadedModel) -> int:
    """Tokens that the tower gives an image, class token included."""
    return loaded.image_tokens + (loaded.model.config.vision_feature_select_strategy == "default")
