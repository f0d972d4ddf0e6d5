import json
import shutil

import pyarrow.parquet as pq
import pytest

from llava_graph.dataset import DatasetWriter, read_dataset, read_dropped, write_dataset
from llava_graph.errors import DatasetError, RecordError
from llava_graph.record import Dropped, Figure, OcrLine, Paper, Table, Turn


def a_figure(number: int, png: bytes) -> Figure:
    return Figure(
        id=f"paper-{number}#fig1",
        image=png,
        width=120,
        height=80,
        kind="chart",
        label="Figure 1",
        caption="A line.",
        ocr=(
            OcrLine(text="10⁻³", box=(0.1, 0.2, 0.30000000000000004, 0.4), confidence=0.9, role="tick", source="pdf"),
        ),
        mentions=("As Figure 1 shows.", "See Figure 1."),
        paper=Paper(
            id=f"paper-{number}", title="T", categories=("cs.CL",), page=2, box=(0.1, 0.1, 0.9, 0.5), confidence=0.7
        ),
        table=Table(header=("x", "y"), rows=(("1", "2"),)),
        turns=(Turn(role="user", text="q"), Turn(role="assistant", text="a")),
        source="test",
        licence="CC-BY-4.0",
    )


@pytest.fixture
def figures(png):
    return [a_figure(number, png) for number in range(60)]


def test_what_is_written_is_read_back(tmp_path, figures):
    summary = write_dataset(figures, tmp_path / "set", dropped=[Dropped(item="x", reason="no-caption")], shard_rows=25)
    read = list(read_dataset(tmp_path / "set"))
    assert {figure.id for figure in read} == {figure.id for figure in figures}
    by_id = {figure.id: figure for figure in figures}
    for figure in read:
        assert figure.split in ("train", "validation", "test")
        assert figure.to_row() == {**by_id[figure.id].to_row(), "split": figure.split}
    assert list(read_dropped(tmp_path / "set")) == [Dropped(item="x", reason="no-caption")]
    assert summary.figures == 60
    assert summary.dropped == {"no-caption": 1}
    assert sum(1 for _ in read_dataset(tmp_path / "set", "test")) == summary.splits["test"]


def test_datasets_opens_the_folder_as_it_is(tmp_path, figures):
    datasets = pytest.importorskip("datasets")
    summary = write_dataset(figures, tmp_path / "set", shard_rows=25)
    opened = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {name: rows.num_rows for name, rows in opened.items()} == summary.splits
    row = opened["train"][0]
    assert row["image"].size == (120, 80)
    assert row["ocr"][0]["text"] == "10⁻³"
    assert row["paper"]["page"] == 2
    streamed = datasets.load_dataset(str(tmp_path / "set"), split="train", streaming=True)
    assert next(iter(streamed))["id"] == row["id"]


def test_a_killed_build_goes_on_where_it_was(tmp_path, figures):
    writer = DatasetWriter(tmp_path / "set", options={"dpi": 150})
    writer.write_shard(["paper-0", "paper-1"], figures[:2], [Dropped(item="paper-1#fig2", reason="no-picture")])
    (tmp_path / "set" / "data" / ".tmp-00001").mkdir()  # what a kill in the middle of a shard leaves
    again = DatasetWriter(tmp_path / "set", options={"dpi": 150})
    assert again.done == {"paper-0", "paper-1"}
    again.write_shard(["paper-2"], figures[2:3])
    summary = again.finish()
    assert (summary.keys, summary.figures, summary.dropped) == (3, 3, {"no-picture": 1})
    assert sorted(figure.id for figure in read_dataset(tmp_path / "set")) == [f"paper-{n}#fig1" for n in range(3)]
    assert pq.read_table(tmp_path / "set" / "dropped.parquet").num_rows == 1
    assert json.loads((tmp_path / "set" / "build.json").read_text())["counts"]["figures"] == 3


def test_a_shard_that_fails_leaves_no_trace(tmp_path, figures):
    writer = DatasetWriter(tmp_path / "set", options={})
    with pytest.raises(Exception, match="."):
        writer.write_shard(["a"], [figures[0], "no figure"])
    assert DatasetWriter(tmp_path / "set", options={}).done == frozenset()
    assert list(read_dataset(tmp_path / "set")) == []


def test_other_options_are_refused_by_name(tmp_path):
    DatasetWriter(tmp_path / "set", options={"dpi": 150, "ocr": "rapidocr"})
    with pytest.raises(DatasetError, match="dpi: 150 then, 300 now"):
        DatasetWriter(tmp_path / "set", options={"dpi": 300, "ocr": "rapidocr"})
    assert DatasetWriter(tmp_path / "set", options={"dpi": 300}, overwrite=True).done == frozenset()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        DatasetWriter(tmp_path, options={}, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    with pytest.raises(DatasetError, match="no data set of ours"):
        list(read_dataset(tmp_path))


def test_a_broken_shard_and_a_foreign_column_are_named(tmp_path, figures):
    write_dataset(figures[:3], tmp_path / "set")
    shard = next((tmp_path / "set" / "data").glob("shard-*"))
    file = next(shard.glob("t*.parquet"))
    table = pq.read_table(file)
    pq.write_table(
        table.rename_columns(["captoin" if name == "caption" else name for name in table.column_names]), file
    )
    with pytest.raises(RecordError, match=r"row 1: unknown field 'captoin'\. Did you mean 'caption'"):
        list(read_dataset(tmp_path / "set"))
    file.write_bytes(b"PAR1 cut off")
    with pytest.raises(DatasetError, match="the shard is broken"):
        list(read_dataset(tmp_path / "set"))


def test_the_data_card_counts_and_names_the_splits(tmp_path, figures):
    write_dataset(figures, tmp_path / "set", dropped=[Dropped(item="x", reason="no-caption")])
    card = (tmp_path / "set" / "README.md").read_text()
    assert "| no-caption | 1 |" in card
    assert "| CC-BY-4.0 | 60 |" in card
    assert "data/*/validation.parquet" in card
    shutil.rmtree(tmp_path / "set")


def test_pixels_and_other_papers_can_be_left_on_disk(tmp_path, png):
    many = [
        Figure(id=f"p{n // 3}#fig{n % 3}", image=png, paper=Paper(id=f"p{n // 3}"), split="train") for n in range(300)
    ]
    write_dataset(many, tmp_path / "set")
    assert [figure.image for figure in read_dataset(tmp_path / "set", images=False)] == [None] * 300
    some = list(read_dataset(tmp_path / "set", papers={"p7", "p99", "no such"}))
    assert some == [figure for figure in many if figure.paper.id in ("p7", "p99")]
