"""A model that is joined from parts computes with exactly those parts, and plain transformers opens it."""

import json

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tiny_parts import PATCH, PATCHES, SIDE, build_tokenizer, save_language_model, save_tower
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPVisionModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llava_graph.chat import encode_text, load_template
from llava_graph.errors import CheckpointError, InputError
from llava_graph.model import load
from llava_graph.model.assemble import assemble_checkpoint, assemble_command
from llava_graph.model.assembly import Assembly
from llava_graph.model.build import save_checkpoint

QUESTION = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is shown?"}]}]
IDS = torch.tensor([[0, 50, 120, 299, 7]])


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Folders: a Llama, a Qwen 3 with unused rows and tied embeddings, a CLIP, a SigLIP."""
    out = tmp_path_factory.mktemp("parts")
    qwen = {"kind": Qwen3ForCausalLM, "config": Qwen3Config, "tie_word_embeddings": True, "head_dim": 32}
    return {
        "llama": save_language_model(out / "llama"),
        "qwen": save_language_model(out / "qwen", rows=384, **qwen),
        "clip": save_tower(out / "clip"),
        "siglip": save_tower(out / "siglip", siglip=True),
    }


def assembly(parts, language_model="llama", vision_tower="clip", **choices):
    return Assembly(language_model=str(parts[language_model]), vision_tower=str(parts[vision_tower]), **choices)


@pytest.fixture(scope="module")
def stock(parts, tmp_path_factory):
    return assemble_checkpoint(tmp_path_factory.mktemp("stock") / "model", assembly(parts))


def picture(width, height, colour="red"):
    return Image.new("RGB", (width, height), colour)


@pytest.mark.parametrize("language_model", ["llama", "qwen"])
def test_text_is_read_as_the_language_model_reads_it(parts, tmp_path, language_model):
    loaded = load(assemble_checkpoint(tmp_path / "m", assembly(parts, language_model, "siglip")))
    text = AutoModelForCausalLM.from_pretrained(parts[language_model])
    rows = text.config.vocab_size
    with torch.no_grad():
        assert torch.equal(loaded.model(input_ids=IDS).logits[..., :300], text(input_ids=IDS).logits[..., :300])
    table = loaded.model.get_input_embeddings().weight
    assert table.shape[0] == {"llama": 320, "qwen": rows}[language_model]
    known = text.get_input_embeddings().weight[:300]
    new = loaded.tokenizer.convert_tokens_to_ids(["<image>", "<pad>"])
    torch.testing.assert_close(table[new], known.mean(dim=0).expand(2, -1))
    assert (loaded.model.config.image_token_id, loaded.model.config.pad_token_id) == tuple(new)


def test_images_are_seen_with_the_given_tower(parts, stock):
    loaded = load(stock)
    tower = CLIPVisionModel.from_pretrained(parts["clip"])
    prepared = loaded.prepare([picture(50, 20)])
    with torch.no_grad():
        seen = tower(prepared["pixel_values"], output_hidden_states=True).hidden_states[-2][:, 1:]
        expected = loaded.model.model.multi_modal_projector(seen)
        found = loaded.model.model.get_image_features(**prepared, vision_feature_layer=-2).pooler_output[0]
    assert torch.equal(found, expected[0])
    assert found.shape == (loaded.tokens_of((50, 20)), 64)


CHOICES = {
    "stock": {},
    "siglip": {"vision_tower": "siglip"},
    "qwen": {"language_model": "qwen", "vision_tower": "siglip"},
    "square": {"preparation": "square"},
    "class token": {"select_feature": "cls_patch", "select_layer": -1},
    "linear": {"connector": "linear", "vision_tower": "siglip"},
    "anyres": {"preparation": "anyres"},
    "anyres siglip": {"preparation": "anyres", "vision_tower": "siglip", "connector": "linear"},
    "start end": {"im_start_end": True, "new_tokens": ("<region>",)},
    "half": {"dtype": "bfloat16"},
}


@pytest.mark.parametrize("name", CHOICES)
def test_plain_transformers_opens_it_and_computes_the_same(parts, tmp_path, name):
    out = assemble_checkpoint(tmp_path / "m", assembly(parts, **CHOICES[name]))
    ours = load(out)
    model, report = AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    stored = {"half": torch.bfloat16}.get(name, torch.float32)
    assert {weight.dtype for weight in model.parameters()} == {stored}
    model = model.float()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), ours.model.parameters(), strict=True))

    image = picture(45, 90)
    processor = AutoProcessor.from_pretrained(out)
    message = {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "What?"}]}
    inputs = processor.apply_chat_template(
        [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    image_id = model.config.image_token_id
    assert int((inputs["input_ids"] == image_id).sum()) == ours.tokens_of(image.size)
    assert all(torch.equal(inputs[key], value) for key, value in ours.prepare([image]).items())
    with torch.no_grad():
        assert model(**inputs).logits.isfinite().all()
        assert torch.equal(model(**inputs).logits, ours.model(**inputs).logits)


@pytest.mark.parametrize("name", ["stock", "siglip", "anyres"])
@pytest.mark.parametrize("fresh", [True, False])
def test_weights_bear_the_names_of_published_checkpoints(parts, tmp_path, name, fresh):
    out = assemble_checkpoint(tmp_path / "m", assembly(parts, **CHOICES[name]))
    loaded = load(out)
    model = loaded.model if not fresh else type(loaded.model)(loaded.model.config)
    save_checkpoint(model, loaded.processor, tmp_path / "again")
    with safe_open(tmp_path / "again" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    heads = {"language_model.model", "language_model.lm_head", "vision_tower.vision_model", "image_newline"}
    assert {".".join(key.split(".")[:2]) for key in names} - heads == {
        "multi_modal_projector.linear_1",
        "multi_modal_projector.linear_2",
    }
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "again")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_gathered_weights_are_saved_under_the_same_names(stock, tmp_path):
    loaded = load(stock)
    gathered = {name: weight.clone() + 1 for name, weight in loaded.model.state_dict().items()}
    save_checkpoint(loaded.model, loaded.processor, tmp_path / "out", state_dict=gathered)
    again = load(tmp_path / "out").model
    assert all(torch.equal(a + 1, b) for a, b in zip(loaded.model.parameters(), again.parameters(), strict=True))


def test_padding_is_the_towers_mean_colour_and_nothing_is_stretched(parts, stock):
    prepared = load(stock).prepare([picture(64, 32, "black")])["pixel_values"][0]
    assert prepared[:, :7].abs().max() < 0.02  # the mean colour is 0 after normalisation
    assert prepared[:, 9:-9].max() < -1


def test_square_images_are_stretched(parts, tmp_path):
    loaded = load(assemble_checkpoint(tmp_path / "m", assembly(parts, preparation="square")))
    assert loaded.prepare([picture(64, 32, "black")])["pixel_values"].max() < -1


@pytest.mark.parametrize("name", ["anyres", "anyres siglip"])
@pytest.mark.parametrize("size", [(32, 32), (300, 40), (33, 500), (97, 95), (1, 31), (64, 96)])
def test_anyres_counts_its_tokens_without_the_image(parts, tmp_path_factory, name, size):
    root = tmp_path_factory.getbasetemp() / name.replace(" ", "-")
    loaded = load(assemble_checkpoint(root, assembly(parts, **CHOICES[name])))
    image = picture(*size)
    ids = loaded.processor(text="<image>", images=image)["input_ids"][0]
    tokens = loaded.tokens_of(size)
    assert ids.count(loaded.model.config.image_token_id) == tokens
    prepared = loaded.prepare([image])
    with torch.no_grad():
        features = loaded.model.model.get_image_features(**prepared, vision_feature_layer=-2).pooler_output
    assert features[0].shape[0] == tokens


def test_anyres_images_of_different_tiles_do_not_touch_each_other(parts, tmp_path):
    loaded = load(assemble_checkpoint(tmp_path / "m", assembly(parts, preparation="anyres")))
    images = [picture(32, 32), picture(320, 40, "blue")]
    both = loaded.prepare(images)
    assert both["pixel_values"].shape[:2] == (2, 4)  # the whole image and three tiles
    with torch.no_grad():
        together = loaded.model.model.get_image_features(**both, vision_feature_layer=-2).pooler_output
        for image, found in zip(images, together, strict=True):
            alone = loaded.model.model.get_image_features(**loaded.prepare([image]), vision_feature_layer=-2)
            torch.testing.assert_close(found, alone.pooler_output[0], atol=1e-5, rtol=1e-5)


def test_grids_can_be_chosen_and_must_fit_the_tower(parts, tmp_path):
    grid = ((SIDE, 4 * SIDE),)
    loaded = load(assemble_checkpoint(tmp_path / "m", assembly(parts, preparation="anyres", grid_pinpoints=grid)))
    assert loaded.prepare([picture(32, 32)])["pixel_values"].shape[1] == 5
    with pytest.raises(InputError, match="cannot be cut"):
        assemble_checkpoint(tmp_path / "n", assembly(parts, preparation="anyres", grid_pinpoints=((SIDE, 40),)))


def test_linear_connector_is_a_linear_map(parts, tmp_path):
    out = assemble_checkpoint(tmp_path / "m", assembly(parts, connector="linear"))
    connector = AutoModelForImageTextToText.from_pretrained(out).model.multi_modal_projector
    x, y = torch.randn(2, 5, 64)
    with torch.no_grad():
        torch.testing.assert_close(connector(x) + connector(y), connector(x + y) + connector(torch.zeros(5, 64)))
        assert torch.equal(connector(x), connector.linear_1(x))


def test_start_and_end_stand_around_each_image_in_every_engine(parts, tmp_path):
    out = assemble_checkpoint(tmp_path / "m", assembly(parts, im_start_end=True, new_tokens=("<region>",)))
    processor = AutoProcessor.from_pretrained(out)
    text = processor.apply_chat_template(QUESTION, add_generation_prompt=True)
    assert "<im_start><image><im_end>" in text
    ids = processor(text=text, images=picture(40, 40))["input_ids"][0]
    marks = processor.tokenizer.convert_tokens_to_ids(["<im_start>", "<image>", "<im_end>"])
    start = ids.index(marks[0])
    assert ids[start : start + PATCHES + 2] == [marks[0], *[marks[1]] * PATCHES, marks[2]]
    assert {"<im_start>", "<im_end>", "<image>"} <= set(processor.tokenizer.all_special_tokens)
    assert len(processor.tokenizer("<region>", add_special_tokens=False)["input_ids"]) == 1
    assert "<region>" not in processor.tokenizer.all_special_tokens
    loaded = load(out)
    assert encode_text(text, loaded.tokenizer, PATCHES, 1) == ids


@pytest.mark.parametrize(("template", "end"), [("chatml", "<|im_end|>"), ("vicuna_v1", "</s>"), ("plain", "</s>")])
def test_generation_ends_where_the_template_ends_an_answer(parts, tmp_path, template, end):
    loaded = load(assemble_checkpoint(tmp_path / "m", assembly(parts, template=load_template(template))))
    assert loaded.tokenizer.convert_tokens_to_ids(end) in loaded.model.generation_config.eos_token_id
    assert loaded.tokenizer(end, add_special_tokens=False)["input_ids"] == [loaded.tokenizer.convert_tokens_to_ids(end)]
    assert loaded.template == load_template(template)


def test_a_model_that_knows_chatml_speaks_it(parts, stock, tmp_path):
    assert load(stock).template == load_template("vicuna_v1")
    folder = save_language_model(tmp_path / "lm")
    tokenizer = build_tokenizer(pad="<pad>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(folder)
    loaded = load(
        assemble_checkpoint(tmp_path / "m", Assembly(language_model=str(folder), vision_tower=str(parts["clip"])))
    )
    assert loaded.template == load_template("chatml")


def test_same_parts_give_the_same_weights_and_leave_the_callers_random_state(parts, stock, tmp_path):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    again = assemble_checkpoint(tmp_path / "m", assembly(parts))
    assert torch.equal(before, torch.random.get_rng_state())
    assert (again / "model.safetensors").read_bytes() == (stock / "model.safetensors").read_bytes()


def test_a_folder_of_the_same_parts_is_left_and_another_is_not_touched(parts, tmp_path):
    out = assemble_checkpoint(tmp_path / "m", assembly(parts))
    written = (out / "model.safetensors").stat()
    assemble_checkpoint(out, assembly(parts))
    assert (out / "model.safetensors").stat().st_mtime_ns == written.st_mtime_ns
    with pytest.raises(InputError, match="something else"):
        assemble_checkpoint(out, assembly(parts, seed=1))
    assert {file.name for file in tmp_path.iterdir()} == {"m"}


def test_a_failed_assembly_leaves_nothing(parts, tmp_path):
    with pytest.raises(CheckpointError, match="no trained connector"):
        assemble_checkpoint(tmp_path / "m", assembly(parts, adapter=str(tmp_path / "none.bin")))
    assert not list(tmp_path.iterdir())


def test_language_models_that_a_llava_would_compute_wrongly_are_refused(parts, tmp_path):
    gemma = {"kind": Gemma2ForCausalLM, "config": Gemma2Config, "final_logit_softcapping": 0.05, "head_dim": 32}
    save_language_model(tmp_path / "gemma", attn_implementation="eager", **gemma)
    phi = {"kind": PhiForCausalLM, "config": PhiConfig, "num_key_value_heads": 2}
    folder = save_language_model(tmp_path / "phi", **phi)
    model = PhiForCausalLM.from_pretrained(folder)
    torch.nn.init.ones_(model.lm_head.bias)
    model.save_pretrained(folder)
    for name, says in (("gemma", "scales or caps"), ("phi", "a bias to its output")):
        with pytest.raises(CheckpointError, match=says):
            assemble_checkpoint(
                tmp_path / "m", Assembly(language_model=str(tmp_path / name), vision_tower=str(parts["clip"]))
            )


def test_pickled_language_models_are_read_without_running_code(parts, tmp_path):
    folder = save_language_model(tmp_path / "vicuna")
    weights = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    choice = Assembly(language_model=str(folder), vision_tower=str(parts["clip"]))
    with torch.no_grad():
        logits = load(assemble_checkpoint(tmp_path / "m", choice)).model(input_ids=IDS).logits[..., :300]
        assert torch.equal(logits, AutoModelForCausalLM.from_pretrained(parts["llama"])(input_ids=IDS).logits)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"connector": "resampler"}, "unknown connector 'resampler'"),
        ({"preparation": "pd"}, "image preparation 'pd'.*'pad'"),
        ({"select_feature": "cls"}, "feature of the vision tower 'cls'"),
        ({"dtype": "half"}, "number format 'half'"),
        ({"preparation": "anyres", "connector": "mlp3x_gelu"}, "no mlp3x_gelu connector"),
        ({"grid_pinpoints": ((32, 64),)}, "not tiled"),
    ],
)
def test_choices_that_do_not_go_together_are_refused_before_anything_is_read(choice, says):
    with pytest.raises(InputError, match=says):
        Assembly(language_model="nothing", vision_tower="nothing", **choice)


@pytest.mark.parametrize("layer", [-30, 0, 4])
def test_layers_that_the_tower_has_not_are_refused(parts, tmp_path, layer):
    with pytest.raises(InputError, match=f"layer {layer} of the vision tower cannot be read: it has 3"):
        assemble_checkpoint(tmp_path / "m", assembly(parts, select_layer=layer))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("layer", [-3, 1, 3])
def test_every_layer_of_the_tower_can_be_read(parts, tmp_path, layer):
    loaded = load(assemble_checkpoint(tmp_path / "m", assembly(parts, select_layer=layer)))
    image = torch.zeros(1, 3, SIDE, SIDE)
    assert torch.isfinite(loaded.model.get_image_features(pixel_values=image).pooler_output[0]).all()


def test_missing_parts_are_named(parts, tmp_path):
    with pytest.raises(CheckpointError, match="no language model"):
        assemble_checkpoint(tmp_path / "m", Assembly(language_model=str(tmp_path), vision_tower=str(parts["clip"])))
    with pytest.raises(CheckpointError, match="no such folder"):
        assemble_checkpoint(tmp_path / "m", Assembly(language_model=str(parts["llama"]), vision_tower="./none"))


def test_the_command_writes_a_checkpoint_that_says_what_it_is(parts, tmp_path, capsys):
    names = {"language_model": str(parts["llama"]), "vision_tower": str(parts["siglip"])}
    assemble_command(**names, out=tmp_path / "m", connector="linear", new_token=["<a>"], template="chatml")
    said = "llama with siglip and a linear connector, which is not trained yet."
    assert said in capsys.readouterr().out
    loaded = load(tmp_path / "m")
    assert (loaded.name, loaded.about) == ("llava-llama", said)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["vision_config"]["patch_size"] == PATCH
