"""The layout of SciCap (Hsu et al. 2021): a JSON and a PNG per figure, and lists of figures for each experiment.

    SciCap-Caption-All/SPLIT/NAME.json                  the captions, every form of them
    SciCap-No-Subfig-Img/SPLIT/NAME.png                 pictures of single figures
    SciCap-Yes-Subfig-Img/SPLIT/NAME.png                pictures of compound figures
    List-of-Files-for-Each-Experiments/EXPERIMENT/No-Subfig|Yes-Subfig/SPLIT/file_idx.json
    arxiv-metadata-oai-snapshot.json                    title, abstract, categories and licence, a paper a line

SPLIT is train, val or test in lower case, as the published archive has them and its readers open them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llava_graph.dataset import read_dataset
from llava_graph.record import Figure, Paper
from scicap_builder.exports.contract import ExportOptions, Tally
from scicap_builder.exports.pictures import write_picture
from scicap_builder.exports.scicap_names import figure_name, full_caption, paper_name
from scicap_builder.exports.scicap_text import normalised
from scicap_builder.exports.writing import json_line, whole, write_json

SPLITS = {"train": "train", "validation": "val", "test": "test"}
FIGURE_TYPES = {"chart": "Graph Plot", "diagram": "Node Diagram"}
"""Our kinds -> the names of SciCap's classes; other kinds keep their name. SciCap released "Graph Plot" only."""
CAPTIONS, LISTS, PAPERS = "SciCap-Caption-All", "List-of-Files-for-Each-Experiments", "arxiv-metadata-oai-snapshot.json"
SUBFIGURES = {False: "No-Subfig", True: "Yes-Subfig"}
MAX_TOKENS = 100

EXPERIMENTS: dict[str, Callable[[list[str], list[str]], bool]] = {
    "First-Sentence": lambda sentences, _: bool(sentences),
    "Single-Sentence-Caption": lambda sentences, _: len(sentences) == 1,
    "Caption-No-More-Than-100-Tokens": lambda _, tokens: 0 < len(tokens) <= MAX_TOKENS,
}
"""Which figures an experiment uses, by their sentences and tokens (section 3.4)."""


def to_scicap(folder: Path, out: Path, options: ExportOptions, tally: Tally) -> None:
    """Write the layout to the folder `out`. A figure without a number has no name in it and is counted, as is a second
    one of the same name."""
    taken: set[str] = set()
    papers: set[str] = set()
    with whole(out / PAPERS) as metadata:
        for ours, split in SPLITS.items():
            lists: dict[tuple[str, str], list[str]] = {(e, s): [] for e in EXPERIMENTS for s in SUBFIGURES.values()}
            for figure in read_dataset(folder, ours):
                name = figure_name(figure)
                if reason := unfit(figure, name, taken):
                    tally.left_out[reason] += 1
                    continue
                taken.add(name)
                row = scicap_row(figure, name)
                subfigures = SUBFIGURES[row["contains-subfigure"]]
                picture = out / f"SciCap-{subfigures}-Img" / split / f"{name}.png"
                write_picture(figure, picture, options.images, tally, png=True)
                write_json(out / CAPTIONS / split / f"{name}.json", row)
                for experiment in experiments(row):
                    lists[experiment, subfigures].append(f"{name}.png")
                if figure.paper.id not in papers:
                    papers.add(figure.paper.id)
                    metadata.write(json_line(paper_row(figure.paper)))
                tally.figures += 1
            for (experiment, subfigures), names in lists.items():
                write_json(out / LISTS / experiment / subfigures / split / "file_idx.json", names)


def unfit(figure: Figure, name: str, taken: set[str]) -> str:
    """Why a figure has no place in the layout; empty if it has one."""
    if not name:
        return "no-figure-number"
    if figure.image is None:
        return "no-image"
    return "same-name" if name in taken else ""


def scicap_row(figure: Figure, name: str) -> dict[str, Any]:
    """One figure's JSON with SciCap's keys, in its order."""
    return {
        "contains-subfigure": not figure.single_panel,
        "Img-text": [word for line in figure.ocr for word in line.text.split()],
        "paper-ID": paper_name(figure.paper.id),
        "figure-ID": f"{name}.png",
        "figure-type": figure_type(figure),
        "0-originally-extracted": full_caption(figure),
        **normalised(figure.caption),
    }


def figure_type(figure: Figure) -> str:
    """The figure's kind in SciCap's words."""
    return FIGURE_TYPES.get(figure.kind, figure.kind)


def experiments(row: dict[str, Any]) -> list[str]:
    """The experiments whose lists name the figure."""
    level = row["1-lowercase-and-token-and-remove-figure-index"]
    return [name for name, fits in EXPERIMENTS.items() if fits(level["sentence"], level["token"])]


def paper_row(paper: Paper) -> dict[str, str]:
    """A paper as a line of arXiv's metadata file has it; `id` is without the version."""
    return {
        "id": unversioned(paper.id),
        "title": paper.title,
        "abstract": paper.abstract,
        "categories": " ".join(paper.categories),
        "license": paper.licence,
    }


def unversioned(paper_id: str) -> str:
    """The paper's id as arXiv's own files have it: "arxiv:hep-th/9901001v2" -> "hep-th/9901001"; others as a file name."""
    kind, _, name = paper_id.rpartition(":")
    if kind != "arxiv":
        return paper_name(paper_id)
    base, mark, version = name.rpartition("v")
    return base if mark and version.isdigit() else name
