"""What a run leaves: folders that stand on their own at every step, a connector for the next stage, a card with the facts."""

import json
import re

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_model import build_tiny_model
from tiny_parts import save_language_model, save_tower
from tiny_run import arguments, losses, write_squares
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.dataset import write_dataset
from llava_graph.errors import CheckpointError
from llava_graph.model import load
from llava_graph.model.assemble import assemble_checkpoint
from llava_graph.model.assembly import Assembly
from llava_graph.record import Figure, Turn
from train.flags.command import parse_command
from train.running.card import teaches_instructions
from train.running.finish import restore_weights, take_weights
from train.train_mem import train

pytestmark = pytest.mark.long

TOLD_TURNS = (Turn(role="user", text="Which colour?"), Turn(role="assistant", text="Red."))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares", licences=("CC-BY-4.0", ""))


@pytest.fixture(scope="module")
def aligned(checkpoint, charts, tmp_path_factory):
    """The connector's stage, with a checkpoint on the way."""
    out = tmp_path_factory.mktemp("run") / "aligned"
    train(arguments(checkpoint, charts, out, stage="projector", max_steps=2, save_strategy="steps", save_steps=1))
    return out


@pytest.mark.parametrize("place", ["checkpoint-1", "."])
def test_folder_of_every_step_is_complete(checkpoint, aligned, place):
    folder = aligned / place
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert AutoProcessor.from_pretrained(folder).chat_template == load(checkpoint).template
    assert model.generation_config.eos_token_id == load(checkpoint).model.generation_config.eos_token_id
    assert model.config.get_text_config().use_cache
    assert set(load_file(folder / "model.safetensors")) == set(load_file(checkpoint / "model.safetensors"))
    assert (folder / "README.md").read_text().startswith("---\n")
    assert load(folder).about == "Fine-tuned from test-nano."
    assert not list(folder.glob("training_args.bin"))  # a pickle; plan.json says the same


def test_projector_stage_leaves_its_connector_for_the_next(aligned, tmp_path):
    connector = load_file(aligned / "mm_projector.safetensors")
    whole = load_file(aligned / "model.safetensors")
    assert connector
    assert all(name.startswith("multi_modal_projector.") for name in connector)
    assert all(torch.equal(whole[name], tensor) for name, tensor in connector.items())
    parts = tmp_path / "parts"
    model = assemble_checkpoint(
        tmp_path / "next",
        Assembly(
            language_model=str(save_language_model(parts / "text")),
            vision_tower=str(save_tower(parts / "tower", siglip=True)),
            adapter=str(aligned / "mm_projector.safetensors"),
        ),
    )
    taken = load_file(model / "model.safetensors")
    assert all(torch.equal(taken[name], tensor) for name, tensor in connector.items())


