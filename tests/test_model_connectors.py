"""Connectors of our own: deeper perceptrons, and one that gives as many tokens whatever the image's size; and trained ones."""

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from tiny_parts import PATCHES, SIDE, save_language_model, save_tower

from llava_graph.chat import encode_text
from llava_graph.errors import CheckpointError
from llava_graph.model import load
from llava_graph.model.assemble import assemble_checkpoint
from llava_graph.model.assembly import Assembly
from llava_graph.model.build import save_checkpoint
from llava_graph.model.connectors import LlavaScaleInvariantConfig, ScaleInvariantConnector
from llava_graph.model.preparation import LLAVA_GRIDS, PA_LLAVA_GRIDS

SIZES = [(32, 32), (400, 50), (40, 333), (130, 128), (97, 60)]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    out = tmp_path_factory.mktemp("parts")
    return {
        "language_model": str(save_language_model(out / "llama")),
        "vision_tower": str(save_tower(out / "clip")),
    }


@pytest.fixture(scope="module")
def scale_invariant(parts, tmp_path_factory):
    out = tmp_path_factory.mktemp("scale") / "model"
    return load(assemble_checkpoint(out, Assembly(connector="scale_invariant", **parts)))


def picture(width, height):
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line((0, 0, width, height), fill="black", width=3)
    return image


def features(loaded, prepared):
    with torch.no_grad():
        return torch.stack(loaded.model.get_image_features(**prepared).pooler_output)


def test_grids_are_those_of_the_published_models():
    assert len(PA_LLAVA_GRIDS) == 15
    assert (PA_LLAVA_GRIDS[0], PA_LLAVA_GRIDS[-1]) == ((1, 4), (8, 1))
    assert {(336 * rows, 336 * columns) for rows, columns in LLAVA_GRIDS} == {
        (336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008),
    }  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_an_image_of_any_size_takes_as_many_tokens(scale_invariant, size):
    prepared = scale_invariant.prepare([picture(*size)])
    assert scale_invariant.tokens_of(size) == PATCHES
    assert features(scale_invariant, prepared).shape == (1, PATCHES, 64)
    ids = scale_invariant.processor(text="<image>", images=picture(*size))["input_ids"][0]
    assert ids.count(scale_invariant.model.config.image_token_id) == PATCHES


def test_an_image_in_a_batch_is_seen_as_if_it_were_alone(scale_invariant):
    images = [picture(*size) for size in SIZES]
    together = scale_invariant.prepare(images)
    tiles = (together["pixel_values"].flatten(2).abs().sum(-1) > 0).sum(1)
    assert len(set(tiles.tolist())) > 1  # else there is nothing to pad
    found = features(scale_invariant, together)
    for index, image in enumerate(images):
        alone = features(scale_invariant, scale_invariant.prepare([image]))
        torch.testing.assert_close(found[index], alone[0], atol=1e-5, rtol=1e-5)


def test_padding_tiles_are_never_looked_at(scale_invariant):
    prepared = scale_invariant.prepare([picture(*size) for size in SIZES])
    before = features(scale_invariant, prepared)
    pixels = prepared["pixel_values"].clone()
    padding = pixels.flatten(2).abs().sum(-1) == 0
    assert padding.any()
    pixels[padding] = float("nan")
    assert torch.equal(features(scale_invariant, {**prepared, "pixel_values": pixels}), before)


@pytest.mark.parametrize("tile", [0, 1, -1])
def test_every_tile_counts_the_last_one_too(scale_invariant, tile):
    prepared = scale_invariant.prepare([picture(400, 50), picture(100, 100)])  # eight tiles, four tiles
    before = features(scale_invariant, prepared)
    tiles = {0: 0, 1: 1, -1: 4}[tile]  # the whole image, the first tile, the last of the second image
    pixels = prepared["pixel_values"].clone()
    pixels[1, tiles] += 1
    after = features(scale_invariant, {**prepared, "pixel_values": pixels})
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1], atol=1e-4)


