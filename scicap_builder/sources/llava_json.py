"""Anybody's LLaVA conversation files: every .json and .jsonl at the top of the folder, images beside them.

The name of a file says its split where it begins so (train.json, val_…, test.jsonl), as our own export writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llava_graph.conversations import CONVERSATION_KEYS, IMAGE_KEYS, Conversation, read_conversation
from llava_graph.errors import DatasetError, SampleRefused
from llava_graph.json_records import JsonRecords
from llava_graph.prompt import Message
from llava_graph.record import Figure, Turn
from scicap_builder.sources.contract import HASHED, Entry, Part, PublishedFile, Source
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import record, text

SPLITS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "dev": "validation",
    "valid": "validation",
    "test": "test",
}
Settle = Callable[[Figure, Mapping[str, Any]], Figure]
"""(the record so far, the row) -> the record with what a source knows beyond the conversation."""


def conversation_entry(
    row: Any,
    number: int,
    *,
    base: Figure,
    folders: tuple[str, ...] = ("", "images"),
    settle: Settle = lambda figure, _: figure,
) -> Entry:
    """One LLaVA record. `base` has the id's beginning and what all records share; images are looked for in `folders`.

    Raises SampleRefused as `read_conversation` does, and several-images: a figure record holds one.
    """
    row = record(row)
    read = read_conversation(row)
    if len(read.images) > 1:
        raise SampleRefused(
            f"it shows {len(read.images)} images, a figure record holds one",
            reason="several-images",
            next_step="The trainer reads such conversations from the JSON itself",
        )
    name = text(row, "id", "question_id", "pair_id") or str(number)
    figure = replace(base, id=f"{base.id}:{name}", turns=turns_of(read))
    return Entry(figure=settle(figure, row), pictures=places(read.images, folders), repairs=read.repairs)


def places(images: tuple[str, ...], folders: tuple[str, ...]) -> tuple[str, ...]:
    """Where an image may lie."""
    return tuple(f"{folder}/{name}" if folder else name for name in images for folder in folders)


def turns_of(read: Conversation) -> tuple[Turn, ...]:
    """The conversation as a record has it: without system turn and image marks, which are the prompt's matter."""
    spoken = [message for message in read.messages if message["role"] != "system"]
    return tuple(Turn(role=message["role"], text=_words(message)) for message in spoken)


def _words(message: Message) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text").strip()


def conversation_part(path: Path, name: str, read: Callable[[Any, int], Entry], published: int = 0) -> Part:
    """A file of conversations as a table. Raises DatasetError where its first rows are none."""
    rows = JsonRecords(path)
    first = next((row for row in _first_rows(rows) if isinstance(row, dict)), None)
    if first is not None and not any(key in first for key in CONVERSATION_KEYS):
        raise DatasetError(
            f"its records have no conversations but {', '.join(map(str, first))}",
            where=str(path),
            next_step=f"LLaVA's records have {CONVERSATION_KEYS[0]!r} and {IMAGE_KEYS[0]!r}",
        )
    return Part(name=name, rows=rows, read=read, path=path, published=published)


def _first_rows(rows: JsonRecords) -> list[Any]:
    found = []
    for index in range(min(5, len(rows))):
        try:
            found.append(rows[index])
        except SampleRefused:
            continue
    return found


def split_in(name: str) -> str:
    """The split that a file's name begins or ends with ("train", "val-2", "instruct_test"); empty: none."""
    words = name.lower().replace("-", "_").partition(".")[0].split("_")
    return next((SPLITS[word] for word in (words[0], words[-1]) if word in SPLITS), "")


def _parts(root: Root, _: str) -> list[Part]:
    names = [
        name for name in root.listing if name.endswith((".json", ".jsonl")) and root.folder.joinpath(name).is_file()
    ]
    if not names:
        root.need("train.json")
    return [_part(root.need(name), name) for name in names]


def _part(path: Path, name: str) -> Part:
    base = Figure(id=f"llava-json:{path.stem}", source="llava-json", split=split_in(name))
    return conversation_part(path, name, lambda row, number: conversation_entry(row, number, base=base))


SOURCE = Source(
    name="llava-json",
    title="LLaVA conversations",
    home="https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md",
    licence="",
    access="yours",
    split=f"by the file's name (train, val, test), else {HASHED}",
    files=(PublishedFile(name="images", holds="images, by the paths that the records name"),),
    parts=_parts,
)