def test_projector_stage_resumes(checkpoint, charts, aligned, tmp_path):
    """From the whole state, not from the connector alone."""
    more = {"stage": "projector", "max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    train(arguments(checkpoint, charts, tmp_path, resume_from_checkpoint=aligned / "checkpoint-1", **more))
    assert losses(tmp_path) == losses(aligned)
    one, two = (load_file(folder / "model.safetensors") for folder in (aligned, tmp_path))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_only_the_result_is_rounded(checkpoint, charts, tmp_path):
    """What a run goes on from keeps every bit."""
    more = {"save_dtype": "bfloat16", "max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    train(arguments(checkpoint, charts, tmp_path, **more))
    kinds = {
        place: {tensor.dtype for tensor in load_file(tmp_path / place / "model.safetensors").values()}
        for place in ("checkpoint-2", ".")
    }
    assert kinds == {"checkpoint-2": {torch.float32}, ".": {torch.bfloat16}}
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    exact, rounded = (load_file(tmp_path / place / "model.safetensors") for place in ("checkpoint-2", "."))
    assert all(torch.equal(exact[name].bfloat16(), rounded[name]) for name in exact)


def read_card(folder):
    head, body = re.fullmatch(r"---\n(.*?)---\n(.*)", (folder / "README.md").read_text(), re.DOTALL).groups()
    return yaml.safe_load(head), body


def test_card_tells_what_learnt_from_what_and_how(aligned, charts):
    head, body = read_card(aligned)
    assert head["library_name"] == "transformers"
    assert head["pipeline_tag"] == "image-text-to-text"
    assert "llava-graph" in head["tags"]
    assert "base_model" not in head  # a folder of this machine is no model of the hub
    assert "| connector | 8,320 | 8,320 |" in body
    assert "| vision tower | 0 |" in body
    assert "- kept: 11" in body
    assert "| squares | CC-BY-4.0 | 6 |" in body
    assert "| squares | not stated | 5 |" in body
    assert "| learning_rate | 0.003 |" in body
    assert f"- step 2: {losses(aligned)[-1]:.4g}" in body
    assert re.search(r"^- transformers \d", body, re.MULTILINE)
    assert "AutoModelForImageTextToText.from_pretrained" in body
    assert "llava_graph.model import load" in body
    assert str(charts.parent) not in body  # nor are its folders anyone's business


def test_card_of_an_adapter_and_of_conversations_without_licence(checkpoint, tmp_path):
    record = {"id": "1", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}
    (tmp_path / "talk.json").write_text(json.dumps([record] * 4))
    out = tmp_path / "out"
    named = {"model_name": "squares-lora", "about": "It knows squares."}
    train(arguments(checkpoint, tmp_path / "talk.json", out, max_steps=1, lora_enable=True, lora_r=2, **named))
    head, body = read_card(out)
    assert {"lora", "peft"} <= set(head["tags"])
    assert body.startswith("\n# squares-lora\n\nIt knows squares.")
    assert "| talk.json | not stated |" in body
    assert "| lora_r | 2 |" in body


def test_licence_of_the_base_model_is_handed_on(charts, tmp_path):
    base = build_tiny_model(tmp_path / "base")
    (base / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\n# Base\n")
    train(arguments(base, charts, tmp_path / "out", max_steps=1))
    assert read_card(tmp_path / "out")[0]["license"] == "apache-2.0"


@pytest.mark.parametrize("more", [{}, {"lora_enable": True, "lora_r": 2}, {"streaming": True}])
def test_finished_run_that_is_started_again_learns_nothing_more(checkpoint, charts, tmp_path, more, caplog):
    """Its last step lies in the middle of an epoch."""
    more = {**more, "max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    train(arguments(checkpoint, charts, tmp_path, **more))
    saved = [*tmp_path.glob("*model.safetensors")]
    first, history = [load_file(file) for file in saved], (tmp_path / "trainer_state.json").read_text()
    for file in saved:
        file.unlink()
    train(arguments(checkpoint, charts, tmp_path, **more))
    assert "step 2 of 2 is done" in caplog.text
    again = [load_file(file) for file in saved]
    assert all(torch.equal(one[name], two[name]) for one, two in zip(first, again, strict=True) for name in one)
    *steps, _ = json.loads(history)["log_history"]  # the last line tells the speed of a start
    assert json.loads((tmp_path / "trainer_state.json").read_text())["log_history"] == steps
    assert {folder.name for folder in tmp_path.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}


def test_weights_of_another_model_are_refused(checkpoint, tmp_path):
    other = torch.nn.Linear(2, 3)
    with pytest.raises(
        CheckpointError, match=r"squares: its weights do not fit this model \(.*mismatch.*\)\. Take mine"
    ):
        take_weights(other, torch.nn.Linear(2, 4).state_dict(), tmp_path / "squares", next_step="Take mine")
    restore_weights(load(checkpoint, device="cpu", dtype="float32").model, checkpoint)


def test_finished_adapter_is_merged_by_another_start(checkpoint, charts, tmp_path):
    more = {"lora_enable": True, "lora_r": 2, "max_steps": 2, "save_strategy": "steps", "save_steps": 2}
    train(arguments(checkpoint, charts, tmp_path, **more))
    train(arguments(checkpoint, charts, tmp_path, **more, merge_lora=True))
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["global_step"] == 2
    assert not (tmp_path / "adapter_config.json").exists()
    base, merged = (load_file(folder / "model.safetensors") for folder in (checkpoint, tmp_path))
    assert any(not torch.equal(base[name], merged[name]) for name in base if "q_proj" in name and "vision" not in name)


@pytest.mark.parametrize("told", [True, False])
def test_a_model_that_only_learnt_to_explain_says_that_it_follows_no_instructions(checkpoint, tmp_path, told):
    figures = [
        Figure(id=str(number), mentions=("As seen.",), turns=TOLD_TURNS if told and number == 1 else (), split="train")
        for number in range(3)
    ]
    write_dataset(figures, tmp_path / "data")
    assert teaches_instructions(parse_command(arguments(checkpoint, tmp_path / "data", tmp_path / "out"))) is told


def test_a_run_says_what_its_model_takes(checkpoint, charts, tmp_path):
    told = {"follows_instructions": False, "max_images": 1, "max_steps": 1}
    train(arguments(checkpoint, charts, tmp_path, **told))
    loaded = load(tmp_path)
    assert (loaded.instructions, loaded.max_images) == (False, 1)
