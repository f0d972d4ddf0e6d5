"""LoRA and QLoRA: what gets it, what a run leaves, and that every way of opening it gives the same logits."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_adapters import LORA, close, logits, prepared
from tiny_model import build_tiny_model
from tiny_parts import save_language_model, save_tower
from tiny_run import arguments, losses, write_squares
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.errors import CheckpointError, InputError
from llava_graph.model import load
from llava_graph.model.assemble import assemble_checkpoint
from llava_graph.model.assembly import Assembly
from train.flags.command import parse_command
from train.learning.parts import CONNECTOR, LANGUAGE, TOWER, idle_names, part_of
from train.learning.stages import prepare, stage_notes
from train.running.finish import restore_weights
from train.train_mem import train

# PEFT asks transformers by a name that it gives up.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return {
        "language_model": str(save_language_model(folder / "text")),
        "vision_tower": str(save_tower(folder / "tower")),
    }


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares")


@pytest.fixture(scope="module")
def adapter(checkpoint, charts, tmp_path_factory):
    """What a short run leaves."""
    out = tmp_path_factory.mktemp("run") / "lora"
    train(arguments(checkpoint, charts, out, max_steps=3, **LORA))
    return out


def test_every_linear_layer_of_the_language_model_gets_lora_and_nothing_else(checkpoint):
    plain = load(checkpoint, device="cpu").model
    wanted = {
        name for name, module in plain.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("model.language_model.")
    }  # fmt: skip
    model = prepared(checkpoint)
    assert {name.rpartition(".lora_A.")[0] for name, _ in model.named_parameters() if ".lora_A." in name} == wanted
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {part_of(name) for name in learning if ".lora_" not in name} == {CONNECTOR}


def test_lora_of_the_tower_too_keeps_to_the_layers_that_are_read(parts, tmp_path):
    start = assemble_checkpoint(tmp_path / "llava", Assembly(**parts))
    model = prepared(start, lora_target="all")
    with_lora = {name.rpartition(".lora_A.")[0] for name, _ in model.named_parameters() if ".lora_A." in name}
    assert {part_of(name) for name in with_lora} == {LANGUAGE, TOWER}
    assert not {f"{name}.weight" for name in with_lora} & idle_names(load(start, device="cpu").model)


@pytest.mark.parametrize("bias", ["none", "all", "lora_only"])
def test_biases_learn_as_asked_and_come_back(charts, tmp_path, bias):
    """A language model with biases (Qwen2's); the vision tower's stay as they are."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    text = save_language_model(tmp_path / "text", kind=Qwen2ForCausalLM, config=Qwen2Config)
    start = assemble_checkpoint(
        tmp_path / "llava", Assembly(language_model=str(text), vision_tower=str(save_tower(tmp_path / "tower")))
    )
    model = prepared(start, lora_bias=bias)
    learning = {
        name for name, parameter in model.named_parameters()
        if parameter.requires_grad and name.endswith("bias") and part_of(name) != CONNECTOR
    }  # fmt: skip
    assert bool(learning) == (bias != "none")
    assert {part_of(name) for name in learning} <= {LANGUAGE}
    out = tmp_path / "out"
    train(arguments(start, charts, out, max_steps=1, lora_bias=bias, **LORA))
    restore_weights(model, out)
    close(logits(model, 32), logits(load(out, device="cpu").model, 32))


def test_adapter_opens_alike_by_ours_by_peft_and_by_transformers(checkpoint, adapter):
    trained = prepared(checkpoint)
    untrained = logits(trained)
    restore_weights(trained, adapter)
    expected = logits(trained)
    assert (expected - untrained).abs().max() > 0.1
    ours = load(adapter, device="cpu")
    close(logits(ours.model), expected)
    assert ours.template == load(checkpoint, device="cpu").template
    close(logits(PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(checkpoint), adapter)), expected)
    close(logits(AutoModelForImageTextToText.from_pretrained(adapter)), expected)
    assert AutoProcessor.from_pretrained(adapter).chat_template == ours.template


