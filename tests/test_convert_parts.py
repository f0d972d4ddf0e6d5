"""Checkpoints in parts: projectors, LoRA, deltas. And how a conversion writes: piece by piece, whole or not at all, safely."""

import json
import os
import subprocess
import sys
from pathlib import Path

import original_llava as original
import pytest
import torch
from original_llava import EARLY, publish, same
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from llava_graph.chat import load_template
from llava_graph.cli import app
from llava_graph.errors import CheckpointError, InputError
from llava_graph.model import load
from llava_graph.model.legacy import Conversion, convert
from llava_graph.model.legacy.look import Look
from llava_graph.model.legacy.names import to_llava
from llava_graph.model.legacy.tensors import open_weights
from llava_graph.model.legacy.write import ShardWriter, new_folder

RANK, ALPHA = 4, 16


@pytest.fixture
def whole(tmp_path):
    return publish(tmp_path / "whole", shards=2)


def base_of(published, folder: Path, **changes) -> Path:
    """The language model alone, as on the hub; `changes` are added to its weights."""
    weights = {name: value for name, value in published.weights.items() if "mm_projector" not in name}
    original.save(folder, {name: value + changes.get("add", 0) for name, value in weights.items()}, "bin")
    (folder / "config.json").write_text(published.text.config.to_json_string(use_diff=False))
    for file in published.folder.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def weights_after(source, out, **more):
    """All weights by LLaVA's names after a conversion to LLaVA's layout."""
    convert(source, out, Conversion(to="llava", **more))
    return original.weights_of(out)


@pytest.mark.parametrize("more", [{}, {"text": "qwen2", "tied": True}])
def test_projector_joins_its_language_model(tmp_path, more):
    whole = publish(tmp_path / "whole", **more)
    base = base_of(whole, tmp_path / "vicuna")
    stage = tmp_path / "stage"
    stage.mkdir()
    parts = {name: value for name, value in whole.weights.items() if "mm_projector" in name}
    torch.save(parts, stage / "mm_projector.bin")
    (stage / "config.json").write_text(json.dumps(whole.config))
    convert(whole.folder, tmp_path / "expected", Conversion())
    convert(stage, tmp_path / "folder", Conversion(base=str(base)))
    assert same_weights(tmp_path / "folder", tmp_path / "expected")

    (stage / "config.json").unlink()
    with pytest.raises(InputError, match="--vision-tower"):
        convert(stage / "mm_projector.bin", tmp_path / "no", Conversion(base=str(base)))
    look = Look(vision_tower=str(whole.tower))
    convert(stage / "mm_projector.bin", tmp_path / "file", Conversion(base=str(base), look=look))
    assert same_weights(tmp_path / "file", tmp_path / "expected")
    with pytest.raises(InputError, match="--base"):
        convert(stage, tmp_path / "no", Conversion())


def same_weights(one: Path, two: Path) -> bool:
    ones, twos = original.weights_of(one), original.weights_of(two)
    return ones.keys() == twos.keys() and all(same(ones[name], twos[name]) for name in ones)


def test_projector_there_and_back(whole, tmp_path):
    convert(whole.folder, tmp_path / "hf", Conversion())
    convert(tmp_path / "hf", tmp_path / "projector", Conversion(to="projector"))
    back = torch.load(tmp_path / "projector" / "mm_projector.bin", weights_only=True)
    parts = {name: value for name, value in whole.weights.items() if "mm_projector" in name}
    assert back.keys() == parts.keys()
    assert all(same(back[name], value) for name, value in parts.items())
    convert(tmp_path / "projector", tmp_path / "again", Conversion(base=str(tmp_path / "hf")))
    assert same_weights(tmp_path / "again", tmp_path / "hf")


@pytest.mark.parametrize("rows_saved", ["all", "two"])
def test_rows_of_start_and_end_come_with_their_projector(tmp_path, rows_saved):
    published = publish(tmp_path / "whole", **{**EARLY, "marks": ()})
    base = base_of(published, tmp_path / "base")
    stage = tmp_path / "stage"
    stage.mkdir()
    known = published.weights["model.embed_tokens.weight"]
    rows = torch.randn(3 if rows_saved == "all" else 2, original.WIDTH)
    table = torch.cat([known, rows]) if rows_saved == "all" else rows
    parts = {name: value for name, value in published.weights.items() if "mm_projector" in name}
    torch.save({**parts, "model.embed_tokens.weight": table}, stage / "mm_projector.bin")
    (stage / "config.json").write_text(json.dumps(published.config))
    convert(stage, tmp_path / "out", Conversion(base=str(base)))
    loaded = load(tmp_path / "out")
    places = loaded.tokenizer.convert_tokens_to_ids(["<im_start>", "<im_end>"])
    assert places == [len(known) + 1, len(known) + 2]
    found = loaded.model.get_input_embeddings().weight[places]
    assert torch.equal(found, rows[-2:])


