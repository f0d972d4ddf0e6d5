"""A data set -> the layouts other tools read: jsonl without pixels, LLaVA conversations, `datasets` image folder."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llava_graph.dataset import read_dataset
from llava_graph.errors import InputError, SampleRefused, did_you_mean
from llava_graph.images import encode_png, open_image
from llava_graph.prompt import Message, PromptOptions, build_sample
from llava_graph.record import SPLITS, Figure

IMAGE_MARK = "<image>"
"""LLaVA's place of the image in a human turn: exactly one per image."""
DEFAULT_PROMPT = PromptOptions()


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote."""

    path: Path
    figures: int
    left_out: dict[str, int]
    """reason -> count: what the format cannot hold."""


def export(folder: Path | str, out: Path | str, form: str, prompt: PromptOptions = DEFAULT_PROMPT) -> Exported:
    """Write the data set `folder` to `out` as `form` (see FORMATS); `prompt` says what a LLaVA conversation shows.

    Raises InputError (unknown format, `out` exists) and DatasetError.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}", next_step=did_you_mean(form, FORMATS))
    out = Path(out)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError("it exists already", where=str(out), next_step="Give another place, or delete it")
    return FORMATS[form](Path(folder), out, prompt)


def to_jsonl(folder: Path, out: Path, _: PromptOptions) -> Exported:
    """One figure a line, every field of the record but its pixels; `out` is the file."""
    count = 0
    with _whole(out) as file:
        for figure in read_dataset(folder):
            file.write(_line(without_pixels(figure)))
            count += 1
    return Exported(path=out, figures=count, left_out={})


def to_llava_json(folder: Path, out: Path, prompt: PromptOptions) -> Exported:
    """`train.json`, … in LLaVA's conversation layout and the pictures under `images/`; `out` is the folder.

    A record that teaches nothing (no paragraph cites it) has no place in this format and is counted.
    """
    left_out: dict[str, int] = {}
    total = 0
    for split in SPLITS:
        samples: list[dict[str, Any]] = []
        for figure in read_dataset(folder, split):
            try:
                messages = build_sample(figure, prompt)
            except SampleRefused as refused:
                left_out[refused.reason] = left_out.get(refused.reason, 0) + 1
                continue
            image = f"images/{_write_image(figure, out / 'images')}"
            samples.append({"id": figure.id, "image": image, "conversations": conversation(messages)})
        if samples:
            with _whole(out / f"{split}.json") as file:
                json.dump(samples, file, ensure_ascii=False, indent=1)
        total += len(samples)
    return Exported(path=out, figures=total, left_out=left_out)


def to_imagefolder(folder: Path, out: Path, _: PromptOptions) -> Exported:
    """`SPLIT/metadata.jsonl` (see `flat`) beside its pictures, as `load_dataset("imagefolder", data_dir=out)` reads it."""
    total = 0
    for split in SPLITS:
        lines = []
        for figure in read_dataset(folder, split):
            name = _write_image(figure, out / split)
            lines.append(_line({"file_name": name, **flat(figure)}))
        if lines:
            with _whole(out / split / "metadata.jsonl") as file:
                file.writelines(lines)
        total += len(lines)
    return Exported(path=out, figures=total, left_out={})


FORMATS: dict[str, Callable[[Path, Path, PromptOptions], Exported]] = {
    "jsonl": to_jsonl,
    "llava-json": to_llava_json,
    "imagefolder": to_imagefolder,
}


def without_pixels(figure: Figure) -> dict[str, Any]:
    """The record as plain values without `image`."""
    row = figure.to_row()
    del row["image"]
    return row


def flat(figure: Figure) -> dict[str, str | int]:
    """The record as texts and numbers, lists as JSON text: `datasets` guesses types file by file and refuses folders whose
    files differ, as they would wherever a list is empty or a page unknown (0 here)."""
    row, paper = without_pixels(figure), figure.paper
    scalars: dict[str, str | int] = {name: value for name, value in row.items() if isinstance(value, str | int)}
    lists = {name: json.dumps(row[name], ensure_ascii=False) for name in ("mentions", "ocr", "turns", "table")}
    about: dict[str, str | int] = {
        "paper_id": paper.id,
        "title": paper.title,
        "abstract": paper.abstract,
        "page": paper.page or 0,
    }
    return {**scalars, **about, "first_mention": figure.first_mention, **lists}


def conversation(messages: list[Message]) -> list[dict[str, str]]:
    """Chat messages -> LLaVA's {"from": "human" | "gpt", "value"} turns; the image stands where the prompt puts it.

    A "<image>" that is text (a caption can say so) is written "< image >": LLaVA's readers take every mark for an image.
    """
    names = {"user": "human", "assistant": "gpt"}
    turns = []
    for message in messages:
        parts = [
            IMAGE_MARK if part["type"] == "image" else part["text"].replace(IMAGE_MARK, "< image >").strip()
            for part in message["content"]
        ]
        turns.append({"from": names[message["role"]], "value": "\n".join(part for part in parts if part)})
    return turns


def image_name(figure: Figure) -> str:
    """A file name that is unique as the id is, and safe on every system: "arxiv_hep-th__9901001v1_fig3.png"."""
    data = figure.image if isinstance(figure.image, bytes) else b""
    ending = ".jpg" if data.startswith(b"\xff\xd8\xff") else ".png"
    stem = re.sub(
        r"[^\w.\-]", lambda match: {":": "_", "#": "_", "/": "__"}.get(match[0], f"~{ord(match[0]):x}"), figure.id
    )
    return stem + ending


def _write_image(figure: Figure, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    name = image_name(figure)
    data = figure.image if isinstance(figure.image, bytes) else encode_png(open_image(_image_path(figure)))
    (folder / name).write_bytes(data)
    return name


def _image_path(figure: Figure) -> Path:
    if not isinstance(figure.image, Path):
        raise InputError("the record has no image", where=figure.id)
    return figure.image


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """A text file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        yield file
    part.replace(path)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
