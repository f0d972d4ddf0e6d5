"""Stages: each moves its parts and no other, bit by bit; layers that no image reaches stay out; rates by part."""

import json

import pytest
import torch
from other_models import FAMILIES
from PIL import Image
from safetensors.torch import load_file
from tiny_model import build_tiny_model
from tiny_parts import save_language_model, save_tower
from tiny_run import arguments, losses, write_squares
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
)

from llava_graph.errors import CheckpointError, InputError
from llava_graph.model import load
from llava_graph.model.assemble import assemble_checkpoint
from llava_graph.model.assembly import Assembly
from train.flags.command import parse_command
from train.learning.parts import CONNECTOR, LANGUAGE, TOWER, idle_names, part_of
from train.learning.stages import TRAINED, count_parameters, parameter_groups, prepare, stage_notes
from train.train_mem import train


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    """A CLIP tower of three layers, of which the last but one is read, and a language model with a head of its own."""
    folder = tmp_path_factory.mktemp("parts")
    return assemble_checkpoint(
        folder / "llava",
        Assembly(
            language_model=str(save_language_model(folder / "text")), vision_tower=str(save_tower(folder / "tower"))
        ),
    )


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares")


def prepared(checkpoint, **more):
    """A model as the command prepares it, and the command."""
    command = parse_command(arguments(checkpoint, "squares", "out", **more))
    return prepare(load(checkpoint, device="cpu"), command), command


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def weights(folder):
    return load_file(folder / "model.safetensors")


def moved(before, after):
    one, two = weights(before), weights(after)
    assert set(one) == set(two)
    return {name for name in one if not torch.equal(one[name], two[name])}


@pytest.mark.parametrize("stage", TRAINED)
def test_stage_trains_its_parts_and_no_other(checkpoint, charts, tmp_path, stage):
    train(arguments(checkpoint, charts, tmp_path, stage=stage, max_steps=1, weight_decay=0.1))
    assert {part_of(name) for name in moved(checkpoint, tmp_path)} == TRAINED[stage]


def test_text_only_stage_leaves_the_vision_tower_alone(checkpoint, charts, tmp_path):
    train(arguments(checkpoint, charts, tmp_path, text_only=True, max_steps=1))
    assert {part_of(name) for name in moved(checkpoint, tmp_path)} == {LANGUAGE}
    with pytest.raises(InputError, match="nothing to learn"):
        prepared(checkpoint, text_only=True, stage="projector")


def test_partial_tower_moves_its_upper_used_layers_with_gradient_checkpointing(assembled, charts, tmp_path):
    out = tmp_path / "out"
    train(
        arguments(
            assembled,
            charts,
            out,
            stage="projector",
            tune_vit_from_layer=1,
            max_steps=1,
            gradient_checkpointing=True,
            context="none",
        )
    )
    changed = moved(assembled, out)
    assert {part_of(name) for name in changed} == {CONNECTOR, TOWER}
    tower = {name for name in changed if part_of(name) == TOWER}
    assert tower
    assert all(".layers.1." in name for name in tower)


@pytest.mark.parametrize("tower", [CLIPVisionConfig, SiglipVisionConfig])
@pytest.mark.parametrize("layer", [-1, -2, 1, [-3, -2]])
def test_idle_parameters_are_those_without_a_gradient(tower, layer):
    """With the layer asked of transformers itself: what we freeze is just what never gets a gradient."""
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=tower(**sizes, image_size=8, patch_size=4),
        text_config=LlamaConfig(**sizes, vocab_size=16),
        image_token_index=3,
        vision_feature_layer=layer,
        vision_feature_select_strategy="full",
    )
    model = LlavaForConditionalGeneration(config)
    tokens = 4 + (tower is CLIPVisionConfig)
    ids = torch.tensor([[1, *[3] * tokens, 5, 6]])
    model(input_ids=ids, pixel_values=torch.randn(1, 3, 8, 8), labels=ids).loss.backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert idle_names(model) == idle
    assert idle


@pytest.mark.parametrize(
    ("family", "connector"),
    [
        ("gemma3", "multi_modal_projector"),
        ("idefics3", "connector"),
        ("internvl", "multi_modal_projector"),
        ("qwen2_vl", "merger"),
    ],
)
def test_other_families_are_cut_into_the_same_parts(family, connector):
    """And what lies behind the layer that is read is found by the same rule."""
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    found = {name: part_of(name) for name, _ in model.named_parameters()}
    assert set(found.values()) == {TOWER, CONNECTOR, LANGUAGE}
    assert {name for name, part in found.items() if part == CONNECTOR} == {
        name for name in found if connector in name.split(".")
    }
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    image = Image.new("RGB", (60, 40), "red")
    inputs = processor(text=processor.apply_chat_template(turn), images=[image], return_tensors="pt")
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert idle_names(model) == {name for name, parameter in model.named_parameters() if parameter.grad is None}


@pytest.mark.parametrize("family", ["gemma3", "idefics3"])
def test_connectors_of_other_families_learn_alone(charts, tmp_path, family):
    model, processor = FAMILIES[family]()
    start, out = tmp_path / "start", tmp_path / "out"
    model.save_pretrained(start)
    processor.save_pretrained(start)
    train(arguments(start, charts, out, stage="projector", max_steps=1, context="none"))
    assert {part_of(name) for name in moved(start, out)} == {CONNECTOR}


def test_a_model_without_the_part_is_refused_by_the_names_of_its_modules(checkpoint):
    loaded = load(checkpoint, device="cpu")
    loaded.model.model.bridge = loaded.model.model.multi_modal_projector
    del loaded.model.model.multi_modal_projector
    command = parse_command(arguments(checkpoint, "squares", "out", stage="projector"))
    with pytest.raises(
        CheckpointError, match=r"no connector.*modules: .*model\.bridge.*one of .*multi_modal_projector"
    ):
        prepare(loaded, command)


