"""PathVQA (He et al. 2020): questions about pathology images from textbooks.

`qas/SPLIT/SPLIT_qa.pkl` and `images/SPLIT/NAME.jpg` as published; or the hub's parquet; or LLaVA-Med's conversion.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llava_graph.record import Figure
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, asked, in_order
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import need_text, pickle_rows, record
from scicap_builder.sources.vqa_layouts import converted_parts, hub_parts, question_kind

SPLITS = {"train": "train", "val": "validation", "test": "test"}
KIND = "pathology"


def entry(row: Any, _: int, *, split: str) -> Entry:
    """One question; the table does not say whether it is open, its answer does."""
    row = record(row)
    question, answer = need_text(row, "question", "Question"), need_text(row, "answer", "Answer")
    name = need_text(row, "image", "Image").removesuffix(".jpg")
    figure = Figure(
        id=f"path-vqa:{name}",
        kind=KIND,
        turns=asked(question, answer),
        source=f"path-vqa/{question_kind('', answer)}",
        split=SPLITS[split],
    )
    return Entry(figure=figure, pictures=(f"images/{split}/{name}.jpg", f"images/{name}.jpg"))


def _part(root: Root, split: str) -> Part | None:
    path = root.file(f"qas/{split}/{split}_qa.pkl", f"qas/{split}_qa.pkl", f"{split}_qa.pkl")
    if path is None:
        return None
    return Part(name=path.name, rows=pickle_rows(path, ()), read=partial(entry, split=split), path=path)


def _parts(root: Root, _: str) -> list[Part]:
    parts = in_order([_part(root, split) for split in SPLITS])
    parts = parts or hub_parts(root, "path-vqa", KIND) or converted_parts(root, "path-vqa", KIND)
    if not parts:
        root.need("qas/train/train_qa.pkl", "data")
    return parts


SOURCE = Source(
    name="path-vqa",
    title="PathVQA",
    home="https://github.com/UCSD-AI4H/PathVQA",
    hub="flaviagiammarino/path-vqa",
    licence="MIT",
    access="public",
    split=f"{PUBLISHED} (train, val, test)",
    files=(
        PublishedFile(name="qas", holds="a pickle a split"),
        PublishedFile(name="images", holds="a folder a split"),
    ),
    parts=_parts,
)
