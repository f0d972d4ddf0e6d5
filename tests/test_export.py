"""Exports, read back by the tools they are made for."""

import json

import pytest

from llava_graph.dataset import write_dataset
from llava_graph.errors import DatasetError, InputError
from llava_graph.images import encode_png, open_image
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure as Record
from llava_graph.record import OcrLine, Paper, Turn
from scicap_builder.export import export, image_name


def record(id_: str, image: bytes, **fields) -> Record:
    size = open_image(image).size
    return Record(id=id_, image=image, width=size[0], height=size[1], source="local", **fields)


@pytest.fixture
def dataset(tmp_path, png):
    jpeg = tmp_path / "x.jpg"
    open_image(png).save(jpeg, "JPEG")
    figures = [
        record(
            "arxiv:hep-th/9901001v1#fig1",
            png,
            label="Figure 1",
            caption="Loss of <image> models",
            mentions=("Figure 1 shows the loss.", "See Figure 1."),
            ocr=(OcrLine(text="loss", box=(0.1, 0.1, 0.2, 0.2), role="y-axis", source="rapidocr"),),
            paper=Paper(id="arxiv:hep-th/9901001v1", title="T", page=3, box=(0.1, 0.2, 0.5, 0.6), route="pdf"),
            split="train",
        ),
        record("local:a#fig2", jpeg.read_bytes(), caption="No mention", split="train"),
        record("local:b#fig1", png, caption="C", mentions=("M.",), split="validation"),
        record(
            "local:c#fig1",
            png,
            split="test",
            turns=(Turn(role="user", text="Why?"), Turn(role="assistant", text="Because.")),
        ),
    ]
    write_dataset(figures, tmp_path / "set")
    return tmp_path / "set"


def test_jsonl_holds_every_field_but_the_pixels(dataset, tmp_path):
    done = export(dataset, tmp_path / "deep" / "out.jsonl", "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "deep" / "out.jsonl").read_text().splitlines()]
    assert done.figures == len(rows) == 4
    one = rows[0]
    assert "image" not in one
    assert one["paper"]["box"] == [0.1, 0.2, 0.5, 0.6]
    assert (one["label"], one["paper"]["page"], len(one["mentions"])) == ("Figure 1", 3, 2)
    assert one["ocr"][0]["text"] == "loss"
    assert Record.from_row(one).caption == "Loss of <image> models"


def test_llava_json_is_what_llava_reads(dataset, tmp_path, png):
    done = export(dataset, tmp_path / "llava", "llava-json")
    assert (done.figures, done.left_out) == (3, {"no-target": 1})
    [sample] = json.loads((tmp_path / "llava" / "train.json").read_text())
    assert sample["id"] == "arxiv:hep-th/9901001v1#fig1"
    assert (tmp_path / "llava" / sample["image"]).read_bytes() == png
    human, gpt = sample["conversations"]
    assert (human["from"], gpt) == ("human", {"from": "gpt", "value": "Figure 1 shows the loss."})
    assert human["value"].startswith("<image>\n")
    assert human["value"].count("<image>") == 1
    assert "Loss of < image > models" in human["value"]
    assert "y-axis: loss" in human["value"]
    [test] = json.loads((tmp_path / "llava" / "test.json").read_text())
    assert [turn["value"] for turn in test["conversations"]] == ["<image>\nWhy?", "Because."]


def test_the_historic_prompt_keeps_its_places(dataset, tmp_path):
    export(dataset, tmp_path / "llava", "llava-json", PromptOptions(style="llava_graph"))
    [sample] = json.loads((tmp_path / "llava" / "train.json").read_text())
    value = sample["conversations"][0]["value"]
    assert value.startswith("OCR extracted text list, separated by ', ' : loss, loss ")
    assert value.count("<image>") == 1


def test_imagefolder_opens_with_datasets(dataset, tmp_path, png):
    datasets = pytest.importorskip("datasets")
    export(dataset, tmp_path / "pictures", "imagefolder")
    opened = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "pictures"), cache_dir=str(tmp_path / "cache")
    )
    assert {name: len(split) for name, split in opened.items()} == {"train": 2, "validation": 1, "test": 1}
    row = next(row for row in opened["train"] if row["id"].startswith("arxiv"))
    assert encode_png(row["image"].convert("RGB")) == encode_png(open_image(png))
    assert (row["title"], row["page"], row["first_mention"]) == ("T", 3, "Figure 1 shows the loss.")
    assert json.loads(row["mentions"]) == ["Figure 1 shows the loss.", "See Figure 1."]
    assert json.loads(row["ocr"])[0]["box"] == [0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(("form", "why"), [("llava", "llava-json"), ("jsonl", "exists already")])
def test_what_cannot_be_exported_is_refused(dataset, tmp_path, form, why):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match=why):
        export(dataset, tmp_path / "taken", form)
    with pytest.raises(DatasetError, match="no data set"):
        export(tmp_path, tmp_path / "new", "jsonl")
    assert not (tmp_path / "new").exists()


def test_image_names_are_safe_and_apart():
    ids = ["arxiv:hep-th/9901001v1#fig1", "local:../../x#fig1", "local:a b#fig1", "local:ä/ö#figS.1", "local:a%b#fig1"]
    names = {image_name(Record(id=id_, image=b"\x89PNG")) for id_ in ids}
    assert len(names) == len(ids)
    assert all("/" not in name and " " not in name and name.endswith(".png") for name in names)
