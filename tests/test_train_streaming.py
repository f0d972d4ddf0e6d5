"""Streaming: the same samples as a full look, each once an epoch, on all readers together; going on repeats nothing."""

import json
import logging
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from word_encoder import Words

from llava_graph.dataset import write_dataset
from llava_graph.errors import CheckpointError, DatasetError, InputError
from llava_graph.images import encode_png
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure
from train.batching.checking import check_samples
from train.flags.arguments import DataArguments
from train.sources import Noise, open_samples, open_windows
from train.sources.batching import Batching
from train.sources.blocks import ConversationBlocks, Windows
from train.sources.conversations import ConversationSamples
from train.sources.mixture import Weights
from train.sources.pictures import Pictures
from train.sources.streaming import Stream, StreamedBatches

BATCHINGS = {
    "random": Batching(batch=4),
    "grouped": Batching(batch=4, grouped=True),
    "packed": Batching(batch=2, packing_length=100, max_images=3),
}


def sentence(number):
    """So many words that no two samples are alike: w5, …"""
    return " ".join(f"w{number}" for _ in range(1 + number % 17))


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    """300 conversations, every fifth with an image; every seventh is refused, and so are two images."""
    folder = tmp_path_factory.mktemp("chats")
    (folder / "a.png").write_bytes(encode_png(Image.new("RGB", (20, 30), "red")))
    (folder / "half.png").write_bytes((folder / "a.png").read_bytes()[:60])
    with (folder / "chats.jsonl").open("w") as file:
        for number in range(300):
            question = "long" if number % 7 == 0 else sentence(number)
            record = {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": "yes"}]}
            if number % 5 == 1:
                record["image"] = {11: "gone.png", 16: "half.png"}.get(number, "a.png")
            file.write(json.dumps(record) + "\n")
    return folder / "chats.jsonl"


def windows_of(path):
    return Windows([ConversationBlocks(ConversationSamples(path, path.parent))], Weights(seed=3), window=64)


def batches_of(windows, batching=BATCHINGS["random"], **more):
    return StreamedBatches(
        windows, Words(), batching, **{"pictures": Pictures(policy="drop"), "max_refused": 0.5, "seed": 1, **more}
    )


def ids(item):
    return tuple(item["input_ids"])


def one_epoch(batches):
    """All batches of epoch 0 of a single reader, and what it has counted then."""
    taken = []
    for batch in batches:
        taken.append(batch)
        if batch.cursor.window >= len(batches.windows):
            return taken
    return taken


@pytest.mark.parametrize("batching", BATCHINGS.values(), ids=BATCHINGS)
def test_an_epoch_holds_what_a_full_look_keeps(chats, batching):
    samples, encoder = open_samples(DataArguments(data_path=[str(chats)]), PromptOptions()), Words()
    checked = check_samples(samples, encoder)
    taken = one_epoch(batches_of(windows_of(chats), batching))
    streamed = Counter(ids(item) for batch in taken for item in batch.items)
    assert streamed == Counter(tuple(encoder.encode(samples.get(index, 0)).input_ids) for index in checked.kept)
    end = taken[-1].cursor
    assert end.seen == checked.seen == 300
    assert end.refused == checked.reasons
    if batching.packing_length:
        for batch in taken:
            assert sum(len(item["input_ids"]) for item in batch.items) <= 200
            assert sum(len(item["vision"].get("pixel_values", ())) for item in batch.items) <= 6
    else:
        assert {len(batch.items) for batch in taken} <= {1, 2, 3, 4}
        assert np.mean([len(batch.items) for batch in taken]) > 3.5


def test_epochs_are_shuffled_anew_and_repeat_themselves(chats):
    def epochs(count):
        first = batches_of(windows_of(chats))
        per_epoch = [[] for _ in range(count)]
        window = 0
        for batch in first:
            if window // 5 >= count:
                return per_epoch
            per_epoch[window // 5] += [ids(item) for item in batch.items]
            window = batch.cursor.window
        return per_epoch

    one, two = epochs(2)
    assert sorted(one) == sorted(two)
    assert one != two
    assert [one, two] == epochs(2)


def collate(items):
    return {"ids": [ids(item) for item in items]}


@pytest.mark.parametrize(("workers", "batching"), [(0, "packed"), (0, "random"), (2, "grouped")])
def test_going_on_repeats_nothing_and_leaves_nothing_out(chats, workers, batching):
    def begin():
        batches = batches_of(windows_of(chats), BATCHINGS[batching], readers=max(1, workers))
        return Stream(batches, collate, workers=workers)

    stream, whole, states = begin(), [], []
    states.append((json.loads(json.dumps(stream.state())), stream.counts()))
    for inputs in islice(stream, 40):
        whole.append(inputs["ids"])
        states.append((json.loads(json.dumps(stream.state())), stream.counts()))
    for taken in range(0, 35, 12 if workers else 3):
        again = begin()
        again.restore(states[taken][0])
        assert again.counts() == states[taken][1]
        assert [inputs["ids"] for inputs in islice(again, 5)] == whole[taken : taken + 5]
        assert again.counts() == states[taken + 5][1]
    assert stream.counts()["seen"] > sum(stream.counts()["refused"].values()) > 0


def test_nobody_waits_where_a_window_ends(chats, monkeypatch):
    """A window of 64 samples is looked at step by step while the batches of the one before are taken."""
    real, looked = Words.encode, []
    monkeypatch.setattr(Words, "encode", lambda self, sample: looked.append(sample) or real(self, sample))
    blocks = ConversationBlocks(ConversationSamples(chats, chats.parent))
    stream = iter(Stream(batches_of(Windows([blocks], Weights(seed=3), limit=256, window=64)), collate))
    steps = []
    for _ in range(60):
        before = len(looked)
        next(stream)
        steps.append(len(looked) - before)
    assert steps[0] > 60
    assert max(steps[1:]) <= 8


def test_readers_of_all_processes_share_each_epoch(chats):
    windows = windows_of(chats)
    seen = Counter()
    for process in range(2):
        batches = batches_of(windows, process=process, processes=2, readers=2)
        for reader in range(2):
            batches.turn = reader
            window = batches.cursors[reader].window
            for batch in batches:
                if window >= 2 * len(windows):
                    break
                seen.update(ids(item) for item in batch.items)
                window = batch.cursor.window
    single = Counter(ids(item) for batch in one_epoch(batches_of(windows)) for item in batch.items)
    assert seen == Counter({key: 2 * count for key, count in single.items()})


def test_a_checkpoint_of_other_workers_is_refused(chats):
    one, two = (batches_of(windows_of(chats), readers=readers) for readers in (1, 2))
    with pytest.raises(CheckpointError, match="--dataloader_num_workers 2"):
        Stream(one, collate).restore(Stream(two, collate, workers=2).state())
    with pytest.raises(InputError, match="2 readers"):
        Stream(two, collate, workers=1)


@pytest.mark.parametrize(
    ("weights", "counts"), [((1.0, 1.0), (300, 130)), ((0.5, 2.0), (150, 260)), ((0.1, 1.3), (30, 169))]
)
def test_weights_say_how_much_of_each_source_an_epoch_reads(chats, tmp_path, weights, counts):
    (tmp_path / "more.jsonl").write_text(
        "\n".join(
            json.dumps({"conversations": [{"from": "human", "value": f"more m{n}"}, {"from": "gpt", "value": "no"}]})
            for n in range(130)
        )
    )
    parts = [ConversationBlocks(ConversationSamples(path, path.parent)) for path in (chats, tmp_path / "more.jsonl")]
    windows = Windows(parts, Weights(parts=weights, seed=3), window=128)
    drawn = []
    for epoch in range(2):
        found = [one for window in range(len(windows)) for one in windows.read(epoch * len(windows) + window)]
        more = [one for one in found if "more" in str(one.sample)]
        assert (len(found) - len(more), len(more)) == counts
        drawn.append({str(one.sample) for one in found})
    assert windows.samples == sum(counts)
    assert (drawn[0] == drawn[1]) == (weights == (1.0, 1.0))


def test_figures_stream_as_they_are_read_at_random(tmp_path):
    figures = [
        Figure(id=f"f:{n}", image=encode_png(Image.new("RGB", (20 + n, 20))), caption=f"c{n}", mentions=(f"m{n}",) if n % 4 else (), split="train")
        for n in range(150)
    ]  # fmt: skip
    write_dataset(figures, tmp_path / "d", shard_rows=100)
    data, noise = DataArguments(data_path=[str(tmp_path / "d")]), Noise(context_dropout=0.5, seed=4)
    samples = open_samples(data, PromptOptions(), noise=noise)
    windows = open_windows(data, PromptOptions(), noise=noise)
    assert windows.samples == 150
    assert len(windows) == 1
    for epoch in range(2):
        found = {one.name: one.sample for one in windows.read(epoch)}
        for index in range(150):
            name = samples.name(index)
            if isinstance(found[name], InputError):
                assert found[name].reason == "no-target"
            else:
                assert found[name] == samples.get(index, epoch)
    assert open_windows(DataArguments(data_path=[str(tmp_path / "d")], max_samples=70), PromptOptions()).samples == 70
    bare = open_windows(DataArguments(data_path=[str(tmp_path / "d")], text_only=True), PromptOptions()).read(0)
    assert all(not one.sample.images for one in bare if not isinstance(one.sample, InputError))


def test_too_many_refused_samples_stop_the_stream(chats):
    for workers in (0, 1):
        stream = Stream(batches_of(windows_of(chats), max_refused=0.1), collate, workers=workers)
        with pytest.raises(DatasetError, match=r"of the first 300 samples cannot be learnt from \(4\d prompt-too-long"):
            for _ in islice(stream, 1000):
                pass


def test_a_source_of_bad_samples_alone_ends_even_when_all_may_be_refused(tmp_path):
    (tmp_path / "bad.jsonl").write_text("{}\n" * 100)
    with pytest.raises(DatasetError, match="no sample of a whole epoch"):
        next(iter(Stream(batches_of(windows_of(tmp_path / "bad.jsonl"), max_refused=1.0), collate)))
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(DatasetError, match="no sample to stream"):
        windows_of(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("policy", "images", "kinds"),
    [
        ("drop", 50, {}),
        ("blank", 52, {"image-missing, shown blank": 1, "image-broken, shown blank": 1}),
        ("text", 50, {"image-missing, its text kept": 1, "image-broken, its text kept": 1}),
    ],
)
def test_bad_images_by_policy(chats, policy, images, kinds, caplog):
    """One is missing, one breaks off behind a good header: of the samples that are not too long, 52 have images."""
    caplog.set_level(logging.WARNING)
    taken = one_epoch(batches_of(windows_of(chats), pictures=Pictures(policy=policy)))
    items = [item for batch in taken for item in batch.items]
    end = taken[-1].cursor
    assert {kind: count for kind, count in end.repaired.items() if kind != "image-added"} == kinds
    assert end.seen == len(items) + sum(end.refused.values())
    sizes = [size for item in items if item["vision"] for size in item["vision"]["pixel_values"].tolist()]
    assert len(sizes) == images
    assert sizes.count([20, 30]) == (51 if policy == "blank" else 50)  # the one with a good header keeps its size
    assert (
        {"image-missing", "image-broken"} <= set(end.refused)
        if policy == "drop"
        else set(end.refused) == {"prompt-too-long"}
    )
    assert sum("counted from now on" in record.message for record in caplog.records) == len(end.refused)


def test_what_vanishes_in_the_middle_of_a_run_is_counted(tmp_path):
    figures = [
        Figure(id=f"f:{n}", image=encode_png(Image.new("RGB", (20, 20))), mentions=("m",), split="train")
        for n in range(256)
    ]
    write_dataset(figures, tmp_path / "d", shard_rows=128)
    windows = open_windows(DataArguments(data_path=[str(tmp_path / "d")]), PromptOptions())
    (tmp_path / "d" / "data" / "shard-00001" / "train.parquet").unlink()
    taken = one_epoch(batches_of(windows))
    assert taken[-1].cursor.refused == {"file-changed": 128}
    assert sum(len(batch.items) for batch in taken) == 128
