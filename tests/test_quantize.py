"""Quantized checkpoints: they open like any other, say what they are, appear whole or not at all, and their agreement is counted."""

import errno
import gc
import json
import os
import shutil
import signal
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import build_tiny_model
from transformers import AutoModelForImageTextToText, AutoProcessor
from typer.testing import CliRunner

from llava_graph.cli import app
from llava_graph.dataset import write_dataset
from llava_graph.durable import FolderLock
from llava_graph.errors import CheckpointError, DatasetError, InputError
from llava_graph.model import load
from llava_graph.model.adapters import ADAPTER
from llava_graph.model.build import PRESETS, build_checkpoint
from llava_graph.model.quantize import in_bits
from llava_graph.model.quantizing import artefact, quantize_checkpoint
from llava_graph.model.quantizing.agreement import agreement, ask_full, next_log_probabilities, next_token_divergence
from llava_graph.model.quantizing.answering import (
    Question,
    answer_greedily,
    example_questions,
    first_difference,
    read_prompt,
)
from llava_graph.model.quantizing.artefact import weights_digest
from llava_graph.record import Figure

PACKED = {8: "Linear8bitLt", 4: "Linear4bit"}
IDS = torch.arange(3, 40)[None]


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS).logits.float()


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("models") / "full")


@pytest.fixture(scope="module")
def packed(full):
    """bits -> its quantized checkpoint"""
    return {bits: quantize_checkpoint(full, full.with_name(f"in-{bits}"), bits=bits, device="cpu") for bits in (8, 4)}


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("bits", [8, 4])
def test_it_opens_without_a_flag_and_only_the_language_model_is_packed(full, packed, bits):
    opened = load(packed[bits], device="cpu")
    kinds = {name: type(module).__name__ for name, module in opened.model.named_modules()}
    inside = [
        kind for name, kind in kinds.items() if name.startswith("model.language_model.layers.") and "proj" in name
    ]
    assert set(inside) == {PACKED[bits]}
    assert not any(kind == PACKED[bits] for name, kind in kinds.items() if "language_model" not in name)
    exact = load(full, device="cpu")
    assert torch.equal(opened.model.lm_head.weight, exact.model.lm_head.weight)
    assert torch.equal(
        opened.model.model.multi_modal_projector.linear_1.weight,
        exact.model.model.multi_modal_projector.linear_1.weight,
    )
    near = torch.cosine_similarity(logits(opened.model).flatten(), logits(exact.model).flatten(), dim=0)
    assert 0.9 < near < 1 - 1e-6
    assert (opened.template, opened.prompt, opened.context_length) == (
        exact.template,
        exact.prompt,
        exact.context_length,
    )


@pytest.mark.parametrize("bits", [8, 4])
def test_it_computes_what_the_checkpoint_packed_while_loading_computes(full, packed, bits):
    while_loading = load(full, device="cpu", quantization=in_bits(full, bits, torch.float32))
    torch.testing.assert_close(logits(load(packed[bits], device="cpu").model), logits(while_loading.model))


@pytest.mark.parametrize("bits", [8, 4])
def test_plain_transformers_opens_it(packed, bits):
    model, report = AutoModelForImageTextToText.from_pretrained(packed[bits], output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert AutoProcessor.from_pretrained(packed[bits]).chat_template
    ours = logits(load(packed[bits], device="cpu").model)
    assert float((logits(model) - ours).abs().max() / ours.abs().max()) < 0.05  # it unpacks to bfloat16


def test_a_model_in_half_precision_computes_in_one_type(tmp_path, full):
    out = quantize_checkpoint(full, tmp_path / "half", bits=4, dtype="float16", device="cpu")
    stored = load_file(out / "model.safetensors")
    tower = next(tensor for name, tensor in stored.items() if "vision_tower" in name)
    assert tower.dtype == torch.float16
    made = json.loads((out / "config.json").read_text())
    assert made["quantization_config"]["bnb_4bit_compute_dtype"] == "float16"
    for dtype in (None, "bfloat16"):
        model = load(out, device="cpu", dtype=dtype).model
        types = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
        assert types == {torch.bfloat16 if dtype else torch.float32}
        assert logits(model).isfinite().all()


def test_the_file_of_4_bit_weights_is_not_kept_in_memory_beside_them(packed):
    from bitsandbytes.functional import has_avx512bf16

    maps = Path("/proc/self/maps")
    if not has_avx512bf16() or not maps.exists():
        pytest.skip("weights are rearranged on CPUs with bfloat16 alone")
    copy = packed[4].with_name("mapped")
    shutil.copytree(packed[4], copy)
    model = load(copy, device="cpu").model
    assert str(copy) in maps.read_text()
    logits(model)
    gc.collect()
    assert str(copy) not in maps.read_text()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "its weights cannot learn"),
        (["--dry_run", "True"], "its weights cannot learn"),
        (["--lora_enable", "True", "--merge_lora", "True"], "keep its rounding"),
    ],
)
def test_it_is_trained_by_lora_alone(packed, tmp_path, flags, told):
    from train.flags.command import parse_command
    from train.learning.loading import load_to_train

    paths = ["--model_name_or_path", packed[4], "--data_path", "squares", "--output_dir", tmp_path]
    with pytest.raises(InputError, match=told):
        load_to_train(parse_command([str(word) for word in (*paths, *flags)]))
    with_lora = [*paths, "--lora_enable", "True"]
    assert load_to_train(parse_command([str(word) for word in with_lora])).model.is_quantized