def lora_of(published, folder: Path, base: str, *, layout="bin", prefix="base_model.model.") -> dict:
    """A LoRA folder as LLaVA leaves it; returns the merged weights."""
    torch.manual_seed(3)
    folder.mkdir()
    pairs, merged = {}, dict(published.weights)
    for name, weight in published.weights.items():
        if "layers." in name and "proj" in name:
            down, up = torch.randn(RANK, weight.shape[1]) * 0.1, torch.randn(weight.shape[0], RANK) * 0.1
            module = name.removesuffix(".weight")
            pairs |= {f"{prefix}{module}.lora_A.weight": down, f"{prefix}{module}.lora_B.weight": up}
            merged[name] = weight + (up @ down) * (ALPHA / RANK)
    whole = {name: value + 1 for name, value in published.weights.items() if "mm_projector" in name}
    merged |= whole
    torch.save({prefix + name: value for name, value in whole.items()}, folder / "non_lora_trainables.bin")
    if layout == "bin":
        torch.save(pairs, folder / "adapter_model.bin")
    else:
        save_file(pairs, folder / "adapter_model.safetensors")
    settings = {
        "base_model_name_or_path": base, "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA,
        "lora_dropout": 0.05, "target_modules": ["q_proj", "v_proj", "o_proj"], "bias": "none", "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps(published.config))
    return merged


@pytest.mark.parametrize("layout", ["bin", "safetensors"])
def test_lora_is_merged_over_the_language_model(whole, tmp_path, layout):
    base = base_of(whole, tmp_path / "vicuna")
    merged = lora_of(whole, tmp_path / "lora", str(base), layout=layout)
    found = weights_after(tmp_path / "lora", tmp_path / "llava", base=str(base))
    assert found.keys() == merged.keys()
    assert all(torch.equal(found[name], value) for name, value in merged.items())
    convert(tmp_path / "lora", tmp_path / "out", Conversion(to="merged", base=str(base)))
    again = weights_after(tmp_path / "out", tmp_path / "again")
    assert all(torch.equal(again[name], value) for name, value in merged.items())


def test_lora_over_a_whole_llava_of_either_layout(whole, tmp_path):
    merged = lora_of(whole, tmp_path / "lora", "liuhaotian/llava-v1.5-7b")
    convert(whole.folder, tmp_path / "hf", Conversion())
    for number, base in enumerate((whole.folder, tmp_path / "hf")):
        convert(tmp_path / "lora", tmp_path / f"{number}", Conversion(base=str(base)))
        found = weights_after(tmp_path / f"{number}", tmp_path / f"{number}-llava")
        assert all(torch.equal(found[name], value) for name, value in merged.items())


def test_lora_kept_apart_is_what_peft_and_our_loader_open(whole, tmp_path):
    base = base_of(whole, tmp_path / "vicuna")
    lora_of(whole, tmp_path / "lora", str(base))
    convert(tmp_path / "lora", tmp_path / "merged", Conversion(base=str(base)))
    convert(tmp_path / "lora", tmp_path / "kept", Conversion(to="adapter", base=str(base)))
    one, two = load(tmp_path / "merged"), load(tmp_path / "kept")
    assert one.template == two.template
    pixels = one.prepare([])
    ids = torch.tensor([[1, 40, 41, 42]])
    with torch.no_grad():
        assert torch.allclose(one.model(input_ids=ids, **pixels).logits, two.model(input_ids=ids).logits, atol=1e-5)
    projector = "model.multi_modal_projector.linear_1.weight"
    assert torch.equal(one.model.state_dict()[projector], two.model.state_dict()[projector])

    convert(tmp_path / "kept", tmp_path / "again", Conversion(to="merged"))
    assert same_weights(tmp_path / "again", tmp_path / "merged")
    settings = json.loads((tmp_path / "again" / "config.json").read_text())
    assert settings["about"] == json.loads((tmp_path / "merged" / "config.json").read_text())["about"]


def test_lora_there_and_back(whole, tmp_path):
    base = base_of(whole, tmp_path / "vicuna")
    lora_of(whole, tmp_path / "lora", str(base), layout="safetensors")
    convert(tmp_path / "lora", tmp_path / "kept", Conversion(to="adapter", base=str(base)))
    convert(tmp_path / "kept", tmp_path / "back", Conversion(to="lora"))
    pairs = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("lora", "back")]
    assert pairs[0].keys() == pairs[1].keys()
    assert all(same(pairs[1][name], value) for name, value in pairs[0].items())
    wholes = [torch.load(tmp_path / name / "non_lora_trainables.bin", weights_only=True) for name in ("lora", "back")]
    assert wholes[0].keys() == wholes[1].keys()
    assert all(same(wholes[1][name], value) for name, value in wholes[0].items())
    assert json.loads((tmp_path / "back" / "config.json").read_text()) == whole.config


