"""What data paths hold: LLaVA's records and their slips, several images, files read by place, mixtures, the hub."""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from llava_graph.conversations import read_conversation
from llava_graph.dataset import write_dataset
from llava_graph.errors import DatasetError, InputError, SampleRefused
from llava_graph.images import encode_png
from llava_graph.json_records import JsonRecords
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure, OcrLine
from train.flags.arguments import DataArguments
from train.flags.command import parse_command
from train.sources import Noise, Sample, open_samples, sources_of
from train.sources.hub import data_folder
from train.sources.mixture import Weights
from train.sources.pictures import Pictures

IMAGE = {"type": "image"}


def text(words):
    return {"type": "text", "text": words}


def said(*turns, **more):
    return {"conversations": [{"from": who, "value": words} for who, words in turns], **more}


def figures(count, **more):
    return [
        Figure(
            id=f"f:{index}",
            image=encode_png(Image.new("RGB", (20 + index, 20), "red")),
            caption=f"Figure number {index}",
            ocr=(OcrLine(text="loss", box=(0, 0, 1, 1)),),
            mentions=(f"It shows square {index}.",),
            **{"split": "train", **more},
        )
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "squares"
    write_dataset([*figures(5), *figures(2, split="validation")], folder, shard_rows=3)
    return folder


# --- LLaVA's records


@pytest.mark.parametrize(
    ("record", "parts", "repairs"),
    [
        (said(("human", "<image>\nWhat?"), ("gpt", "A."), image="a"), [[IMAGE, text("What?")]], []),
        (said(("human", "What?\n<image>"), ("gpt", "A."), image="a"), [[IMAGE, text("What?")]], []),
        (said(("human", "What?"), ("gpt", "A.")), [[text("What?")]], []),
        (
            said(("human", "What?"), ("gpt", "A."), img_path="a"),
            [[text("What?")]],
            ["key 'img_path' not read, learnt as text"],
        ),
        (said(("human", "It <image> is?"), ("gpt", "A."), image="a"), [[IMAGE, text("It  is?")]], ["image-moved"]),
        (said(("human", "What?"), ("gpt", "A."), image="a"), [[IMAGE, text("What?")]], ["image-added"]),
        (said(("human", "What?"), ("gpt", "<image>A."), image="a"), [[IMAGE, text("What?")]], ["image-moved"]),
        (
            said(("human", "<image>\n<image>\nWhat?"), ("gpt", "A."), image="a"),
            [[IMAGE, text("What?")]],
            ["mark without image left out"],
        ),
        (
            said(("human", "Hi"), ("gpt", "B."), ("human", "<image>\nWhat?"), ("gpt", "A."), image="a"),
            [[text("Hi")], [IMAGE, text("What?")]],
            [],
        ),
        (
            said(("human", "First <image>\nand then <image>\nWhat?"), ("gpt", "A."), image=["a", "b"]),
            [[text("First "), IMAGE, text("and then "), IMAGE, text("What?")]],
            [],
        ),
        (
            said(("human", "<image>"), ("gpt", "B."), ("human", "<image>\nAnd?"), ("gpt", "A."), images=["a", "b"]),
            [[IMAGE], [IMAGE, text("And?")]],
            [],
        ),
        (
            said(("human", "<image>\nCompare."), ("gpt", "A."), images=["a", "b"]),
            [[IMAGE, IMAGE, text("Compare.")]],
            ["image-added"],
        ),
        (
            said(("human", "<image><image><image>Compare."), ("gpt", "A."), image=["a", "b"]),
            [[IMAGE, IMAGE, text("Compare.")]],
            ["mark without image left out"],
        ),
        (
            said(("human", "<image>\nWhat?"), ("gpt", "A."), image_file="a"),
            [[IMAGE, text("What?")]],
            ["image_file read as image"],
        ),
        (
            {"conversatons": said(("human", "What?"), ("report", "A."))["conversations"]},
            [[text("What?")]],
            ["conversatons read as conversations", "report read as answer"],
        ),
        (
            said(("system", "Be brief."), ("Human", "What?"), ("gpt", "A."), ("human", "And?")),
            [[text("What?")]],
            ["speaker 'Human' read as user", "leading system turn left out", "open question left out"],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image": "a"}, text("What?")]},
                          {"role": "assistant", "content": [text("A.")]}]},
            [[IMAGE, text("What?")]],
            [],
        ),
    ],
)  # fmt: skip
def test_a_record_is_read_as_it_was_meant(record, parts, repairs):
    read = read_conversation(record)
    assert [message["content"] for message in read.messages if message["role"] == "user"] == parts
    assert list(read.repairs) == repairs
    assert sum(part == IMAGE for turn in parts for part in turn) == len(read.images)
    assert not any("<image>" in part.get("text", "") for message in read.messages for part in message["content"])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "bad-record"),
        ("text", "bad-record"),
        ({"conversations": "x"}, "bad-record"),
        ({"conversations": [{"from": "human"}]}, "bad-record"),
        (said(("human", "What?"), ("gpt", "A."), image=3), "bad-record"),
        (said(("human", "What?"), ("gpt", "A."), image=["a", None]), "bad-record"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "bad-record"),
        (said(("human", "What?"), ("robot", "A.")), "unknown-role"),
        (said(("human", "<image>What?"), ("gpt", "A.")), "no-image"),
        (said(("human", "What?"), ("gpt", "A. <image>")), "no-image"),
        (said(("human", "What?"), ("gpt", "A."), video="a.mp4"), "video"),
        (said(("human", "What?"), ("human", "Well?"), ("gpt", "A.")), "bad-turns"),
        (said(("human", "What?"), ("gpt", " ")), "no-target"),
        (said(("human", "What?"), ("gpt", "<image>"), image="a"), "no-target"),
        (said(("gpt", "A.")), "no-target"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_reason(record, reason):
    with pytest.raises(SampleRefused) as refused:
        read_conversation(record)
    assert refused.value.reason == reason


@given(
    st.lists(st.tuples(st.sampled_from(["human", "gpt"]), st.lists(st.sampled_from(["<image>", "a", "\n"])))),
    st.integers(0, 3),
)
def test_there_are_as_many_image_parts_as_images_or_the_record_is_refused(turns, images):
    record = said(*[(who, "".join(words)) for who, words in turns], image=["x"] * images)
    try:
        read = read_conversation(record)
    except SampleRefused:
        return
    parts = [part for message in read.messages for part in message["content"]]
    assert sum(part == IMAGE for part in parts) == len(read.images) == images
    assert [message["role"] for message in read.messages[:2]] == ["user", "assistant"]


# --- files of records


records = st.lists(
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers(), st.lists(st.text(max_size=3)))),
    max_size=8,
)


