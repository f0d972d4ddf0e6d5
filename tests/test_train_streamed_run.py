"""Whole runs with --streaming: they repeat themselves, go on exactly, count what they leave out, and end together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_model import build_tiny_model
from training import ROOT, environment, flags, losses, write_squares

from llava_graph.errors import CheckpointError, DatasetError, InputError
from llava_graph.images import encode_png
from train.running.streamed import StreamedTrainer
from train.train_mem import train

pytestmark = pytest.mark.long

LORA = {"lora_enable": True, "lora_r": 4, "lora_dropout": 0.3}
PACKED = {"packing": True, "packing_length": 400, "model_max_length": 400, "per_device_train_batch_size": 1}
WAYS = {
    "padded": {**LORA, "context_dropout": 0.4, "group_by_modality_length": True},
    "packed": {**LORA, **PACKED, "gradient_accumulation_steps": 2},
    "packed by workers": {**LORA, **PACKED, "gradient_accumulation_steps": 2, "dataloader_num_workers": 2},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares", 20, with_image=lambda index: index % 5 != 2)


def streamed(*given, **more):
    return flags(*given, streaming=True, **more)


def write_chats(folder, count=40):
    """Every fourth conversation with an image of its own; of the others every third has no answer."""
    folder.mkdir()
    picture = encode_png(Image.new("RGB", (40, 30), "red"))
    with (folder / "chats.jsonl").open("w") as file:
        for number in range(count):
            answer = "" if number % 4 and number % 3 == 0 else f"Number {number}."
            record = {"conversations": [{"from": "human", "value": "Which?"}, {"from": "gpt", "value": answer}]}
            if number % 4 == 0:
                record["image"] = f"{number}.png"
                (folder / f"{number}.png").write_bytes(picture)
            file.write(json.dumps(record) + "\n")
    return folder / "chats.jsonl"


def history(out, name):
    return [one[name] for one in json.loads((out / "trainer_state.json").read_text())["log_history"] if name in one]


def assert_same(whole, resumed):
    assert losses(whole) == losses(resumed)
    assert history(whole, "epoch") == history(resumed, "epoch")
    one, two = (
        {name: tensor for file in out.glob("*.safetensors") for name, tensor in load_file(file).items()}
        for out in (whole, resumed)
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("way", WAYS)
def test_run_that_was_stopped_is_the_run_without_a_break(checkpoint, squares, tmp_path, way, monkeypatch):
    """Stopped by a signal in its third step, in the middle of a window; the second epoch begins after the break."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    more = {"save_strategy": "steps", "save_steps": 100, **WAYS[way]}
    train(streamed(checkpoint, squares, whole, **more))
    real = StreamedTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(StreamedTrainer, "training_step", step)
    with pytest.raises(SystemExit):
        train(streamed(checkpoint, squares, broken, **more))
    monkeypatch.undo()
    train(streamed(checkpoint, squares, broken, **more))
    assert json.loads((broken / "plan.json").read_text())["run"]["resume_from"].endswith("checkpoint-3")
    assert_same(whole, broken)
    one, two = (json.loads((out / "dropped.json").read_text()) for out in (whole, broken))
    assert one == two
    assert one["seen"] > 20


def test_what_is_left_out_is_counted_and_told(checkpoint, tmp_path, capsys):
    chats = write_chats(tmp_path / "chats")
    (tmp_path / "chats" / "8.png").unlink()
    out = tmp_path / "out"
    train(streamed(checkpoint, chats, out, max_steps=9, max_refused=0.5))
    said = capsys.readouterr().out
    assert "data    streaming 40 samples, which are checked while training; 29 of the first 40 are good (9 with" in said
    assert "data    looked at 80 samples; dropped: 20 no-target, 2 image-missing; repaired: " in said
    told = json.loads((out / "dropped.json").read_text())
    assert told["counts"] == {"no-target": 20, "image-missing": 2}
    assert {one["reason"] for one in told["samples"]} == {"no-target", "image-missing"}
    assert told["seen"] == 80
    assert history(out, "refused") == [11] * 8 + [22]
    assert history(out, "epoch")[6:9] == [0, 1, 1]
    plan = json.loads((out / "plan.json").read_text())
    assert (plan["data"]["streamed"], plan["run"]["steps"], plan["run"]["epochs"]) == (
        40,
        9,
        pytest.approx(9 / 8, abs=0.01),
    )
    summary = json.loads((out / "throughput.json").read_text())
    assert summary["counts"]["samples"] == 33
    assert summary["tflops_per_device"] > 0