def test_adapter_of_our_trainer_is_merged_as_peft_merges_it(whole, tmp_path):
    """LoRA, a connector that learnt whole, and rows of new tokens: PEFT's own names for all three."""
    base = tmp_path / "hf"
    convert(whole.folder, base, Conversion())
    folder = tmp_path / "adapter"
    folder.mkdir()
    torch.manual_seed(4)
    module = "model.language_model.layers.1.self_attn.q_proj"
    table = "model.language_model.embed_tokens"
    weights = {
        f"{module}.lora_A.weight": torch.randn(RANK, original.WIDTH),
        f"{module}.lora_B.weight": torch.randn(original.WIDTH, RANK),
        f"{table}.token_adapter.trainable_tokens_delta": torch.randn(2, original.WIDTH),
    }
    for name, value in original.weights_of(base).items():
        if "multi_modal_projector" in name:
            weights[f"model.{name}"] = value + 1
    save_file(
        {f"base_model.model.{name}": value for name, value in weights.items()}, folder / "adapter_model.safetensors"
    )
    settings = {
        "base_model_name_or_path": str(base), "peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": [module],
        "modules_to_save": [f"model.multi_modal_projector.linear_{number}" for number in (1, 2)],
        "trainable_token_indices": {table: [5, 9]}, "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    described = json.loads((base / "config.json").read_text())
    described["about"]["description"] = "Trained."
    (folder / "model_config.json").write_text(json.dumps(described))
    convert(folder, tmp_path / "out", Conversion(to="merged", base=str(base)))
    theirs, ours = load(folder), load(tmp_path / "out")
    assert ours.about == "Trained."
    found = ours.model.state_dict()
    for name, value in theirs.model.state_dict().items():
        assert torch.allclose(found[name], value, atol=1e-6), name
    assert torch.equal(found[f"{table}.weight"][[5, 9]], weights[f"{table}.token_adapter.trainable_tokens_delta"])
    convert(folder, tmp_path / "lora", Conversion(to="lora", base=str(base)))
    loose = torch.load(tmp_path / "lora" / "non_lora_trainables.bin", weights_only=True)
    assert {"base_model.model.model.mm_projector.2.bias", "base_model.model.model.embed_tokens.weight"} <= loose.keys()


def test_lora_over_another_base_is_refused(whole, tmp_path):
    lora_of(whole, tmp_path / "lora", "vicuna")
    other = original.language("llama", 300, seed=9)
    other.config.intermediate_size = 64
    wide = type(other)(other.config)
    original.save(tmp_path / "wide", wide.state_dict())
    (tmp_path / "wide" / "config.json").write_text(wide.config.to_json_string())
    original.tokenizer(tmp_path / "wide")
    with pytest.raises(CheckpointError, match="another base model"):
        convert(tmp_path / "lora", tmp_path / "out", Conversion(base=str(tmp_path / "wide")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting", ["use_dora", "rank_pattern"])
def test_kinds_of_lora_that_are_not_known_are_refused(whole, tmp_path, setting):
    lora_of(whole, tmp_path / "lora", "x")
    file = tmp_path / "lora" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), setting: {"a": 1}}))
    with pytest.raises(CheckpointError, match=setting):
        convert(tmp_path / "lora", tmp_path / "out", Conversion(base=str(whole.folder)))


