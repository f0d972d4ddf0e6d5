"""SciCap Challenge (2023, `CrowdAILab/scicap`): a JSON a split with `images` and `annotations`; also our export of its layout.

train.json  val.json  public-test.json  hide_test.json  train-acl.json    SPLIT-metadata.json    images: 000000501522.png
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.json_records import JsonRecords
from llava_graph.record import Figure, Paper
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, in_order
from scicap_builder.sources.names import arxiv_paper, parted, words_in
from scicap_builder.sources.root import Root
from scicap_builder.sources.scicap import kind_of
from scicap_builder.sources.tables import json_rows, need_text, record, text, texts

SPLITS = {"train": "train", "val": "validation", "public-test": "test", "hide_test": "test", "train-acl": "train"}
FOLDERS = ("img", "img-split", "img-hide_test", "img-split/img-split", "img-hide_test/img-hide_test", "")
"""Where its archives unpack to, and where our export puts them."""


class Images:
    """The `images` of one file by id. They stand in the order of the annotations, so most are found where they are expected."""

    def __init__(self, rows: JsonRecords) -> None:
        self._rows = rows
        self._index: dict[Any, int] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, image_id: Any, expected: int) -> Mapping[str, Any]:
        """Raises SampleRefused (no-image-entry) for an id that the list does not have."""
        if expected < len(self._rows):
            row = self._row(expected)
            if row.get("id") == image_id:
                return row
        if self._index is None:
            self._index = {self._row(place).get("id"): place for place in range(len(self._rows))}
        if image_id not in self._index:
            raise SampleRefused(f"no image has the id {image_id!r}", reason="no-image-entry")
        return self._row(self._index[image_id])

    def _row(self, place: int) -> Mapping[str, Any]:
        try:
            row = self._rows[place]
        except SampleRefused:
            return {}
        return row if isinstance(row, Mapping) else {}


def entry(row: Any, number: int, *, split: str, images: Images, papers: Mapping[Any, Mapping[str, Any]]) -> Entry:
    """One annotation with its image."""
    row = record(row)
    image_id = row.get("image_id")
    if isinstance(image_id, list | dict):
        raise SampleRefused("image_id is no id", reason="bad-record")
    image = images.get(image_id, number - 1)
    name = need_text(image, "file_name")
    label, caption = parted(need_text(row, "caption", "caption_no_index"))
    if not label:
        caption = text(row, "caption_no_index") or caption
    about = papers.get(image_id, {})
    arxiv = text(about, "arXiv_id")
    categories = text(about, "categories").replace(",", " ").split()
    figure = Figure(
        id=f"scicap-challenge:{name.rpartition('/')[2].partition('.')[0]}",
        kind=kind_of(text(image, "figure_type")),
        label=label,
        caption=caption,
        ocr=words_in(image.get("ocr"), "scicap-challenge"),
        mentions=texts(row.get("paragraph")) or _said(row.get("mention")),
        paper=Paper(id=arxiv_paper(arxiv), categories=tuple(categories)),
        source=f"scicap-challenge/{split}",
        split=SPLITS[split],
    )
    pictures = tuple(f"{folder}/{name}" if folder else name for folder in FOLDERS)
    return Entry(figure=figure, pictures=pictures, sentences=_said(row.get("mention")))


def _said(mentions: Any) -> tuple[str, ...]:
    """The citing sentences of each paragraph, where the paragraphs themselves are not given."""
    if not isinstance(mentions, list):
        return ()
    return tuple(" ".join(words) for mention in mentions if (words := texts(mention)))


def _part(root: Root, split: str) -> Part | None:
    path = root.file(f"{split}.json")
    if path is None:
        return None
    rows = json_rows(path, ("image_id", "caption"), "annotations")
    images = Images(JsonRecords(path, "images"))
    if len(images) != len(rows):
        root.notes.append(f"{path.name}: {len(images)} images, {len(rows)} annotations")
    read = partial(entry, split=split, images=images, papers=_papers(root, split))
    return Part(name=path.name, rows=rows, read=read, path=path)


def _papers(root: Root, split: str) -> dict[Any, Mapping[str, Any]]:
    """image id -> its line of the metadata file, where there is one."""
    path: Path | None = root.file(f"{split}-metadata.json")
    if path is None:
        return {}
    rows = json_rows(path, ("image_id",))
    return {
        row["image_id"]: row for index in range(len(rows)) if isinstance(row := rows[index], dict) and "image_id" in row
    }


def _parts(root: Root, _: str) -> list[Part]:
    parts = in_order([_part(root, split) for split in SPLITS])
    if not parts:
        root.need(*(f"{split}.json" for split in SPLITS))
    return parts


SOURCE = Source(
    name="scicap-challenge",
    title="SciCap Challenge (2023)",
    home="https://huggingface.co/datasets/CrowdAILab/scicap",
    hub="CrowdAILab/scicap",
    licence="CC BY-NC-SA 4.0",
    access="public",
    split=f"{PUBLISHED} (train, train-acl; val; public-test, hide_test)",
    files=(
        *(PublishedFile(name=f"{split}.json", holds="images and annotations") for split in SPLITS),
        PublishedFile(name="hide_test-metadata.json", holds="paper and categories of each figure"),
    ),
    parts=_parts,
    of_arxiv=True,
)
