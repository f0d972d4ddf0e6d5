"""Runs with LoRA beyond the plain one: over quantized weights, by two processes, over other families."""

import json

import pytest
import torch
from other_models import FAMILIES
from PIL import Image
from safetensors.torch import load_file
from tiny_adapters import LORA, close, logits, prepared
from tiny_model import build_tiny_model
from tiny_parts import save_language_model, save_tower
from tiny_run import arguments, losses, write_squares
from training import run_all
from transformers import AutoModelForImageTextToText

from llava_graph.model import load
from train.flags.command import parse_command
from train.learning.loading import load_to_train, quantization
from train.learning.parts import CONNECTOR, LANGUAGE, part_of
from train.learning.stages import prepare
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


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_model_learns_by_lora_alone(parts, charts, tmp_path, bits):
    """QLoRA as it runs: from parts, with gradient checkpointing and bfloat16; the adapter lies over the exact base."""
    out = tmp_path / "out"
    more = {"bits": bits, "vision_tower": parts["vision_tower"], "bf16": True, "gradient_checkpointing": True}
    train(
        arguments(parts["language_model"], charts, out, max_steps=6, context="none", learning_rate=1e-2, **more, **LORA)
    )
    found = losses(out)
    assert found[-1] < found[0] - 0.3
    base = json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == str(out.resolve() / "initial")
    exact = load(base, device="cpu").model
    opened = load(out, device="cpu").model
    assert {tensor.dtype for tensor in load_file(out / "adapter_model.safetensors").values()} == {torch.float32}
    frozen = dict(exact.named_parameters())
    changed = {name for name, weight in opened.named_parameters() if not torch.equal(weight, frozen[name])}
    assert {part_of(name) for name in changed} == {CONNECTOR, LANGUAGE}
    assert not {name for name in changed if "norm" in name or "embed" in name or "lm_head" in name}
    close(logits(AutoModelForImageTextToText.from_pretrained(out), 32), logits(opened, 32))
    command = parse_command(arguments(base, "squares", "out", bits=bits, **LORA))
    trained = prepare(load_to_train(command), command).model
    restore_weights(trained, out)
    packed = load(out, device="cpu", dtype="float32", quantization=quantization(command, base)).model
    close(logits(packed, 32), logits(trained, 32))


def test_two_processes_leave_the_adapter_of_one_and_go_on_exactly(checkpoint, charts, tmp_path):
    """With weights in pieces (ZeRO-3); what is frozen is in no checkpoint of DeepSpeed's."""
    more = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "context": "none", **LORA}
    more |= {"new_tokens": ["square"], "lora_dropout": 0}
    one, whole, resumed = tmp_path / "one", tmp_path / "whole", tmp_path / "resumed"
    shared = {**more, "per_device_train_batch_size": 2, "deepspeed": "zero3"}
    begun = {"resume_from_checkpoint": whole / "checkpoint-1"}
    train(arguments(checkpoint, charts, one, **more))
    run_all(
        [arguments(checkpoint, charts, whole, **shared), arguments(checkpoint, charts, resumed, **shared, **begun)],
        tmp_path,
    )
    alone, together, gone_on = (load_file(folder / "adapter_model.safetensors") for folder in (one, whole, resumed))
    assert set(together) == set(alone)
    assert all(torch.allclose(together[name], alone[name], atol=1e-5) for name in alone)
    assert all(torch.equal(together[name], gone_on[name]) for name in alone)
    frozen = sum(tensor.nbytes for tensor in load_file(checkpoint / "model.safetensors").values())
    models = list((whole / "checkpoint-2" / "global_step2").glob("*model_states.pt"))
    assert len(models) == 2
    assert sum(file.stat().st_size for file in models) < frozen / 2


@pytest.mark.parametrize("family", ["gemma3", "idefics3"])
def test_adapters_of_other_families_open_too(charts, tmp_path, family):
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    start, out = tmp_path / "start", tmp_path / "out"
    model.save_pretrained(start)
    processor.save_pretrained(start)
    train(arguments(start, charts, out, max_steps=1, context="none", **LORA))
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    image = Image.new("RGB", (60, 40), "red")
    inputs = processor(text=processor.apply_chat_template(turn), images=[image], return_tensors="pt")
    trained = prepared(start)
    untrained = trained(**inputs).logits
    restore_weights(trained, out)
    expected = trained(**inputs).logits
    assert (expected - untrained).abs().max() > 1e-4
    close(load(out, device="cpu").model(**inputs).logits, expected)
    close(AutoModelForImageTextToText.from_pretrained(out)(**inputs).logits, expected)
