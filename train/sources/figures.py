"""Figure records of our data sets as training samples, read at random from disk."""

from __future__ import annotations

import bisect
import hashlib
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llava_graph.misreading import misread
from llava_graph.prompt import PromptOptions, build_sample
from llava_graph.record import Figure
from train.sources.sample import Noise, Sample, file_identity

SLOTS = ("caption", "ocr", "table", "title", "abstract", "mentions")


@dataclass(frozen=True, kw_only=True)
class FigureReading:
    """How a figure record becomes a conversation."""

    options: PromptOptions
    noise: Noise

    def sample(self, row: Mapping[str, Any], file: Path, number: int, epoch: int | None) -> Sample:
        """Row `number` (from 1) of `file`, with the slots of the context that this epoch shows."""
        figure = Figure.from_row(row, f"{file.parent.name}/{file.name} row {number}")
        options = self.options if epoch is None else self._thinned(figure.id, epoch)
        if epoch is not None and self.noise.ocr_corruption:
            chance = random.Random(f"{self.noise.seed}/{epoch}/{figure.id}")  # noqa: S311  (no secret)
            figure = replace(figure, ocr=misread(figure.ocr, self.noise.ocr_corruption, chance))
        image = file.parent / figure.image if isinstance(figure.image, Path) else figure.image
        return Sample(build_sample(figure, options), () if image is None else (image,), figure.id)

    def _thinned(self, figure_id: str, epoch: int) -> PromptOptions:
        """Each slot is left out by chance: a function of seed, figure and epoch alone, so that a resumed run repeats it."""
        if not self.noise.context_dropout:
            return self.options
        draws = hashlib.sha256(f"{self.noise.seed}/{epoch}/{figure_id}".encode()).digest()
        kept: dict[str, Any] = {
            slot: getattr(self.options, slot) and draw >= self.noise.context_dropout * 256
            for slot, draw in zip(SLOTS, draws, strict=False)
        }
        return replace(self.options, **kept)


class FigureSamples:
    """One split of a data set, memory-mapped, so that a data set larger than memory is read at random."""

    def __init__(self, folder: Path, split: str, reading: FigureReading) -> None:
        from datasets import Dataset, Image

        self._reading = reading
        self._files = split_files(folder, split)
        self._shards = [
            Dataset.from_parquet(str(file)).cast_column("image", Image(decode=False)) for file in self._files
        ]
        self._ends: list[int] = []
        for shard in self._shards:
            self._ends.append((self._ends[-1] if self._ends else 0) + len(shard))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _place(self, index: int) -> tuple[int, int]:
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def name(self, index: int) -> str:
        """The figure's id."""
        shard, row = self._place(index)
        return str(self._shards[shard].select_columns("id")[row]["id"])

    def get(self, index: int, epoch: int | None) -> Sample:
        """The figure's conversation, with the slots of the context that this epoch shows."""
        shard, row = self._place(index)
        return self._reading.sample(self._shards[shard][row], self._files[shard], row + 1, epoch)

    def image_files(self, index: int) -> tuple[Path, ...]:
        """The figure's image where the shard holds only its path; no pixels are read."""
        shard, row = self._place(index)
        image = self._shards[shard].data.column("image")[row]
        path = None if image["bytes"].is_valid else image["path"].as_py()
        return (self._files[shard].parent / path,) if path else ()

    @property
    def identity(self) -> dict[str, Any]:
        """The shards and the options of the prompt."""
        return {"files": [file_identity(file) for file in self._files], "options": asdict(self._reading.options)}


def split_files(folder: Path, split: str) -> list[Path]:
    """The parquet files of one split of a data set of ours, in the order of their shards."""
    return sorted((folder / "data").glob(f"shard-*/{split}.parquet"))
