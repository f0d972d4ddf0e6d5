"""LLaVA's conversation JSON: what the LLaVA family of trainers reads, with our prompt or the historic one of LLaVA-Graph."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llava_graph.dataset import read_dataset
from llava_graph.errors import SampleRefused
from llava_graph.prompt import Message, build_sample
from llava_graph.record import SPLITS
from scicap_builder.exports.contract import ExportOptions, Tally
from scicap_builder.exports.pictures import image_name, write_picture
from scicap_builder.exports.writing import whole, write_list

IMAGE_MARK = "<image>"
"""LLaVA's place of the image in a human turn: exactly one per image."""
NAMES = {"user": "human", "assistant": "gpt"}


def to_llava_json(folder: Path, out: Path, options: ExportOptions, tally: Tally) -> None:
    """`train.json`, … and the pictures under `images/`; `out` is the folder.

    A record that teaches nothing (no paragraph cites it) has no place in this format and is counted.
    """
    for split in SPLITS:
        before = tally.figures
        path = out / f"{split}.json"
        with whole(path) as file:
            write_list(file, _samples(folder, split, out, options, tally))
        if tally.figures == before:
            path.unlink()


def _samples(folder: Path, split: str, out: Path, options: ExportOptions, tally: Tally) -> Iterator[dict[str, Any]]:
    for figure in read_dataset(folder, split):
        try:
            messages = build_sample(figure, options.prompt)
        except SampleRefused as refused:
            tally.left_out[refused.reason] += 1
            continue
        sample: dict[str, Any] = {"id": figure.id}
        if figure.image is not None:
            sample["image"] = f"images/{image_name(figure)}"
            write_picture(figure, out / sample["image"], options.images, tally)
        tally.figures += 1
        yield {**sample, "conversations": conversation(messages)}


def conversation(messages: list[Message]) -> list[dict[str, str]]:
    """Chat messages -> LLaVA's {"from": "human" | "gpt", "value"} turns; the image stands where the prompt puts it.

    Text is kept byte for byte; only a "<image>" that is text (a caption can say so) becomes "< image >", because LLaVA's
    readers take every mark for an image.
    """
    turns = []
    for message in messages:
        parts = [
            IMAGE_MARK + "\n" if part["type"] == "image" else part["text"].replace(IMAGE_MARK, "< image >")
            for part in message["content"]
        ]
        turns.append({"from": NAMES[message["role"]], "value": "".join(parts)})
    return turns
