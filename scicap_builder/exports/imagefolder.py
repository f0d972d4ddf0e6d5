"""Pictures beside metadata.jsonl, as `datasets.load_dataset("imagefolder")` reads them."""

import json
from pathlib import Path

from llava_graph.dataset import read_dataset
from llava_graph.record import SPLITS, Figure
from scicap_builder.exports.contract import ExportOptions, Tally
from scicap_builder.exports.native import without_pixels
from scicap_builder.exports.pictures import image_name, is_wanted, write_picture
from scicap_builder.exports.writing import json_line, whole


def to_imagefolder(folder: Path, out: Path, options: ExportOptions, tally: Tally) -> None:
    """`SPLIT/metadata.jsonl` (see `flat`) beside its pictures; `out` is the folder.

    A row without its picture cannot be opened, so that a figure whose picture is left out is left out itself.
    """
    for split in SPLITS:
        before = tally.figures
        path = out / split / "metadata.jsonl"
        with whole(path) as file:
            for figure in read_dataset(folder, split):
                if figure.image is None:
                    tally.left_out["no-image"] += 1
                elif not is_wanted(figure, options.images):
                    tally.left_out["licence" if options.images == "redistributable" else "no-images-asked"] += 1
                else:
                    name = image_name(figure)
                    write_picture(figure, path.with_name(name), options.images, tally)
                    file.write(json_line({"file_name": name, **flat(figure)}))
                    tally.figures += 1
        if tally.figures == before:
            path.unlink()
            path.parent.rmdir()


def flat(figure: Figure) -> dict[str, str | int]:
    """The record as texts and numbers, lists as JSON text: `datasets` guesses types file by file and refuses folders whose
    files differ, as they would wherever a list is empty or a page unknown (0 here)."""
    row, paper = without_pixels(figure), figure.paper
    scalars: dict[str, str | int] = {name: value for name, value in row.items() if isinstance(value, str | int)}
    lists = {
        name: json.dumps(row[name], ensure_ascii=False) for name in ("mentions", "panels", "ocr", "turns", "table")
    }
    about: dict[str, str | int] = {
        "paper_id": paper.id,
        "title": paper.title,
        "abstract": paper.abstract,
        "page": paper.page or 0,
    }
    return {**scalars, **about, "first_mention": figure.first_mention, **lists}