@given(records, st.sampled_from([None, 1]), st.booleans())
def test_records_by_place_are_those_of_the_whole_file(tmp_path_factory, values, indent, ascii_only):
    folder = tmp_path_factory.mktemp("r")
    (folder / "a.json").write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_only), "utf-8")
    lines = "\n".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values)
    (folder / "a.jsonl").write_text(lines or "\n", encoding="utf-8")
    for name in ("a.json", "a.jsonl"):
        found = pickle.loads(pickle.dumps(JsonRecords(folder / name)))
        assert [found[index] for index in range(len(found))] == values


def test_a_byte_order_mark_and_lines_in_a_json_are_read(tmp_path):
    one = said(("human", "Ä?"), ("gpt", "A."))
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([one], ensure_ascii=False).encode())
    (tmp_path / "b.json").write_text("\n".join(json.dumps(one) for _ in range(3)))
    assert JsonRecords(tmp_path / "a.json")[0] == one
    assert len(JsonRecords(tmp_path / "b.json")) == 3


@pytest.mark.parametrize("content", ["", "[1, 2", "[1 2]", "[,]", '{"a": 1}', "nonsense", "[{'a': 1}]"])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "broken.json").write_text(content)
    with pytest.raises(DatasetError, match=r"broken\.json"):
        JsonRecords(tmp_path / "broken.json")


