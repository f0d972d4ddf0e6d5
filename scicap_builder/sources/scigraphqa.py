"""SciGraphQA (Li & Tajbakhsh 2023): dialogues of PaLM-2 about SciCap's figures; parquet or JSON as on the Hugging Face hub.

Columns image_file, id, caption, conversations, first_mention, title, abstract, q_a_pairs; in the test set also deplot. Its images
are SciCap's and do not come with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from llava_graph.errors import SampleRefused, TableRefused
from llava_graph.record import Figure, Paper, Table, Turn
from llava_graph.tables.linearised import LOOPED, NO_TABLE, RAGGED, read_table
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Rows, Source
from scicap_builder.sources.llava_json import conversation_entry
from scicap_builder.sources.names import parted, scicap_figure
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import ParquetRows, json_rows, need_text, record, text, texts

FILES = {
    "train": ("SciGraphQA-295K-train.json", "train.json", "SciGraphQA-295K-train.jsonl", "train.jsonl"),
    "test": ("SciGraphQA-3K-test.json", "SciCapQA-test-with-deplot.json", "test.json", "test.jsonl"),
}
PUBLISHED_ROWS = {"train": 295602, "test": 3002}
COLUMNS = ("image_file", "q_a_pairs")
REFUSED_TABLES = {
    NO_TABLE: "table without rows",
    LOOPED: "table that is a loop",
    RAGGED: "table without a row that fits",
}
REPAIRED = {
    "repeated-rows": "repeated rows",
    "ragged-rows": "ragged rows",
    "endless-rows": "endless rows",
    "rows-over-limit": "rows over the limit",
}
FOLDERS = (
    "{name}",
    "images/{name}",
    "imgs/{split}/{name}",
    "SciCap-No-Subfig-Img/{split}/{name}",
    "SciCap-Yes-Subfig-Img/{split}/{name}",
)
SCICAP_SPLITS = ("train", "val", "test")
"""SciGraphQA's split is not SciCap's: an image of its train can lie in any of them."""


def entry(row: Any, number: int, *, split: str) -> Entry:
    """One dialogue."""
    row = record(row)
    name = need_text(row, "image_file")
    named = scicap_figure(name)
    label, caption = parted(text(row, "caption"), named.label)
    table, repairs = deplot_table(text(row, "deplot"))
    figure = Figure(
        id=f"scigraphqa:{named.figure}",
        kind="chart",
        label=label,
        caption=caption,
        mentions=texts(row.get("first_mention")),
        paper=Paper(id=named.paper, title=text(row, "title"), abstract=text(row, "abstract")),
        table=table,
        turns=dialogue(row, number),
        split=split,
    )
    folders = [shape.format(name=name, split=part) for shape in FOLDERS for part in SCICAP_SPLITS]
    return Entry(figure=figure, pictures=tuple(dict.fromkeys(folders)), repairs=repairs)


def dialogue(row: Mapping[str, Any], number: int) -> tuple[Turn, ...]:
    """The pairs of question and answer, without image marks; where they are missing, the conversation.

    Raises SampleRefused (no-target) where there is neither.
    """
    turns: list[Turn] = []
    pairs = row.get("q_a_pairs")
    for pair in pairs if isinstance(pairs, list) else ():
        words = (
            [part.replace("<image>", "").strip() for part in pair if isinstance(part, str)]
            if isinstance(pair, list)
            else []
        )
        if len(words) == 2 and all(words):
            turns += [Turn(role="user", text=words[0]), Turn(role="assistant", text=words[1])]
    if turns:
        return tuple(turns)
    if not row.get("conversations"):
        raise SampleRefused("no pair of question and answer", reason="no-target")
    spoken = {"id": "x", "conversations": row["conversations"], "image": "x"}
    return conversation_entry(spoken, number, base=Figure(id="x")).figure.turns


def deplot_table(linear: str) -> tuple[Table | None, tuple[str, ...]]:
    """DePlot's linear text -> (table, repairs): "TITLE | … <0x0A> head | head <0x0A> 1 | 2 …".

    Loops, rows that have been and rows of another length than the head are left out, as from a table that a model of ours reads.
    """
    if not linear:
        return None, ()
    try:
        found = read_table(linear, keep_ragged=False)
    except TableRefused as error:
        return None, (REFUSED_TABLES[error.reason],)
    return found.table, tuple(f"{REPAIRED[repair.reason]} of a table left out" for repair in found.repairs)


def _parts(root: Root, _: str) -> list[Part]:
    parts = []
    for split, names in FILES.items():
        rows: Rows
        files = sorted(root.folder.glob(f"data/{split}-*.parquet"))
        if files:
            path, rows = files[0], ParquetRows(files, COLUMNS)
        elif found := root.file(*names):
            path, rows = found, json_rows(found, COLUMNS)
        else:
            continue
        read = partial(entry, split=split)
        parts.append(Part(name=path.name, rows=rows, read=read, path=path, published=PUBLISHED_ROWS[split]))
    if not parts:
        root.need(*FILES["train"])
    return parts


SOURCE = Source(
    name="scigraphqa",
    title="SciGraphQA",
    home="https://huggingface.co/datasets/alexshengzhili/SciGraphQA-295K-train",
    hub="alexshengzhili/SciGraphQA-295K-train",
    licence="CC BY-NC 4.0",
    access="public",
    split=f"{PUBLISHED} (train; its 3,002 for validation are our test, as its paper scores them)",
    files=tuple(PublishedFile(name=names[0], holds="dialogues; or data/*.parquet") for names in FILES.values()),
    parts=_parts,
)
