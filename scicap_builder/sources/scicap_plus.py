"""SciCap+ (Yang et al. 2023): SciCap's figures with the paragraphs that mention them, as `anselyang/SciCapPlus` unpacks.

captions/{train,val,test}/ID.json    mentions_paragraph/{train,val,test}/ID.json    imgs/{train,val,test}/ID.png
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from llava_graph.record import Figure, Paper
from scicap_builder.exports.scicap import PAPERS
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source
from scicap_builder.sources.names import parted, scicap_figure, words_in
from scicap_builder.sources.root import Root
from scicap_builder.sources.scicap import Look, catalogue, kind_of, with_metadata
from scicap_builder.sources.tables import JsonFiles, check_columns, need_text, record, text, texts

SPLITS = {"train": "train", "val": "validation", "test": "test"}
MENTIONS = ("mentions_paragraph", "mentions")
KEYS = ("paragraph", "paragraphs", "mention_paragraph", "mention-paragraph", "mentions", "mention")
"""Where a file of mentions has its paragraphs; a bare list is taken as it is."""
SENTENCES = KEYS[-2:]
"""Beside paragraphs these are the citing sentences."""
CAPTION = ("0-originally-extracted", "caption")


def entry(row: Any, _: int, *, name: str, split: str, mentions: Path | None, look: Look) -> Entry:
    """One figure's JSON, and the file of mentions of the same name."""
    row = record(row)
    named = scicap_figure(text(row, "figure-ID") or name)
    label, caption = parted(need_text(row, *CAPTION), named.label)
    found, sentences, repairs = _mentions(mentions, name)
    figure = Figure(
        id=f"scicap-plus:{named.figure}",
        kind=kind_of(text(row, "figure-type")),
        label=label,
        caption=caption,
        ocr=words_in(row.get("ocr_tokens") or row.get("Img-text"), "scicap-plus"),
        mentions=found,
        paper=with_metadata(Paper(id=named.paper), look),
        split=SPLITS[split],
    )
    pictures = (f"imgs/{split}/{name}.png", f"img/{split}/{name}.png")
    return Entry(figure=figure, pictures=pictures, sentences=sentences, repairs=repairs)


def _mentions(folder: Path | None, name: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """(paragraphs, sentences beside them, repairs); without a readable file of mentions all but the last are empty."""
    if folder is None:
        return (), (), ()
    try:
        found = json.loads((folder / f"{name}.json").read_bytes())
    except FileNotFoundError:
        return (), (), ("no file of mentions",)
    except (OSError, ValueError, RecursionError):
        return (), (), ("file of mentions is no JSON",)
    key = next((key for key in KEYS if found.get(key)), "") if isinstance(found, dict) else ""
    paragraphs = texts(found.get(key, []) if isinstance(found, dict) else found)
    wanted = SENTENCES if key and key not in SENTENCES else ()
    beside = next((said for name in wanted if (said := texts(found.get(name)))), ())
    return paragraphs, beside, () if paragraphs else ("file of mentions is empty",)


class _Named:
    """The rows with the names of their files."""

    def __init__(self, rows: JsonFiles) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return self.rows.names[index].removesuffix(".json"), self.rows[index]


def _parts(root: Root, _: str) -> list[Part]:
    top = root.need("captions")
    mentions = root.file(*MENTIONS)
    if mentions is None:
        root.notes.append(f"{MENTIONS[0]} is not there: no paragraphs")
    tables = {split: JsonFiles(top / split) for split in SPLITS if (top / split).is_dir()}
    if not tables:
        root.need("captions/train")
    papers = {scicap_figure(name).base for rows in tables.values() for name in rows.names}
    look = catalogue(root, papers - {""})
    parts = []
    for split, rows in tables.items():
        check_columns(rows, (CAPTION[0],), top / split)
        beside = mentions / split if mentions and (mentions / split).is_dir() else mentions
        read = partial(_read, split=split, mentions=beside, look=look)
        parts.append(Part(name=f"captions/{split}", rows=_Named(rows), read=read, path=top / split, names=rows.names))
    return parts


def _read(named: tuple[str, Any], number: int, *, split: str, mentions: Path | None, look: Look) -> Entry:
    return entry(named[1], number, name=named[0], split=split, mentions=mentions, look=look)


SOURCE = Source(
    name="scicap-plus",
    title="SciCap+ (2023)",
    home="https://huggingface.co/datasets/anselyang/SciCapPlus",
    hub="anselyang/SciCapPlus",
    licence="CC BY-NC 4.0",
    access="public",
    split=f"{PUBLISHED} (train, val, test)",
    files=(
        PublishedFile(name="captions", holds="a JSON a figure", required=True),
        PublishedFile(name="mentions_paragraph", holds="the paragraphs that mention it"),
        PublishedFile(name="imgs", holds="images"),
        PublishedFile(name=PAPERS, holds="arXiv's catalogue, if you put it there"),
    ),
    parts=_parts,
    of_arxiv=True,
)
