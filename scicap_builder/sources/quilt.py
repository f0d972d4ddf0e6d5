"""Quilt-LLaVA's data (Seyfioglu et al. 2023): histopathology from teaching videos.

quilt_1M_lookup.csv and quilt_pretrain.json with quilt_1m/NAME.jpg; quilt_instruct_107k.json with VIDEO_roi_UUID.jpg;
quiltvqa_test_w_ans.json and quiltvqa_red_test_w_ans.json, whose images exist with and without a red circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from llava_graph.record import Figure
from scicap_builder.sources.contract import HASHED, PUBLISHED, Entry, Part, PublishedFile, Source, asked
from scicap_builder.sources.llava_json import conversation_entry, conversation_part
from scicap_builder.sources.names import quilt_paper
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import csv_rows, json_rows, need_text, record, text
from scicap_builder.sources.vqa_layouts import question_kind

KIND = "pathology"
LICENCE = "CC BY-NC-ND 3.0"
INSTRUCT = {
    "107k": ("quilt_instruct_107k.json", "quilt_instruct.json"),
    "conv_desc": ("quilt_instruct_conv_desc.json", "conv_desc.json"),
    "complex_abductive": ("quilt_instruct_complex_abductive.json", "complex_abductive.json"),
    "40k": ("quilt_instruct_40k.json", "40k.json"),
}
PUBLISHED_INSTRUCTIONS = 107131
PRETRAIN = "quilt_pretrain.json"
LOOKUP = ("quilt_1M_lookup.csv", "quilt_1m_lookup.csv")
LOOKUP_COLUMNS = ("caption", "image_path", "subset", "split")
SPLITS = {"train": "train", "val": "validation", "test": "test"}
VQA = "quiltvqa_test_w_ans.json"
RED = "quiltvqa_red_test_w_ans.json"
PUBLISHED_QUESTIONS = 1283
INSTRUCT_FOLDERS = ("", "images", "quilt_instruct", "quilt_instruct_images")
VQA_FOLDERS = ("images", "quilt_vqa", "quilt_vqa/images", "")
RED_FOLDERS = {
    "circle": ("red_circle", "images_red_circle", "quilt_vqa_red", "quiltvqa_red", "images_red", "circle"),
    "plain": ("without_circle", "images_without_circle", *VQA_FOLDERS),
}
"""Where the two sets of images of Quilt-VQA-RED are looked for; the publication names no folders in its table."""


def _dialogue(row: Any, number: int, *, name: str, source: str, folders: tuple[str, ...]) -> Entry:
    return conversation_entry(
        row, number, base=Figure(id=name, kind=KIND, source=source), folders=folders, settle=_by_video
    )


def _by_video(figure: Figure, row: Mapping[str, Any]) -> Figure:
    image = row.get("image")
    return replace(figure, paper=quilt_paper(image)) if isinstance(image, str) else figure


def _pretrain(root: Root, _: str) -> list[Part]:
    read = partial(_dialogue, name="quilt-pretrain", source="quilt-pretrain", folders=("", "images"))
    return [conversation_part(root.need(PRETRAIN), PRETRAIN, read)]


def _pair(row: Any, _: int) -> Entry:
    """A row of Quilt-1M's table. It has a caption and nothing to learn beside it: a pair for contrastive training."""
    row = record(row)
    image = need_text(row, "image_path")
    figure = Figure(
        id=f"quilt-1m:{image.rpartition('.')[0] or image}",
        kind=KIND,
        caption=need_text(row, "caption"),
        paper=quilt_paper(image),
        source=f"quilt-1m/{text(row, 'subset') or 'unknown'}",
        split=SPLITS.get(text(row, "split").lower(), ""),
    )
    return Entry(figure=figure, pictures=(f"quilt_1m/{image}", f"images/{image}", image))


def _pairs(root: Root, _: str) -> list[Part]:
    path = root.need(*LOOKUP)
    return [Part(name=path.name, rows=csv_rows(path, LOOKUP_COLUMNS, only=True), read=_pair, path=path)]


def _instruct(root: Root, subset: str) -> list[Part]:
    path = root.need(*INSTRUCT[subset])
    read = partial(_dialogue, name="quilt-instruct", source=f"quilt-instruct/{subset}", folders=INSTRUCT_FOLDERS)
    return [conversation_part(path, path.name, read, PUBLISHED_INSTRUCTIONS if subset == "107k" else 0)]


