"""What a data path holds, as training samples.

In: a data set of ours or a LLaVA conversation JSON. Out: messages and images by number.
Nothing is tokenized here. A LLaVA record is repaired where its meaning is plain, and refused with a reason where it is not.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from llava_graph.dataset import is_dataset
from llava_graph.errors import DatasetError, SampleRefused
from llava_graph.prompt import Message, PromptOptions, build_sample, text_message
from llava_graph.record import Figure
from train.misreading import misread

SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "report": "assistant"}
"""LLaVA's speaker -> role. "report" is what a radiology converter of the LLaVA family writes for the answer."""
PLACEHOLDER = "<image>"
CONVERSATION_KEYS = ("conversations", "conversatons")
"""The second is a typing error in a published data set (LLaVA-Med's alignment file)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation to learn."""

    messages: list[Message]
    image: bytes | Path | None
    name: str
    """For the report on what was dropped."""


class Samples(Protocol):
    """A numbered collection of samples."""

    def __len__(self) -> int:
        """Samples seen, good and bad."""

    def get(self, index: int, epoch: int | None) -> Sample:
        """Sample `index` as epoch `epoch` shows it; None: with its whole context. Raises SampleRefused."""

    def name(self, index: int) -> str:
        """What sample `index` is called, even when it is refused."""

    @property
    def repairs(self) -> dict[str, int]:
        """What was mended, by kind, among the samples read so far."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What an epoch leaves out of the context or spoils, by chance."""

    context_dropout: float = 0.0
    """Chance that a slot of the context is left out, 0..1."""
    ocr_corruption: float = 0.0
    """Share of the lines of the figure's text that are lost or misread, 0..1."""
    seed: int = 0


NO_NOISE = Noise()


def open_samples(
    path: Path, *, image_folder: Path | None, split: str, options: PromptOptions, noise: Noise = NO_NOISE
) -> Samples:
    """The samples at `path`. Raises DatasetError when it is neither a data set of ours nor a LLaVA JSON."""
    if is_dataset(path):
        return FigureSamples(path, split, options, noise)
    if path.suffix in (".json", ".jsonl"):
        return ConversationSamples(read_conversations(path), image_folder or path.parent)
    raise DatasetError(
        "neither a data set of ours nor a LLaVA conversation file",
        where=str(path),
        next_step="Give the folder that scicap_builder wrote, or a .json or .jsonl of conversations",
    )


class TextSamples:
    """The conversations of other samples without their images."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def repairs(self) -> dict[str, int]:
        """kind -> count"""
        return self._samples.repairs

    def name(self, index: int) -> str:
        """As without us."""
        return self._samples.name(index)

    def get(self, index: int, epoch: int | None) -> Sample:
        """The sample with every image part taken out."""
        sample = self._samples.get(index, epoch)
        messages = [
            {**message, "content": [part for part in message["content"] if part["type"] != "image"]}
            for message in sample.messages
        ]
        return Sample(messages, None, sample.name)


class FigureSamples:
    """Figure records, memory-mapped, so that a data set larger than memory is read at random."""

    def __init__(self, folder: Path, split: str, options: PromptOptions, noise: Noise) -> None:
        from datasets import Dataset, Image

        self._options, self._noise = options, noise
        self._files = sorted((folder / "data").glob(f"shard-*/{split}.parquet"))
        self._shards = [
            Dataset.from_parquet(str(file)).cast_column("image", Image(decode=False)) for file in self._files
        ]
        self._ends: list[int] = []
        for shard in self._shards:
            self._ends.append((self._ends[-1] if self._ends else 0) + len(shard))
        self.repairs: dict[str, int] = {}

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
        file = self._files[shard]
        figure = Figure.from_row(self._shards[shard][row], f"{file.parent.name}/{file.name} row {row + 1}")
        options = self._options if epoch is None else self._thinned(figure.id, epoch)
        if epoch is not None and self._noise.ocr_corruption:
            chance = random.Random(f"{self._noise.seed}/{epoch}/{figure.id}")  # noqa: S311  (no secret)
            figure = replace(figure, ocr=misread(figure.ocr, self._noise.ocr_corruption, chance))
        image = figure.image
        if isinstance(image, Path) and not image.is_absolute():
            image = file.parent / image
        return Sample(build_sample(figure, options), image, figure.id)

    def _thinned(self, figure_id: str, epoch: int) -> PromptOptions:
        """Each slot is left out by chance: a function of seed, figure and epoch alone, so that a resumed run repeats it."""
        if not self._noise.context_dropout:
            return self._options
        draws = hashlib.sha256(f"{self._noise.seed}/{epoch}/{figure_id}".encode()).digest()
        slots = ("caption", "ocr", "table", "title", "abstract", "mentions")
        kept: dict[str, Any] = {
            slot: getattr(self._options, slot) and draw >= self._noise.context_dropout * 256
            for slot, draw in zip(slots, draws, strict=False)
        }
        return replace(self._options, **kept)


class ConversationSamples:
    """LLaVA records."""

    def __init__(self, records: list[Any], image_folder: Path) -> None:
        self._records, self._folder = records, image_folder
        self._repairs: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def repairs(self) -> dict[str, int]:
        """kind -> count"""
        return dict(self._repairs)

    def name(self, index: int) -> str:
        """The record's id, or its number."""
        record = self._records[index]
        return str(record.get("id", index)) if isinstance(record, Mapping) else str(index)

    def get(self, index: int, epoch: int | None) -> Sample:
        """The record's conversation; repairs are counted on the first, whole reading only."""
        messages, image, repairs = read_conversation(self._records[index])
        if epoch is None:
            self._repairs.update(repairs)
        return Sample(messages, self._folder / image if image else None, self.name(index))


