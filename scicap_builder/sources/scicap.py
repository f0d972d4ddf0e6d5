"""SciCap (Hsu et al. 2021): a JSON and a PNG per figure, graph plots of arXiv papers. Also our own export of its layout.

SciCap-Caption-All/{train,val,test}/NAME.json
SciCap-No-Subfig-Img/{train,val,test}/NAME.png    SciCap-Yes-Subfig-Img/…
List-of-Files-for-Each-Experiments/EXPERIMENT/{No,Yes}-Subfig/{train,val,test}/file_idx.json
arxiv-metadata-oai-snapshot.json
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from llava_graph.durable import read_json
from llava_graph.errors import SampleRefused
from llava_graph.record import Figure, Paper
from scicap_builder.exports.scicap import CAPTIONS, FIGURE_TYPES, LISTS, PAPERS
from scicap_builder.metadata import Known, MetadataFile
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source
from scicap_builder.sources.names import parted, scicap_figure, words_in
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import JsonFiles, check_columns, need_text, record, text

SPLITS = {"train": "train", "val": "validation", "test": "test"}
COLUMNS = ("figure-ID", "0-originally-extracted")
KINDS = {name.lower(): kind for kind, name in FIGURE_TYPES.items()} | {"scatterplot": "chart", "bar chart": "chart"}
"""SciCap's classes -> our kinds; others keep their name."""
EXPERIMENTS = {
    "first-sentence": "First-Sentence",
    "single-sentence": "Single-Sentence-Caption",
    "100-tokens": "Caption-No-More-Than-100-Tokens",
}
SUBFIGURES = {"no-subfig": "No-Subfig", "yes-subfig": "Yes-Subfig"}
PUBLISHED_COUNTS = {
    "first-sentence/yes-subfig": (226608, 28326, 28327),
    "first-sentence/no-subfig": (106834, 13354, 13355),
    "single-sentence/yes-subfig": (123698, 15469, 15531),
    "single-sentence/no-subfig": (75494, 9242, 9459),
    "100-tokens/yes-subfig": (216392, 27072, 27036),
    "100-tokens/no-subfig": (105687, 13215, 13226),
}
"""Of train, val, test (its README)."""
LICENCE = "CC BY-NC-SA 4.0"
Look = Callable[[str], Known | None]


class ListedFiles(JsonFiles):
    """The JSON files that an experiment's list names, in its order."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self.names = folder, [f"{name.rpartition('.')[0] or name}.json" for name in names]

    def __getitem__(self, index: int) -> Any:
        if not (self.folder / self.names[index]).is_file():
            raise SampleRefused(f"the list names {self.names[index]}, which is not there", reason="no-caption-file")
        return super().__getitem__(index)


def kind_of(figure_type: str) -> str:
    """ "Graph Plot" -> "chart"."""
    return KINDS.get(figure_type.lower(), figure_type.lower())


def entry(row: Any, _: int, *, split: str, folder: str, look: Look) -> Entry:
    """One figure's JSON."""
    row = record(row)
    name = need_text(row, "figure-ID").removesuffix(".png")
    named = scicap_figure(name)
    label, caption = parted(need_text(row, "0-originally-extracted"), named.label)
    part = "yes-subfig" if row.get("contains-subfigure") else "no-subfig"
    figure = Figure(
        id=f"scicap:{named.figure}",
        kind=kind_of(text(row, "figure-type")),
        label=label,
        caption=caption,
        ocr=words_in(row.get("Img-text"), "scicap"),
        paper=with_metadata(Paper(id=named.paper), look),
        source=f"scicap/{part}",
        split=SPLITS[split],
    )
    return Entry(figure=figure, pictures=(f"SciCap-{SUBFIGURES[part]}-Img/{folder}/{name}.png",))


def with_metadata(paper: Paper, look: Look) -> Paper:
    """The paper with what arXiv's catalogue says of it."""
    known = look(paper.id.removeprefix("arxiv:").rpartition("v")[0])
    if known is None:
        return paper
    return replace(
        paper, title=known.title, abstract=known.abstract, categories=known.categories, licence=known.licence
    )


def catalogue(root: Root, papers: set[str]) -> Look:
    """What the metadata file beside the data says of these papers, by id without version; nothing where it is not there."""
    path = root.file(PAPERS)
    if path is None or not papers:
        return lambda _: None
    found = MetadataFile(path, papers)
    return lambda base: found.get(base) if base in papers else None


def _parts(root: Root, subset: str) -> list[Part]:
    top = root.need(CAPTIONS)
    tables: list[tuple[str, str, JsonFiles, int]] = []
    for number, split in enumerate(SPLITS):
        folder = next((name for name in (split, split.capitalize()) if (top / name).is_dir()), None)
        if folder is None:
            root.notes.append(f"{CAPTIONS}/{split} is not there")
            continue
        rows = JsonFiles(top / folder) if subset == "all" else _listed(root, top / folder, subset, split)
        published = PUBLISHED_COUNTS[subset][number] if subset in PUBLISHED_COUNTS else 0
        check_columns(rows, COLUMNS, top / folder)
        tables.append((split, folder, rows, published))
    papers = {scicap_figure(name).base for _, _, rows, _ in tables for name in rows.names}
    look = catalogue(root, papers - {""})
    return [
        Part(
            name=f"{CAPTIONS}/{folder}",
            rows=rows,
            read=partial(entry, split=split, folder=folder, look=look),
            path=top / folder,
            published=published,
            names=rows.names,
        )
        for split, folder, rows, published in tables
    ]


def _listed(root: Root, folder: Path, subset: str, split: str) -> ListedFiles:
    experiment, _, subfigures = subset.partition("/")
    beginning = f"{LISTS}/{EXPERIMENTS[experiment]}/{SUBFIGURES[subfigures]}"
    names = read_json(
        root.need(f"{beginning}/{split}/file_idx.json", f"{beginning}/{split.capitalize()}/file_idx.json")
    )
    return ListedFiles(folder, [name for name in names if isinstance(name, str)])


SOURCE = Source(
    name="scicap",
    title="SciCap (2021)",
    home="https://github.com/tingyaohsu/SciCap",
    licence=LICENCE,
    access="public",
    split=f"{PUBLISHED} (train, val, test)",
    files=(
        PublishedFile(name=CAPTIONS, holds="a JSON a figure", required=True),
        PublishedFile(name="SciCap-No-Subfig-Img", holds="images of single figures"),
        PublishedFile(name="SciCap-Yes-Subfig-Img", holds="images of compound figures"),
        PublishedFile(name=LISTS, holds="figures of each experiment; for --subset"),
        PublishedFile(name=PAPERS, holds="titles, abstracts, categories and licences of the papers"),
    ),
    parts=_parts,
    subsets=("all", *PUBLISHED_COUNTS),
    of_arxiv=True,
)
