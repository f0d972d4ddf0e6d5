"""Vision towers of every layout come out as transformers' own models that compute the same."""

import json
import os

import pytest
import torch
from tiny_open_clip import HEADS, LAYERS, PATCH, SIDE, WIDTH, open_clip_folder, open_clip_weights
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel, SiglipConfig, SiglipModel

from llava_graph.errors import CheckpointError
from llava_graph.model.hub import part_folder
from llava_graph.model.towers import read_tower

VISION = {
    "hidden_size": WIDTH, "intermediate_size": 128, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "image_size": SIDE, "patch_size": PATCH,
}  # fmt: skip
TEXT = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99,
    "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture
def pixels():
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def open_clip_states(weights, pixels, *, quick_gelu):
    """Hidden states after the embedding and after each block, as open_clip's architecture computes them."""

    def norm(x, name):
        return functional.layer_norm(x, (WIDTH,), weights[f"visual.{name}.weight"], weights[f"visual.{name}.bias"])

    def linear(x, name):
        return functional.linear(x, weights[f"visual.{name}.weight"], weights[f"visual.{name}.bias"])

    x = functional.conv2d(pixels, weights["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([weights["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
    x = norm(x + weights["visual.positional_embedding"], "ln_pre")
    states = [x]
    for layer in range(LAYERS):
        block = f"transformer.resblocks.{layer}"
        y = norm(x, f"{block}.ln_1").transpose(0, 1)
        y, _ = functional.multi_head_attention_forward(
            y, y, y, WIDTH, HEADS,
            weights[f"visual.{block}.attn.in_proj_weight"], weights[f"visual.{block}.attn.in_proj_bias"],
            None, None, False, 0.0,
            weights[f"visual.{block}.attn.out_proj.weight"], weights[f"visual.{block}.attn.out_proj.bias"],
            need_weights=False,
        )  # fmt: skip
        x = x + y.transpose(0, 1)
        y = linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        y = y * torch.sigmoid(1.702 * y) if quick_gelu else functional.gelu(y)
        x = x + linear(y, f"{block}.mlp.c_proj")
        states.append(x)
    return states


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
def test_open_clip_tower_computes_what_open_clip_computes(tmp_path, pixels, quick_gelu, pickled):
    weights = open_clip_weights()
    folder = open_clip_folder(tmp_path / "quiltnet", weights, quick_gelu=quick_gelu, pickled=pickled)
    tower = read_tower(folder, torch.float64)  # no rounding hides a wrong place
    assert isinstance(tower.model, CLIPVisionModel)
    exact = {name: weight.double() for name, weight in weights.items()}
    with torch.no_grad():
        ours = tower.model(pixels.double(), output_hidden_states=True)
        theirs = open_clip_states(exact, pixels.double(), quick_gelu=quick_gelu)
    assert len(ours.hidden_states) == len(theirs)
    for one, other in zip(ours.hidden_states, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)
    assert (tower.image_size, tower.patch_size, tower.patches, tower.class_tokens) == (SIDE, PATCH, 16, 1)
    assert (tower.mean, tower.std, tower.resample) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 3)


def test_open_clip_image_preparation_is_read(tmp_path):
    folder = open_clip_folder(tmp_path / "a", preprocess={"interpolation": "bilinear", "mean": None, "std": 0.5})
    tower = read_tower(folder)
    assert (tower.std, tower.resample) == ((0.5, 0.5, 0.5), 2)
    assert tower.mean[0] == pytest.approx(0.4815, abs=1e-4)


@pytest.mark.parametrize(
    ("vision", "extra", "says"),
    [
        ({"timm_model_name": "vit_base_patch16_224"}, {}, "timm's 'vit_base_patch16_224'"),
        ({"layers": [3, 4, 6, 3]}, {}, "no plain vision transformer"),
        ({"ls_init_value": 0.1}, {}, "ls_init_value"),
        ({}, {"visual.transformer.resblocks.0.ls_1.gamma": torch.ones(WIDTH)}, "ls_1.gamma"),
        ({"width": 128, "head_width": 64}, {}, "do not fit"),
        ({"layers": 4}, {}, "do not fit"),
    ],
)
def test_open_clip_towers_of_another_build_are_refused_with_the_reason(tmp_path, vision, extra, says):
    folder = open_clip_folder(tmp_path / "other", open_clip_weights() | extra, vision=vision)
    with pytest.raises(CheckpointError, match=says):
        read_tower(folder)


class Trap:
    """Unpickled, it would make a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_in_pickled_weights_is_not_run(tmp_path):
    trap = {**open_clip_weights(), "visual.proj": Trap(tmp_path / "sprung")}
    clip = tmp_path / "clip"
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION)).save_pretrained(clip)
    (clip / "model.safetensors").unlink()
    torch.save(trap, clip / "pytorch_model.bin")
    for folder in (open_clip_folder(tmp_path / "trap", trap, pickled=True), clip):
        with pytest.raises(CheckpointError, match="more than tensors"):
            read_tower(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folders of complete two-sided checkpoints, as the hub has them."""
    out = tmp_path_factory.mktemp("towers")
    torch.manual_seed(0)
    models = {
        "clip": CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION)),
        "siglip": SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)),
    }
    for name, model in models.items():
        model.save_pretrained(out / name)
    prepared = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1], "resample": 2}
    (out / "siglip" / "preprocessor_config.json").write_text(json.dumps(prepared))
    return {name: (out / name, model.eval()) for name, model in models.items()}


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_the_vision_side_of_a_whole_checkpoint_is_read(whole, pixels, name, capsys):
    folder, model = whole[name]
    tower = read_tower(folder)
    with torch.no_grad():
        one = tower.model(pixels, output_hidden_states=True).hidden_states
        other = model.vision_model(pixels, output_hidden_states=True).hidden_states
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert tower.class_tokens == {"clip": 1, "siglip": 0}[name]
    assert not any("head." in key for key in tower.model.state_dict())
    assert capsys.readouterr().err == ""


def test_the_vision_side_alone_is_read_too(whole, pixels, tmp_path):
    tower = read_tower(whole["clip"][0])
    tower.model.save_pretrained(tmp_path / "alone")
    again = read_tower(tmp_path / "alone", torch.bfloat16)
    assert again.model.dtype == torch.bfloat16
    assert torch.equal(again.model.embeddings.class_embedding, tower.model.embeddings.class_embedding.bfloat16())


def test_image_preparation_is_the_checkpoints_or_the_familys(whole):
    siglip, clip = read_tower(whole["siglip"][0]), read_tower(whole["clip"][0])
    assert (siglip.mean, siglip.std, siglip.resample) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1), 2)
    assert clip.std[0] == pytest.approx(0.2686, abs=1e-4)


def test_what_is_no_tower_is_named(whole, tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        read_tower(tmp_path / "nothing")
    for kind, says in (("siglip2", "NaFlex"), ("llama", "model_type 'llama'")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps({"model_type": kind}))
        with pytest.raises(CheckpointError, match=says):
            read_tower(tmp_path / kind)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text((whole["clip"][0] / "config.json").read_text())
    with pytest.raises(CheckpointError, match="with its weights"):
        read_tower(tmp_path / "half")


def test_a_folder_is_taken_as_it_is(whole):
    assert part_folder(whole["clip"][0]) == whole["clip"][0]
