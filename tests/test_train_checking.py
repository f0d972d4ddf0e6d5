"""Every sample looked at once: counted, kept on disk, alike on all processes, and what goes wrong later in a run."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from test_chat import tokenizer
from tiny_model import build_tiny_model
from torch.utils.data import DataLoader
from word_encoder import Words, first_decides

from llava_graph.chat import load_template
from llava_graph.errors import DatasetError, InputError, SampleRefused
from llava_graph.images import encode_png
from llava_graph.model import load
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped
from train.batching.batches import TrainingSet
from train.batching.checking import Checked, check_samples, refuse_too_many
from train.batching.encoding import build_encoder
from train.batching.order import Order
from train.batching.template_fit import check_template
from train.batching.verdicts import MAX_REPAIRS, OTHER_REPAIR, Verdict, Verdicts, read_verdicts, save_verdicts
from train.flags.arguments import DataArguments
from train.flags.command import parse_command
from train.planning.shown import build_collators, open_data, open_shown
from train.sources import open_samples
from train.sources.mixture import Weights
from train.sources.pictures import Pictures

DROP, BLANK, TEXT = (Pictures(policy=policy) for policy in ("drop", "blank", "text"))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    return load(build_tiny_model(tmp_path_factory.mktemp("m") / "nano"))


def write(folder, *questions, images=()):
    """LLaVA records; `images` are the names of the first ones' images."""
    records = [
        {"id": f"r{index}", "conversations": [{"from": "human", "value": words}, {"from": "gpt", "value": "yes"}]}
        for index, words in enumerate(questions)
    ]
    for record, name in zip(records, images, strict=False):
        record["image"] = name
    (folder / "data.json").write_text(json.dumps(records))
    return folder / "data.json"


def opened(path, **more):
    return open_samples(DataArguments(data_path=[str(path)], **more), PromptOptions())


def paint(folder, *names, side=20):
    for name in names:
        (folder / name).write_bytes(encode_png(Image.new("RGB", (side, side), "red")))


def test_an_image_that_cannot_be_opened_is_told_by_its_path_and_the_sample_once(tmp_path):
    checked = check_samples(opened(write(tmp_path, "one", images=("gone.png",))), Words())
    [dropped] = checked.dropped
    assert (dropped.item, dropped.detail) == ("r0", f"{tmp_path / 'gone.png'}: no such file")


@pytest.mark.parametrize("decode", [True, False])
def test_a_path_that_no_file_can_have_is_a_missing_image(tmp_path, decode):
    samples = opened(write(tmp_path, "one", "two", images=("a\0b.png", "x" * 5000)))
    for sample in (samples.get(0, None), samples.get(1, None)):
        with pytest.raises(SampleRefused) as caught:
            DROP.settle(sample, decode=decode)
        assert caught.value.reason == "image-missing"
        assert len(str(caught.value)) < 1000
        assert "\0" not in str(caught.value)
        for policy in (BLANK, TEXT):
            assert policy.settle(sample, decode=decode).repairs[-1].startswith("image-missing")


@pytest.mark.parametrize("evaluated", [True, False])
def test_too_many_bad_samples_are_told_of_the_file_that_holds_them(tmp_path, nano, evaluated):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(write(tmp_path, "one").read_text())
    bad.write_text("[{}]")
    learnt, other = (good, bad) if evaluated else (bad, good)
    command = parse_command(
        [
            *("--model_name_or_path", "m", "--use_cpu", "True", "--output_dir", str(tmp_path / "out")),
            *("--data_path", str(learnt), "--eval_data_path", str(other)),
        ]
    )
    with pytest.raises(DatasetError) as caught:
        open_data(command, nano, tell=print, evaluated=evaluated)
    assert caught.value.where == str(bad)