def test_tower_layers_that_do_not_exist_are_named(assembled):
    with pytest.raises(InputError, match=r"has 3, of which the first 2 are used.*Give 0 to 1"):
        prepared(assembled, tune_vit_from_layer=2)


def test_notes_tell_of_what_stays_frozen(assembled):
    loaded, command = prepared(assembled)
    idle = sum(
        parameter.numel() for name, parameter in loaded.model.named_parameters() if name in idle_names(loaded.model)
    )
    assert any(f"{idle / 1e6:.2f} M parameters" in note for note in stage_notes(loaded.model, command))
    assert not learning(loaded.model) & idle_names(loaded.model)


def test_identity_of_a_linear_connector_stays_one(tmp_path, assembled, charts):
    parts = assembled.parent
    linear = assemble_checkpoint(
        tmp_path / "linear",
        Assembly(language_model=str(parts / "text"), vision_tower=str(parts / "tower"), connector="linear"),
    )
    train(arguments(linear, charts, tmp_path / "out", stage="projector", max_steps=1, weight_decay=0.1))
    assert {name.rsplit(".", 2)[1] for name in moved(linear, tmp_path / "out")} == {"linear_1"}


def test_rates_and_decay_by_part(checkpoint):
    loaded, command = prepared(checkpoint, mm_projector_lr=1e-3, mm_vision_tower_lr=2e-6)
    rates = {CONNECTOR: command.training.mm_projector_lr, TOWER: command.training.mm_vision_tower_lr}
    decayed = {name for name, parameter in loaded.model.named_parameters() if parameter.ndim > 1}
    groups = parameter_groups(loaded.model, decayed=decayed, weight_decay=0.1, rates=rates)
    told = {}
    for group in groups:
        for parameter in group["params"]:
            told[id(parameter)] = (group.get("lr"), group["weight_decay"])
    for name, parameter in loaded.model.named_parameters():
        if parameter.requires_grad:
            assert told.pop(id(parameter)) == (rates.get(part_of(name)), 0.1 if name in decayed else 0.0)
    assert not told


@pytest.mark.parametrize("model", ["checkpoint", "assembled"])
def test_only_the_rows_of_new_tokens_learn_beside_a_frozen_language_model(model, charts, tmp_path, request):
    """Tied (one matrix) and not (two); weight decay and the optimizer's moments leave all other rows alone."""
    start = request.getfixturevalue(model)
    more = {"stage": "projector", "new_tokens": ["square", "figure"], "weight_decay": 0.5, "context": "none"}
    train(arguments(start, charts, tmp_path, max_steps=2, **more))
    before, after = weights(start), weights(tmp_path)
    known = load(tmp_path).tokenizer
    rows = known.convert_tokens_to_ids(["square", "figure"])
    tables = [name for name in after if "embed_tokens" in name or "lm_head" in name]
    assert len(tables) == (1 if model == "checkpoint" else 2)
    for name in tables:
        old, new = before[name], after[name]
        kept = [row for row in range(len(old)) if row not in rows]
        assert torch.equal(new[kept], old[kept])
        mean = old[: len(load(start).tokenizer)].mean(dim=0)
        assert all((new[row] - mean).abs().max() > 1e-4 for row in rows)
    frozen = [name for name in before if part_of(name) != CONNECTOR and name not in tables]
    assert all(torch.equal(before[name], after[name]) for name in frozen)


def test_counts_tell_of_the_rows_that_learn(checkpoint):
    loaded, _ = prepared(checkpoint, stage="projector", new_tokens=["square"])
    assert count_parameters(loaded.model)[LANGUAGE]["trained"] == loaded.model.config.text_config.hidden_size


def test_frozen_parts_keep_their_number_format_and_what_learns_has_float32(checkpoint):
    loaded = load(checkpoint, device="cpu", dtype="bfloat16")
    prepare(loaded, parse_command(arguments(checkpoint, "squares", "out", stage="projector")))
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in loaded.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_a_frozen_tower_is_not_computed_backwards(assembled):
    """transformers' own switch for gradient checkpointing would ask a gradient of the tower's input."""
    loaded, _ = prepared(assembled, stage="projector", gradient_checkpointing=True)
    model = loaded.model.train()
    model.activation_checkpointing_enable()
    states = []
    model.model.vision_tower.register_forward_hook(lambda module, inputs, output: states.append(output))
    ids = torch.tensor([[2, *[model.config.image_token_id] * 16, 5, 6]])
    model(input_ids=ids, pixel_values=torch.randn(1, 3, 32, 32), labels=ids).loss.backward()
    assert not states[0].last_hidden_state.requires_grad
    assert model.model.multi_modal_projector.linear_1.weight.grad is not None


def test_a_connector_that_no_image_reaches_is_told_before_the_first_step(checkpoint, tmp_path):
    text = {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So it is."}]}
    data = tmp_path / "texts.json"
    data.write_text(json.dumps([{"id": str(number), **text} for number in range(4)]))
    with pytest.raises(InputError, match="no sample has an image, and only the connector would learn"):
        train(arguments(checkpoint, data, tmp_path / "out", stage="projector", max_steps=1))
    assert not (tmp_path / "out" / "plan.json").exists()


def test_a_connector_learns_on_one_process_from_batches_with_and_without_images(checkpoint, charts, tmp_path):
    """One of the squares has no image; with one sample a batch some batch has none."""
    out = tmp_path / "out"
    train(arguments(checkpoint, charts, out, stage="projector", num_train_epochs=1, per_device_train_batch_size=1))
    assert len(losses(out)) == 11