@pytest.fixture
def early(tmp_path):
    return publish(tmp_path / "early", **{**EARLY, "dtype": torch.float16})


def related_base(published, folder: Path) -> Path:
    """A base that the model could have been trained from: the same numbers, a little off, and three rows less."""
    torch.manual_seed(11)
    weights = {}
    for name, value in published.weights.items():
        if "mm_projector" in name:
            continue
        near = (value.float() + torch.randn_like(value.float()) * 0.05).half()
        weights[name] = near[:-3] if name in ("model.embed_tokens.weight", "lm_head.weight") else near
    original.save(folder, weights, "bin", shards=2)
    config = published.text.config.to_dict() | {"vocab_size": len(weights["lm_head.weight"])}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_delta_made_and_applied_gives_every_bit_back(early, tmp_path):
    original.tokenizer(related_base(early, tmp_path / "base"))
    base = str(tmp_path / "base")
    convert(early.folder, tmp_path / "delta", Conversion(to="delta", base=base, look=Look(shard_bytes=20_000)))
    found = weights_after(tmp_path / "delta", tmp_path / "back", base=base)
    assert found.keys() == early.weights.keys()
    assert all(same(found[name], value) for name, value in early.weights.items())
    convert(tmp_path / "delta", tmp_path / "hf", Conversion(base=base))
    convert(early.folder, tmp_path / "expected", Conversion())
    assert same_weights(tmp_path / "hf", tmp_path / "expected")


def test_delta_is_what_llavas_own_program_adds(early, tmp_path):
    """fp16 differences by name; rows of new tokens and the projector as they are."""
    original.tokenizer(related_base(early, tmp_path / "base"))
    convert(early.folder, tmp_path / "delta", Conversion(to="delta", base=str(tmp_path / "base")))
    delta, base = original.weights_of(tmp_path / "delta"), open_weights(tmp_path / "base")
    for name, target in early.weights.items():
        expected = target.clone()
        if name in base:
            known = base[name].read()
            expected[: len(known)] -= known
        assert same(delta[name], expected), name
    assert delta.keys() == early.weights.keys()


def test_published_delta_without_a_record_is_known_by_its_numbers(early, tmp_path):
    original.tokenizer(related_base(early, tmp_path / "base"))
    convert(early.folder, tmp_path / "delta", Conversion(to="delta", base=str(tmp_path / "base")))
    for file in [tmp_path / "delta" / "delta.json", *(tmp_path / "delta").glob("exact*")]:
        file.unlink()
    with pytest.raises(InputError, match=r"delta: the base model is needed.*--base"):
        convert(tmp_path / "delta", tmp_path / "no", Conversion())
    found = weights_after(tmp_path / "delta", tmp_path / "back", base=str(tmp_path / "base"))
    assert all(torch.allclose(found[name], value, atol=2e-3) for name, value in early.weights.items())