def test_a_broken_line_is_one_refused_record(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n\n[2]\n')
    found = JsonRecords(tmp_path / "a.jsonl")
    assert (len(found), found[0], found[2]) == (3, {"a": 1}, [2])
    with pytest.raises(SampleRefused, match="record 2 is no JSON"):
        found[1]
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(SampleRefused) as gone:
        found[0]
    assert gone.value.reason == "file-changed"


@pytest.mark.parametrize("rest", ["\n[{}, {}]", "garbage}", ","])
def test_nothing_may_stand_behind_the_list(tmp_path, rest):
    (tmp_path / "a.json").write_text("[{}, {}]" + rest)
    with pytest.raises(DatasetError, match="Text after the end of the list: .*char"):
        JsonRecords(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[{}, {}] \r\n\t")
    assert len(JsonRecords(tmp_path / "a.json")) == 2


DEEP = '{"x": ["]]\\"}", ' + "[" * 100_000 + "]" * 100_000 + "]}"


@pytest.mark.parametrize("bad", [DEEP, '{"x": ' + "1" * 5000 + "}"], ids=["deep", "digits"])
def test_a_record_that_python_cannot_take_is_one_bad_record(tmp_path, bad):
    good = json.dumps(said(("human", "Q"), ("gpt", "A.")))
    (tmp_path / "a.json").write_text(f"[{good}, {bad}, {good}]")
    (tmp_path / "a.jsonl").write_text(f"{good}\n{bad}\n{good}")
    for name in ("a.json", "a.jsonl"):
        found = JsonRecords(tmp_path / name)
        assert len(found) == 3
        assert found[0] == found[2] == json.loads(good)
        with pytest.raises(SampleRefused) as caught:
            found[1]
        assert caught.value.reason == "bad-record"


def test_a_list_that_never_ends_is_told(tmp_path):
    (tmp_path / "a.json").write_text("[{}, " + "[" * 100_000)
    with pytest.raises(DatasetError, match="no valid JSON"):
        JsonRecords(tmp_path / "a.json")


# --- several paths


def flags(*paths, **more):
    return DataArguments(data_path=[str(path) for path in paths], **more)


def conversations(path, count, **more):
    path.write_text(
        json.dumps([said(("human", f"Q{number}"), ("gpt", "A."), id=f"c{number}", **more) for number in range(count)])
    )
    return path


def test_several_paths_are_one_collection(dataset, tmp_path):
    chats = conversations(tmp_path / "chats.json", 3)
    samples = open_samples(flags(dataset, chats), PromptOptions())
    assert [samples.name(index) for index in (0, 4, 5, 7)] == [
        "squares: f:0",
        "squares: f:4",
        "chats.json: c0",
        "chats.json: c2",
    ]
    assert [len(samples.get(index, None).images) for index in range(8)] == [1] * 5 + [0] * 3
    assert samples.part_of(np.array([0, 4, 5, 7])).tolist() == [0, 0, 1, 1]
    assert len(open_samples(flags(dataset, chats, max_samples=2), PromptOptions())) == 4
    bare = open_samples(flags(dataset, text_only=True), PromptOptions()).get(0, None)
    assert bare.images == ()
    assert [part["type"] for part in bare.messages[0]["content"]] == ["text"]


def test_samples_cross_process_borders_as_they_are(dataset, tmp_path):
    samples = open_samples(
        flags(dataset, conversations(tmp_path / "a.json", 3)), PromptOptions(), noise=Noise(context_dropout=0.5)
    )
    other = pickle.loads(pickle.dumps(samples))
    assert [other.get(index, 3) for index in range(len(other))] == [
        samples.get(index, 3) for index in range(len(samples))
    ]


def test_a_mixture_file_says_how_each_source_is_read(dataset, tmp_path):
    conversations(tmp_path / "chats.jsonl", 0)
    (tmp_path / "chats.jsonl").write_text(json.dumps(said(("human", "<image>\nQ"), ("gpt", "A."), image="a.png")))
    (tmp_path / "mixture.yaml").write_text(f"""
- {{path: "{dataset}", split: validation, weight: 2, context: [caption], max_context_tokens: 9}}
- {{path: chats.jsonl, image_folder: pictures, weight: 0.5}}
- "{dataset}"
""")
    (tmp_path / "pictures").mkdir()
    sources = sources_of(flags(tmp_path / "mixture.yaml", data_weights=[3.0]), PromptOptions(title=True))
    assert [(source.split, source.weight) for source in sources] == [("validation", 6), ("train", 1.5), ("train", 3)]
    assert sources[0].options == PromptOptions(ocr=False, table=False, max_context_tokens=9)
    assert sources[2].options == PromptOptions(title=True)
    samples = open_samples(flags(tmp_path / "mixture.yaml"), PromptOptions())
    assert samples.get(2, None).images == (tmp_path / "pictures" / "a.png",)
    assert "loss" not in str(samples.get(0, None).messages)
    assert "loss" in str(samples.get(3, None).messages)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("path: a", "must be a list"),
        ("[]", "must be a list"),
        ("- {weight: 1}", "entry 1: an entry needs a path"),
        ("- {path: a, wait: 1}", "Did you mean 'weight'"),
        ("- {path: a, weight: -1}", "entry 1: a weight must be"),
        ("- {path: a, weight: much}", "entry 1: a weight must be"),
        ("- {path: a, split: trein}", "Did you mean 'train'"),
        ("- {path: a, context: captoin}", "Did you mean 'caption'"),
        ("- {path: a, ocr_style: boxs}", "Did you mean 'boxes'"),
        ("- {path: [", "cannot be read"),
    ],
)
def test_a_wrong_mixture_names_the_entry(tmp_path, content, says):
    (tmp_path / "m.yaml").write_text(content)
    with pytest.raises(DatasetError, match=says):
        sources_of(flags(tmp_path / "m.yaml"), PromptOptions())


def test_weights_need_a_number_a_path(dataset):
    with pytest.raises(InputError, match="2 data paths have 1 weights"):
        open_samples(flags(dataset, dataset, data_weights=[1.0]), PromptOptions())


