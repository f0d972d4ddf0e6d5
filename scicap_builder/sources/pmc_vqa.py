"""PMC-VQA (Zhang et al. 2023): questions with four choices about figures of PubMed Central.

train.csv, test.csv, test_clean.csv with images.zip; version 2, of single figures: train_2.csv, test_2.csv, images_2.zip.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.record import Figure, Paper
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, asked, in_order
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import csv_rows, need_text, record, text

LETTERS = "ABCD"
CHOICES = tuple(f"Choice {letter}" for letter in LETTERS)
COLUMNS = ("Figure_path", "Question", *CHOICES, "Answer")
SUBSETS = {
    "1": (("train.csv", "train"), ("test.csv", "test")),
    "2": (("train_2.csv", "train"), ("test_2.csv", "test")),
    "clean": (("test_clean.csv", "test"),),
}
FOLDERS = {
    "1": ("images", "figures", ""),
    "2": ("images_2", "images2", "figures_2", "figures", "images", ""),
    "clean": ("images", "figures", ""),
}
_MARK = re.compile(r"^\s*[A-D]\s*[:.)]\s*")
_PMC = re.compile(r"PMC\d+")


def entry(row: Any, _: int, *, split: str, subset: str, file: str) -> Entry:
    """One question with its choices; the answer is "B: Focal uptake pattern". Raises SampleRefused (no-right-choice, …)."""
    row = record(row)
    question, name = need_text(row, "Question"), need_text(row, "Figure_path")
    choices = [_MARK.sub("", text(row, choice)).strip() for choice in CHOICES]
    right = right_choice(text(row, "Answer_label"), need_text(row, "Answer"), choices)
    listed = "\n".join(f"{letter}: {choice}" for letter, choice in zip(LETTERS, choices, strict=True) if choice)
    paper = _PMC.search(name)
    stem = name.rpartition("/")[2].rpartition(".")[0]
    figure = Figure(
        id=f"pmc-vqa:{stem}#{file.partition('.')[0]}",
        paper=Paper(id=f"pmc:{paper[0]}" if paper else ""),
        turns=asked(f"{question}\n{listed}", f"{LETTERS[right]}: {choices[right]}"),
        source="pmc-vqa/choice",
        split=split,
    )
    return Entry(figure=figure, pictures=tuple(f"{folder}/{name}" if folder else name for folder in FOLDERS[subset]))


def right_choice(label: str, answer: str, choices: list[str]) -> int:
    """The number of the right choice: by its letter (version 1 has it as Answer_label, version 2 as Answer), else by its text.

    Raises SampleRefused (no-right-choice) where neither names a choice that is there.
    """
    for letter in (label.strip().upper(), answer.strip().upper()):
        if len(letter) == 1 and letter in LETTERS and choices[LETTERS.index(letter)]:
            return LETTERS.index(letter)
    words = _MARK.sub("", answer).strip().lower()
    same = [number for number, choice in enumerate(choices) if choice.lower() == words]
    if len(same) != 1:
        raise SampleRefused(f"the answer {answer[:60]!r} is none of the choices, or several", reason="no-right-choice")
    return same[0]


def _part(root: Root, file: str, split: str, subset: str) -> Part | None:
    path = root.file(file, file.replace("_2", "2"))
    if path is None:
        return None
    read = partial(entry, split=split, subset=subset, file=file)
    return Part(name=file, rows=csv_rows(path, COLUMNS), read=read, path=path)


def _parts(root: Root, subset: str) -> list[Part]:
    parts = in_order([_part(root, file, split, subset) for file, split in SUBSETS[subset]])
    if not parts:
        root.need(SUBSETS[subset][0][0])
    return parts


SOURCE = Source(
    name="pmc-vqa",
    title="PMC-VQA",
    home="https://huggingface.co/datasets/xmcmic/PMC-VQA",
    hub="xmcmic/PMC-VQA",
    licence="CC BY-SA",
    access="public",
    split=f"{PUBLISHED} (train, test)",
    files=(
        *(PublishedFile(name=file, holds=f"subset {name}") for name, files in SUBSETS.items() for file, _ in files),
        PublishedFile(name="images.zip", holds="images, read in the archive or unpacked to images/"),
        PublishedFile(name="images_2.zip", holds="images of version 2"),
    ),
    parts=_parts,
    subsets=tuple(SUBSETS),
)
