"""A checkpoint of ours is an ordinary transformers checkpoint, and opening it here or there gives the same answer."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image, ImageDraw
from tiny_model import TEXTS, build_tiny_model
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.chat import encode_prompt, load_template
from llava_graph.errors import CheckpointError, InputError
from llava_graph.model import load
from llava_graph.model.build import PRESETS, build_checkpoint, build_command
from llava_graph.model.tokenizer import SPECIAL_TOKENS, read_texts, train_tokenizer
from llava_graph.prompt import build_messages
from llava_graph.record import Figure, OcrLine
from train.learning.compiling import compile_layers


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture
def broken(checkpoint, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(checkpoint, tmp_path / "broken")


def picture(width=120, height=60):
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line((0, height, width, 0), fill="black", width=3)
    return image


def test_checkpoint_has_every_file_that_other_engines_look_for(checkpoint):
    names = {file.name for file in checkpoint.iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "chat_template.jinja",
    }
    assert json.loads((checkpoint / "config.json").read_text())["about"]["name"] == "test-nano"


def test_plain_transformers_gives_the_same_pixels_ids_and_greedy_answer(checkpoint):
    image, question = picture(), "What does this figure show?"
    figure = Figure(id="f", image=b"x", caption="Loss", ocr=(OcrLine(text="Epoch", box=(0, 0, 1, 1), role="x-axis"),))
    messages = build_messages(figure, question)

    ours = load(checkpoint)
    ids = torch.tensor([encode_prompt(messages, ours.tokenizer, ours.template, ours.image_tokens)])
    pixels = ours.image_processor(image, return_tensors="pt")["pixel_values"]
    answer = ours.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, max_new_tokens=12
    )

    processor = AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32)
    with_image = [
        {
            **message,
            "content": [
                {"type": "image", "image": image} if part["type"] == "image" else part for part in message["content"]
            ],
        }
        for message in messages
    ]
    inputs = processor.apply_chat_template(
        with_image, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    plain = model.generate(**inputs, max_new_tokens=12)

    assert torch.equal(inputs["input_ids"], ids)
    assert torch.equal(inputs["pixel_values"], pixels)
    assert torch.equal(plain, answer)


@pytest.mark.parametrize("size", [(120, 60), (60, 120), (90, 90)])
def test_image_is_not_distorted_and_padding_is_white(checkpoint, size):
    pixels = load(checkpoint).image_processor(Image.new("RGB", size, "black"), return_tensors="pt")["pixel_values"][0]
    dark = pixels[0] < -1
    height, width = int(dark.any(dim=1).sum()), int(dark.any(dim=0).sum())
    assert width / height == pytest.approx(size[0] / size[1], rel=0.05)
    assert pixels.max() == pytest.approx(0 if size[0] != size[1] else -2)


def test_same_seed_builds_the_same_weights_and_leaves_the_callers_random_state(tmp_path):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one = build_checkpoint(tmp_path / "a", shape=PRESETS["nano"], texts=TEXTS, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    two = build_checkpoint(tmp_path / "b", shape=PRESETS["nano"], texts=TEXTS, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("text", ["ΔT = −3 °C, 10⁻² μm", "日本語 🙂", "a  b\tc\n", "0.0012345"])
def test_tokenizer_gives_every_text_back(text):
    tokenizer = train_tokenizer(TEXTS, vocab_size=300)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tokenizer_knows_its_special_tokens(checkpoint):
    tokenizer = load(checkpoint).tokenizer
    assert set(SPECIAL_TOKENS) <= set(tokenizer.all_special_tokens)
    assert [tokenizer(token)["input_ids"] for token in SPECIAL_TOKENS] == [[index] for index in range(6)]


SWIN = replace(PRESETS["nano"], stages=(1, 1), window=4, padded=False)


def test_a_swin_tower_gives_as_many_tokens_as_the_processor_writes(tmp_path):
    build_checkpoint(tmp_path, shape=SWIN, texts=TEXTS)
    ours, theirs = load(tmp_path), AutoModelForImageTextToText.from_pretrained(tmp_path)
    pixels = ours.prepare([picture()])["pixel_values"]
    messages = build_messages(Figure(id="f", image=b"x"), "What?")
    ids = encode_prompt(messages, ours.tokenizer, ours.template, ours.image_tokens)
    assert ids.count(ours.tokenizer.convert_tokens_to_ids("<image>")) == SWIN.image_tokens == 16
    logits = [model(input_ids=torch.tensor([ids]), pixel_values=pixels).logits for model in (ours.model, theirs)]
    torch.testing.assert_close(*logits)
    blank = theirs(input_ids=torch.tensor([ids]), pixel_values=torch.zeros_like(pixels)).logits
    assert not torch.allclose(blank, logits[1])


@pytest.mark.parametrize("shape", [PRESETS["nano"], SWIN])
def test_untrained_patches_differ_more_from_place_to_place_than_they_have_in_common(tmp_path, shape):
    build_checkpoint(tmp_path, shape=shape, texts=TEXTS)
    loaded = load(tmp_path)
    inner = loaded.model.model
    seen = inner.vision_tower(loaded.prepare([picture(64, 64)])["pixel_values"], output_hidden_states=True)
    tokens = inner.multi_modal_projector(seen.hidden_states[-1])[0]
    assert tokens.std(dim=0).mean() > 0.5 * tokens.mean(dim=0).square().mean().sqrt()


def test_the_gradients_of_an_empty_page_are_of_an_ordinary_size(tmp_path):
    """Where white is 0, a Swin of eight layers has infinite ones."""
    build_checkpoint(tmp_path, shape=replace(SWIN, image_size=128, vision_heads=4, stages=(2, 2, 2)), texts=TEXTS)
    loaded = load(tmp_path)
    inner = loaded.model.model
    seen = inner.vision_tower(
        loaded.prepare([Image.new("RGB", (80, 60), "white")])["pixel_values"], output_hidden_states=True
    )
    inner.multi_modal_projector(seen.hidden_states[-1]).square().sum().backward()
    norms = [weight.grad.norm() for weight in inner.vision_tower.parameters() if weight.grad is not None]
    assert max(norms) < 1e5


def test_only_the_language_model_of_a_swin_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: None)
    model = build_checkpoint(tmp_path, shape=replace(SWIN, stages=(2, 2)), texts=TEXTS)
    assert compile_layers(model) == SWIN.layers


def test_packaged_shape_is_small_enough_for_the_repository():
    tokens = PRESETS["small"].image_tokens
    assert tokens * PRESETS["small"].patch_size ** 2 == PRESETS["small"].image_size ** 2


def test_loaded_model_says_what_it_is(checkpoint):
    loaded = load(checkpoint)
    assert loaded.name == "test-nano"
    assert "random" in loaded.about
    assert loaded.image_tokens == PRESETS["nano"].image_tokens
    assert loaded.context_length == 2048
    assert loaded.template == load_template("chatml")
    assert not loaded.model.training


def test_name_of_the_folder_decides_nothing(checkpoint, tmp_path):
    renamed = shutil.copytree(checkpoint, tmp_path / "llava-v1.5-13b-lora")
    assert load(renamed).name == "test-nano"
    assert type(load(renamed).model) is type(load(checkpoint).model)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "weights"),
        ("tokenizer.json", "tokenizer"),
        ("chat_template.jinja", "chat template"),
    ],
)
def test_missing_file_is_named(broken, missing, says):
    (broken / missing).unlink()
    with pytest.raises(CheckpointError, match=says):
        load(broken)


def test_missing_image_preparation_is_named(broken):
    (broken / "processor_config.json").unlink()
    (broken / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="image preparation"):
        load(broken)


def test_pickled_weights_are_not_opened(broken):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="can run code"):
        load(broken)


def test_weights_that_do_not_fill_the_model_are_refused(broken):
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    name = next(name for name in weights if "multi_modal_projector" in name)
    del weights[name]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="missing"):
        load(broken)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_broken_config_is_named(broken, content):
    (broken / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(broken)


def test_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load(tmp_path / "nothing")


def test_build_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(InputError, match="unknown preset 'tny'.*'tiny'"):
        build_command(texts=[], out=tmp_path / "x", preset="tny")
    with pytest.raises(InputError, match="no text"):
        build_checkpoint(tmp_path / "x", shape=PRESETS["nano"], texts=[])
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        list(read_texts([tmp_path / "file"]))
    with pytest.raises(InputError, match="not empty"):
        build_checkpoint(tmp_path, shape=PRESETS["nano"], texts=TEXTS)


@pytest.mark.parametrize("size", [(64, 64), (300, 40), (33, 500)])
def test_tokens_and_inputs_of_an_image_are_those_of_its_processor(checkpoint, size):
    loaded = load(checkpoint)
    image = Image.new("RGB", size, "red")
    whole = loaded.processor(text="<image>", images=image, return_tensors="pt")
    assert loaded.tokens_of(size) == int((whole["input_ids"] == loaded.model.config.image_token_id).sum())
    prepared = loaded.prepare([image, image])
    assert set(prepared) == {"pixel_values"}
    assert torch.equal(prepared["pixel_values"], whole["pixel_values"].repeat(2, 1, 1, 1))
    assert loaded.prepare([]) == {}
