"""LLaVA's layouts and transformers': the same numbers there and back, the same answers, and what is wrong is named."""

import json
from dataclasses import replace
from pathlib import Path

import original_llava as original
import pytest
import torch
from original_llava import EARLY, publish, same
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.chat import load_template
from llava_graph.errors import CheckpointError
from llava_graph.generate import generate_stream
from llava_graph.model import load
from llava_graph.model.legacy import Conversion, convert
from llava_graph.model.legacy.look import Look
from llava_graph.model.tokenizer_files import open_tokenizer

TILES = [[28, 56], [56, 28], [56, 56]]
CASES = {
    "version 0, linear": EARLY,
    "1.0, one numbered layer": {"connector": "mlp1x_gelu"},
    "1.5, shards of bin": {"shards": 3},
    "1.5, safetensors, half": {"layout": "safetensors", "dtype": torch.float16},
    "1.5, tied, shards of safetensors": {"layout": "safetensors", "tied": True, "shards": 2},
    "1.5, whole class token": {"mm_vision_select_feature": "cls_patch", "image_aspect_ratio": None},
    "model_type of its time": {"model_type": "llava"},
    "mistral": {"text": "mistral"},
    "qwen on siglip, tied, unused rows": {"text": "qwen2", "kind": "siglip", "tied": True, "rows": 20},
    "three layers": {"connector": "mlp3x_gelu"},
    "its own tower": {"own_tower": True, "layout": "safetensors", "unfreeze_mm_vision_tower": True},
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    more = dict(CASES[request.param])
    if more.get("connector") == "mlp1x_gelu":
        more["connector"] = "linear"
        published = publish(tmp_path_factory.mktemp("case"), **more)
        renamed = {name.replace("mm_projector.", "mm_projector.0."): value for name, value in published.weights.items()}
        published.weights = renamed
        original.save(published.folder, renamed, "bin")
        published.config["mm_projector_type"] = "mlp1x_gelu"
        (published.folder / "config.json").write_text(json.dumps(published.config))
    else:
        published = publish(tmp_path_factory.mktemp("case"), **more)
    out = published.folder.parent / "converted"
    convert(published.folder, out, Conversion())
    return published, out


def logits_of(folder, ids, pixels, image_tokens, **more):
    """What plain transformers computes; `ids` has -200 for the image."""
    from llava_graph.model.connectors import register

    register()
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, dtype="auto")
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    image = model.config.image_token_id
    row = [part for number in ids for part in ([image] * image_tokens if number == -200 else [number])]
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([row]), pixel_values=pixels.to(model.dtype), **more).logits[0]


def test_converted_checkpoint_computes_what_llava_computes(case):
    published, out = case
    pixels = torch.randn(1, 3, original.SIDE, original.SIDE).to(next(iter(published.weights.values())).dtype)
    ids = [1, 40, 41, -200, 42, 43, 2]
    whole = (
        published.config.get("mm_vision_select_feature") == "cls_patch"
        or "siglip" in str(type(published.vision)).lower()
    )
    vision = published.vision.to(pixels.dtype)
    theirs = original.forward(published.text, vision, published.weights, ids, pixels, drop=0 if whole else 1)
    count = original.PATCHES + (published.config.get("mm_vision_select_feature") == "cls_patch")
    ours = logits_of(out, ids, pixels, count)
    # Not bit by bit: how many threads share a sum is the machine's affair.
    assert torch.allclose(ours[:, : theirs.shape[1]], theirs, atol=1e-5 if theirs.dtype == torch.float32 else 4e-3)


def test_there_and_back_is_bit_for_bit_the_same(case, tmp_path):
    published, out = case
    with_tower = any("vision_tower" in name for name in published.weights)
    convert(out, tmp_path / "back", Conversion(to="llava", with_tower=with_tower))
    back = original.weights_of(tmp_path / "back")
    assert back.keys() == published.weights.keys()
    assert all(same(back[name], value) for name, value in published.weights.items())
    assert json.loads((tmp_path / "back" / "config.json").read_text()) == published.config
    texts = [json.loads((folder / "tokenizer.json").read_text()) for folder in (published.folder, tmp_path / "back")]
    assert texts[0] == texts[1]


def test_names_are_those_that_other_engines_read(case):
    _, out = case
    names = set(original.weights_of(out))
    config = json.loads((out / "config.json").read_text())
    prefix = "model." if config["model_type"] == "llava_mlp" else ""
    tower = "model.vision_tower." if prefix else "vision_tower.vision_model."
    text = "model.language_model." if prefix else "language_model.model."
    assert f"{tower}encoder.layers.0.self_attn.q_proj.weight" in names
    assert {f"{text}embed_tokens.weight", f"{text}layers.1.mlp.up_proj.weight"} <= names
    assert any(name.startswith(f"{prefix}multi_modal_projector.") for name in names)


