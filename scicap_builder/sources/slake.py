"""SLAKE (Liu et al. 2021): questions in English and Chinese about radiology images, `imgs/xmlabN/source.jpg`.

train.json, validate.json (or validation.json), test.json as published; or LLaVA-Med's conversion of the English part.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.record import Figure
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, asked, in_order
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record, text
from scicap_builder.sources.vqa_layouts import converted_parts, question_kind

FILES = {"train": ("train.json",), "validation": ("validate.json", "validation.json"), "test": ("test.json",)}
KINDS = {"x-ray": "radiograph", "ct": "ct", "mri": "mri"}


def entry(row: Any, number: int, *, split: str, language: str) -> Entry:
    """One question. Raises SampleRefused (other-language)."""
    row = record(row)
    if language not in ("all", text(row, "q_lang")):
        raise SampleRefused(f"asked in {text(row, 'q_lang') or 'an unknown language'}", reason="other-language")
    question, answer = need_text(row, "question"), need_text(row, "answer")
    name = need_text(row, "img_name")
    modality = text(row, "modality").lower()
    figure = Figure(
        id=f"slake:{text(row, 'img_id') or name.partition('/')[0]}#q{text(row, 'qid') or f'{split}-{number}'}",
        kind=KINDS.get(modality, modality),
        turns=asked(question, answer),
        source=f"slake/{question_kind(text(row, 'answer_type'), answer)}",
        split=split,
    )
    return Entry(figure=figure, pictures=(f"imgs/{name}", name))


def _part(root: Root, split: str, language: str) -> Part | None:
    path = root.file(*FILES[split])
    if path is None:
        return None
    rows = json_rows(path, ("img_name", "question", "answer", "q_lang", "answer_type"))
    return Part(name=path.name, rows=rows, read=partial(entry, split=split, language=language), path=path)


def _parts(root: Root, language: str) -> list[Part]:
    if converted := converted_parts(root, "slake", "radiology"):
        return converted
    parts = in_order([_part(root, split, language) for split in FILES])
    if not parts:
        root.need(*FILES["train"])
    return parts


SOURCE = Source(
    name="slake",
    title="SLAKE",
    home="https://www.med-vqa.com/slake/",
    hub="BoKelvin/SLAKE",
    licence="CC BY 4.0",
    access="public",
    split=f"{PUBLISHED} (train, validate, test)",
    files=(
        PublishedFile(name="train.json", holds="questions and answers"),
        PublishedFile(name="validate.json", holds="questions and answers"),
        PublishedFile(name="test.json", holds="questions and answers"),
        PublishedFile(name="imgs", holds="a folder an image: source.jpg, and masks, which are not read"),
    ),
    parts=_parts,
    subsets=("en", "zh", "all"),
)
