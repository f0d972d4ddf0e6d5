"""Whole contrastive runs: it learns, two processes learn what one learns, a broken run goes on, and a LLaVA takes the tower."""

import json
import random
import shutil

import pytest
import torch
from coloured_shapes import draw, flags, save_parts, write_shapes
from safetensors.torch import load_file
from tiny_parts import save_language_model
from training import losses, run_all

from llava_graph.errors import DatasetError, InputError
from train.contrastive.arguments import SCORES, ZERO_SHOT_SCORES
from train.running.guard import NotFinite
from train.train_contrastive import train

pytestmark = pytest.mark.long

LEARNING = {
    "max_steps": 120, "momentum": 0.9, "learning_rate": 2e-3, "lr_scheduler_type": "linear", "warmup_steps": 10,
    "max_caption_tokens": 6, "logging_steps": 20,
}  # fmt: skip
BROKEN = {
    "max_steps": 8, "save_strategy": "steps", "save_steps": 4, "smallest_crop": 0.5, "randaugment_level": 7, "flip": True,
    "queue_size": 40, "per_device_train_batch_size": 12, "gradient_accumulation_steps": 2, "max_samples": 80,
    "gradient_checkpointing": True, "mm_vision_tower_lr": 1e-3,
}  # fmt: skip
"""Broken off in the second epoch, with accumulation, when the queue has gone round, with chance in images, text and negatives."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", each=8)


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    return save_parts(tmp_path_factory.mktemp("towers"))


@pytest.fixture(scope="module")
def learnt(towers, shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("learnt") / "plip"
    evaluated = {"eval_strategy": "steps", "eval_steps": 60, "eval_split": "validation", "eval_on_start": True}
    labelled = {"zero_shot_data": shapes, "label_prompt": "a {}"}
    train(flags(towers, shapes, out, **LEARNING, **evaluated, **labelled))
    return out


def history(out):
    return json.loads((out / "trainer_state.json").read_text())["log_history"]


def test_it_learns_which_words_belong_to_which_image(learnt):
    """24 held-out images, each of its own colour and shape: chance is 1 in 24."""
    scores = [entry for entry in history(learnt) if "eval_image_to_text_r1" in entry]
    begun, ended = scores[0], scores[-1]
    for way in ("image_to_text", "text_to_image"):
        assert begun[f"eval_{way}_r1"] <= 0.25
        assert ended[f"eval_{way}_r1"] >= 0.45
        assert ended[f"eval_{way}_r5"] >= 0.85
    assert ended["eval_pairs"] == 24
    told = {name.removeprefix("eval_") for name in ended} - {"pairs", "step", "epoch"}
    assert told == {*SCORES, *ZERO_SHOT_SCORES}, "the names that --metric_for_best_model is held against"


def test_log_and_card_say_what_it_is(learnt):
    told = next(entry for entry in history(learnt) if "loss" in entry)
    assert told["loss"] == pytest.approx(told["loss_ita"] + told["loss_itm"], abs=1e-3)
    assert told["pairs_per_second"] > 0
    card = (learnt / "README.md").read_text()
    for words in (
        "# plip",
        "ITA and ITM of ALBEF and BLIP",
        "It writes no text",
        "image_to_text_r1",
        "| queue_size | 48 |",
    ):
        assert words in card


def test_a_llava_takes_the_tower(learnt, tmp_path):
    """As it is, by train_mem.py; the features of its tower are those of the contrastive model."""
    from transformers import AutoModelForImageTextToText, CLIPVisionModel

    from train.train_mem import train as train_llava

    language = save_language_model(tmp_path / "language")
    records = [{"id": "a", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]}]
    (tmp_path / "talk.json").write_text(json.dumps(records))
    words = [
        "--model_name_or_path",
        str(language),
        "--vision_tower",
        str(learnt),
        "--stage",
        "full",
        "--max_steps",
        "1",
    ]
    words += [
        "--data_path",
        str(tmp_path / "talk.json"),
        "--output_dir",
        str(tmp_path / "llava"),
        "--save_strategy",
        "no",
    ]
    train_llava([*words, "--chat_template", "vicuna_v1", "--use_cpu", "True", "--learning_rate", "0"])
    llava = AutoModelForImageTextToText.from_pretrained(tmp_path / "llava", dtype=torch.float32)
    pixels = torch.randn(1, 3, 32, 32)
    plain = CLIPVisionModel.from_pretrained(learnt)
    assert torch.allclose(
        llava.model.vision_tower(pixels).last_hidden_state, plain(pixels).last_hidden_state, atol=1e-5
    )


@pytest.mark.parametrize("objective", ["ita-itm", "clip"])
def test_resumed_run_is_the_run_without_a_break(towers, shapes, tmp_path, objective):
    """With momentum encoders and queue; evaluations draw nothing."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    more = {**BROKEN, "objective": objective, "bf16": objective == "ita-itm"}
    evaluated = {"eval_strategy": "steps", "eval_steps": 3, "eval_split": "validation"}
    train(flags(towers, shapes, whole, **more, **evaluated))
    shutil.copytree(whole / "checkpoint-4", resumed / "checkpoint-4")
    train(flags(towers, shapes, resumed, **more))
    assert losses(whole) == losses(resumed)
    files = ["model.safetensors", "text/model.safetensors", "contrastive.safetensors"]
    files += ["momentum.safetensors"] if objective == "ita-itm" else []
    for file in files:
        one, two = (load_file(out / "checkpoint-8" / file) for out in (whole, resumed))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one), file
    if objective == "ita-itm":
        assert len(load_file(whole / "checkpoint-8" / "momentum.safetensors")["queue.image"]) == 40, (
            "full, of 4 x 24 pairs and more"
        )
    assert not (whole / "momentum.safetensors").exists(), "what the run alone needs is not handed on"
    with pytest.raises(InputError, match="going on would not be exact: --alpha was 0.4, is 0.1"):
        train(flags(towers, shapes, resumed, **{**more, "alpha": 0.1}))


