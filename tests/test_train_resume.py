"""A run that was stopped or killed goes on as if nothing had happened: the same losses, to the last bit."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tiny_model import build_tiny_model
from training import ROOT, environment, flags, losses, run_all, torchrun, write_squares

from llava_graph.errors import CheckpointError, InputError
from train.running.guard import NotFinite
from train.running.resume import RUN_FILE, UNFINISHED, last_whole, unloadable
from train.train_mem import train

pytestmark = pytest.mark.long

LORA = {"lora_enable": True, "lora_r": 4, "lora_dropout": 0.3}
STAGES = {
    "full": {"save_steps": 4, "context_dropout": 0.4, "ocr_corruption": 0.3, "group_by_modality_length": True},
    "packed": {"save_steps": 2, "packing": True, "packing_length": 300, "per_device_train_batch_size": 1},
    "projector": {"save_steps": 3, "stage": "projector"},  # at the end of an epoch
    "frozen-tower": {
        "save_steps": 1,
        "stage": "frozen-tower",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 3,
    },
    "lora": {**LORA, "save_steps": 2, "bf16": True},
    "workers": {"save_steps": 2, "dataloader_num_workers": 2, "logging_steps": 3},
}
"""Killed in the middle of an epoch, of what is accumulated into a log line, in the second epoch; with chance in data and weights."""
ENGINES = {
    "ddp": LORA,
    "zero2": {**LORA, "deepspeed": "zero2"},
    "zero3": {"deepspeed": "zero3"},
    "fsdp2": {**LORA, "fsdp": "fsdp2"},
}

BEST = {
    "per_device_train_batch_size": 2, "max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "eval_split": "train",
    "save_strategy": "steps", "save_steps": 2, "save_total_limit": 1, "load_best_model_at_end": True,
}  # fmt: skip
LONG = {"per_device_train_batch_size": 2, "max_steps": 60, "logging_steps": 5, **LORA}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares", with_image=lambda index: index != 7)


def weights(out):
    found = {}
    for file in sorted(out.glob("*.safetensors")):
        found |= load_file(file)
    return found


def assert_same(whole, resumed):
    assert losses(whole) == losses(resumed)
    one, two = weights(whole), weights(resumed)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("stage", STAGES)
def test_resumed_run_is_the_run_without_a_break(checkpoint, squares, tmp_path, stage):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    more = {"save_strategy": "steps", **STAGES[stage]}
    train(flags(checkpoint, squares, whole, **more))
    kept = f"checkpoint-{more['save_steps']}"
    shutil.copytree(whole / kept, resumed / kept)
    train(flags(checkpoint, squares, resumed, **more))  # found by itself, as LLaVA does
    assert json.loads((resumed / "plan.json").read_text())["run"]["resume_from"].endswith(kept)
    assert_same(whole, resumed)


@pytest.fixture(scope="module")
def two_processes(checkpoint, squares, tmp_path_factory):
    """Runs of two processes: with and without a break by each engine, and the long one that is stopped below."""
    folder = tmp_path_factory.mktemp("two")
    grown = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "logging_steps": 4}
    train(flags(checkpoint, squares, folder / "one", **grown, per_device_train_batch_size=4))
    steps = [
        flags(checkpoint, squares, folder / "long", **LONG),
        {"copy": [str(folder / "one" / "checkpoint-2"), str(folder / "grown" / "checkpoint-2")]},
        flags(checkpoint, squares, folder / "grown", **grown, per_device_train_batch_size=2),
    ]
    for engine, settings in ENGINES.items():
        whole, resumed = folder / engine, folder / f"{engine}-resumed"
        more = {"save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 2, "max_steps": 4, **settings}
        steps += [
            flags(checkpoint, squares, whole, **more),
            {"copy": [str(whole / "checkpoint-2"), str(resumed / "checkpoint-2")]},
            flags(checkpoint, squares, resumed, **more),
        ]
    steps.append(flags(checkpoint, squares, folder / "best", **BEST, **LORA, deepspeed="zero3", eval_data_path=squares))
    run_all(steps, folder)
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_resume_as_one_does(two_processes, engine):
    """Draws of dropout differ between the processes, and go on in each."""
    parts = {"zero2": "global_step2", "zero3": "global_step2", "fsdp2": "pytorch_model_fsdp.bin"}
    written = {path.name for path in (two_processes / engine / "checkpoint-2").iterdir()}
    assert written & set(parts.values()) == ({parts[engine]} if engine in parts else set())
    assert_same(two_processes / engine, two_processes / f"{engine}-resumed")


def test_two_processes_give_their_best(two_processes):
    """Each has to find the best checkpoint, and reads its part of it."""
    state = json.loads((two_processes / "best" / "trainer_state.json").read_text())
    evaluated = {entry["step"]: entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry}
    best = two_processes / "best" / f"checkpoint-{min(evaluated, key=evaluated.get)}"
    assert state["best_model_checkpoint"] == str(best)
    one, two = weights(two_processes / "best"), weights(best)
    assert one
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_two_processes_go_on_where_one_stopped(two_processes):
    """Each with half a batch: the log line over both parts is that of one process."""
    one, grown = losses(two_processes / "one"), losses(two_processes / "grown")
    assert len(one) == 1
    assert grown == pytest.approx(one, rel=1e-5)


def test_killed_restarted_and_stopped_run_is_the_run_without_a_break(checkpoint, squares, two_processes, tmp_path):
    """One process is killed, torchrun starts both again; SIGTERM, which torchrun hands on, stops both at one step."""
    words = flags(checkpoint, squares, tmp_path, **LONG, save_strategy="steps", save_steps=5)

    def start():
        return subprocess.Popen(
            torchrun(2, "--max_restarts=1", str(ROOT / "train" / "train_mem.py"), *words),
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    told = []
    with start() as run:
        for line in run.stdout:
            told.append(line)
            if line.startswith("step ") and not any(earlier.startswith("step ") for earlier in told[:-1]):
                psutil.Process(run.pid).children()[-1].kill()
            if line.startswith("step ") and sum(earlier.startswith("run ") for earlier in told) == 2:
                run.send_signal(signal.SIGTERM)
                break
        told.append(run.stdout.read())
    said = "".join(told)
    assert "stopped by SIGTERM at step" in said, said[-3000:]
    assert run.returncode != 0
    kept = last_whole(tmp_path)
    assert 5 <= int(kept.name.split("-")[1]) < LONG["max_steps"]
    with start() as run:
        said = run.stdout.read()
    assert run.returncode == 0, said[-3000:]
    assert json.loads((tmp_path / "plan.json").read_text())["run"]["resume_from"] == str(kept)
    assert_same(two_processes / "long", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_ends_the_step_saves_and_exits(checkpoint, squares, tmp_path, number, monkeypatch):
    """In this process: the signal comes in the middle of step 2."""
    from train.running.trainer import FigureTrainer

    def step(self, *args, **kwargs):
        if self.state.global_step == 1:
            os.kill(os.getpid(), number)
        return real(self, *args, **kwargs)

    real = FigureTrainer.training_step
    monkeypatch.setattr(FigureTrainer, "training_step", step)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as exited:
        train(flags(checkpoint, squares, tmp_path))
    assert exited.value.code == 128 + number
    assert signal.getsignal(number) is before
    assert [folder.name for folder in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not (tmp_path / "model.safetensors").exists()


def test_run_that_is_killed_while_it_saves_goes_on_from_the_save_before(checkpoint, squares, tmp_path):
    """SIGKILL between the weights and the random draws of the second checkpoint; only one is to be kept."""
    more = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}
    out = tmp_path / "killed"
    script = (
        "import os, sys\n"
        "from transformers import Trainer\n"
        "from train.train_mem import train\n"
        "real = Trainer._save_rng_state\n"
        "def save(self, folder):\n"
        "    if self.state.global_step == 4:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    real(self, folder)\n"
        "Trainer._save_rng_state = save\n"
        "train(sys.argv[1:])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *flags(checkpoint, squares, out, **more)],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr[-2000:]
    assert (out / UNFINISHED / "checkpoint-4" / "model.safetensors").is_file()
    assert last_whole(out) == out / "checkpoint-2"
    train(flags(checkpoint, squares, out, **more))
    assert not (out / UNFINISHED).exists()
    assert [folder.name for folder in out.glob("checkpoint-*")] == ["checkpoint-6"]
    train(flags(checkpoint, squares, tmp_path / "whole", **more))
    assert_same(tmp_path / "whole", out)


def test_checkpoint_that_is_not_whole_is_passed_over_or_named(checkpoint, squares, tmp_path, caplog):
    more = {"save_strategy": "steps", "save_steps": 2}
    train(flags(checkpoint, squares, tmp_path, **more))
    torn = tmp_path / "checkpoint-6" / "optimizer.pt"
    torn.write_bytes(torn.read_bytes()[:100])
    assert last_whole(tmp_path) == tmp_path / "checkpoint-4"
    assert "optimizer.pt has 100 bytes" in caplog.text
    with pytest.raises(CheckpointError, match=r"optimizer\.pt has 100 bytes"):
        train(flags(checkpoint, squares, tmp_path, **more, resume_from_checkpoint=tmp_path / "checkpoint-6"))
    (tmp_path / "checkpoint-4" / RUN_FILE).write_text("{")
    assert last_whole(tmp_path) == tmp_path / "checkpoint-2"


def test_changed_settings_are_named_and_refused(checkpoint, squares, tmp_path):
    out = tmp_path / "out"
    more = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2}
    train(flags(checkpoint, squares, out, **more))

    def refused(says, data=squares, **changed):
        with pytest.raises(InputError, match=says):
            train(flags(checkpoint, data, out, **{**more, **changed}))

    refused("--seed was 42, is 7", seed=7)
    refused("--packing was False, is True", packing=True)
    refused("--per_device_train_batch_size was 4, is 3", per_device_train_batch_size=3)
    refused("--max_steps was 2, is 4; --learning_rate was 0.003, is 0.1", max_steps=4, learning_rate=0.1)
    refused("--chat_template was", chat_template="vicuna_v1")
    refused("data was 11 samples, .* is 8 samples", data=write_squares(tmp_path / "fewer", 8))
    refused("--allow_changed_resume is for a checkpoint that was chosen", seed=7, allow_changed_resume=True)
    chosen = {"resume_from_checkpoint": out / "checkpoint-2", "allow_changed_resume": True}
    train(flags(checkpoint, squares, out, **{**more, "max_steps": 4, **chosen}))
    assert json.loads((out / "trainer_state.json").read_text())["global_step"] == 4
    train(flags(checkpoint, squares, out, **{**more, "seed": 7}, resume_from_checkpoint=False))


def test_other_batches_of_the_same_samples_go_on(checkpoint, squares, tmp_path):
    """Eight samples of one step in four batches of two, or two of four: the order is the same, so are the losses."""
    data = write_squares(tmp_path / "data", 16)
    more = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    one = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    two = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    train(flags(checkpoint, data, tmp_path / "whole", **more, **one))
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "resumed" / "checkpoint-2")
    train(flags(checkpoint, data, tmp_path / "resumed", **more, **two))
    assert losses(tmp_path / "resumed") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)


def test_parts_of_deepspeed_are_not_read_by_other_numbers_of_processes():
    then, now = {"engine": "zero2", "processes": 8}, {"engine": "zero2", "processes": 4}
    assert "in 8 parts, and this run has 4 processes" in unloadable(then, now)
    assert unloadable(then, then) is None
    assert unloadable({**then, "engine": "fsdp"}, {**now, "engine": "fsdp"}) is None


def test_checkpoints_of_another_engine_are_refused(checkpoint, squares, tmp_path):
    train(flags(checkpoint, squares, tmp_path, save_strategy="steps", save_steps=2, max_steps=2))
    file = tmp_path / "checkpoint-2" / RUN_FILE
    run = json.loads(file.read_text())
    run["decides"]["engine"] = "zero3"
    file.write_text(json.dumps(run))
    with pytest.raises(InputError, match="its optimizer was saved by zero3, and this run has plain"):
        train(flags(checkpoint, squares, tmp_path, max_steps=2))


def test_best_checkpoint_stays_and_is_what_the_run_gives(checkpoint, squares, tmp_path, monkeypatch):
    from train.running.trainer import FigureTrainer

    values = iter([3.0, 1.0, 2.0])

    def evaluate(self, *args, **kwargs):
        metrics = {"eval_loss": next(values)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    monkeypatch.setattr(FigureTrainer, "evaluate", evaluate)
    more = {
        "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "eval_split": "train",
        "load_best_model_at_end": True, "save_total_limit": 1,
    }  # fmt: skip
    train(flags(checkpoint, squares, tmp_path, **more))
    assert (tmp_path / "checkpoint-4").is_dir()
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / "checkpoint-4")
    one, two = load_file(tmp_path / "model.safetensors"), load_file(tmp_path / "checkpoint-4" / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


class Spoilt:
    """Steps in which the loss is multiplied by NaN."""

    def __init__(self, monkeypatch, steps):
        from train.running.trainer import FigureTrainer

        real = FigureTrainer.compute_loss

        def compute_loss(trainer, *args, **kwargs):
            loss = real(trainer, *args, **kwargs)
            return loss * float("nan") if trainer.state.global_step + 1 in steps else loss

        monkeypatch.setattr(FigureTrainer, "compute_loss", compute_loss)


def test_step_without_a_finite_loss_is_named_and_left_out(checkpoint, squares, tmp_path, monkeypatch, caplog):
    Spoilt(monkeypatch, {2, 5})
    train(flags(checkpoint, squares, tmp_path, logging_steps=3, max_steps=9))
    assert "step 2: the loss or the gradient is not finite; its samples: squares:" in caplog.text
    assert "step 5:" in caplog.text
    assert [math.isfinite(loss) for loss in losses(tmp_path)] == [False, False, True]
    assert all(weight.isfinite().all() for weight in weights(tmp_path).values())


def test_run_without_finite_losses_stops_before_it_saves_them(checkpoint, squares, tmp_path, monkeypatch):
    Spoilt(monkeypatch, {3, 4, 5, 6})
    with pytest.raises(NotFinite, match=r"step 4: .*; 2 such steps in a row"):
        train(flags(checkpoint, squares, tmp_path, save_strategy="steps", save_steps=2, max_bad_steps=2))
    assert [folder.name for folder in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


def test_optimizer_that_cannot_leave_a_step_out_stops_at_the_first(checkpoint, squares, tmp_path, monkeypatch):
    Spoilt(monkeypatch, {2})
    with pytest.raises(NotFinite, match="step 2: "):
        train(flags(checkpoint, squares, tmp_path, optim="adafactor"))
