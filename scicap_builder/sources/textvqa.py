"""TextVQA (Singh et al. 2019): questions about words in photographs, ten answers each, with the text as Rosetta read it.

`TextVQA_0.5.1_{train,val}.json` (the test part has no answers), `TextVQA_Rosetta_OCR_v0.2_….json`, `train_images/` for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.record import Box, Figure, OcrLine, Turn
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, in_order
from scicap_builder.sources.names import WHOLE
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record, text, texts

QUESTIONS = {split: f"TextVQA_0.5.1_{part}.json" for split, part in (("train", "train"), ("validation", "val"))}
ROSETTA = {
    split: f"TextVQA_Rosetta_OCR_v0.2_{part}.json" for split, part in (("train", "train"), ("validation", "val"))
}


def entry(row: Any, number: int, *, split: str, lines: Mapping[str, tuple[OcrLine, ...]]) -> Entry:
    """One question; the answer to learn is the one that most people gave. Raises SampleRefused (no-answer)."""
    row = record(row)
    question, image = need_text(row, "question"), need_text(row, "image_id")
    answers = tuple(answer for answer in texts(row.get("answers")) if answer.strip())
    if not answers:
        raise SampleRefused("nobody answered it", reason="no-answer")
    [(most, _)] = Counter(answers).most_common(1)
    figure = Figure(
        id=f"textvqa:{image}#q{text(row, 'question_id') or f'{split}-{number}'}",
        kind="photo",
        ocr=lines.get(image, ()),
        turns=(Turn(role="user", text=question), Turn(role="assistant", text=most, references=answers)),
        source="textvqa",
        split=split,
    )
    return Entry(figure=figure, pictures=(f"train_images/{image}.jpg", f"images/{image}.jpg", f"{image}.jpg"))


def rosetta_lines(path: Path) -> dict[str, tuple[OcrLine, ...]]:
    """Image -> the words in it, in the file's order: their order is that of the published prompt."""
    found: dict[str, tuple[OcrLine, ...]] = {}
    rows = json_rows(path, ("image_id",), key="data")
    for number in range(len(rows)):
        try:
            row = record(rows[number])
        except SampleRefused:  # its images are asked about without their words
            continue
        words, places = row.get("ocr_tokens"), row.get("ocr_info")
        if not isinstance(words, list):
            continue
        boxes = [WHOLE] * len(words)
        if isinstance(places, list) and len(places) == len(words):
            boxes = [_box(place) for place in places]
        found[str(row.get("image_id"))] = tuple(
            OcrLine(text=word.strip(), box=box, source="rosetta")
            for word, box in zip(words, boxes, strict=True)
            if isinstance(word, str) and word.strip()
        )
    return found


def _box(place: Any) -> Box:
    """The upright box of a word, 0..1; the whole image where it states none. The turn of slanted words is not kept."""
    box = place.get("bounding_box") if isinstance(place, Mapping) else None
    try:
        left, top, width, height = (float(box[name]) for name in ("top_left_x", "top_left_y", "width", "height"))  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return WHOLE
    corners = [min(1.0, max(0.0, value)) for value in (left, top, left + width, top + height)]
    return (
        (corners[0], corners[1], corners[2], corners[3])
        if corners[0] < corners[2] and corners[1] < corners[3]
        else WHOLE
    )


def _part(root: Root, split: str) -> Part | None:
    path = root.file(QUESTIONS[split])
    if path is None:
        return None
    read_text = root.file(ROSETTA[split])
    lines = rosetta_lines(read_text) if read_text else {}
    rows = json_rows(path, ("question", "image_id", "answers"), key="data")
    return Part(name=path.name, rows=rows, read=partial(entry, split=split, lines=lines), path=path)


def _parts(root: Root, _: str) -> list[Part]:
    parts = in_order([_part(root, split) for split in QUESTIONS])
    if not parts:
        root.need(QUESTIONS["validation"])
    return parts


SOURCE = Source(
    name="textvqa",
    title="TextVQA",
    home="https://textvqa.org/dataset/",
    licence="CC BY 4.0",
    access="public",
    split=f"{PUBLISHED} (train, val; the test part has no answers and is not read)",
    files=(
        PublishedFile(name=QUESTIONS["validation"], holds="questions, ten answers each"),
        PublishedFile(name=QUESTIONS["train"], holds="questions, ten answers each"),
        PublishedFile(name=ROSETTA["validation"], holds="the words in each image, by Rosetta"),
        PublishedFile(name=ROSETTA["train"], holds="the words in each image, by Rosetta"),
        PublishedFile(name="train_images", holds="images of both parts"),
    ),
    parts=_parts,
)