def test_evaluation_never_shows_what_is_trained_on(dataset, tmp_path):
    chats = conversations(tmp_path / "chats.json", 3)
    held_out = open_samples(flags(dataset, chats, data_weights=[3.0, 0.1]), PromptOptions(), evaluated="validation")
    assert [held_out.name(index) for index in range(len(held_out))] == ["f:0", "f:1"]
    assert held_out.weights.plain
    with pytest.raises(DatasetError, match="--eval_data_path"):
        open_samples(flags(chats), PromptOptions(), evaluated="validation")
    for others, count in (([chats], 3), ([chats, dataset], 5)):
        asked = flags(dataset, eval_data_path=[str(path) for path in others], data_weights=[2.0])
        assert len(open_samples(asked, PromptOptions(), evaluated="validation")) == count


def test_an_evaluation_takes_several_paths_as_training_does():
    words = "--model_name_or_path m --data_path a.json --output_dir out --use_cpu True"
    for more, paths in (("--eval_data_path b.json c.json", ["b.json", "c.json"]), ("--eval_data_path none", None)):
        assert parse_command([*words.split(), *more.split()]).data.eval_data_path == paths


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0.0, 0.01, 0.5, 1.0, 1.7, 3.0])), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_an_epoch_shows_each_part_as_often_as_its_weight_says(parts, epoch):
    part_of = np.concatenate([np.full(count, part) for part, (count, _) in enumerate(parts)])
    weights = Weights(parts=tuple(weight for _, weight in parts), seed=1)
    shown = weights.draw(part_of, epoch)
    assert len(shown) == len(weights.draw(part_of, epoch + 1))
    assert shown.tolist() == weights.draw(part_of, epoch).tolist()
    for part, (count, weight) in enumerate(parts):
        times = Counter(row for row in shown.tolist() if part_of[row] == part)
        assert sum(times.values()) == (max(1, round(count * weight)) if count and weight else 0)
        assert all(int(weight) <= times[row] <= int(weight) + 1 for row in np.flatnonzero(part_of == part).tolist())


def test_a_part_of_a_source_is_drawn_anew_each_epoch():
    weights = Weights(parts=(0.5,), seed=1)
    drawn = [set(weights.draw(np.zeros(100, dtype=int), epoch).tolist()) for epoch in range(20)]
    assert len(set(map(frozenset, drawn))) == 20
    assert set().union(*drawn) == set(range(100))


# --- images


def pictured(*images):
    return Sample([{"role": "user", "content": [IMAGE] * len(images) + [text("What?")]}], images, "s")


def test_bad_images_go_by_the_policy(tmp_path, png):
    good, gone, cut = tmp_path / "good.png", tmp_path / "gone.png", png[:60]
    good.write_bytes(png)
    for image, reason in ((gone, "image-missing"), (cut, "image-broken")):
        with pytest.raises(SampleRefused) as refused:
            Pictures(policy="drop").settle(pictured(good, image))
        assert refused.value.reason == reason
    blank = Pictures(policy="blank").settle(pictured(good, gone))
    assert [image.size for image in blank.images] == [(120, 80), (336, 336)]
    assert blank.images[1].getextrema() == ((255, 255),) * 3
    assert blank.repairs == ("image-missing, shown blank",)
    alone = Pictures(policy="text").settle(pictured(cut, good))
    assert ([image.size for image in alone.images], alone.repairs) == ([(120, 80)], ("image-broken, its text kept",))
    assert alone.messages[0]["content"] == [IMAGE, text("What?")]
    assert Pictures(policy="text").settle(pictured(cut)).messages[0]["content"] == [text("What?")]


# --- the hub


def test_a_name_on_the_hub_that_cannot_be_had_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="hub") as failed:
        data_folder("nobody/nothing", cache_dir=tmp_path / "hub")
    assert "\n" not in str(failed.value)
    assert data_folder("no/such/folder") == Path("no/such/folder")


def test_a_data_set_of_ours_comes_from_the_hubs_cache(dataset, tmp_path, monkeypatch):
    """A snapshot as `huggingface_hub` lays it out, asked for offline."""
    import shutil

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    revision = "0" * 40
    for name in ("ours", "other"):
        repo = tmp_path / "hub" / f"datasets--me--{name}"
        shutil.copytree(dataset, repo / "snapshots" / revision)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text(revision)
    (tmp_path / "hub" / "datasets--me--other" / "snapshots" / revision / "build.json").unlink()
    folder = data_folder("me/ours", cache_dir=tmp_path / "hub")
    assert len(open_samples(flags(folder), PromptOptions())) == 5
    with pytest.raises(DatasetError, match="none of ours"):
        data_folder("me/other", cache_dir=tmp_path / "hub")