@pytest.mark.parametrize("weight", ["1", "2.5"])
@pytest.mark.parametrize("asked", ["1000000", "none", "40"])
def test_a_packed_row_is_no_longer_than_all_samples_together(tmp_path, nano, asked, weight):
    command = parse_command(
        [
            *("--model_name_or_path", "m", "--use_cpu", "True", "--output_dir", str(tmp_path / "out")),
            *("--data_path", str(write(tmp_path, "one", "two", "three")), "--data_weights", weight),
            *("--packing", "True", "--packing_length", asked),
        ]
    )
    told = []
    shown = open_shown(command, nano, told.append)
    most = int(shown.checked.lengths.sum()) * (1 if weight == "1" else 3)
    row = shown.order.packing_length
    assert row == (40 if asked == "40" else -(-most // 64) * 64)
    assert any(str(row) in note and asked in note for note in told) == (asked == "1000000")
    for epoch in range(3):
        assert shown.order.batches(epoch)
    collate = build_collators(command, nano, shown.longest, row=row)["train_collator"]
    assert collate([shown.samples[0]])["input_ids"].shape == (1, row * command.training.train_batch_size)


def test_half_a_character_is_a_bad_record(tmp_path):
    checked = check_samples(opened(write(tmp_path, "one", "two \ud800", "yes", images=("\udfff.png",))), Words())
    assert checked.kept.tolist() == [2]
    assert checked.reasons == {"bad-record": 2}
    (tmp_path / "named.json").write_text(json.dumps([{"id": "\ud800", "conversations": []}]))
    assert opened(tmp_path / "named.json").name(0) == "\\ud800"


def test_every_sample_is_counted_once(tmp_path):
    paint(tmp_path, "a.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    path = write(
        tmp_path, "<image>one", "<image>gone", "<image>half", "one two", "long", "cut", "cut rest", " ",
        images=("a.png", "b.png", "half.png"),
    )  # fmt: skip
    checked = check_samples(opened(path), Words())
    assert checked.kept.tolist() == [0, 3, 5, 6, 7]
    assert checked.lengths.tolist() == [12, 3, 2, 3, 1]
    assert checked.answers.tolist() == [1] * 5
    assert checked.images.tolist() == [1, 0, 0, 0, 0]
    assert checked.with_image.tolist() == [True, False, False, False, False]
    assert (checked.answers_cut, checked.turns_cut, checked.seen) == (2, 1, 8)
    assert checked.reasons == {"image-missing": 1, "image-broken": 1, "prompt-too-long": 1}
    assert [item.item for item in checked.dropped] == ["r1", "r2", "r4"]


@pytest.mark.parametrize(
    ("pictures", "images", "lengths"), [(DROP, [1], [12]), (BLANK, [1, 1], [12, 12]), (TEXT, [1, 0], [12, 2])]
)
def test_bad_images_by_policy(tmp_path, pictures, images, lengths):
    paint(tmp_path, "a.png")
    path = write(tmp_path, "<image>one", "<image>two", images=("a.png", "b.png"))
    checked = check_samples(opened(path), Words(), pictures=pictures)
    assert (checked.images.tolist(), checked.lengths.tolist()) == (images, lengths)
    assert len(checked.repaired) == len(checked.kept) - 1
    assert check_samples(opened(path, bad_image="text"), Words()).seen == 2


def test_a_second_start_looks_at_nothing_again(tmp_path):
    paint(tmp_path, "a.png")
    path = write(tmp_path, "<image>one", "<image>two", "three", "long", images=("a.png", "b.png"))
    encoder = Words()
    first = check_samples(opened(path), encoder, cached=True)
    assert (encoder.asked, first.kept.tolist()) == (3, [0, 2])
    again = check_samples(opened(path), encoder, cached=True)
    assert encoder.asked == 3  # the missing image is looked for again, and still missing
    for name in ("kept", "lengths", "answers", "images", "part_of"):
        assert getattr(again, name).tolist() == getattr(first, name).tolist()
    assert (again.dropped, again.repaired) == (first.dropped, first.repaired)

    paint(tmp_path, "b.png")
    mended = check_samples(opened(path), encoder, cached=True)
    assert (encoder.asked, mended.kept.tolist()) == (4, [0, 1, 2])
    check_samples(opened(path), encoder, cached=True)
    assert encoder.asked == 4
    for other in (
        lambda: check_samples(opened(path), encoder, cached=True, pictures=BLANK),
        lambda: check_samples(opened(path, max_samples=3), encoder, cached=True),
        lambda: check_samples(opened(path, text_only=True), encoder, cached=True),
        lambda: check_samples(opened(write(tmp_path, "another")), encoder, cached=True),
    ):
        before = encoder.asked
        other()
        assert encoder.asked > before


def test_what_decides_about_ids_is_part_of_the_key(nano):
    encoder = build_encoder(nano, 500)
    others = [
        build_encoder(nano, 501),
        build_encoder(replace(nano, template=load_template("plain")), 500),
        build_encoder(replace(nano, image_tokens=3), 500),
    ]
    assert all(other.identity != encoder.identity for other in others)
    assert json.loads(json.dumps(encoder.identity)) == encoder.identity


def test_a_spoilt_table_is_made_anew(tmp_path):
    verdicts = Verdicts.empty(3)
    verdicts.record(
        [Verdict(0, 5, 1, 2, True, False, ("moved",)), Verdict(1, refused=("b", "bad", "why")), Verdict(2, 7, 2)]
    )
    file = tmp_path / "sub" / "table.npz"
    save_verdicts(verdicts, file)
    read = read_verdicts(file, 3)
    assert (read.rows.tolist(), read.refused, read.repairs) == (
        verdicts.rows.tolist(),
        verdicts.refused,
        verdicts.repairs,
    )
    assert read_verdicts(file, 4) is None
    file.write_bytes(file.read_bytes()[:50])
    assert read_verdicts(file, 3) is None
    assert read_verdicts(tmp_path / "none.npz", 3) is None


def test_however_many_kinds_of_repairs_there_are_each_sample_is_counted():
    verdicts = Verdicts.empty(100)
    verdicts.record(Verdict(index, 1, 1, 0, repairs=(f"kind {index}", "all")) for index in range(100))
    counts = verdicts.count_repairs(verdicts.kept())
    assert counts["all"] == 100
    assert counts["kind 0"] == 1
    assert counts[OTHER_REPAIR] == 100 - (MAX_REPAIRS - 2)


def test_processes_come_to_the_same_verdict(tmp_path):
    paint(tmp_path, "a.png")
    path = write(
        tmp_path,
        "<image>what",
        "<image>gone",
        *["cut " * (n % 5) + "long" * (n % 7 == 0) for n in range(90)],
        images=("a.png", "b.png"),
    )
    alone, together = (check_samples(opened(path), Words(), pictures=BLANK, workers=workers) for workers in (1, 2))
    assert alone.kept.tolist() == together.kept.tolist()
    assert alone.lengths.tolist() == together.lengths.tolist()
    assert (alone.dropped, alone.repaired, alone.answers_cut) == (
        together.dropped,
        together.repaired,
        together.answers_cut,
    )
    assert alone.seen == 92


def checked(kept, dropped, **more):
    ones = np.ones(kept, dtype=np.int64)
    return Checked(
        kept=np.arange(kept), lengths=ones, answers=ones, images=ones,
        dropped=tuple(Dropped(item=f"r{index}", reason="no-target" if index else "bad-turns", detail="why") for index in range(dropped)),
        **more,
    )  # fmt: skip


def test_too_many_refused_samples_stop_the_run_with_reasons_and_examples():
    refuse_too_many(checked(9, 1), 0.1, where="data.json")
    with pytest.raises(
        DatasetError, match=r"data\.json: 3 of 10 .*\(2 no-target, such as r1: why; 1 bad-turns, such as r0: why\)"
    ) as stopped:
        refuse_too_many(checked(7, 3), 0.1, where="data.json")
    assert "--max_refused" in str(stopped.value)
    with pytest.raises(DatasetError, match="no sample can be learnt from .*no-target"):
        refuse_too_many(checked(0, 3), 1.0, where="data.json")


def test_epochs_show_what_the_weights_say():
    plain = checked(4, 0)
    assert plain.shown(3).tolist() == [0, 1, 2, 3]
    mixed = checked(4, 0, part_of=np.array([0, 0, 1, 1]), weights=Weights(parts=(2.0, 0.5)))
    assert sorted(mixed.shown(0).tolist())[:4] == [0, 0, 1, 1]
    assert len(mixed.shown(0)) == 5


# --- in the middle of a run


@pytest.mark.parametrize(
    ("pictures", "sizes", "event"),
    [
        (DROP, [20, 30, 30, 20, 30], "image-missing"),
        (BLANK, [20, 336, 30, 20, 336], "image-missing, shown blank"),
        (TEXT, [20, None, 30, 20, None], "image-missing, its text kept"),
    ],
)
def test_an_image_that_goes_missing_in_the_middle_of_a_run(tmp_path, caplog, pictures, sizes, event):
    for side in (20, 25, 30):
        paint(tmp_path, f"{side}.png", side=side)
    path = write(tmp_path, *["<image>what"] * 3, images=("20.png", "25.png", "30.png"))
    samples, encoder = opened(path), Words()
    dataset = TrainingSet(samples, check_samples(samples, encoder, pictures=pictures), encoder, pictures)
    (tmp_path / "25.png").unlink()
    caplog.set_level(logging.WARNING)
    seen = [dataset[position]["vision"].get("pixel_values") for position in range(5)]
    assert [None if size is None else int(size[0, 0]) for size in seen] == sizes
    assert dataset.events.counts() == {event: 2}
    assert sum(event in record.message for record in caplog.records) == 1


def test_processes_of_a_loader_count_together(tmp_path):
    paint(tmp_path, "a.png")
    path = write(tmp_path, *["<image>what"] * 8, images=("a.png",) * 4)
    samples, encoder = opened(path), Words()
    dataset = TrainingSet(samples, check_samples(samples, encoder, pictures=BLANK), encoder, BLANK)
    (tmp_path / "a.png").unlink()
    items = list(DataLoader(dataset, batch_size=None, sampler=range(4), num_workers=2))
    assert [len(item["input_ids"]) for item in items] == [12] * 4
    assert dataset.events.counts() == {"image-missing, shown blank": 4}


def test_nothing_left_to_read_is_an_error_not_a_loop(tmp_path):
    paint(tmp_path, "a.png")
    samples, encoder = opened(write(tmp_path, "<image>what", images=("a.png",))), Words()
    dataset = TrainingSet(samples, check_samples(samples, encoder), encoder)
    (tmp_path / "a.png").unlink()
    with pytest.raises(SampleRefused, match="no sample can be read any more"):
        dataset[0]


# --- templates


def test_a_template_that_does_not_fit_is_named():
    tok = tokenizer("byte-level")
    assert check_template(load_template("chatml"), tok) == []
    [split] = check_template(load_template("chatml").replace("<|im_end|>", "<|endofturn|>"), tok)[:1]
    assert "'<|endofturn|>', which this tokenizer splits into" in split
    [stop] = check_template(load_template("v0"), tok)
    assert "'###', no special token" in stop
    for template, says in (
        ("{% for m in messages %}{{ m.content[-1].text }}</s>{% endfor %}", "0 <image> for one image"),
        (load_template("vicuna_v1").replace("+ eos_token", ""), "no end after an answer"),
        (load_template("vicuna_v1").replace("' ASSISTANT:'", "' ASSISTANT: I'"), "does not open an answer the way"),
        ("{{ nothing.at.all }}", "cannot render"),
    ):
        with pytest.raises(InputError, match=says):
            check_template(template, tok)


# --- many processes


def test_all_processes_follow_the_first(tmp_path):
    torch.multiprocessing.start_processes(
        first_decides, (f"file://{tmp_path / 'meet'}", tmp_path), nprocs=2, start_method="fork"
    )
    assert [(tmp_path / str(rank)).read_text() for rank in (0, 1)] == ["7"] * 2
    assert [(tmp_path / f"end{rank}").read_text() for rank in (0, 1)] == ["told", "2"]


# --- weights and batches


@pytest.mark.parametrize("packing", [None, 60])
def test_batches_of_an_epoch_hold_what_the_weights_show(packing):
    lengths = np.random.default_rng(0).integers(5, 50, 300)
    part_of = np.repeat([0, 1, 2], 100)
    mixed = Checked(
        kept=np.arange(300), lengths=lengths, answers=lengths, images=part_of, dropped=(),
        part_of=part_of, weights=Weights(parts=(1.0, 0.25, 2.0), seed=5),
    )  # fmt: skip
    order = Order(lengths=lengths, images=mixed.images, batch=4, processes=2, packing_length=packing, shown=mixed.shown)
    quarters = set()
    for epoch in range(3):
        batches = order.batches(epoch)
        rows = np.array([row for batch in batches for row in batch])
        assert len(batches) == len(order.batches(0))
        assert [int((part_of[rows] == part).sum()) for part in range(3)] == [100, 25, 200]
        assert len(set(rows.tolist())) == 225
        quarters.add(tuple(sorted(rows[part_of[rows] == 1].tolist())))
    assert len(quarters) == 3