def test_converted_folder_opens_here_with_everything(case):
    published, out = case
    loaded = load(out)
    processor = AutoProcessor.from_pretrained(out)
    count = original.PATCHES + (published.config.get("mm_vision_select_feature") == "cls_patch")
    assert loaded.image_tokens == count
    assert processor.chat_template == loaded.template
    early = "mm_projector_type" not in published.config
    assert loaded.prompt.style == ("llava_graph" if early else "figure")
    assert loaded.tokenizer.eos_token_id in loaded.model.generation_config.eos_token_id
    assert not loaded.model.generation_config.do_sample
    assert {"generation_config.json", "preprocessor_config.json", "chat_template.jinja"} <= {
        f.name for f in out.iterdir()
    }


def test_version_0_is_asked_as_in_its_time(tmp_path):
    published = publish(tmp_path, **EARLY)
    told = convert(published.folder, tmp_path / "out", Conversion())
    loaded = load(tmp_path / "out")
    assert loaded.template == load_template("v0").replace("<image>", "<im_start><image><im_end>")
    assert loaded.tokenizer.convert_tokens_to_ids(["<im_start>", "<im_end>"]) == [
        len(loaded.tokenizer) - 4 + place for place in (0, 1)
    ]
    assert not loaded.image_processor.do_pad
    assert loaded.image_processor.do_center_crop
    assert any("spring 2023" in line for line in told)
    look = Look(template="multimodal", prompt="figure", preparation="pad")
    convert(published.folder, tmp_path / "asked", Conversion(look=look))
    other = load(tmp_path / "asked")
    assert "WAIV" in other.template
    assert other.prompt.style == "figure"
    assert other.image_processor.do_pad


class Says:
    """In the place of a model: it writes the given ids whatever it is asked."""

    def __init__(self, model, ids):
        self.config, self.generation_config = model.config, model.generation_config
        self.device, self.dtype, self._ids = model.device, model.dtype, ids

    def generate(self, input_ids, streamer, **_):
        streamer.put(input_ids)
        for number in self._ids:
            streamer.put(torch.tensor([number]))


@pytest.mark.parametrize(("template", "expected"), [(None, "A curve."), ("vicuna_v1", "A curve.###Human: more")])
def test_an_answer_of_version_0_ends_at_its_mark(tmp_path, template, expected):
    published = publish(tmp_path, **EARLY)
    convert(published.folder, tmp_path / "out", Conversion(look=Look(template=template)))
    loaded = load(tmp_path / "out")
    ids = loaded.tokenizer("A curve.###Human: more", add_special_tokens=False)["input_ids"]
    speaking = replace(loaded, model=Says(loaded.model, ids))
    chunks = list(generate_stream(speaking, [{"role": "user", "content": "What?"}], []))
    assert "".join(chunk.text for chunk in chunks) == expected
    assert chunks[-1].finish_reason == ("length" if template else "stop")


def test_images_of_version_0_are_cut_as_clip_does(tmp_path):
    from PIL import Image
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    published = publish(tmp_path, **EARLY)
    convert(published.folder, tmp_path / "out", Conversion())
    picture = Image.linear_gradient("L").convert("RGB").resize((90, 40))
    ours = load(tmp_path / "out").prepare([picture])["pixel_values"]
    clip = CLIPImageProcessorPil(
        size={"shortest_edge": original.SIDE}, crop_size=original.SIDE, image_mean=[0.48] * 3, image_std=[0.27] * 3
    )
    assert torch.equal(ours, clip(picture, return_tensors="pt")["pixel_values"])


@pytest.mark.parametrize(
    ("more", "words", "name"),
    [
        ({}, (), "vicuna_v1"),
        ({"text": "mistral"}, (), "mistral_instruct"),
        ({"text": "qwen2"}, (), "qwen"),
        ({"marks": ("<|im_start|>", "<|im_end|>")}, (), "chatml_direct"),
        ({"marks": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")}, (), "llama_3"),
    ],
)
def test_chat_template_is_that_of_the_language_model(tmp_path, more, words, name):
    published = publish(tmp_path, **more)
    told = convert(
        published.folder, tmp_path / "llava-v1.5-13b-lora-mpt", Conversion()
    )  # names of folders decide nothing
    loaded = load(tmp_path / "llava-v1.5-13b-lora-mpt")
    assert loaded.template == load_template(name)
    assert any(f"chat template {name}" in line for line in told)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    published = publish(
        tmp_path_factory.mktemp("tiled"), text="mistral", newline=True, shards=2, layout="safetensors",
        image_aspect_ratio="anyres", mm_patch_merge_type="spatial_unpad", image_grid_pinpoints=[[28, 84], *TILES],
    )  # fmt: skip
    out = published.folder.parent / "converted"
    convert(published.folder, out, Conversion())
    return published, out


def test_tiles_become_llava_next(tiled):
    """Against transformers' own model, filled by hand from the original weights."""
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    published, out = tiled
    loaded = load(out)
    config = loaded.model.config
    assert config.model_type == "llava_next"
    assert config.image_grid_pinpoints == [[84, 28], [56, 28], [28, 56], [56, 56]]  # height first, in the same order
    by_hand = LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=published.vision.config, text_config=published.text.config, vision_feature_layer=-2,
            vision_feature_select_strategy="default", image_token_index=config.image_token_id,
            image_grid_pinpoints=config.image_grid_pinpoints,
        )
    )  # fmt: skip
    weights = published.weights
    state = {f"model.vision_tower.{name}": value for name, value in published.vision.state_dict().items()}
    state["model.image_newline"] = weights["model.image_newline"]
    state["lm_head.weight"] = weights["lm_head.weight"]
    for name, value in weights.items():
        if name.startswith("model.mm_projector."):
            number, kind = name.removeprefix("model.mm_projector.").split(".")
            state[f"model.multi_modal_projector.linear_{int(number) // 2 + 1}.{kind}"] = value
        elif name.startswith("model.") and "newline" not in name:
            state[f"model.language_model.{name.removeprefix('model.')}"] = value
    by_hand.load_state_dict(state)
    pixels, sizes = torch.randn(1, 3, 3, original.SIDE, original.SIDE), torch.tensor([[40, 25]])
    count = loaded.tokens_of((25, 40))
    ids = torch.tensor([[1, 40, *[config.image_token_id] * count, 41]])
    by_hand.get_input_embeddings()  # the image token's own row is never looked at; it only must exist
    by_hand.resize_token_embeddings(config.text_config.vocab_size, mean_resizing=False)
    with torch.no_grad():
        theirs = by_hand.eval()(input_ids=ids, pixel_values=pixels, image_sizes=sizes).logits
        ours = loaded.model(input_ids=ids, pixel_values=pixels, image_sizes=sizes).logits
    assert torch.equal(
        ours[..., : weights["lm_head.weight"].shape[0]], theirs[..., : weights["lm_head.weight"].shape[0]]
    )