def test_too_many_bad_samples_stop_before_the_first_step_or_in_the_middle(checkpoint, tmp_path, monkeypatch):
    chats = write_chats(tmp_path / "chats")
    with pytest.raises(
        DatasetError, match=r"first samples of .*: 10 of 40 samples cannot be learnt from \(10 no-target, such"
    ):
        train(streamed(checkpoint, chats, tmp_path / "out"))
    real = StreamedTrainer.get_batch_samples

    def taken(self, *args, **kwargs):
        for picture in (tmp_path / "chats").glob("*.png") if self.state.global_step == 2 else ():
            picture.unlink()
        return real(self, *args, **kwargs)

    monkeypatch.setattr(StreamedTrainer, "get_batch_samples", taken)
    more = {"max_refused": 0.4, "max_steps": 100, "save_strategy": "steps", "save_steps": 4}
    with pytest.raises(DatasetError, match="of the first 1?[0-9]0 samples cannot be learnt from .*image-missing"):
        train(streamed(checkpoint, chats, tmp_path / "out", **more))
    assert (tmp_path / "out" / "checkpoint-4").is_dir()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"max_steps": -1}, "--streaming needs --max_steps: .* Add --max_steps N"),
        ({"vision_cache": "features", "stage": "frozen-tower"}, "--streaming looks at none"),
        ({"save_strategy": "epoch"}, "--save_strategy epoch: .* Give --save_strategy steps"),
        ({"packing": True, "packing_length": 300}, "2048 tokens and a row 300: .* Add --model_max_length 300"),
    ],
)
def test_what_a_stream_cannot_do_is_refused_with_the_way_out(checkpoint, squares, tmp_path, more, says):
    with pytest.raises(InputError, match=says):
        train(streamed(checkpoint, squares, tmp_path, **more))


def test_more_images_than_a_row_takes_are_refused_not_met_later(checkpoint, tmp_path):
    chats = write_chats(tmp_path / "chats")
    record = {"image": ["0.png", "4.png"], "conversations": [
        {"from": "human", "value": "<image><image>Same?"}, {"from": "gpt", "value": "Yes."}]}  # fmt: skip
    with chats.open("a") as file:
        file.write(json.dumps(record) + "\n")
    more = {**PACKED, "packing_max_images": 1, "max_refused": 0.5, "max_steps": 2}
    train(streamed(checkpoint, chats, tmp_path / "out", **more))
    assert json.loads((tmp_path / "out" / "dropped.json").read_text())["counts"]["too-many-images"] == 1


def test_dry_run_and_audit_train_nothing(checkpoint, squares, tmp_path, capsys):
    train(streamed(checkpoint, squares, tmp_path / "out", dry_run=True))
    said = capsys.readouterr().out
    assert "streaming 20 samples" in said
    assert "epoch   about " in said
    train(streamed(checkpoint, squares, tmp_path / "out", audit=True))
    assert "20 " in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_another_reading_is_refused_or_goes_on_where_nothing_is_left_out(checkpoint, squares, tmp_path):
    out = tmp_path / "out"
    more = {"save_strategy": "steps", "save_steps": 9, "max_steps": 9}
    train(streamed(checkpoint, squares, out, **more))

    def refused(says, data=squares, **changed):
        with pytest.raises(InputError, match=says):
            train(streamed(checkpoint, data, out, **{**more, **changed}))

    refused("--dataloader_num_workers was 1, is 2", dataloader_num_workers=2)
    refused("--per_device_train_batch_size was 4, is 3", per_device_train_batch_size=3)
    refused("--gradient_accumulation_steps was 1, is 2", gradient_accumulation_steps=2)
    refused("data was 20 samples in files, .* is 19 samples", data=write_squares(tmp_path / "fewer", 19))
    with pytest.raises(InputError, match="--streaming was True, is False"):
        train(flags(checkpoint, squares, out, **more))
    moved = shutil.move(shutil.copytree(squares, tmp_path / "copy"), tmp_path / "elsewhere")
    train(streamed(checkpoint, moved, out, **more))  # the same files in another place; nothing is left to do
    assert json.loads((out / "trainer_state.json").read_text())["global_step"] == 9
    chosen = {"resume_from_checkpoint": out / "checkpoint-9", "allow_changed_resume": True}
    train(streamed(checkpoint, squares, out, **{**more, "max_steps": 10, "dataloader_num_workers": 2}, **chosen))
    assert json.loads((out / "trainer_state.json").read_text())["global_step"] == 10
    (out / "checkpoint-9" / "stream_0.json").unlink()
    chosen = {"resume_from_checkpoint": tmp_path / "bare"}
    shutil.copytree(out / "checkpoint-9", tmp_path / "bare")
    (tmp_path / "bare" / "run.json").unlink()
    with pytest.raises(CheckpointError, match="does not say where process 0 of 1 stood"):
        train(streamed(checkpoint, squares, tmp_path / "new", **{**more, "max_steps": 10}, **chosen))


