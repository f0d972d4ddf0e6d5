"""VQA-RAD (Lau et al. 2018): questions of clinicians about radiology images.

`VQA_RAD Dataset Public.json` and `VQA_RAD Image Folder/`, as on OSF; or the hub's parquet; or LLaVA-Med's conversion.
"""

from __future__ import annotations

from typing import Any

from llava_graph.record import Figure
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, asked
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record, text
from scicap_builder.sources.vqa_layouts import converted_parts, hub_parts, question_kind

TABLE, FOLDER = "VQA_RAD Dataset Public.json", "VQA_RAD Image Folder"
KIND = "radiology"
"""The file states the organ, not the modality."""


def entry(row: Any, number: int) -> Entry:
    """One question. It is of the test set where its phrase_type begins with "test"."""
    row = record(row)
    question, answer = need_text(row, "question"), need_text(row, "answer")
    name = need_text(row, "image_name")
    split = "test" if text(row, "phrase_type").lower().startswith("test") else "train"
    figure = Figure(
        id=f"vqa-rad:{name.rpartition('/')[2].partition('.')[0]}#q{text(row, 'qid') or number}",
        kind=KIND,
        turns=asked(question, answer),
        source=f"vqa-rad/{question_kind(text(row, 'answer_type'), answer)}",
        split=split,
    )
    return Entry(figure=figure, pictures=(f"{FOLDER}/{name}", f"images/{name}"))


def _parts(root: Root, _: str) -> list[Part]:
    path = root.file(TABLE, TABLE.replace(" ", "_"))
    if path is None:
        return hub_parts(root, "vqa-rad", KIND) or converted_parts(root, "vqa-rad", KIND) or [_original(root)]
    return [_original(root)]


def _original(root: Root) -> Part:
    path = root.need(TABLE, TABLE.replace(" ", "_"))
    rows = json_rows(path, ("image_name", "question", "answer", "answer_type", "phrase_type"))
    return Part(name=TABLE, rows=rows, read=entry, path=path)


SOURCE = Source(
    name="vqa-rad",
    title="VQA-RAD",
    home="https://osf.io/89kps/",
    hub="flaviagiammarino/vqa-rad",
    licence="CC0 1.0",
    access="public",
    split=f"{PUBLISHED} (test: phrase_type test_…; images of the test questions are in train too, as published)",
    files=(
        PublishedFile(name=TABLE, holds="questions and answers"),
        PublishedFile(name=FOLDER, holds="images"),
    ),
    parts=_parts,
)