def test_adapter_folder_says_what_it_is(checkpoint, adapter):
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(checkpoint.resolve())
    about = json.loads((adapter / "model_config.json").read_text())["about"]
    assert about["trained"] == {"data": "squares", "steps": 3, "seed": 42}
    whole = load_file(adapter / "non_lora_trainables.safetensors")
    assert set(whole) == {
        f"multi_modal_projector.linear_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")
    }
    assert not list(adapter.glob("model*.safetensors"))


def test_merged_run_leaves_a_whole_model_with_the_adapters_logits(checkpoint, charts, adapter, tmp_path):
    train(arguments(checkpoint, charts, tmp_path, max_steps=3, merge_lora=True, **LORA))
    assert not (tmp_path / "adapter_config.json").exists()
    close(logits(AutoModelForImageTextToText.from_pretrained(tmp_path)), logits(load(adapter, device="cpu").model))
    assert set(load_file(tmp_path / "model.safetensors")) == set(load_file(checkpoint / "model.safetensors"))


def test_resumed_lora_run_ends_with_the_same_weights(checkpoint, charts, tmp_path):
    more = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "lora_dropout": 0.2, **LORA}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(arguments(checkpoint, charts, whole, **more))
    shutil.copytree(whole / "checkpoint-2", resumed / "checkpoint-2")
    train(arguments(checkpoint, charts, resumed, **more))
    assert losses(whole) == losses(resumed)
    for file in ("adapter_model.safetensors", "non_lora_trainables.safetensors"):
        one, two = load_file(whole / file), load_file(resumed / file)
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert load(whole / "checkpoint-2", device="cpu").about  # complete as it is


def test_training_goes_on_from_an_adapter(checkpoint, charts, adapter, tmp_path):
    """Its rank and scale are those of the adapter, whatever the flags say."""
    train(arguments(checkpoint, charts, tmp_path, max_steps=1, learning_rate=0, lora_weight_path=adapter))
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, tmp_path))
    assert set(one) == set(two)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_come_with_the_adapter(parts, charts, tmp_path, tied):
    """The embedding grows, so a base with the new rows lies beside the adapter, and plain PEFT finds it."""
    text = save_language_model(tmp_path / "text", tie_word_embeddings=tied)
    start = assemble_checkpoint(
        tmp_path / "llava", Assembly(language_model=str(text), vision_tower=parts["vision_tower"])
    )
    out = tmp_path / "out"
    words = [f"word{number}" for number in range(64)]
    train(arguments(start, charts, out, max_steps=2, new_tokens=words, **LORA))
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(out.resolve() / "base")
    model = prepared(start, new_tokens=words)
    head = model.get_output_embeddings().weight  # the tokens are nowhere in the data, so only the head is told of them
    before = head.detach().clone()
    restore_weights(model, out)
    moved = (head != before).any(dim=1).nonzero()[:, 0].tolist()
    ids = load(out, device="cpu").tokenizer.convert_tokens_to_ids(words)
    assert set(moved) == set(ids)
    close(logits(load(out, device="cpu").model, 32), logits(model, 32))
    close(logits(AutoModelForImageTextToText.from_pretrained(out), 32), logits(model, 32))
    moved_away = tmp_path / "elsewhere"
    out.rename(moved_away)
    close(logits(load(moved_away, device="cpu").model, 32), logits(model, 32))