def _question(row: Any, number: int, *, name: str, folders: tuple[str, ...]) -> Entry:
    """One question. To a closed one the answer is its yes or no, where the table has it: that is what is scored."""
    row = record(row)
    question, answer = need_text(row, "question", "text").replace("<image>", "").strip(), need_text(row, "answer")
    kind = question_kind(text(row, "answer_type"), answer)
    image = need_text(row, "image")
    figure = Figure(
        id=f"{name}:{text(row, 'id', 'question_id') or number}",
        kind=KIND,
        paper=quilt_paper(image),
        turns=asked(question, (text(row, "yes_no_answer") or answer) if kind == "closed" else answer),
        source=f"{name}/{kind}",
        split="test",
    )
    return Entry(figure=figure, pictures=tuple(f"{folder}/{image}" if folder else image for folder in folders))


def _questions(root: Root, name: str, file: str, folders: tuple[str, ...], published: int) -> list[Part]:
    path = root.need(file)
    read = partial(_question, name=name, folders=folders)
    return [Part(name=file, rows=json_rows(path, ("image", "answer")), read=read, path=path, published=published)]


PAIRS_SOURCE = Source(
    name="quilt-1m",
    title="Quilt-1M, pairs of image and caption",
    home="https://github.com/wisdomikezogwo/quilt1m",
    licence=LICENCE,
    access="on request",
    split=f"{PUBLISHED} where the table says train, val or test; else {HASHED} (of the video)",
    files=(
        PublishedFile(name=LOOKUP[0], holds="captions", required=True),
        PublishedFile(name="quilt_1m", holds="images; about 650,000 are given out for a million rows"),
    ),
    parts=_pairs,
)
PRETRAIN_SOURCE = Source(
    name="quilt-pretrain",
    title="Quilt-1M as Quilt-LLaVA's pretraining set (723K)",
    home="https://huggingface.co/datasets/wisdomik/Quilt-LLaVA-Pretrain",
    hub="wisdomik/Quilt-LLaVA-Pretrain",
    licence=LICENCE,
    access="on request",
    split=f"{HASHED} (of the video)",
    files=(
        PublishedFile(name=PRETRAIN, holds="a caption an image", required=True),
        PublishedFile(name="quilt_1m", holds="images, given out on request"),
    ),
    parts=_pretrain,
)
INSTRUCT_SOURCE = Source(
    name="quilt-instruct",
    title="Quilt-Instruct (107K)",
    home="https://huggingface.co/datasets/wisdomik/QUILT-LLaVA-Instruct-107K",
    hub="wisdomik/QUILT-LLaVA-Instruct-107K",
    licence=LICENCE,
    access="on request",
    split=f"{HASHED} (of the video)",
    files=tuple(PublishedFile(name=files[0], holds=f"subset {name}") for name, files in INSTRUCT.items()),
    parts=_instruct,
    subsets=tuple(INSTRUCT),
)
VQA_SOURCE = Source(
    name="quilt-vqa",
    title="Quilt-VQA",
    home="https://huggingface.co/datasets/wisdomik/Quilt_VQA",
    hub="wisdomik/Quilt_VQA",
    licence=LICENCE,
    access="on request",
    split=f"{PUBLISHED} (all of it is test)",
    files=(PublishedFile(name=VQA, holds="questions with answers", required=True),),
    parts=lambda root, _: _questions(root, "quilt-vqa", VQA, VQA_FOLDERS, PUBLISHED_QUESTIONS),
)
RED_SOURCE = Source(
    name="quilt-vqa-red",
    title="Quilt-VQA-RED: the region in question in a red circle, or not",
    home="https://huggingface.co/datasets/wisdomik/QuiltVQA_RED",
    hub="wisdomik/QuiltVQA_RED",
    licence=LICENCE,
    access="on request",
    split=f"{PUBLISHED} (all of it is test)",
    files=(PublishedFile(name=RED, holds="questions with answers", required=True),),
    parts=lambda root, subset: _questions(root, "quilt-vqa-red", RED, RED_FOLDERS[subset], 0),
    subsets=tuple(RED_FOLDERS),
)
