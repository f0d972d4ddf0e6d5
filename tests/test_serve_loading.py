"""How a worker opens its model: in 8 or 4 bits, in another type, with an adapter over a base; and the memory it takes from that."""

import asyncio
import json
import shutil
import warnings

import pytest
import torch
from test_batched import build
from test_serve_batching import last_of, request
from typer.testing import CliRunner

from llava_graph.batched.memory import bytes_per_token, free_bytes, tokens_that_fit
from llava_graph.errors import InputError
from llava_graph.model import load
from serve.cli import app
from serve.engines.batching.limits import Limits
from serve.engines.opening import EngineChoice, bits_of, open_engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("wide")
    build("llama", "pad", out)
    return out / "model"


def answer(choice):
    engine = open_engine(choice)
    try:
        return engine, asyncio.run(last_of(engine, request(1, max_new_tokens=8))).text
    finally:
        engine.close()


@pytest.mark.parametrize("bits", [8, 4])
def test_a_model_in_few_bits_answers_in_batches(folder, bits):
    engine, text = answer(EngineChoice(model_path=folder, device="cpu", bits=bits))
    assert text
    kinds = {type(module).__name__ for module in engine._model.model.model.language_model.modules()}
    packed = {8: "Linear8bitLt", 4: "Linear4bit"}[bits]
    assert packed in kinds
    rest = (engine._model.model.model.vision_tower, engine._model.model.model.multi_modal_projector)
    assert all(type(module).__name__ != packed for part in rest for module in part.modules())
    assert type(engine._model.model.lm_head).__name__ == "Linear"


def test_in_bfloat16_too(folder):
    engine, text = answer(EngineChoice(model_path=folder, device="cpu", dtype="bfloat16"))
    assert text
    assert engine._model.model.dtype == torch.bfloat16


def test_an_adapter_lies_over_the_base_that_is_named(folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = load(folder, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT asks transformers for a name that is going
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        adapted = get_peft_model(base.model, config)
    adapted.save_pretrained(tmp_path / "adapter")
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    told["base_model_name_or_path"] = "/nowhere"
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(told))
    shutil.copytree(folder, tmp_path / "elsewhere")
    merged = load(tmp_path / "adapter", base=tmp_path / "elsewhere", device="cpu").model
    weight = "model.language_model.layers.0.self_attn.q_proj.weight"
    plain = load(folder, device="cpu").model
    assert not torch.equal(merged.get_parameter(weight), plain.get_parameter(weight))
    with pytest.raises(InputError, match="is no adapter, so it takes no base model"):
        load(folder, base=folder)


def test_contradictions_are_one_line():
    with pytest.raises(InputError, match="exclude each other"):
        bits_of(load_8bit=True, load_4bit=True)
    assert [bits_of(load_8bit=True, load_4bit=False), bits_of(load_8bit=False, load_4bit=True)] == [8, 4]


def test_the_help_names_the_flags():
    shown = CliRunner().invoke(app, ["worker", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for flag in ("--max-batch-size", "--limit-worker-concurrency", "--max-batch-tokens", "--load-8bit", "--load-4bit",
                 "--model-base", "--dtype", "--queue-timeout", "--max-waiting"):  # fmt: skip
        assert flag in shown


def test_the_cache_takes_a_share_of_the_free_memory(folder):
    model = load(folder, device="cpu")
    assert bytes_per_token(model) == 2 * 2 * 1 * 32 * 4  # keys and values, two layers, one head of 32, float32
    fitting = tokens_that_fit(model)
    assert 0 < fitting * bytes_per_token(model) < free_bytes(model)
    engine = open_engine(EngineChoice(model_path=folder, device="cpu", limits=Limits(max_batch_size=2)))
    assert engine.limits.max_batch_tokens > model.context_length
    assert engine.one_at_a_time == ""