@pytest.mark.parametrize("bits", [8, 4])
def test_it_says_what_it_is(full, packed, bits):
    config = json.loads((packed[bits] / "config.json").read_text())
    about, made = config["about"], config["about"]["quantized"]
    assert about["name"] == f"test-nano-{bits}bit"
    assert f"{bits} bits" in about["description"]
    assert (made["bits"], made["dtype"], made["from"]["name"]) == (bits, "float32", "test-nano")
    assert made["from"]["sha256"] == weights_digest(full)
    assert made["kept"] == ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
    assert config["quantization_config"][f"load_in_{bits}bit"] is True
    card = (packed[bits] / "README.md").read_text()
    for words in (made["from"]["sha256"], made["method"], "`model.multi_modal_projector`", "Not measured yet"):
        assert words in card
    assert {file.suffix for file in packed[bits].iterdir()} == {".json", ".jinja", ".md", ".safetensors"}


def test_the_digest_is_of_the_weights(full, tmp_path):
    copy = shutil.copytree(full, tmp_path / "copy")
    assert weights_digest(copy) == weights_digest(full)
    tensors = load_file(copy / "model.safetensors")
    name = next(iter(tensors))
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert weights_digest(copy) != weights_digest(full)


def test_the_licence_of_the_checkpoint_goes_on(full, tmp_path):
    source = shutil.copytree(full, tmp_path / "source")
    (source / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# Mine\n")
    out = quantize_checkpoint(source, tmp_path / "out", bits=8, device="cpu")
    assert "license: cc-by-nc-4.0\n" in (out / "README.md").read_text()


def test_the_same_again_is_left_as_it_is_and_another_is_refused(full, packed):
    before = (packed[4] / "model.safetensors").stat()
    quantize_checkpoint(full, packed[4], bits=4, device="cpu")
    after = (packed[4] / "model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    with pytest.raises(InputError, match="holds something else"):
        quantize_checkpoint(full, packed[4], bits=8, device="cpu")


def test_a_second_quantization_is_refused(packed, tmp_path):
    with pytest.raises(InputError, match=r"is quantized already \(4 bits, bitsandbytes\).*made from: test-nano"):
        quantize_checkpoint(packed[4], tmp_path / "twice", bits=8, device="cpu")
    with pytest.raises(InputError, match="is quantized already"):
        load(packed[8], device="cpu", bits=4)
    done = invoke("convert", packed[4], tmp_path / "other", "--dtype", "float16")
    assert isinstance(done.exception, CheckpointError)
    assert "packed weights fit no other layout" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_weights_packed_in_a_way_that_is_not_installed_are_one_line(full, tmp_path):
    other = shutil.copytree(full, tmp_path / "awq")
    config = json.loads((other / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 128}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="awq: the weights do not load"):
        load(other, device="cpu")
    with pytest.raises(InputError, match=r"is quantized already \(4 bits, awq\)"):
        quantize_checkpoint(other, tmp_path / "out", bits=4)


def test_what_is_no_whole_checkpoint_is_sent_to_convert(full, tmp_path):
    adapter = tmp_path / "lora"
    adapter.mkdir()
    (adapter / ADAPTER).write_text('{"base_model_name_or_path": "x"}')
    with pytest.raises(CheckpointError, match=r"is an adapter \(LoRA\).*llava-graph convert .*lora MERGED"):
        quantize_checkpoint(adapter, tmp_path / "out", bits=4)
    legacy = shutil.copytree(full, tmp_path / "legacy")
    (legacy / "config.json").write_text('{"model_type": "llava_llama", "mm_vision_tower": "openai/clip"}')
    with pytest.raises(CheckpointError, match=r"LLaVA's own layout. llava-graph convert"):
        quantize_checkpoint(legacy, tmp_path / "out", bits=4)
    assert not (tmp_path / "out").exists()


def test_a_model_of_text_alone_is_told(full, tmp_path):
    shutil.copytree(full, tmp_path / "text")
    (tmp_path / "text" / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 64}))
    with pytest.raises(CheckpointError, match=r"text: a model of type 'llama' reads no images"):
        quantize_checkpoint(tmp_path / "text", tmp_path / "out", bits=4)
    assert not (tmp_path / "out").exists()


