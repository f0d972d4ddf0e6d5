"""Momentum encoders and their queue (MoCo, ALBEF): slow copies of the encoders, and the features of earlier batches.

They belong to the run, not to the model: they are saved with checkpoints alone, and are the same on all processes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from llava_graph.errors import CheckpointError
from train.contrastive.gathering import gather, rank
from train.contrastive.losses import follow

if TYPE_CHECKING:
    from train.contrastive.encoders import DualEncoder

FILE = "momentum.safetensors"
"""In a checkpoint: the momentum encoders' weights, and the queue."""


class Keys(NamedTuple):
    """What a batch is compared with; a tuple, which DDP hands through. Each is (of images, of texts)."""

    own: tuple[torch.Tensor, torch.Tensor]
    """(n, d) this process's batch"""
    all: tuple[torch.Tensor, torch.Tensor]
    """(m, d) the batches of all processes, and then the queue"""
    first: int
    """Row of `all` at which this process's batch begins."""


class FeatureQueue:
    """The newest `size` pairs of features, (d,) each. It begins empty: BLIP's begins with random vectors, which say nothing."""

    def __init__(self, size: int, width: int, device: torch.device | str = "cpu") -> None:
        self.size = size
        self._image, self._text = (torch.zeros(size, width, device=device) for _ in range(2))
        self._next = self._filled = 0

    def __len__(self) -> int:
        return self._filled

    @property
    def image(self) -> torch.Tensor:
        """(len, d) in no particular order"""
        return self._image[: self._filled]

    @property
    def text(self) -> torch.Tensor:
        """(len, d), its rows those of `image`"""
        return self._text[: self._filled]

    def put(self, image: torch.Tensor, text: torch.Tensor) -> None:
        """Take in (n, d) of each; the oldest make room. Of more than `size` the last stay."""
        image, text = image[-self.size :] if self.size else image[:0], text[-self.size :] if self.size else text[:0]
        if not len(image):
            return
        places = (torch.arange(len(image), device=image.device) + self._next) % self.size
        self._image[places], self._text[places] = image.to(self._image), text.to(self._text)
        self._next = (self._next + len(image)) % self.size
        self._filled = min(self.size, self._filled + len(image))

    def state(self) -> dict[str, torch.Tensor]:
        """What `restore` takes."""
        return {"image": self.image, "text": self.text, "next": torch.tensor(self._next)}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Hold what another one of this size held, row by row: sums over rows come out the same to the last bit."""
        self._filled, self._next = len(state["image"]), int(state["next"])
        self._image[: self._filled], self._text[: self._filled] = state["image"], state["text"]


class Momentum:
    """`share` of a momentum weight stays in each step (m)."""

    def __init__(self, encoders: DualEncoder, *, share: float, queue_size: int) -> None:
        # Without dropout: what a pair is compared with is no matter of chance.
        self.encoders = copy.deepcopy(encoders).eval().requires_grad_(False)
        self._share = share
        self.queue = FeatureQueue(queue_size, encoders.width, next(encoders.parameters()).device)

    def follow(self, encoders: DualEncoder) -> None:
        """Come a step nearer to the encoders that learn."""
        follow(self.encoders.parameters(), encoders.parameters(), self._share)

    @torch.no_grad()
    def look(self, pixel_values: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Keys:
        """This batch as the momentum encoders see it. All processes call it, with batches of one size."""
        image, _ = self.encoders.look(pixel_values)
        text = self.encoders.read(input_ids, attention_mask)
        images, texts = torch.cat([gather(image), self.queue.image]), torch.cat([gather(text), self.queue.text])
        return Keys((image, text), (images, texts), rank() * len(image))

    def remember(self, keys: Keys) -> None:
        """The batches of all processes go into the queue."""
        fresh = len(keys.all[0]) - len(self.queue)
        self.queue.put(keys.all[0][:fresh], keys.all[1][:fresh])

    def save(self, folder: Path) -> None:
        """Write FILE."""
        from safetensors.torch import save_file

        tensors = {f"encoders.{name}": tensor for name, tensor in self.encoders.state_dict().items()}
        tensors |= {f"queue.{name}": tensor for name, tensor in self.queue.state().items()}
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read FILE. Raises CheckpointError."""
        from safetensors.torch import load_file

        if not (folder / FILE).is_file():
            raise CheckpointError(f"{FILE} is missing", where=str(folder), next_step="Take a checkpoint of this run")
        parts: dict[str, dict[str, torch.Tensor]] = {"encoders": {}, "queue": {}}
        for name, tensor in load_file(folder / FILE).items():
            part, _, inner = name.partition(".")
            parts[part][inner] = tensor
        self.encoders.load_state_dict(parts["encoders"])
        self.queue.restore(parts["queue"])
