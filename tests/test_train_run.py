"""Whole training runs on the smallest model: the loss falls, a resumed run repeats itself, the result opens anywhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_model import build_tiny_model
from tiny_run import arguments, losses, write_squares
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.errors import CheckpointError, DatasetError, InputError
from llava_graph.images import encode_png
from llava_graph.model import load
from llava_graph.prompt import PromptOptions
from train.train_mem import train

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares")


def weights(out):
    return load_file(out / "model.safetensors")


def test_torchrun_trains_and_plain_transformers_opens_the_result(checkpoint, charts, tmp_path):
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "1",
        "train/train_mem.py",
    ]
    run = subprocess.run(
        [*command, *arguments(checkpoint, charts, out, max_steps=60, bf16=True)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "11 of 11 samples (10 with image)" in run.stdout
    found = losses(out)
    assert sum(found[-3:]) < 0.5 * sum(found[:3])
    plan = json.loads((out / "plan.json").read_text())
    assert plan["run"]["steps"] == 60
    assert json.loads((out / "dropped.json").read_text()) == {"counts": {}, "samples": []}

    processor = AutoProcessor.from_pretrained(out)
    model = AutoModelForImageTextToText.from_pretrained(out)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}],
        add_generation_prompt=True,
    )
    inputs = processor(text=text, images=Image.new("RGB", (40, 30), "red"), return_tensors="pt")
    answer = processor.decode(
        model.generate(**inputs, max_new_tokens=20)[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert "The figure shows a" in answer


def test_resumed_run_ends_with_the_same_weights(checkpoint, charts, tmp_path):
    """Interrupted in the second epoch, with grouped batches and a context that changes each epoch."""
    more = {
        "max_steps": 6,
        "save_strategy": "steps",
        "save_steps": 4,
        "context_dropout": 0.4,
        "ocr_corruption": 0.3,
        "group_by_modality_length": True,
        "lr_scheduler_type": "cosine",
    }
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(arguments(checkpoint, charts, whole, **more))
    shutil.copytree(whole / "checkpoint-4", resumed / "checkpoint-4")
    train(arguments(checkpoint, charts, resumed, **more))  # found by itself, as LLaVA does
    assert json.loads((resumed / "plan.json").read_text())["run"]["resume_from"].endswith("checkpoint-4")
    assert losses(whole) == losses(resumed)
    one, two = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_result_says_what_it_is_and_has_the_asked_format(checkpoint, charts, tmp_path):
    about = {
        "model_name": "squares",
        "about": "It knows squares.",
        "save_dtype": "bfloat16",
        "chat_template": "vicuna_v1",
        "ocr_style": "words",
    }
    train(arguments(checkpoint, charts, tmp_path, max_steps=1, **about))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["about"]["name"] == "squares"
    assert config["about"]["trained"] == {"data": "squares", "steps": 1, "seed": 42}
    assert config["about"]["prompt"]["ocr_style"] == "words"
    assert load(tmp_path).prompt == PromptOptions(ocr_style="words", table=False)
    assert all(weight.dtype == torch.bfloat16 for weight in weights(tmp_path).values())
    assert "ASSISTANT" in (tmp_path / "chat_template.jinja").read_text()


def test_evaluation_reports_the_loss_on_another_split(checkpoint, charts, tmp_path):
    train(
        arguments(
            checkpoint,
            charts,
            tmp_path,
            max_steps=2,
            evaluation_strategy="steps",
            eval_steps=2,
            eval_split="validation",
        )
    )
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert [entry["eval_loss"] > 0 for entry in history if "eval_loss" in entry] == [True]


def test_llava_json_with_every_kind_of_bad_record(checkpoint, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    good = encode_png(Image.new("RGB", (40, 30), "red"))
    (images / "good.png").write_bytes(good)
    (images / "cut.png").write_bytes(good[: len(good) // 2])
    (images / "dot.png").write_bytes(encode_png(Image.new("RGB", (1, 1))))

    def record(name, *turns, **more):
        return {"id": name, "conversations": [{"from": who, "value": text} for who, text in turns], **more}

    ask, tell = ("human", "<image>\nWhat is it?"), ("gpt", "A red square.")
    records = [
        record("good", ask, tell, image="good.png"),
        record("multi-turn", ask, tell, ("human", "Sure?"), ("gpt", "Yes."), image="good.png"),
        record("text-only", ("human", "What is red?"), ("gpt", "A colour.")),
        record("moved", ("human", "What <image> is it?"), tell, image="good.png"),
        record("added", ("human", "What is it?"), tell, image="good.png"),
        record("report", ask, ("report", "A red square."), image="good.png"),
        record("leading", ("system", "Be brief."), ask, tell, image="good.png"),
        {"id": "typo", "conversatons": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
        record("open", ask, tell, ("human", "And?"), image="good.png"),
        record("gone", ask, tell, image="gone.png"),
        record("cut", ask, tell, image="cut.png"),
        record("dot", ask, tell, image="dot.png"),
        record("stray", ask, ("robot", "Beep."), image="good.png"),
        record("twice", ("human", "a"), ("human", "b"), ("gpt", "c")),
        record("silent", ("human", "Hi"), ("gpt", " ")),
        record("no image", ask, tell),
        record("two", ask, tell, image=["good.png", "good.png"]),
        {"id": "empty"},
        "nonsense",
    ]
    (tmp_path / "data.json").write_text(json.dumps(records))
    out = tmp_path / "out"
    train(arguments(checkpoint, tmp_path / "data.json", out, image_folder=images, max_steps=2, max_refused=0.6))

    plan, dropped = json.loads((out / "plan.json").read_text())["data"], json.loads((out / "dropped.json").read_text())
    assert (plan["seen"], plan["kept"], plan["with_image"]) == (19, 10, 8)
    assert dropped["counts"] == {
        "image-broken": 2, "bad-record": 2, "image-missing": 1, "unknown-role": 1, "bad-turns": 1, "no-target": 1,
        "no-image": 1,
    }  # fmt: skip
    assert {item["item"]: item["reason"] for item in dropped["samples"]}["stray"] == "unknown-role"
    assert plan["repaired"] == {
        "image-moved": 1, "image-added": 2, "report read as answer": 1, "leading system turn left out": 1,
        "conversatons read as conversations": 1, "open question left out": 1,
    }  # fmt: skip


def test_samples_longer_than_the_limit_are_refused_by_name(checkpoint, charts, tmp_path):
    with pytest.raises(DatasetError, match="prompt-too-long"):
        train(arguments(checkpoint, charts, tmp_path, model_max_length=20))
    with pytest.raises(InputError, match="more than the model's 2048"):
        train(arguments(checkpoint, charts, tmp_path, model_max_length=4096))


def test_wrong_paths_are_named(checkpoint, charts, tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        train(arguments(tmp_path / "gone", charts, tmp_path))
    with pytest.raises(DatasetError, match="neither a data set"):
        train(arguments(checkpoint, tmp_path, tmp_path))
    with pytest.raises(CheckpointError, match=r"trainer_state\.json"):
        train(arguments(checkpoint, charts, tmp_path, resume_from_checkpoint=tmp_path))