def test_two_processes_learn_what_one_learns(shapes, tmp_path):
    """Without dropout: CLIP's loss over both batches joined, step by step; alignment in the first step, and with a queue."""
    towers = save_parts(tmp_path, dropout=0.0)
    clip = {"objective": "clip", "max_steps": 4, "optim": "sgd", "learning_rate": 0.5}
    ita = {"max_steps": 3, "learning_rate": 0, "momentum": 0.5, "save_strategy": "steps", "save_steps": 2}
    half = {"per_device_train_batch_size": 12, "eval_strategy": "steps", "eval_steps": 2, "eval_split": "validation"}
    two, resumed = tmp_path / "two-ita", tmp_path / "two-resumed"
    run_all(
        [
            ["train_contrastive.py", *flags(towers, shapes, tmp_path / "two-clip", **clip, **half)],
            ["train_contrastive.py", *flags(towers, shapes, two, **ita, **half)],
            {"copy": [str(two / "checkpoint-2"), str(resumed / "checkpoint-2")]},
            ["train_contrastive.py", *flags(towers, shapes, resumed, **ita, **half)],
        ],
        tmp_path,
    )
    whole = {**half, "per_device_train_batch_size": 24}
    train(flags(towers, shapes, tmp_path / "one-clip", **clip, **whole))
    train(flags(towers, shapes, tmp_path / "one-ita", **ita, **whole))
    assert losses(tmp_path / "two-clip") == pytest.approx(losses(tmp_path / "one-clip"), rel=1e-4)
    one, other = (load_file(tmp_path / f"{count}-clip" / "model.safetensors") for count in ("one", "two"))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)
    told = {
        count: [entry["loss_ita"] for entry in history(tmp_path / f"{count}-ita") if "loss_ita" in entry]
        for count in ("one", "two")
    }
    assert told["two"] == pytest.approx(told["one"], rel=1e-4)
    assert told["one"][1] > told["one"][0] + 0.3, "the queue brings more to be told apart from"
    assert losses(two) == losses(resumed)
    scores = [
        [entry["eval_image_to_text_r10"] for entry in history(tmp_path / f"{count}-clip") if "eval_pairs" in entry]
        for count in ("one", "two")
    ]
    assert scores[0] == scores[1]


def test_the_temperature_does_not_decay(towers, shapes, tmp_path):
    """A tenth of each weight goes in a step, and AdamW itself moves none by more than 1e-4."""
    more = {"objective": "clip", "max_steps": 3, "learning_rate": 1e-4, "weight_decay": 1000}
    train(flags(towers, shapes, tmp_path / "out", **more))
    told = [entry["temperature"] for entry in history(tmp_path / "out") if "temperature" in entry]
    assert told == pytest.approx([0.07] * 3, abs=5e-4)
    begun, ended = (load_file(f"{folder}/model.safetensors") for folder in (towers["vision_tower"], tmp_path / "out"))
    name = next(name for name in ended if name.endswith("self_attn.q_proj.weight"))
    before = next(weight for other, weight in begun.items() if other.endswith(name))
    assert float(ended[name].norm() / before.norm()) == pytest.approx(0.9**3, abs=0.02)


