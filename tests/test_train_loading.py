"""The model that a run trains is the asked one: opened, joined from parts, quantized, with the asked template and images."""

import json

import pytest
import torch
from other_models import FAMILIES
from PIL import Image
from tiny_model import build_tiny_model
from tiny_parts import save_language_model, save_tower

from llava_graph.chat import load_template
from llava_graph.errors import InputError
from llava_graph.model import load
from llava_graph.model.build import save_checkpoint
from train.flags.command import parse_command
from train.learning.loading import load_to_train, loading_notes, read_pinpoints
from train.learning.stages import prepare


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    out = tmp_path_factory.mktemp("parts")
    return save_language_model(out / "llama"), save_tower(out / "clip")


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano", template="vicuna_v1")


def command(model, out, *flags):
    named = ["--model_name_or_path", str(model), "--data_path", "none", "--output_dir", str(out), "--use_cpu", "True"]
    return parse_command([*named, *map(str, flags)])


def test_a_model_is_joined_once_and_opened_from_the_output_folder(parts, tmp_path):
    asked = command(
        parts[0], tmp_path / "out", "--vision_tower", parts[1], "--mm_projector_type", "linear",
        "--mm_use_im_start_end", "True", "--new_tokens", "<region>", "--chat_template", "chatml",
        "--image_aspect_ratio", "anyres", "--image_grid_pinpoints", "[(32, 64)]", "--mm_vision_select_layer", "-1",
        "--bf16", "True",
    )  # fmt: skip
    loaded = load_to_train(asked)
    config = loaded.model.config
    assert config.model_type == "llava_next"
    assert config.image_grid_pinpoints == [[32, 64]]
    assert (config.vision_feature_layer, config.projector_hidden_act) == (-1, "linear")
    assert "<im_start><image><im_end>" in loaded.template
    assert loaded.model.training
    assert not config.use_cache
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.float32}
    assert loading_notes(asked) == [
        f"the model is joined from its parts, with a new connector, in {tmp_path}/out/initial"
    ]
    written = (tmp_path / "out" / "initial" / "model.safetensors").stat().st_mtime_ns
    again = load_to_train(asked)
    assert (tmp_path / "out" / "initial" / "model.safetensors").stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), again.model.parameters(), strict=True))
    prepare(again, asked)
    names = {name for name, weight in again.model.named_parameters() if weight.requires_grad}
    assert "model.multi_modal_projector.linear_1.weight" in names
    assert "model.multi_modal_projector.linear_2.weight" not in names
    assert "model.image_newline" in names


def test_other_parts_in_the_same_output_folder_are_refused(parts, tmp_path):
    asked = ("--vision_tower", parts[1])
    load_to_train(command(parts[0], tmp_path / "out", *asked))
    with pytest.raises(InputError, match="something else"):
        load_to_train(command(parts[0], tmp_path / "out", *asked, "--mm_projector_type", "mlp3x_gelu"))


def test_a_finished_model_keeps_its_own_tower(parts, nano, tmp_path):
    asked = command(nano, tmp_path, "--vision_tower", parts[1])
    assert load_to_train(asked).model.config.vision_config.patch_size == 16
    assert "left out" in loading_notes(asked)[0]
    assert not (tmp_path / "initial").exists()


def test_another_template_brings_its_marks_and_ends(nano, tmp_path):
    loaded = load_to_train(command(nano, tmp_path, "--chat_template", "plain"))
    assert loaded.template == loaded.processor.chat_template == load_template("plain")
    rows = loaded.model.get_input_embeddings().weight.shape[0]
    wrapped = load_to_train(command(nano, tmp_path, "--chat_template", "chatml", "--mm_use_im_start_end", "True"))
    number = wrapped.tokenizer.convert_tokens_to_ids
    assert number("<|im_end|>") in wrapped.model.generation_config.eos_token_id
    assert "<im_start><image><im_end>" in wrapped.template
    table = wrapped.model.get_input_embeddings().weight
    assert table.shape[0] >= len(wrapped.tokenizer) >= rows
    torch.testing.assert_close(table[number("<im_start>")], table[: number("<im_start>")].mean(dim=0))
    save_checkpoint(wrapped.model, wrapped.processor, tmp_path / "saved")
    assert load(tmp_path / "saved").template == wrapped.template