def test_a_model_too_narrow_for_4_bits_is_refused_before_anything_is_written(tmp_path):
    narrow = replace(PRESETS["nano"], mlp_width=96)
    build_checkpoint(tmp_path / "narrow", shape=narrow, texts=["some words of text"] * 9)
    with pytest.raises(InputError, match="multiples of 64"):
        quantize_checkpoint(tmp_path / "narrow", tmp_path / "out", bits=4, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["narrow"]


def test_killed_half_way_leaves_no_checkpoint_and_the_next_run_begins_anew(full, tmp_path, monkeypatch):
    out = tmp_path / "killed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of torch's threads, which the child does not need
        child = os.fork()
    if not child:
        try:
            monkeypatch.setattr(artefact, "write_card", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            quantize_checkpoint(full, out, bits=4, device="cpu")
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name == ".killed.part"
    assert (left / "model.safetensors").exists()
    (left / "model-00002-of-00002.safetensors").write_bytes(b"half")
    quantize_checkpoint(full, out, bits=4, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["killed"]
    assert not (out / "model-00002-of-00002.safetensors").exists()
    assert load(out, device="cpu").name == "test-nano-4bit"


def test_an_error_leaves_nothing(full, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artefact, "write_card", fail)
    with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\)"):
        quantize_checkpoint(full, tmp_path / "out", bits=4, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_open_otherwise_than_they_were_are_not_kept(full, tmp_path, monkeypatch):
    def spoilt(draft, _):
        tensors = load_file(draft / "model.safetensors")
        name = next(name for name in tensors if name.endswith("q_proj.weight"))
        tensors[name] = tensors[name].flip(0)
        save_file(tensors, draft / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(artefact, "write_card", spoilt)
    with pytest.raises(CheckpointError, match="do not open as they were"):
        quantize_checkpoint(full, tmp_path / "out", bits=4, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_are_refused(full, tmp_path):
    (tmp_path / ".out.part").mkdir()
    lock = FolderLock(tmp_path / ".out.part")
    with pytest.raises(DatasetError, match="another quantization is writing here"):
        quantize_checkpoint(full, tmp_path / "out", bits=4, device="cpu")
    lock.close()


# Agreement


@pytest.fixture(scope="module")
def told(full, tmp_path_factory):
    """The full model's answers to five questions, one of which does not fit."""
    questions = [
        *example_questions(4),
        Question(id="long", figure=next(example_questions(1)).figure, text="why " * 4000),
    ]
    return ask_full(load(full, device="cpu"), questions, tmp_path_factory.mktemp("told"), max_new_tokens=12)


def test_a_model_agrees_with_itself(full, told):
    found = agreement(load(full, device="cpu"), told, data="examples")
    assert (found.exact, found.same_next_token, found.rouge_l, found.first_difference) == (1, 1, 1, None)
    assert found.kl == pytest.approx(0, abs=1e-6)
    assert (found.questions, found.left_out) == (4, {"bad-input": 1})
    assert found.tokens == sum(len(answer.tokens) for answer in told.answers)


def test_no_room_for_what_the_full_model_predicts_is_one_line(full, tmp_path):
    (tmp_path / "0.npy").mkdir()
    with pytest.raises(InputError, match=r"cannot be kept there \(.+\)\. Ask fewer --questions, or set TMPDIR"):
        ask_full(load(full, device="cpu"), example_questions(1), tmp_path, max_new_tokens=2)


def test_more_bits_agree_better(packed, told):
    eight, four = (agreement(load(packed[bits], device="cpu"), told, data="examples") for bits in (8, 4))
    assert 0 < eight.kl < four.kl
    assert eight.same_next_token > 0.5


def test_the_answer_is_what_the_model_would_take_when_it_reads_it(full):
    loaded = load(full, device="cpu")
    prompt = read_prompt(loaded, next(example_questions(1)))
    answer = answer_greedily(loaded, prompt, 12)
    read = next_log_probabilities(loaded, prompt, answer.tokens)
    assert read.shape == (len(answer.tokens), len(loaded.tokenizer))
    assert tuple(read.argmax(-1).tolist()) == answer.tokens
    assert torch.allclose(read.exp().sum(-1), torch.ones(len(answer.tokens)))


def test_the_divergence_is_kullback_and_leiblers():
    one, other = (torch.randn(5, 11, generator=torch.Generator().manual_seed(seed)).log_softmax(-1) for seed in (1, 2))
    expected = torch.nn.functional.kl_div(other, one, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(next_token_divergence(one, other), expected)
    assert next_token_divergence(one, one).max() < 1e-6


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [([1, 2, 3], [1, 2, 3], None), ([1, 2, 3], [1, 9, 3], 2), ([1, 2], [1, 2, 3], 3), ([], [4], 1), ([], [], None)],
)
def test_the_first_other_token(one, other, place):
    assert first_difference(one, other) == place


# The command, and all that opens a checkpoint


@pytest.fixture(scope="module")
def figures(tmp_path_factory, png):
    out = tmp_path_factory.mktemp("data") / "figures"
    made = [
        Figure(
            id=f"f{number}", image=png, caption=f"Loss of model {number}.", mentions=("The loss falls.",), split="test"
        )
        for number in range(4)
    ]
    write_dataset([*made, Figure(id="none", caption="No picture.", split="test")], out)
    return out


def test_the_command_makes_checks_and_tells(full, figures, tmp_path):
    out = tmp_path / "made"
    words = ("quantize", full, "--bits", 4, "--out", out, "--device", "cpu")
    first = invoke(*words)
    assert first.exit_code == 0, first.output
    assert "nf4" in first.output
    checked = invoke(*words, "--check", figures, "--questions", 3, "--max-new-tokens", 6)
    assert "asked                        3 questions of figures (test), 6 tokens at most" in checked.output
    made = json.loads((out / "config.json").read_text())["about"]["quantized"]
    assert made["agreement"]["questions"] == 3
    assert "mean KL of the next token" in (out / "README.md").read_text()
    again = invoke(*words, "--check", figures, "--task", "scicap", "--max-new-tokens", 4, "--json")
    found = json.loads(again.stdout)
    assert found["agreement"]["questions"] == 4
    assert found["agreement"]["data"] == "figures (test), scicap"
    assert load(out, device="cpu").name == "test-nano-4bit"


def test_what_cannot_be_is_said_before_the_work(full, figures, tmp_path, monkeypatch):
    for more, words in (
        (("--bits", 3), "no weights in 3 bits"),
        (("--bits", 4, "--dtype", "fp16"), "unknown number format 'fp16'"),
        (("--bits", 4, "--check", tmp_path), "data set"),
        (("--bits", 4, "--check", figures, "--split", "train"), "no figure"),
        (("--bits", 4, "--task", "scicap"), "--task is for --check"),
    ):
        done = invoke("quantize", full, "--out", tmp_path / "out", *more)
        assert isinstance(done.exception, InputError), more
        assert words in str(done.exception), done.exception
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = invoke("quantize", full, "--bits", 4, "--out", ".")
    assert "is the folder that this runs in" in str(done.exception)
    done = invoke("quantize", full, "--bits", 4, "--out", tmp_path / "file")
    assert "holds something else" in str(done.exception)


def test_explain_evaluate_and_the_worker_take_it(packed, figures, tmp_path, png):
    import asyncio

    from test_serve_batching import last_of, request

    from serve.engines.opening import EngineChoice, open_engine

    picture = tmp_path / "chart.png"
    picture.write_bytes(png)
    options = ("--device", "cpu", "--max-new-tokens", 5)
    explained = invoke("explain", picture, "--no-ocr", "--model", packed[4], *options)
    assert explained.exit_code == 0, explained.output
    run = ("evaluate", "--task", "scicap", "--data", figures, "--model", packed[8], "--out", tmp_path / "run", *options)
    evaluated = invoke(*run)
    assert evaluated.exit_code == 0, evaluated.output
    answers = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    assert Counter(row["model_id"] for row in answers) == {"test-nano-8bit": 4}
    engine = open_engine(EngineChoice(model_path=packed[4], device="cpu"))
    try:
        assert asyncio.run(last_of(engine, request(1, max_new_tokens=4))).text
    finally:
        engine.close()