def test_masked_features_have_no_influence_and_order_of_tiles_neither():
    config = LlavaScaleInvariantConfig(connector_layers=2, connector_heads=2)
    config.vision_config.hidden_size, config.text_config.hidden_size = 16, 24
    connector = ScaleInvariantConnector(config).double().eval()
    whole, tiles = torch.randn(2, 5, 16).double(), torch.randn(2, 12, 16).double()
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[0, 7:] = False
    with torch.no_grad():
        before = connector(whole, tiles, mask)
        assert before.shape == (2, 5, 24)
        tiles[0, 7:] = 1e6
        assert torch.equal(connector(whole, tiles, mask), before)
        shuffled = tiles[:, [6, 2, 0, 1, 4, 5, 3, *range(7, 12)]]  # there are no positions
        torch.testing.assert_close(connector(whole, shuffled, mask), before)
        torch.testing.assert_close(connector(whole[:1], tiles[:1, :7], mask[:1, :7]), before[:1])


@pytest.mark.parametrize("connector", ["mlp3x_gelu", "scale_invariant"])
def test_it_answers_and_learns(parts, tmp_path, connector):
    loaded = load(assemble_checkpoint(tmp_path / "m", Assembly(connector=connector, **parts)))
    image = picture(90, 40)
    inputs = loaded.prepare([image])
    ids = torch.tensor([encode_text("<image> what", loaded.tokenizer, loaded.tokens_of(image.size), 1)])
    answer = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, **inputs)
    assert answer.shape[1] > ids.shape[1]
    loaded.model.train()
    loaded.model(input_ids=ids, labels=ids, **inputs).loss.backward()
    weights = dict(loaded.model.model.multi_modal_projector.named_parameters())
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_deep_connector_is_llavas(parts, tmp_path):
    loaded = load(assemble_checkpoint(tmp_path / "m", Assembly(connector="mlp4x_gelu", **parts)))
    connector = loaded.model.model.multi_modal_projector
    assert [type(layer).__name__ for layer in connector] == ["Linear", *["GELU", "Linear"] * 3]
    assert set(connector.state_dict()) == {f"{layer}.{kind}" for layer in (0, 2, 4, 6) for kind in ("weight", "bias")}


STRANGER = """
import sys, torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from PIL import Image
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], trust_remote_code=True)
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
inputs = processor(text="<image>", images=Image.new("RGB", (90, 40), "red"), return_tensors="pt")
with torch.no_grad():
    torch.save(model(**inputs).logits, sys.argv[2])
print("llava_graph" in sys.modules, type(model).__module__.split(".")[0])
"""


def test_plain_transformers_opens_it_with_the_code_that_the_checkpoint_carries(scale_invariant, tmp_path):
    loaded = scale_invariant
    save_checkpoint(loaded.model, loaded.processor, tmp_path / "again")  # as training does
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "again", tmp_path / "logits.pt"],
        env=environment, cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert answer.split() == ["False", "transformers_modules"]
    inputs = loaded.processor(text="<image>", images=Image.new("RGB", (90, 40), "red"), return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / "logits.pt"), loaded.model(**inputs).logits)


# --- trained connectors


def llava_bin(connector, *, linear=False):
    """The state dict that LLaVA's first stage leaves."""
    layers = {"": "linear_1"} if linear else {"0.": "linear_1", "2.": "linear_2"}
    return {
        f"model.mm_projector.{ours}{kind}": getattr(getattr(connector, theirs), kind).detach() + 1
        for ours, theirs in layers.items()
        for kind in ("weight", "bias")
    }


@pytest.fixture(scope="module")
def fresh(parts, tmp_path_factory):
    out = tmp_path_factory.mktemp("fresh") / "model"
    return load(assemble_checkpoint(out, Assembly(**parts)))