def test_partly_tuned_tower_and_loose_parameters_come_with_the_adapter(parts, charts, tmp_path):
    """LLaVA-NeXT has a parameter outside of all modules (image_newline); PEFT knows none, our own loader does."""
    start = assemble_checkpoint(tmp_path / "llava", Assembly(**parts, preparation="anyres"))
    out = tmp_path / "out"
    train(arguments(start, charts, out, max_steps=1, tune_vit_from_layer=0, context="none", **LORA))
    model = prepared(start, tune_vit_from_layer=0)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    restore_weights(model, out)
    opened = dict(load(out, device="cpu").model.named_parameters())
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {part_of(name) for name in changed} == {TOWER, CONNECTOR, LANGUAGE}
    assert "model.image_newline" in changed
    for name in changed:
        if ".lora_" not in name:
            assert torch.equal(opened[name], dict(model.named_parameters())[name])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"lora_enable": False, "bits": 4}, "quantized weights cannot learn"),
        ({"lora_enable": False, "merge_lora": True}, "--merge_lora without LoRA"),
        ({"stage": "projector"}, "language model is frozen"),
        ({"bits": 4, "merge_lora": True}, "merge_lora with a quantized"),
        ({"lora_r": 0}, "--lora_r must be at least 1"),
        ({"lora_target": "all", "tune_vit_from_layer": 0}, "gets LoRA"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(checkpoint, flags, told):
    with pytest.raises(InputError, match=told):
        prepared(checkpoint, **flags)


def test_an_adapter_of_another_base_is_noted(checkpoint, adapter, tmp_path):
    def notes(base):
        command = parse_command(arguments(base, "squares", "out", lora_weight_path=adapter))
        return stage_notes(prepare(load(base, device="cpu"), command).model, command)

    def made_for_another(found):
        return [note for note in found if "was made for" in note]

    assert not made_for_another(notes(checkpoint))
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    assert not made_for_another(notes(other))  # the same weights in another place
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if "layers.0.mlp.down_proj" in name)
    weights[name] += 0.1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert "made for another base" in made_for_another(notes(other))[0]

    config = json.loads((adapter / "adapter_config.json").read_text())
    moved = tmp_path / "moved"
    shutil.copytree(adapter, moved)
    (moved / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "some/llava"}))
    command = parse_command(arguments(checkpoint, "squares", "out", lora_weight_path=moved))
    model = prepare(load(checkpoint, device="cpu"), command).model
    assert "made for some/llava, which is not here" in made_for_another(stage_notes(model, command))[0]


def test_adapters_that_do_not_fit_are_refused(checkpoint, adapter, parts, tmp_path):
    with pytest.raises(CheckpointError, match="no adapter"):
        prepared(checkpoint, lora_weight_path=checkpoint)
    with pytest.raises(CheckpointError, match="do not fit the model"):
        restore_weights(prepared(checkpoint, lora_r=2), adapter)
    other = tmp_path / "adapter"
    shutil.copytree(adapter, other)
    config = json.loads((other / "adapter_config.json").read_text())
    gone = {**config, "base_model_name_or_path": str(tmp_path / "gone")}
    (other / "adapter_config.json").write_text(json.dumps(gone))
    with pytest.raises(CheckpointError, match="is not there"):
        load(other, device="cpu")
    wide = save_language_model(tmp_path / "wide", hidden_size=128)
    start = assemble_checkpoint(
        tmp_path / "llava", Assembly(language_model=str(wide), vision_tower=parts["vision_tower"])
    )
    (other / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(start)}))
    with pytest.raises(CheckpointError, match="fit its base model"):
        load(other, device="cpu")


def test_marks_of_a_new_template_learn_beside_lora(parts, charts, tmp_path):
    """ChatML on a language model that has no <|im_end|>: frozen at the mean of all tokens, it could never end an answer."""
    start = assemble_checkpoint(tmp_path / "llava", Assembly(**parts))
    out = tmp_path / "out"
    train(arguments(start, charts, out, max_steps=1, chat_template="chatml", context="none", **LORA))
    config = json.loads((out / "adapter_config.json").read_text())
    known = load(out, device="cpu").tokenizer
    marks = known.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert config["trainable_token_indices"] == {
        "model.language_model.embed_tokens": sorted(marks), "lm_head": sorted(marks)
    }  # fmt: skip