def test_the_asked_checkpoint_is_the_result(towers, shapes, tmp_path):
    """The least recall is asked for, so that it is not the last step's by itself; the text side comes from it too."""
    more = {
        "save_strategy": "steps",
        "save_steps": 20,
        "eval_strategy": "steps",
        "eval_steps": 20,
        "eval_split": "validation",
    }
    asked = {"load_best_model_at_end": True, "greater_is_better": False, "metric_for_best_model": "image_to_text_r5"}
    out = tmp_path / "best"
    train(flags(towers, shapes, out, **{**LEARNING, "max_steps": 40, **more, **asked}))
    best = json.loads((out / "trainer_state.json").read_text())["best_model_checkpoint"]
    assert best == str(out / "checkpoint-20")
    for file in ("model.safetensors", "text/model.safetensors", "contrastive.safetensors"):
        one, two, last = (load_file(folder / file) for folder in (out, out / "checkpoint-20", out / "checkpoint-40"))
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert not all(torch.equal(one[name], last[name]) for name in one)


@pytest.mark.parametrize("objective", ["ita-itm", "clip"])
def test_spoilt_weights_are_told_and_have_no_score(towers, shapes, tmp_path, objective):
    """NaN is not found among NaN: an evaluation of such a model has no recall of 100 %."""
    more = {"objective": objective, "max_steps": 4, "learning_rate": 1e30, "optim": "sgd", "max_grad_norm": 0}
    evaluated = {"eval_strategy": "steps", "eval_steps": 2, "eval_split": "validation"}
    with pytest.raises(NotFinite, match="held-out pairs are not finite"):
        train(flags(towers, shapes, tmp_path / "seen", **more, logging_steps=10, **evaluated))
    with pytest.raises(NotFinite, match="step 2: the loss or the gradient is not finite"):
        train(flags(towers, shapes, tmp_path / "trained", **more))


def test_what_cannot_be_evaluated_is_told(towers, shapes, tmp_path):
    (tmp_path / "pairs.json").write_text(json.dumps([{"image": "a.png", "caption": "a bar"}] * 30))
    draw("red", "bar", random.Random(0)).save(tmp_path / "a.png")
    more = {"eval_strategy": "steps", "eval_steps": 2, "eval_split": "validation", "max_steps": 2}
    with pytest.raises(DatasetError, match="a JSON file has no splits"):
        train(flags(towers, tmp_path / "pairs.json", tmp_path / "o", **more))
    with pytest.raises(DatasetError, match="there is none"):
        train(
            flags(
                towers, shapes, tmp_path / "o", **{**more, "eval_split": "test", "eval_data_path": tmp_path / "empty"}
            )
        )


def test_going_on_from_a_folder_and_planning_alone(learnt, shapes, tmp_path, capsys):
    train(
        flags({"model_name_or_path": learnt}, shapes, tmp_path / "on", objective="clip", max_steps=1, learning_rate=0)
    )
    one, two = load_file(learnt / "model.safetensors"), load_file(tmp_path / "on" / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)
    capsys.readouterr()
    train(flags({"model_name_or_path": learnt}, shapes, tmp_path / "plan", queue_size=500, dry_run=True))
    told = capsys.readouterr().out
    assert "192 of 192 pairs" in told
    assert "each meets itself in the queue as a negative" in told
    assert not (tmp_path / "plan").exists()
    with pytest.raises(DatasetError, match="192 pairs do not fill a batch of 200"):
        train(flags({"model_name_or_path": learnt}, shapes, tmp_path / "big", per_device_train_batch_size=200))


def test_labels_are_recognized_without_having_been_taught(learnt):
    """24 labels: chance is 1 in 24."""
    ended = [entry for entry in history(learnt) if "eval_zero_shot_accuracy" in entry][-1]
    assert ended["eval_zero_shot_accuracy"] >= 0.35
    assert ended["eval_zero_shot_macro_f1"] >= 0.3
