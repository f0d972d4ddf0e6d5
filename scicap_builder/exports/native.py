"""Our own record, one a line, without pixels: what a text editor, jq and pandas read."""

from pathlib import Path
from typing import Any

from llava_graph.dataset import read_dataset
from llava_graph.record import Figure
from scicap_builder.exports.contract import ExportOptions, Tally
from scicap_builder.exports.writing import json_line, whole


def to_jsonl(folder: Path, out: Path, _: ExportOptions, tally: Tally) -> None:
    """One figure a line, every field of the record but its pixels; `out` is the file."""
    with whole(out) as file:
        for figure in read_dataset(folder, images=False):
            file.write(json_line(without_pixels(figure)))
            tally.figures += 1


def without_pixels(figure: Figure) -> dict[str, Any]:
    """The record as plain values without `image`."""
    row = figure.to_row()
    del row["image"]
    return row