def test_images_of_a_checkpoint_can_be_padded_or_stretched_but_not_tiled(nano, tmp_path):
    image = Image.new("RGB", (64, 32), "black")
    padded = load_to_train(command(nano, tmp_path)).prepare([image])["pixel_values"]
    loaded = load_to_train(command(nano, tmp_path, "--image_aspect_ratio", "square"))
    stretched = loaded.prepare([image])["pixel_values"]
    assert (padded == 0).any()
    assert (stretched < -1.9).all()
    save_checkpoint(loaded.model, loaded.processor, tmp_path / "saved")
    assert torch.equal(load(tmp_path / "saved").prepare([image])["pixel_values"], stretched)
    back = load_to_train(command(tmp_path / "saved", tmp_path, "--image_aspect_ratio", "pad"))
    assert torch.equal(back.prepare([image])["pixel_values"], padded)
    for flags in (["--image_aspect_ratio", "anyres"], ["--image_grid_pinpoints", "[(64, 64)]"]):
        with pytest.raises(InputError, match="--vision_tower"):
            load_to_train(command(nano, tmp_path, *flags))


def test_a_trained_connector_is_put_into_a_checkpoint(nano, tmp_path):
    connector = load(nano).model.model.multi_modal_projector
    names = {"0": "linear_1", "2": "linear_2"}
    weights = {
        f"model.mm_projector.{theirs}.{kind}": getattr(getattr(connector, ours), kind).detach() + 1
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    torch.save(weights, tmp_path / "mm_projector.bin")
    loaded = load_to_train(command(nano, tmp_path, "--pretrain_mm_mlp_adapter", tmp_path / "mm_projector.bin"))
    for name, weight in loaded.model.model.multi_modal_projector.named_parameters():
        assert torch.equal(weight, connector.get_parameter(name) + 1)


@pytest.mark.parametrize("bits", [4, 8])
def test_only_the_language_model_is_quantized(parts, tmp_path, bits):
    asked = command(parts[0], tmp_path, "--vision_tower", parts[1], "--bits", bits, "--lora_enable", "True")
    loaded = load_to_train(asked)
    kinds = {
        name: type(module).__name__
        for name, module in loaded.model.named_modules()
        if "Linear" in type(module).__name__
    }
    packed = {name for name, kind in kinds.items() if kind != "Linear"}
    assert packed == {name for name in kinds if name.startswith("model.language_model.layers.")}
    assert {kinds[name] for name in packed} == {{4: "Linear4bit", 8: "Linear8bitLt"}[bits]}
    floats = {weight.dtype for name, weight in loaded.model.named_parameters() if weight.is_floating_point()}
    assert floats <= {torch.float32, torch.float16}
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        near = load(tmp_path / "initial").model(input_ids=ids).logits
        found = loaded.model(input_ids=ids).logits.float()
    assert torch.nn.functional.cosine_similarity(near.flatten(), found.flatten(), dim=0) > 0.98


def test_a_model_too_narrow_for_four_bits_is_refused_before_it_is_loaded(parts, tmp_path):
    narrow = save_language_model(tmp_path / "narrow", hidden_size=96, num_key_value_heads=2)
    with pytest.raises(InputError, match="multiples of 64.*96 wide"):
        load_to_train(
            command(narrow, tmp_path / "out", "--vision_tower", parts[1], "--bits", "4", "--lora_enable", "True")
        )


def test_frozen_weights_stay_as_stored_in_bfloat16_and_what_learns_is_float32(nano, tmp_path):
    loaded = load(nano)
    save_checkpoint(loaded.model.bfloat16(), loaded.processor, tmp_path / "half")
    asked = command(tmp_path / "half", tmp_path, "--bf16", "True", "--stage", "projector")
    model = prepare(load_to_train(asked), asked).model
    kinds = {weight.requires_grad: weight.dtype for weight in model.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    whole = load_to_train(command(tmp_path / "half", tmp_path, "--bf16", "True")).model
    assert {weight.dtype for weight in whole.parameters()} == {torch.float32}


def test_a_model_of_another_family_keeps_its_template(tmp_path):
    model, processor = FAMILIES["idefics3"]()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    loaded = load_to_train(command(tmp_path / "model", tmp_path))
    assert loaded.template == processor.chat_template
    for flags, says in (
        (["--chat_template", "chatml"], "keeps its own"),
        (["--image_aspect_ratio", "square"], "was not built for 'square'"),
    ):
        with pytest.raises(InputError, match=says):
            load_to_train(command(tmp_path / "model", tmp_path, *flags))


@pytest.mark.parametrize("text", ["(1x1),...,(6x6)", "[(1, 2, 3)]", "[1]", "x"])
def test_grids_that_cannot_be_read_are_named(text):
    with pytest.raises(InputError, match="image_grid_pinpoints"):
        read_pinpoints(text)
    assert read_pinpoints("[(336, 672), [672, 336]]") == ((336, 672), (672, 336))
    assert read_pinpoints(None) == ()


def test_joined_model_says_what_it_is_made_of(parts, tmp_path):
    load_to_train(command(parts[0], tmp_path, "--vision_tower", parts[1]))
    about = json.loads((tmp_path / "initial" / "config.json").read_text())["about"]
    assert about["assembled"]["vision_tower"] == "clip"
    assert str(tmp_path) not in json.dumps(about)
