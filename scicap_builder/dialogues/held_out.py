"""Figures that no training may see: validation and test records of this data set and of others, known again by their picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from llava_graph.dataset import read_dataset
from llava_graph.record import Figure
from scicap_builder.progress import tell


class HeldOut:
    """Pictures, and (paper, label) where both are known: a figure is the same in two data sets though their files differ."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Read the held-out splits of all `folders`; 8 bytes a picture are kept."""
        self._known: set[int] = set()
        for folder in folders:
            for split in ("validation", "test"):
                for number, figure in enumerate(read_dataset(folder, split)):
                    self._known.update(_marks(figure))
                    if number % 256 == 0:
                        tell(f"held-out figures of {folder.name}", number)

    def __contains__(self, figure: Figure) -> bool:
        """Whether a training record shows what is held out."""
        return figure.split == "train" and not self._known.isdisjoint(_marks(figure))


def _marks(figure: Figure) -> list[int]:
    marks = []
    if figure.paper.id and figure.label:
        marks.append(f"{figure.paper.id}\0{figure.label}".encode())
    picture = figure.image
    if isinstance(picture, Path):
        picture = picture.read_bytes() if picture.is_file() else None
    if picture:
        marks.append(picture)
    return [int.from_bytes(hashlib.sha256(mark).digest()[:8]) for mark in marks]