def read_conversations(path: Path) -> list[Any]:
    """A JSON list or JSON lines. Raises DatasetError that names the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot be read ({error})", where=str(path)) from error
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        records = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"is no valid JSON ({error})", where=str(path)) from error
    if not isinstance(records, list):
        raise DatasetError("must be a list of conversations", where=str(path))
    return records


def read_conversation(record: Any) -> tuple[list[Message], str | None, list[str]]:
    """A LLaVA record -> messages, the image's path, and what was repaired.

    Raises SampleRefused (reasons: bad-record, unknown-role, bad-turns, no-target, several-images, no-image).
    """
    if not isinstance(record, Mapping):
        raise SampleRefused("a record must be a mapping", reason="bad-record")
    key = next((key for key in CONVERSATION_KEYS if key in record), None)
    turns = record.get(key) if key else None
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise SampleRefused("the record has no list of conversations", reason="bad-record")
    repairs = [f"{key} read as conversations"] if key != CONVERSATION_KEYS[0] else []
    image = _image_of(record)
    spoken = [_turn(turn, repairs) for turn in turns]
    spoken = _alternating(spoken, repairs)
    marks = sum(text.count(PLACEHOLDER) for _, text in spoken)
    if marks and image is None:
        raise SampleRefused("the text has an <image> but the record has no image", reason="no-image")
    if image is not None and not (marks == 1 and spoken[0][1].lstrip().startswith(PLACEHOLDER)):
        ends_first = marks == 1 and spoken[0][1].rstrip().endswith(PLACEHOLDER)
        if not ends_first:  # "question\n<image>" is LLaVA's other regular form
            repairs.append("image-added" if not marks else "image-moved")
    messages = [text_message(role, text.replace(PLACEHOLDER, "").strip()) for role, text in spoken]
    if image is not None:
        messages[0]["content"].insert(0, {"type": "image"})
    return messages, image, repairs


def _image_of(record: Mapping[str, Any]) -> str | None:
    image = record.get("image")
    if isinstance(image, list):
        if len(image) > 1:
            raise SampleRefused(f"{len(image)} images in one sample", reason="several-images")
        image = image[0] if image else None
    if image is not None and not isinstance(image, str):
        raise SampleRefused(f"image must be a path, got {type(image).__name__}", reason="bad-record")
    return image or None


def _turn(turn: Mapping[str, Any], repairs: list[str]) -> tuple[str, str]:
    speaker, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
    if not isinstance(text, str):
        raise SampleRefused("a turn has no text", reason="bad-record")
    if speaker == "system":
        return "system", text
    if speaker not in SPEAKERS:
        raise SampleRefused(f"unknown speaker {speaker!r}", reason="unknown-role")
    if speaker == "report":
        repairs.append("report read as answer")
    return SPEAKERS[speaker], text


def _alternating(spoken: list[tuple[str, str]], repairs: list[str]) -> list[tuple[str, str]]:
    """User first and assistant last. What stands before the first question or after the last answer is left out."""
    start = next((index for index, (role, _) in enumerate(spoken) if role == "user"), len(spoken))
    end = max((index + 1 for index, (role, _) in enumerate(spoken) if role == "assistant"), default=0)
    if start >= end:
        raise SampleRefused("no question with an answer", reason="no-target")
    if start:
        repairs.append(f"leading {spoken[0][0]} turn left out")
    if end < len(spoken):
        repairs.append("open question left out")
    kept = spoken[start:end]
    if [role for role, _ in kept] != [("user", "assistant")[index % 2] for index in range(len(kept))]:
        raise SampleRefused("the turns do not alternate", reason="bad-turns")
    if not all(text.strip() for role, text in kept if role == "assistant"):
        raise SampleRefused("an answer is empty", reason="no-target")
    return kept
