"""PMC-OA (Lin et al. 2023): 1.6 M panels of figures of PubMed Central with captions: train.jsonl, valid.jsonl, test.jsonl."""

from __future__ import annotations

from functools import partial
from typing import Any

from llava_graph.record import Figure, Paper
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, in_order
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record, text

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
FOLDERS = ("images", "caption_T060_filtered_top4_sep_v0_subfigures", "")


def entry(row: Any, _: int, *, split: str) -> Entry:
    """One panel. It has a caption and nothing to learn beside it: a pair for contrastive training."""
    row = record(row)
    name = need_text(row, "image")
    pmc = text(row, "pmcid") or name.partition("_")[0]
    figure = Figure(
        id=f"pmc-oa:{name.rpartition('/')[2].rpartition('.')[0] or name}",
        caption=need_text(row, "caption"),
        paper=Paper(id=f"pmc:{pmc}"),
        split=SPLITS[split],
    )
    return Entry(figure=figure, pictures=tuple(f"{folder}/{name}" if folder else name for folder in FOLDERS))


def _part(root: Root, split: str) -> Part | None:
    path = root.file(f"{split}.jsonl")
    if path is None:
        return None
    return Part(name=path.name, rows=json_rows(path, ("image", "caption")), read=partial(entry, split=split), path=path)


def _parts(root: Root, _: str) -> list[Part]:
    parts = in_order([_part(root, split) for split in SPLITS])
    if not parts:
        root.need("train.jsonl")
    return parts


SOURCE = Source(
    name="pmc-oa",
    title="PMC-OA",
    home="https://huggingface.co/datasets/axiong/pmc_oa",
    hub="axiong/pmc_oa",
    licence="per article, PMC Open Access",
    access="public",
    split=f"{PUBLISHED} (train, valid, test)",
    files=(
        *(PublishedFile(name=f"{split}.jsonl", holds="captions") for split in SPLITS),
        PublishedFile(name="images.zip", holds="images, read in the archive or unpacked to images/"),
    ),
    parts=_parts,
)
