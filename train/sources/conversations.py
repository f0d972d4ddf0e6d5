"""LLaVA's conversation records as training samples: a JSON list or JSON lines and a folder of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llava_graph.conversations import Conversation, read_conversation
from llava_graph.errors import SampleRefused
from llava_graph.json_records import JsonRecords
from train.sources.sample import Sample, file_identity, printable


class ConversationSamples:
    """The records of one file."""

    def __init__(self, path: Path, image_folder: Path) -> None:
        self._records, self._folder = JsonRecords(path), image_folder

    def __len__(self) -> int:
        return len(self._records)

    def name(self, index: int) -> str:
        """The record's id, or its number."""
        try:
            record = self._records[index]
        except SampleRefused:
            return str(index)
        return _name_of(record, index) if isinstance(record, Mapping) else str(index)

    def get(self, index: int, epoch: int | None) -> Sample:  # noqa: ARG002  (a record is the same in every epoch)
        """The record's conversation. Raises SampleRefused."""
        record = self._records[index]
        read = read_conversation(record)
        return Sample(read.messages, self._placed(read), _name_of(record, index), read.repairs)

    def image_files(self, index: int) -> tuple[Path, ...]:
        """Those that the record names. Raises SampleRefused."""
        return self._placed(read_conversation(self._records[index]))

    def _placed(self, read: Conversation) -> tuple[Path, ...]:
        return tuple(self._folder / image for image in read.images)

    @property
    def identity(self) -> dict[str, Any]:
        """The file and where its images lie."""
        return {"files": [file_identity(self._records.path)], "image_folder": str(self._folder.resolve())}


def _name_of(record: Mapping[str, Any], index: int) -> str:
    return printable(str(record.get("id", index)))