def test_tiles_there_and_back(tiled, tmp_path):
    published, out = tiled
    convert(out, tmp_path / "back", Conversion(to="llava"))
    back = original.weights_of(tmp_path / "back")
    assert back.keys() == published.weights.keys()
    assert all(same(back[name], value) for name, value in published.weights.items())
    assert json.loads((tmp_path / "back" / "config.json").read_text()) == published.config


def test_siglip_without_its_last_layer_is_read_at_its_end(tmp_path):
    """LLaVA-NeXT on Qwen stores SigLIP one layer short, and reads the last one."""
    published = publish(tmp_path, text="qwen2", kind="siglip", own_tower=True, layout="safetensors")
    cut = {name: value for name, value in published.weights.items() if ".encoder.layers.2." not in name}
    original.save(published.folder, cut)
    convert(published.folder, tmp_path / "out", Conversion())
    pixels, ids = torch.randn(1, 3, original.SIDE, original.SIDE), [1, 40, -200, 42]
    theirs = original.forward(published.text, published.vision, published.weights, ids, pixels, drop=0)
    ours = logits_of(tmp_path / "out", ids, pixels, original.PATCHES)
    # Not bit by bit: how many threads share a sum is the machine's affair.
    assert torch.allclose(ours[:, : theirs.shape[1]], theirs, atol=1e-5 if theirs.dtype == torch.float32 else 4e-3)


SENTENCEPIECE = Path(__file__).parent / "fixtures" / "sentencepiece"
"""A model trained by sentencepiece 0.2.3, and the ids that it gives to some texts."""


def test_sentencepiece_file_gives_sentencepieces_ids_without_sentencepiece(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes((SENTENCEPIECE / "tokenizer.model").read_bytes())
    tokenizer = open_tokenizer(folder)
    known = json.loads((SENTENCEPIECE / "ids.json").read_text())
    assert known
    for text, ids in known.items():
        assert tokenizer(text)["input_ids"] == [1, *ids]
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("legacy", [True, False])
def test_vicunas_tokenizer_stays_itself_through_a_conversion(tmp_path, legacy):
    published = publish(tmp_path, rows=200)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (published.folder / file).unlink()
    (published.folder / "tokenizer.model").write_bytes((SENTENCEPIECE / "tokenizer.model").read_bytes())
    settings = {"tokenizer_class": "LlamaTokenizer", "pad_token": "<unk>", "legacy": legacy, "model_max_length": 2048}
    (published.folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (published.folder / "added_tokens.json").write_text(json.dumps({"<im_patch>": 480}))
    convert(published.folder, tmp_path / "out", Conversion())
    tokenizer = load(tmp_path / "out").tokenizer
    text = "What does this figure show? ASSISTANT: A1</s>USER: Q2"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == f"<s> {text}".replace(
        "</s>", "</s> " if legacy else "</s>"
    )
    assert tokenizer.convert_tokens_to_ids(["<im_patch>", "<image>"]) == [480, 481]
    convert(tmp_path / "out", tmp_path / "back", Conversion(to="llava"))
    pieces = [(folder / "tokenizer.model").read_bytes() for folder in (published.folder, tmp_path / "back")]
    assert pieces[0] == pieces[1]


@pytest.mark.parametrize("content", [b"", b"\xff" * 30, b"\x0a\x7f", b"\x0a\x03\x0a\x01a"])
def test_broken_sentencepiece_file_is_named(tmp_path, content):
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.model"):
        open_tokenizer(tmp_path)
