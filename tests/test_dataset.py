import json
import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from llava_graph.dataset import FORMAT, DatasetWriter, read_dataset, read_dropped, write_dataset
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
    with DatasetWriter(tmp_path / "set", options={"dpi": 150}) as writer:
        left_out = [Dropped(item="paper-1#fig2", reason="no-picture")]
        writer.write_shard(["paper-0", "paper-1"], figures[:2], left_out, places={"paper-0": "there"})
    (tmp_path / "set" / "data" / ".tmp-00001").mkdir()  # what a kill in the middle of a shard leaves
    with DatasetWriter(tmp_path / "set", options={"dpi": 150}) as again:
        assert again.done == {"paper-0", "paper-1"}
        assert again.places == {"paper-0": "there"}
        again.write_shard(["paper-2"], figures[2:3])
        summary = again.finish()
    assert (summary.keys, summary.figures, summary.dropped) == (3, 3, {"no-picture": 1})
    assert sorted(figure.id for figure in read_dataset(tmp_path / "set")) == [f"paper-{n}#fig1" for n in range(3)]
    assert pq.read_table(tmp_path / "set" / "dropped.parquet").num_rows == 1
    assert json.loads((tmp_path / "set" / "build.json").read_text())["counts"]["figures"] == 3


def begin(folder, **options):
    """Open a data set as a build does, and leave it."""
    overwrite = options.pop("overwrite", False)
    with DatasetWriter(folder, options=options, overwrite=overwrite) as writer:
        return writer.done


def test_a_shard_that_fails_leaves_no_trace(tmp_path, figures):
    with DatasetWriter(tmp_path / "set", options={}) as writer, pytest.raises(Exception, match="."):
        writer.write_shard(["a"], [figures[0], "no figure"])
    assert not list((tmp_path / "set" / "data").iterdir())
    assert begin(tmp_path / "set") == frozenset()
    assert list(read_dataset(tmp_path / "set")) == []


def test_other_options_are_refused_by_name(tmp_path):
    begin(tmp_path / "set", dpi=150, ocr="rapidocr")
    with pytest.raises(DatasetError, match="dpi: 150 then, 300 now"):
        begin(tmp_path / "set", dpi=300, ocr="rapidocr")
    assert begin(tmp_path / "set", dpi=300, overwrite=True) == frozenset()


def test_only_one_process_writes_and_the_lock_goes_with_it(tmp_path, figures):
    with DatasetWriter(tmp_path / "set", options={}) as writer:
        writer.write_shard(["a"], figures[:1])
        shutil.copytree(tmp_path / "set" / "data" / "shard-00000", tmp_path / "set" / "data" / ".tmp-00001")
        with pytest.raises(DatasetError, match=rf"another build is writing here \(process {os.getpid()} on"):
            begin(tmp_path / "set")
        assert (tmp_path / "set" / "data" / ".tmp-00001").is_dir()  # the other's unfinished shard is left alone
    assert begin(tmp_path / "set") == {"a"}
    assert not (tmp_path / "set" / ".lock").exists()


@pytest.mark.parametrize("layout", [1, FORMAT + 1])
def test_another_layout_is_not_mixed_in(tmp_path, figures, layout):
    write_dataset(figures[:1], tmp_path / "set", options={"dpi": 150})
    manifest = json.loads((tmp_path / "set" / "build.json").read_text())
    (tmp_path / "set" / "build.json").write_text(json.dumps(manifest | {"format": layout}))
    with pytest.raises(DatasetError, match=f"layout {layout}, this version writes {FORMAT}.*--overwrite"):
        begin(tmp_path / "set", dpi=150)
    if layout > FORMAT:
        with pytest.raises(DatasetError, match="Update llava-graph"):
            list(read_dataset(tmp_path / "set"))
    assert begin(tmp_path / "set", dpi=150, overwrite=True) == frozenset()


@pytest.mark.parametrize("left", [[], ["build.json.part"], ["build.json.part", "data/"]])
def test_killed_as_it_began_it_begins_again(tmp_path, left):
    (tmp_path / "set").mkdir()
    for name in left:
        (tmp_path / "set" / name).mkdir() if name.endswith("/") else (tmp_path / "set" / name).write_text("{")
    assert begin(tmp_path / "set") == frozenset()


def test_going_on_says_that_the_counts_are_old(tmp_path, figures):
    write_dataset(figures[:1], tmp_path / "set")
    with DatasetWriter(tmp_path / "set", options={}) as writer:
        writer.write_shard(["b"], figures[1:2])
        assert not json.loads((tmp_path / "set" / "build.json").read_text())["finished"]
        assert writer.finish().figures == 2
    assert json.loads((tmp_path / "set" / "build.json").read_text())["counts"]["figures"] == 2


def test_a_full_disk_is_told_and_leaves_room(tmp_path, figures):
    """A file-size limit stands for the full disk: the same error comes at the same calls."""
    code = (
        "import resource, sys\n"
        "from llava_graph.dataset import DatasetWriter\nfrom llava_graph.record import Figure\n"
        "with DatasetWriter(sys.argv[1], options={}) as writer:\n"
        "    writer.write_shard(['a'], [Figure(id='a#1', image=b'x' * 10)])\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "    writer.write_shard(['b'], [Figure(id='b#1', image=bytes(range(256)) * 400)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "set"], capture_output=True, text=True, check=False)
    assert "DatasetError" in done.stderr.splitlines()[-1]
    assert "cannot be written (File too large). Make room" in done.stderr
    assert [file.name for file in (tmp_path / "set" / "data").iterdir()] == ["shard-00000"]
    assert begin(tmp_path / "set") == {"a"}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written .*give another --out"):
        begin(tmp_path / "file" / "set")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        begin(tmp_path, overwrite=True)
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
    assert "60 figures may be passed on" in card
    assert "0 may not" in card
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
