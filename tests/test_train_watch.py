"""Explanations and scores at evaluations, trackers: what they tell, and that they change nothing of the run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run
import torch
from PIL import Image
from tiny_model import build_tiny_model

from llava_graph.dataset import write_dataset
from llava_graph.errors import InputError
from llava_graph.explain import Explainer
from llava_graph.images import encode_png
from llava_graph.model import load
from llava_graph.record import Figure, OcrLine
from llava_graph.sampling import GenerationOptions
from train.running.watch import Question, answer, choose, evaluating, score, summarize
from train.train_mem import train

ROOT = Path(__file__).resolve().parent.parent
SCORES = {"eval_rouge_l", "eval_number_fidelity", "eval_answer_tokens", "eval_answer_numbers", "eval_generate_seconds"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    """Sixteen figures, six of them to evaluate, one of these without its image."""
    figures = [
        Figure(
            id=f"bar:{index:02}",
            image=None if index == 12 else encode_png(Image.new("RGB", (40 + index, 30), (10 * index, 0, 0))),
            caption="A bar chart",
            ocr=(OcrLine(text=f"{index}.5", box=(0, 0, 1, 1), role="y-tick"),),
            mentions=(f"The bar reaches {index}.5 units.",),
            split="validation" if index >= 10 else "train",
        )
        for index in range(16)
    ]
    folder = tmp_path_factory.mktemp("data") / "bars"
    write_dataset(figures, folder, shard_rows=20)
    return folder


def arguments(checkpoint, data, out, **more):
    watched = {"eval_strategy": "steps", "eval_steps": 2, "eval_split": "validation", "eval_generate": 4}
    return tiny_run.arguments(checkpoint, data, out, **{**watched, "model_max_length": 160, **more})


def history(out):
    return json.loads((out / "trainer_state.json").read_text())["log_history"]


def losses(out):
    return [line["loss"] for line in history(out) if "loss" in line]


def answers(out, step):
    return [json.loads(line) for line in (out / "samples" / f"step-{step}.jsonl").read_text().splitlines()]


def test_evaluations_explain_the_same_records_and_change_nothing(checkpoint, charts, tmp_path, capsys):
    watched, plain = tmp_path / "watched", tmp_path / "plain"
    more = {"max_steps": 4, "gradient_checkpointing": True, "context_dropout": 0.3}
    train(arguments(checkpoint, charts, watched, **more))
    told = capsys.readouterr().out
    train(arguments(checkpoint, charts, plain, eval_generate=0, **more))
    assert losses(watched) == losses(plain)

    first, second = answers(watched, 2), answers(watched, 4)
    names = [line["id"] for line in first]
    assert names == [line["id"] for line in second] == sorted(set(names))
    assert len(names) == 4
    for line in first:
        index = int(line["id"].removeprefix("bar:"))
        assert line["target"] == f"The bar reaches {index}.5 units."
        assert f"y-tick: {index}.5" in line["prompt"]
        assert line["tokens"] <= 256
        assert 0 <= line["rouge_l"] <= 1
    assert f"{names[0]}  ROUGE-L" in told
    found = [line for line in history(watched) if "eval_loss" in line]
    assert all(line.keys() >= SCORES for line in found)
    assert [line["step"] for line in found] == [2, 4]


def test_best_checkpoint_by_the_words_of_the_explanations(checkpoint, charts, tmp_path):
    """A model that learns the records by heart says them; the checkpoint that says them best is the best one."""
    train(
        arguments(
            checkpoint, charts, tmp_path, max_steps=40, eval_steps=20, save_strategy="steps", save_steps=20,
            metric_for_best_model="rouge_l", load_best_model_at_end=True, save_total_limit=1, train_split="validation",
        )
    )  # fmt: skip
    found = {line["step"]: line["eval_rouge_l"] for line in history(tmp_path) if "eval_rouge_l" in line}
    best = max(found, key=found.get)
    assert found[best] > 0.5
    assert json.loads((tmp_path / "trainer_state.json").read_text())["best_metric"] == found[best]
    said = answers(tmp_path, best)
    assert sum(line["numbers"] for line in said) > 0
    # What the run said is what the saved model says.
    model = load(tmp_path)
    figures = {line["id"]: line for line in said}
    from llava_graph.dataset import read_dataset

    for figure in read_dataset(charts):
        if figure.id in figures:
            told = Explainer(model=model).explain(figure, generation=GenerationOptions(temperature=0)).text
            assert told == figures[figure.id]["answer"]


@pytest.mark.parametrize("more", [{"packing": True, "packing_length": 512}, {"bf16": True}, {"lora_enable": True}])
def test_explanations_under_packing_half_precision_and_lora(checkpoint, charts, tmp_path, more):
    train(arguments(checkpoint, charts, tmp_path, max_steps=2, **more))
    assert len(answers(tmp_path, 2)) == 4


def test_attention_of_packed_rows_answers_as_the_usual_one(checkpoint):
    from train.learning.attention import SEGMENTS, set_attention

    loaded = load(checkpoint)
    question = Question(name="q", prompt="", target="", input_ids=list(range(5, 30)), inputs={}, ends=frozenset())
    with evaluating(loaded.model):
        usual = answer(loaded.model, loaded.tokenizer, question, 12)
        set_attention(loaded.model, SEGMENTS)
        assert answer(loaded.model, loaded.tokenizer, question, 12) == usual


def test_every_module_is_afterwards_as_it_was(checkpoint):
    model = load(checkpoint).model
    model.train()
    model.model.vision_tower.eval()
    before = {name: module.training for name, module in model.named_modules()}
    seen = []

    def explode():
        with evaluating(model):
            seen.extend([torch.is_grad_enabled(), *(module.training for module in model.modules())])
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        explode()
    assert not any(seen)
    assert {name: module.training for name, module in model.named_modules()} == before
    assert torch.is_grad_enabled()


def test_records_are_chosen_by_the_seed():
    assert choose(100, 5, 1) == choose(100, 5, 1) != choose(100, 5, 2)
    assert choose(3, 5, 1) == [0, 1, 2]


def test_numbers_are_borne_out_by_what_the_prompt_shows_and_the_target():
    question = Question(
        name="a", prompt="y-tick: 0 [90], 50 [10]", target="It is 7.", input_ids=[], inputs={}, ends=frozenset()
    )
    line = score(question, "From 0 to 51 it is 7, then 90.", 9)
    assert (line["numbers"], line["unsupported_numbers"]) == (4, ["90"])
    silent = score(question, "It rises.", 3)
    assert summarize([line, silent]) == {
        "eval_rouge_l": pytest.approx((line["rouge_l"] + silent["rouge_l"]) / 2),
        "eval_number_fidelity": 0.75,
        "eval_answer_numbers": 2,
        "eval_answer_tokens": 6,
    }
    assert summarize([silent])["eval_number_fidelity"] == 0


def test_a_watch_that_would_see_nothing_is_refused(checkpoint, charts, tmp_path):
    with pytest.raises(InputError, match="eval_strategy"):
        train(arguments(checkpoint, charts, tmp_path, eval_strategy="no"))
    with pytest.raises(InputError, match="eval_split"):
        train(["--model_name_or_path", "x", "--data_path", "y", "--output_dir", str(tmp_path), "--eval_generate", "2"])
    with pytest.raises(InputError, match="0 or more"):
        train(arguments(checkpoint, charts, tmp_path, eval_generate=-1))


def test_a_tracker_that_is_not_there_is_named_before_anything_is_loaded(tmp_path):
    arguments = ["--model_name_or_path", "gone", "--data_path", "gone", "--output_dir", str(tmp_path)]
    with pytest.raises(InputError, match="pip install codecarbon"):
        train([*arguments, "--report_to", "codecarbon"])
    with pytest.raises(InputError, match="Did you mean 'tensorboard'"):
        train([*arguments, "--report_to", "tensorbord"])


def test_tensorboard_knows_losses_scores_and_the_plan(checkpoint, charts, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(arguments(checkpoint, charts, tmp_path, max_steps=2, report_to="tensorboard"))
    [folder] = (tmp_path / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/tokens_per_second", "eval/loss", "eval/rouge_l"} <= set(tags["scalars"])
    assert "plan/text_summary" in tags["tensors"]


MODES = {"ddp": {}, "zero3": {"deepspeed": "zero3"}, "fsdp2": {"fsdp": "fsdp2"}}


@pytest.fixture(scope="module")
def two_processes(checkpoint, charts, tmp_path_factory):
    """Folders of the same short run by two processes, in each of the modes."""
    folder = tmp_path_factory.mktemp("two")
    short = {"num_train_epochs": 1, "per_device_train_batch_size": 2, "use_cpu": True, "model_max_length": 135}
    runs = [arguments(checkpoint, charts, folder / mode, **short, **more) for mode, more in MODES.items()]
    (folder / "runs.json").write_text(json.dumps(runs))
    done = subprocess.run(
        [sys.executable, "tests/forked_runs.py", str(folder / "runs.json")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_explain_every_record_once_and_add_up_their_counts(two_processes, mode):
    out = two_processes / mode
    said = answers(out, 2)
    assert len({line["id"] for line in said}) == len(said) == 4
    assert said == answers(two_processes / "ddp", 2)
    told = json.loads((out / "throughput.json").read_text())
    assert told["processes"] == 2
    assert told["counts"]["samples"] == told["counts"]["images"] == 10
    for name in ("tokens", "answers", "pairs", "slots"):
        assert (
            told["counts"][name] == json.loads((two_processes / "ddp" / "throughput.json").read_text())["counts"][name]
        )