@pytest.mark.parametrize("kind", ["file", "folder", "safetensors", "checkpoint"])
def test_a_trained_connector_is_taken_from_every_layout(parts, fresh, tmp_path, kind):
    connector = fresh.model.model.multi_modal_projector
    weights = llava_bin(connector)
    places = {"file": tmp_path / "mm_projector.bin", "folder": tmp_path, "safetensors": tmp_path / "x.safetensors"}
    if kind == "checkpoint":
        with torch.no_grad():
            other = load(assemble_checkpoint(tmp_path / "other", Assembly(seed=5, **parts)))
            for name, weight in other.model.model.multi_modal_projector.named_parameters():
                weight.copy_(connector.get_parameter(name) + 1)
        save_checkpoint(other.model, other.processor, tmp_path / "trained")
        places[kind] = tmp_path / "trained"
    elif kind == "safetensors":
        save_file(weights, places[kind])
    else:
        torch.save(weights, tmp_path / "mm_projector.bin")
    loaded = load(assemble_checkpoint(tmp_path / "m", Assembly(adapter=str(places[kind]), **parts)))
    for name, weight in loaded.model.model.multi_modal_projector.named_parameters():
        assert torch.equal(weight, connector.get_parameter(name) + 1)
    assert "not trained" not in loaded.about


def test_a_linear_one_stays_linear(parts, fresh, tmp_path):
    torch.save(llava_bin(fresh.model.model.multi_modal_projector, linear=True), tmp_path / "mm_projector.bin")
    choice = Assembly(connector="linear", adapter=str(tmp_path / "mm_projector.bin"), **parts)
    connector = load(assemble_checkpoint(tmp_path / "m", choice)).model.model.multi_modal_projector
    assert torch.equal(connector.linear_1.bias, fresh.model.model.multi_modal_projector.linear_1.bias + 1)
    assert torch.equal(connector.linear_2.weight, torch.eye(64))


@pytest.mark.parametrize(("theirs", "ours"), [("linear", "mlp2x_gelu"), ("mlp2x_gelu", "linear")])
def test_a_connector_of_the_same_shapes_and_another_type_is_refused(parts, tmp_path, theirs, ours):
    trained = assemble_checkpoint(tmp_path / "trained", Assembly(connector=theirs, seed=5, **parts))
    with pytest.raises(CheckpointError, match=f"{theirs} there and {ours} here.*Add --mm_projector_type {theirs}"):
        assemble_checkpoint(tmp_path / "m", Assembly(connector=ours, adapter=str(trained), **parts))
    same = load(assemble_checkpoint(tmp_path / "m", Assembly(connector=theirs, adapter=str(trained), **parts)))
    connector = load(trained).model.model.multi_modal_projector
    assert torch.equal(same.model.model.multi_modal_projector.linear_1.weight, connector.linear_1.weight)


def test_rows_of_the_image_marks_come_with_it(parts, fresh, tmp_path):
    rows = torch.randn(2, 64)
    weights = {**llava_bin(fresh.model.model.multi_modal_projector), "model.embed_tokens.weight": rows}
    torch.save(weights, tmp_path / "mm_projector.bin")
    adapter = str(tmp_path / "mm_projector.bin")
    loaded = load(assemble_checkpoint(tmp_path / "m", Assembly(adapter=adapter, im_start_end=True, **parts)))
    marks = loaded.tokenizer.convert_tokens_to_ids(["<im_start>", "<im_end>"])
    assert torch.equal(loaded.model.get_input_embeddings().weight[marks], rows)


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_what_is_no_connector_of_this_model_is_refused(parts, fresh, tmp_path):
    weights = llava_bin(fresh.model.model.multi_modal_projector)
    wrong = {
        "narrow": ({name: weight[:SIDE] for name, weight in weights.items()}, "another connector"),
        "short": ({name: weight for name, weight in weights.items() if ".2." not in name}, "linear_2"),
        "trap": ({**weights, "x": Trap(tmp_path / "sprung")}, "more than tensors"),
    }
    for name, (content, says) in wrong.items():
        torch.save(content, tmp_path / f"{name}.bin")
        with pytest.raises(CheckpointError, match=says):
            assemble_checkpoint(tmp_path / "m", Assembly(adapter=str(tmp_path / f"{name}.bin"), **parts))
    assert not (tmp_path / "sprung").exists()
