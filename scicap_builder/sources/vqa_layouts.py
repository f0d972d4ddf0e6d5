"""Two layouts in which medical VQA sets are passed on: the Hugging Face hub's parquet (image, question, answer), and LLaVA-Med's
conversion (train.json, test.json with conversations and answer_type, images/)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.json_records import JsonRecords
from llava_graph.record import Figure
from scicap_builder.sources.contract import Entry, Part, asked
from scicap_builder.sources.llava_json import SPLITS as FILE_SPLITS
from scicap_builder.sources.llava_json import conversation_entry
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import ParquetRows, need_text, record, text

HUB_SPLITS = ("train", "validation", "test")
CONVERTED = ("train.json", "train_all.json", "Train_all.json", "val.json", "test.json", "Test.json")
CLOSED = frozenset({"yes", "no"})


def is_closed(answer: str) -> bool:
    """Whether an answer is yes or no: what a question's kind is told by where the data set does not state it."""
    return answer.strip().lower().rstrip(".") in CLOSED


def question_kind(stated: str, answer: str) -> str:
    """ "open" or "closed", as stated ("CLOSED ", "Open"), else by the answer."""
    word = stated.strip().lower()
    return word if word in ("open", "closed") else "closed" if is_closed(answer) else "open"


def hub_parts(root: Root, name: str, kind: str) -> list[Part]:
    """`data/train-00000-of-00001-….parquet`, …; no parts where there are none."""
    parts = []
    for split in HUB_SPLITS:
        files = sorted({*root.folder.glob(f"data/{split}-*.parquet"), *root.folder.glob(f"{split}-*.parquet")})
        if files:
            rows = ParquetRows(files, ("image", "question", "answer"))
            read = partial(_hub_entry, name=name, kind=kind, split=split)
            parts.append(Part(name=f"{split}.parquet", rows=rows, read=read, path=files[0]))
    return parts


def _hub_entry(row: Mapping[str, Any], number: int, *, name: str, kind: str, split: str) -> Entry:
    question, answer = need_text(row, "question"), need_text(row, "answer")
    image = row.get("image") or {}
    pixels = image.get("bytes") if isinstance(image, Mapping) else None
    figure = Figure(
        id=f"{name}:{split}/{number}",
        kind=kind,
        turns=asked(question, answer),
        source=f"{name}/{question_kind(text(row, 'answer_type'), answer)}",
        split=split,
    )
    path = text(image, "path") if isinstance(image, Mapping) else ""
    if pixels is None and not path:
        raise SampleRefused("the row has no image", reason="image-missing")
    return Entry(figure=figure, pictures=() if pixels else (path, f"images/{path}"), pixels=pixels)


def converted_parts(root: Root, name: str, kind: str) -> list[Part]:
    """LLaVA-Med's train.json and test.json; no parts where there are none, or where the files are the original's own."""
    parts = []
    for file in CONVERTED:
        path = root.file(file)
        if path is not None and _has_conversations(path):
            split = FILE_SPLITS[file.lower().partition(".")[0].partition("_")[0]]
            read = partial(_converted_entry, name=name, kind=kind, split=split)
            parts.append(Part(name=file, rows=JsonRecords(path), read=read, path=path))
    return parts


def _converted_entry(row: Any, number: int, *, name: str, kind: str, split: str) -> Entry:
    base = Figure(id=f"{name}:{split}", kind=kind, split=split)

    def settle(figure: Figure, row: Mapping[str, Any]) -> Figure:
        answer = figure.turns[-1].text
        stated = question_kind(text(row, "answer_type"), answer)
        return Figure(id=figure.id, kind=kind, turns=figure.turns, source=f"{name}/{stated}", split=split)

    return conversation_entry(row, number, base=base, folders=("images", ""), settle=settle)


def _has_conversations(path: Path) -> bool:
    rows = JsonRecords(path)
    for index in range(min(5, len(rows))):
        try:
            row = record(rows[index])
        except SampleRefused:
            continue
        return "conversations" in row or "conversatons" in row
    return False