def test_wrong_base_of_a_delta_is_named(early, tmp_path):
    original.tokenizer(related_base(early, tmp_path / "base"))
    convert(early.folder, tmp_path / "delta", Conversion(to="delta", base=str(tmp_path / "base")))
    other = open_weights(tmp_path / "base")
    original.save(tmp_path / "other", {name: stored.read() + 1 for name, stored in other.items()}, "bin")
    original.save(tmp_path / "larger", {name: torch.cat([s.read()] * 2) for name, s in other.items()}, "bin")
    for name in ("other", "larger"):
        (tmp_path / name / "config.json").write_bytes((tmp_path / "base" / "config.json").read_bytes())
        original.tokenizer(tmp_path / name)
    with pytest.raises(CheckpointError, match="another than the one the delta was made with"):
        convert(tmp_path / "delta", tmp_path / "out", Conversion(base=str(tmp_path / "other")))
    with pytest.raises(CheckpointError, match=r"base model is another one: .* is \("):
        convert(tmp_path / "delta", tmp_path / "out", Conversion(base=str(tmp_path / "larger")))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_transformers_folder_is_written_anew_in_other_shards_and_numbers(whole, tmp_path):
    convert(whole.folder, tmp_path / "hf", Conversion())
    look = Look(shard_bytes=30_000, dtype=torch.bfloat16)
    convert(tmp_path / "hf", tmp_path / "half", Conversion(look=look))
    shards = sorted((tmp_path / "half").glob("model-*.safetensors"))
    assert len(shards) > 2
    index = json.loads((tmp_path / "half" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {file.name for file in shards}
    assert index["metadata"]["total_size"] == sum(
        value.nbytes for value in original.weights_of(tmp_path / "half").values()
    )
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    before, after = original.weights_of(tmp_path / "hf"), original.weights_of(tmp_path / "half")
    assert all(same(after[name], value.bfloat16()) for name, value in before.items())
    assert load(tmp_path / "half").template == load(tmp_path / "hf").template


def test_transformers_folder_can_be_asked_otherwise(whole, tmp_path):
    convert(whole.folder, tmp_path / "hf", Conversion())
    told = convert(tmp_path / "hf", tmp_path / "v0", Conversion(look=Look(template="v0", prompt="llava_graph")))
    loaded = load(tmp_path / "v0")
    assert loaded.template == load_template("v0")
    assert loaded.prompt.style == "llava_graph"
    assert "chat template v0" in told
    with pytest.raises(InputError, match="--images"):
        convert(tmp_path / "hf", tmp_path / "no", Conversion(look=Look(preparation="pad")))


def test_way_back_tells_how_images_are_prepared_now(tmp_path):
    published = publish(tmp_path / "whole", **EARLY)
    convert(published.folder, tmp_path / "hf", Conversion(look=Look(preparation="pad")))
    convert(tmp_path / "hf", tmp_path / "back", Conversion(to="llava"))
    settings = json.loads((tmp_path / "back" / "config.json").read_text())
    assert settings == {**published.config, "image_aspect_ratio": "pad"}


@pytest.mark.parametrize("trained", [False, True])
def test_tower_that_may_have_learnt_goes_along(whole, tmp_path, trained):
    """LLaVA's programs load the published tower by its name, unless the checkpoint brings its own."""
    convert(whole.folder, tmp_path / "hf", Conversion())
    file = tmp_path / "hf" / "config.json"
    settings = json.loads(file.read_text())
    settings["about"] |= {"trained": {"steps": 2}} if trained else {}
    file.write_text(json.dumps(settings))
    found = weights_after(tmp_path / "hf", tmp_path / "back")
    assert any("vision_tower" in name for name in found) == trained
    assert json.loads((tmp_path / "back" / "config.json").read_text()).get("unfreeze_mm_vision_tower", False) == trained
    assert not any("vision_tower" in name for name in weights_after(tmp_path / "hf", tmp_path / "no", with_tower=False))


def test_training_keeps_what_a_checkpoint_says_of_its_origin(whole, tmp_path):
    from transformers import AutoConfig

    from train.running.finish import origin_of

    convert(whole.folder, tmp_path / "hf", Conversion())
    config = AutoConfig.from_pretrained(tmp_path / "hf")
    assert origin_of(config)["llava"]["config"] == whole.config
    config.about = {"assembled": {"vision_tower": "clip", "fingerprint": "1"}, "description": "Mine."}
    assert origin_of(config) == {"assembled": {"vision_tower": "clip"}}  # the fingerprint is that of untrained weights
    del config.about
    assert origin_of(config) == {}


def test_version_0_that_names_no_tower_is_llavas_all_the_same(tmp_path):
    published = publish(tmp_path, **EARLY, model_type="llava", mm_vision_tower=None)
    told = convert(published.folder, tmp_path / "out", Conversion(look=Look(vision_tower=str(published.tower))))
    assert told[0].startswith("llava (")


def test_pickles_are_fetched_only_where_there_is_no_whole_model(whole, tmp_path, monkeypatch):
    """A LoRA repository has safetensors, and yet needs its non_lora_trainables.bin."""
    base = base_of(whole, tmp_path / "vicuna")
    merged = lora_of(whole, tmp_path / "lora", str(base), layout="safetensors")
    asked = []

    def fetch(name, *, wanted=()):
        asked.append((name, "*.bin" in wanted))
        return tmp_path / "lora" if name == "someone/lora" else Path(name)

    monkeypatch.setattr("llava_graph.model.legacy.conversion.checkpoint_folder", fetch)
    found = weights_after("someone/lora", tmp_path / "out", base=str(base))
    assert asked == [("someone/lora", False), ("someone/lora", True)]
    assert all(torch.equal(found[name], value) for name, value in merged.items())


def test_published_configurations_open_with_all_their_keys(tmp_path):
    """Keys of llava-v1.5-7b and llava-v1.6-mistral-7b, those without a value and those of no use among them."""
    keys = {
        "max_length": 4096, "rope_scaling": None, "pad_token_id": 0, "pretraining_tp": 1, "attention_bias": False,
        "sliding_window": None, "attention_dropout": 0.0, "freeze_mm_mlp_adapter": False, "mm_resampler_type": None,
        "image_grid_pinpoints": None, "transformers_version": "4.31.0", "use_cache": True, "initializer_range": 0.02,
        "mm_vision_tower_lr": 2e-06, "image_crop_resolution": 224, "tokenizer_model_max_length": 4096,
        "_name_or_path": "llava-v1.5-7b", "mm_projector_lr": None, "mm_patch_merge_type": "flat",
    }  # fmt: skip
    published = publish(tmp_path, text="mistral")
    (published.folder / "config.json").write_text(json.dumps({**published.config, **keys}))
    convert(published.folder, tmp_path / "out", Conversion())
    config = load(tmp_path / "out").model.config.text_config
    assert config.rope_parameters["rope_theta"] == 5000.0
    assert config.sliding_window is None  # not today's default
    convert(tmp_path / "out", tmp_path / "back", Conversion(to="llava"))
    assert json.loads((tmp_path / "back" / "config.json").read_text()) == {**published.config, **keys}


def test_a_language_models_own_template_comes_back_to_its_tokenizer(whole, tmp_path):
    own = "{{ messages[0]['content'] }}"
    (whole.folder / "chat_template.jinja").write_text(own)
    convert(whole.folder, tmp_path / "hf", Conversion())
    assert load(tmp_path / "hf").template == load_template("vicuna_v1")
    convert(tmp_path / "hf", tmp_path / "back", Conversion(to="llava"))
    assert (tmp_path / "back" / "chat_template.jinja").read_text() == own


def test_original_layout_is_named_where_a_model_is_loaded(whole):
    with pytest.raises(CheckpointError, match=r"LLaVA's own layout.*llava-graph convert"):
        load(whole.folder)


def test_adapter_over_a_model_that_llava_has_not_is_merged_by_peft(whole, tmp_path):
    from llava_graph.model.assemble import assemble_checkpoint
    from llava_graph.model.assembly import Assembly

    tower = original_tower(tmp_path / "tower")
    parts = Assembly(
        language_model=str(base_of(whole, tmp_path / "base")), vision_tower=str(tower), connector="scale_invariant",
        grid_pinpoints=((28, 56), (56, 28)),
    )  # fmt: skip
    assemble_checkpoint(tmp_path / "hf", parts)
    folder = tmp_path / "adapter"
    folder.mkdir()
    module = "model.language_model.layers.0.self_attn.v_proj"
    pair = {"A": torch.randn(RANK, original.WIDTH), "B": torch.randn(original.WIDTH // 2, RANK)}
    names = {f"base_model.model.{module}.lora_{side}.weight": value for side, value in pair.items()}
    save_file(names, folder / "adapter_model.safetensors")
    settings = {
        "base_model_name_or_path": str(tmp_path / "hf"), "peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA,
        "target_modules": [module], "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "model_config.json").write_bytes((tmp_path / "hf" / "config.json").read_bytes())
    convert(folder, tmp_path / "out", Conversion(to="merged"))
    theirs, ours = (load(name).model.state_dict() for name in (folder, tmp_path / "out"))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_our_own_models_are_rewritten_with_the_names_of_other_engines(tmp_path):
    from tiny_model import build_tiny_model

    build_tiny_model(tmp_path / "nano")
    convert(tmp_path / "nano", tmp_path / "out", Conversion())
    names = set(original.weights_of(tmp_path / "out"))
    assert "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight" in names
    one, two = load(tmp_path / "nano").model.state_dict(), load(tmp_path / "out").model.state_dict()
    assert all(torch.equal(two[name], value) for name, value in one.items())
    with pytest.raises(CheckpointError, match="no model on qwen3"):
        convert(tmp_path / "nano", tmp_path / "no", Conversion(to="llava"))


def test_assembled_model_goes_into_llavas_layout(whole, tmp_path):
    """A model that never was LLaVA's: its settings are written for LLaVA's programs."""
    from llava_graph.model.assemble import assemble_checkpoint
    from llava_graph.model.assembly import Assembly

    base = base_of(whole, tmp_path / "base")
    tower = str(original_tower(tmp_path / "tower"))
    assemble_checkpoint(tmp_path / "hf", Assembly(language_model=str(base), vision_tower=tower, connector="linear"))
    found = weights_after(tmp_path / "hf", tmp_path / "llava", look=Look(vision_tower=tower))
    assert {"model.mm_projector.weight", "model.mm_projector.bias"} <= found.keys()
    settings = json.loads((tmp_path / "llava" / "config.json").read_text())
    assert settings["mm_projector_type"] == "linear"
    assert settings["rope_theta"] == 5000.0
    assert settings["model_type"] == "llava_llama"
    convert(tmp_path / "llava", tmp_path / "again", Conversion())
    one, two = load(tmp_path / "hf").model.state_dict(), load(tmp_path / "again").model.state_dict()
    rows = len(found["lm_head.weight"])
    assert all(torch.equal(two[name][:rows], value[:rows]) for name, value in one.items())


def original_tower(folder: Path) -> Path:
    original.tower(folder)
    return folder


def break_config(**changes):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def break_index(name):
    def change(folder):
        file = folder / "pytorch_model.bin.index.json"
        index = json.loads(file.read_text())
        index["weight_map"] = dict.fromkeys(index["weight_map"], name)
        file.write_text(json.dumps(index))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (break_config(model_type="llava_mpt"), "MPT.*brings code"),
        (break_config(model_type="tiny_llava_phi"), "bias"),
        (break_config(model_type="llava_new"), "no such LLaVA"),
        (break_config(mm_vision_tower="/nowhere/clip"), "--vision-tower"),
        (break_config(mm_vision_tower=None), "--vision-tower"),
        (break_config(image_aspect_ratio="anyres"), "spatial_unpad"),
        (break_config(image_aspect_ratio="anyres_max_9"), "OneVision"),
        (break_config(intermediate_size=56), r"mlp\.down_proj\.weight is \("),
        (break_config(num_hidden_layers=3), r"model\.language_model\.layers\.2.* is missing"),
        (break_index("../source/pytorch_model-00001-of-00002.bin"), "outside its folder"),
        (break_index("/etc/passwd"), "outside its folder"),
        (break_index("gone.bin"), r"gone\.bin is missing"),
        (lambda folder: (folder / "pytorch_model-00002-of-00002.bin").write_bytes(b"PK\x03\x04junk"), "00002-of-00002"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_named(whole, tmp_path, change, says):
    change(whole.folder)
    with pytest.raises(CheckpointError, match=says):
        convert(whole.folder, tmp_path / "out", Conversion())
    assert not (tmp_path / "out").exists()


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/never",))


def test_pickled_code_is_not_run(whole, tmp_path):
    torch.save({"model.norm.weight": Evil()}, whole.folder / "pytorch_model-00001-of-00002.bin")
    with pytest.raises(CheckpointError, match="more than tensors"):
        convert(whole.folder, tmp_path / "out", Conversion())


def test_header_that_claims_too_much_is_refused(tmp_path):
    published = publish(tmp_path, layout="safetensors")
    data = bytearray((published.folder / "model.safetensors").read_bytes())
    data[:8] = (2**40).to_bytes(8, "little")
    (published.folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="header"):
        convert(published.folder, tmp_path / "out", Conversion())


def test_folder_that_is_there_is_not_written_into(whole, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(InputError, match="there already"):
        convert(whole.folder, tmp_path / "out", Conversion())
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


def test_failed_conversion_leaves_nothing(tmp_path):
    def fail():
        with new_folder(tmp_path / "out") as draft:
            (draft / "model.safetensors").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_no_more_than_a_shard_and_a_tensor_are_held(tmp_path):
    """Of tensors of 10 kB, three fit into a shard of 35 kB: they are on disk before the fourth is kept."""
    writer = ShardWriter(tmp_path, limit=35_000)
    for number in range(8):
        writer.add(f"t{number}", torch.full((2500,), float(number)))
        assert sum(value.nbytes for value in writer._held.values()) <= 35_000
    writer.close()
    files = sorted(tmp_path.glob("*.safetensors"))
    assert [file.name for file in files] == [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                assert torch.equal(opened.get_tensor(name), torch.full((2500,), float(name[1:])))


def held() -> float:
    """MB of this process's own memory; mapped files are not counted."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
@pytest.mark.parametrize("layout", ["bin", "safetensors"])
def test_memory_does_not_grow_with_the_checkpoint(tmp_path, layout, monkeypatch):
    """80 MB of weights in shards of 8 MB: what is held beside the mapped files stays far below the whole."""
    published = publish(tmp_path)
    wide = 100_000
    for name in published.weights:
        if ".mlp." in name:
            shape = (original.WIDTH, wide) if "down" in name else (wide, original.WIDTH)
            published.weights[name] = torch.zeros(shape)
    (published.folder / "pytorch_model.bin").unlink()
    original.save(published.folder, published.weights, layout, 3)
    (published.folder / "config.json").write_text(json.dumps({**published.config, "intermediate_size": wide}))
    size = sum(value.nbytes for value in published.weights.values()) / 2**20
    seen = []
    add = ShardWriter.add
    monkeypatch.setattr(ShardWriter, "add", lambda self, *rest: (add(self, *rest), seen.append(held())))
    before = held()
    convert(published.folder, tmp_path / "out", Conversion(to="llava", look=Look(shard_bytes=8 * 2**20)))
    assert size > 70
    assert len(seen) == len(published.weights)
    assert max(seen) - before < size / 2


KILLED = """
import sys
from pathlib import Path
import torch
from llava_graph.model.legacy.write import ShardWriter, new_folder

with new_folder(Path(sys.argv[1])) as folder:
    writer = ShardWriter(folder, limit=100)
    for number in range(3):
        writer.add(str(number), torch.zeros(100))
    print("wrote", flush=True)
    sys.stdin.read()
    writer.close()
"""


def test_killed_conversion_leaves_no_folder_that_looks_whole(tmp_path):
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "out")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "wrote\n"
        process.kill()
        process.wait()
    assert not (tmp_path / "out").exists()
    left = list(tmp_path.glob(".out*"))
    assert len(left) == 1
    assert list(left[0].iterdir())
    assert not list(left[0].glob("*.safetensors"))


def test_names_of_every_layout_become_llavas():
    tower = "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"
    for name, expected in {
        "language_model.model.layers.0.mlp.up_proj.weight": "model.layers.0.mlp.up_proj.weight",
        "model.language_model.layers.0.mlp.up_proj.weight": "model.layers.0.mlp.up_proj.weight",
        "base_model.model.model.language_model.norm.weight": "model.norm.weight",
        "base_model.model.model.norm.weight": "model.norm.weight",
        "base_model.model.lm_head.weight": "lm_head.weight",
        "model.model.mm_projector.0.weight": "model.mm_projector.0.weight",
        "language_model.lm_head.weight": "lm_head.weight",
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight": tower,
        "vision_tower.encoder.layers.0.mlp.fc1.weight": tower,
        "model.vision_tower.encoder.layers.0.mlp.fc1.weight": tower,
        "model.vision_tower.vision_tower.encoder.layers.0.mlp.fc1.weight": tower,
        tower: tower,
        "image_newline": "model.image_newline",
        "model.image_newline": "model.image_newline",
        "model.layers.0.self_attn.rotary_emb.inv_freq": None,
        "model.vision_tower.vision_tower.vision_model.embeddings.position_ids": None,
    }.items():
        assert to_llava(name) == expected


def test_command_tells_what_it_found_and_decided(whole, tmp_path):
    run = CliRunner()
    done = run.invoke(app, ["convert", str(whole.folder), str(tmp_path / "out"), "--dtype", "float16"])
    assert done.exit_code == 0, done.output
    first, second = done.output.strip().splitlines()
    assert "llava (LLaVA's config.json (llava_llama))" in first
    assert "chat template vicuna_v1" in second
    assert original.weights_of(tmp_path / "out")["multi_modal_projector.linear_1.weight"].dtype == torch.float16
    for option, says in (
        (["--to", "lava"], "'llava'"),
        (["--dtype", "half"], "float16"),
        (["--images", "pads"], "'pad'"),
        (["--template", "vicuna"], "vicuna_v1"),
    ):
        failed = run.invoke(app, ["convert", str(whole.folder), str(tmp_path / "no"), *option])
        assert isinstance(failed.exception, InputError)
        assert says in str(failed.exception)
