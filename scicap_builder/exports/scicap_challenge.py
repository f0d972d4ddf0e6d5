"""The files of the SciCap Challenge (CrowdAILab/scicap, 2023 on): one JSON a split with `images` and `annotations`.

train.json  val.json  public-test.json              {"images": […], "annotations": […]}
train-metadata.json  …                              [{image_id, caption_id, caption_length, arXiv_id, categories}]
img/000000000001.png  …
ids.json                                            image id -> our record's id, which the layout itself has no place for
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llava_graph.dataset import read_dataset
from llava_graph.record import Figure
from scicap_builder.exports.contract import ExportOptions, Tally
from scicap_builder.exports.pictures import write_picture
from scicap_builder.exports.scicap import figure_type, unversioned
from scicap_builder.exports.scicap_names import full_caption
from scicap_builder.exports.scicap_text import sentences
from scicap_builder.exports.writing import whole, write_json, write_list, write_lists
from scicap_builder.mentions import cited_numbers, parse_label

SPLITS = {"train": "train", "validation": "val", "test": "public-test"}
IMAGES = "img"


def to_scicap_challenge(folder: Path, out: Path, options: ExportOptions, tally: Tally) -> None:
    """Write the layout to the folder `out`. Ids are counted from 1 over the whole data set."""
    ids: dict[str, str] = {}
    for ours, split in SPLITS.items():
        first = len(ids) + 1
        for figure in read_dataset(folder, ours):
            if figure.image is None:
                tally.left_out["no-image"] += 1
                continue
            number = len(ids) + 1
            ids[str(number)] = figure.id
            write_picture(figure, out / IMAGES / file_name(number), options.images, tally, png=True)
            tally.figures += 1
        if len(ids) >= first:
            # Each list is a pass of its own over the texts, so that none is ever held in memory.
            write_lists(
                out / f"{split}.json",
                (
                    ("images", (image_row(*item) for item in _numbered(folder, ours, first, ids))),
                    ("annotations", (annotation_row(*item) for item in _numbered(folder, ours, first, ids))),
                ),
            )
            with whole(out / f"{split}-metadata.json") as file:
                write_list(file, (metadata_row(*item) for item in _numbered(folder, ours, first, ids)))
    write_json(out / "ids.json", ids)


def _numbered(folder: Path, split: str, first: int, ids: dict[str, str]) -> Iterator[tuple[Figure, int]]:
    """The split's figures that have a picture, without it, and their ids."""
    number = first
    for figure in read_dataset(folder, split, images=False):
        if ids.get(str(number)) == figure.id:
            yield figure, number
            number += 1


def file_name(number: int) -> str:
    """ "000000000001.png"."""
    return f"{number:012d}.png"


def image_row(figure: Figure, number: int) -> dict[str, Any]:
    """An entry of `images`."""
    return {
        "id": number,
        "file_name": file_name(number),
        "figure_type": figure_type(figure),
        "ocr": [line.text for line in figure.ocr],
    }


def annotation_row(figure: Figure, number: int) -> dict[str, Any]:
    """An entry of `annotations`; `mention` has a list of sentences for every paragraph."""
    return {
        "id": number,
        "image_id": number,
        "caption": full_caption(figure),
        "caption_no_index": figure.caption,
        "paragraph": list(figure.mentions),
        "mention": [citing_sentences(figure, paragraph) for paragraph in figure.mentions],
    }


def citing_sentences(figure: Figure, paragraph: str) -> list[str]:
    """The sentences of a paragraph that name the figure's number.

    The whole paragraph where none does: its citation has a form that only the extraction knew, as a LaTeX reference.
    """
    label = parse_label(figure.label)
    citing = [text for text in sentences(paragraph) if label and label.number in cited_numbers(text)]
    return citing or [paragraph]


def metadata_row(figure: Figure, number: int) -> dict[str, Any]:
    """An entry of the metadata file; `arXiv_id` is empty for a paper that is not from arXiv."""
    paper = figure.paper
    return {
        "image_id": number,
        "caption_id": number,
        "caption_length": len(figure.caption.split()),
        "arXiv_id": unversioned(paper.id) if paper.id.startswith("arxiv:") else "",
        "categories": ",".join(paper.categories),
    }