def test_evaluations_and_bad_steps_leave_the_stream_alone(checkpoint, squares, tmp_path, monkeypatch, caplog):
    """The samples of a step without a finite loss are named; evaluation data are looked at as ever."""
    plain, evaluated = tmp_path / "plain", tmp_path / "evaluated"
    real = StreamedTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        loss = real(self, *args, **kwargs)
        return loss * float("nan") if self.model.training and self.state.global_step == 1 else loss

    monkeypatch.setattr(StreamedTrainer, "compute_loss", compute_loss)
    train(streamed(checkpoint, squares, plain, max_steps=4, logging_steps=4))
    named = re.search(r"step 2: .* not finite; its samples: (.*); the step", caplog.text)[1].split(", ")
    assert len({name for name in named if name.startswith("squares:")}) == 4
    more = {"eval_strategy": "steps", "eval_steps": 2, "eval_split": "train"}
    train(streamed(checkpoint, squares, evaluated, max_steps=4, logging_steps=4, **more))
    assert len(history(evaluated, "eval_loss")) == 2
    one, two = (load_file(out / "model.safetensors") for out in (plain, evaluated))
    assert all(torch.equal(one[name], two[name]) for name in one)


PROCESSES = """
import json, os, socket, sys, traceback
from pathlib import Path
sys.path.insert(0, {root!r})
from train import train_mem
from train.sources.streaming import StreamedBatches
from train.running.streamed import StreamedTrainer

def one(rank, port, argv):
    together = dict(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), **together)
    real, seen = StreamedTrainer.get_batch_samples, []

    def taken(self, *args):
        found = real(self, *args)
        seen.extend(name for names in self.samples_of(self.state.global_step + 1) for name in names)
        Path(self.args.output_dir, f"seen-{{rank}}.json").write_text(json.dumps(seen))
        if self.args.output_dir.endswith("failing") and rank == 1:
            StreamedBatches._failure = lambda *_: "the disk has gone"
        return found

    StreamedTrainer.get_batch_samples = taken
    train_mem.main(argv)

def forked(*given):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        one(*given)
        status = 0
    except SystemExit as exited:
        status = exited.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)

for argv in json.loads(Path({steps!r}).read_text()):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = [forked(rank, port, argv) for rank in range(2)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print("ended with", statuses)
"""


def test_two_processes_share_the_samples_go_on_and_end_together(checkpoint, tmp_path):
    """Each begins at a window of its own; most batches have no image. One that must stop takes the other along."""
    squares = write_squares(tmp_path / "squares", 26, with_image=lambda index: index < 3)
    more = {**LORA, "per_device_train_batch_size": 2, "save_strategy": "steps", "save_steps": 3}
    whole, resumed, failing = tmp_path / "whole", tmp_path / "resumed", tmp_path / "failing"
    runs = [
        streamed(checkpoint, squares, whole, **more),
        streamed(checkpoint, squares, resumed, **more, resume_from_checkpoint=whole / "checkpoint-3"),
        streamed(checkpoint, squares, failing, max_steps=100),
    ]
    (tmp_path / "steps.json").write_text(json.dumps(runs))
    (tmp_path / "run.py").write_text(PROCESSES.format(root=str(ROOT), steps=str(tmp_path / "steps.json")))
    run = subprocess.run(
        [sys.executable, str(tmp_path / "run.py")],
        cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == "ended with [2, 2]", run.stderr[-3000:]
    assert run.stderr.count("error: the disk has gone") == 1
    assert "Traceback" not in run.stderr
    assert_same(whole, resumed)
    told = json.loads((whole / "dropped.json").read_text())
    assert (told["seen"], told["counts"]) == (52, {})
    for rank in range(2):
        seen, again = (json.loads((out / f"seen-{rank}.json").read_text()) for out in (whole, resumed))
        assert again == seen[6:]
        assert max(Counter(seen).values()) == 1
