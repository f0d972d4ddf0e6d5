"""The plan: what it says of steps, padding and memory is what happens; what looks like a mistake is named."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_model import build_tiny_model
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
    Qwen3Config,
    Qwen3Model,
    SiglipVisionConfig,
    SiglipVisionModel,
    TrainingArguments,
)

from llava_graph.images import encode_png
from train.flags.aliases import ENVIRONMENT, RENAMED, STAGE_FLAGS, WITHOUT_EFFECT
from train.flags.arguments import DataArguments, ModelArguments, TrainArguments
from train.flags.manual import OFTEN, OUR_WORDS, manual
from train.planning.doubts import doubts
from train.planning.memory import (
    GB,
    NF4_BYTES,
    Layers,
    Memory,
    Sharing,
    Step,
    Weights,
    estimate,
    language_layer_bytes,
    state_bytes,
    tower_layer_bytes,
)
from train.planning.plan_text import plan_page, plan_rows
from train.planning.sizing import _tiles_each
from train.train_mem import main, train

# --- memory -----------------------------------------------------------------------------------------------------------

LLAMA_7B = Layers(count=32, width=4096, mlp=11008, heads=32)
PARAMETERS = 6_740_000_000
LORA = 32 * 16 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
"""Rank 16 on all linear layers."""


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        (Weights(trained=PARAMETERS, frozen=0), 120),
        (Weights(trained=PARAMETERS, frozen=0, trained_bytes=2), 60),
        (Weights(trained=LORA, frozen=PARAMETERS), 16),
        (Weights(trained=LORA, frozen=PARAMETERS, frozen_bytes=1), 10),
        (Weights(trained=LORA, frozen=PARAMETERS, frozen_bytes=NF4_BYTES[True]), 6),
    ],
    ids=["full bf16", "full pure bf16", "LoRA", "LoRA in 8 bits", "QLoRA"],
)
def test_estimates_agree_with_llama_factorys_table_of_7b_models(weights, published):
    """Its README, "Hardware Requirement": one GPU, batch 1."""
    lora = weights.trained == LORA
    step = Step(
        tokens=1024,
        longest=1024,
        learnt=1024,
        vocabulary=32000,
        checkpointing=True,
        language_learns=not lora,
        lora_inputs=6 * 4096 + 11008 if lora else 0,
    )
    found = estimate(
        weights=weights, language=LLAMA_7B, tower=None, step=step, sharing=Sharing(), optim="adamw_torch_fused"
    )
    assert found.total / GB == pytest.approx(published, rel=0.1)


def kept_by_autograd(model, inputs, tokens, *, autocast):
    """Bytes that autograd keeps for the backward pass and that grow with the tokens, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def look(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and {tokens, tokens - 1} & {*tensor.shape}:
            kept[storage.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = model(**inputs).last_hidden_state
        assert output.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


TOKENS = 384


def language_model(kind, layers, keys):
    config_kind, model_kind = {"llama": (LlamaConfig, LlamaModel), "qwen3": (Qwen3Config, Qwen3Model)}[kind]
    shape = {"hidden_size": 128, "intermediate_size": 320, "num_attention_heads": 4, "head_dim": 32}
    config = config_kind(vocab_size=64, num_hidden_layers=layers, num_key_value_heads=keys, use_cache=False, **shape)
    return model_kind(config)


@pytest.mark.parametrize("learns", [True, False], ids=["learns", "frozen"])
@pytest.mark.parametrize(
    ("autocast", "held", "residual", "compute"),
    [(False, 4, 4, 4), (True, 4, 2, 2), (False, 2, 2, 2)],
    ids=["float32", "mixed", "bfloat16"],
)
@pytest.mark.parametrize(("kind", "keys"), [("llama", 4), ("llama", 2), ("qwen3", 2)])
def test_formula_is_what_autograd_keeps_of_a_language_model(kind, keys, autocast, held, residual, compute, learns):
    kept = []
    for layers in (1, 3):
        model = language_model(kind, layers, keys).to(torch.float32 if held == 4 else torch.bfloat16)
        model.requires_grad_(learns)
        start = torch.randn(1, TOKENS, 128, dtype=torch.float32 if residual == 4 else torch.bfloat16)
        inputs = {"inputs_embeds": start.requires_grad_()}
        kept.append(kept_by_autograd(model, inputs, TOKENS, autocast=autocast))
    shape = Layers(count=1, width=128, mlp=320, queries=128, keys=32 * keys, heads=4, qk_norm=kind == "qwen3")
    said = language_layer_bytes(shape, compute=compute, residual=residual, held=held, learns=learns)
    assert (kept[1] - kept[0]) / 2 / TOKENS == pytest.approx(said, rel=0.02)


@pytest.mark.parametrize("kind", ["siglip", "clip"])
@pytest.mark.parametrize(("autocast", "residual", "compute"), [(False, 4, 4), (True, 4, 2), (False, 2, 2)])
def test_formula_is_what_autograd_keeps_of_a_vision_tower(kind, autocast, residual, compute):
    config_kind, model_kind = {
        "siglip": (SiglipVisionConfig, SiglipVisionModel),
        "clip": (CLIPVisionConfig, CLIPVisionModel),
    }[kind]
    tokens = 196 + (kind == "clip")
    more = {"vision_use_head": False} if kind == "siglip" else {}
    kept = []
    for layers in (1, 3):
        config = config_kind(
            hidden_size=96,
            intermediate_size=384,
            num_hidden_layers=layers,
            num_attention_heads=4,
            image_size=224,
            patch_size=16,
            **more,
        )
        dtype = torch.float32 if residual == 4 else torch.bfloat16
        model = model_kind(config).to(dtype).train()
        kept.append(
            kept_by_autograd(
                model, {"pixel_values": torch.randn(1, 3, 224, 224, dtype=dtype)}, tokens, autocast=autocast
            )
        )
    shape = Layers(count=1, width=96, mlp=384, quick_gelu=kind == "clip")
    said = tower_layer_bytes(shape, compute=compute, residual=residual)
    assert (kept[1] - kept[0]) / 2 / tokens == pytest.approx(said, rel=0.02)


WAYS = ("none", "zero2", "zero3", "fsdp", "fsdp-grad")


def peak(way="zero2", processes=8, optim="adamw_torch", **more):
    sharing = {name: more.pop(name) for name in ("offload_optimizer", "offload_weights") if name in more}
    step = Step(tokens=4096, longest=2048, learnt=500, vocabulary=32000, tiles=8, tile_tokens=576, **more)
    return estimate(
        weights=Weights(trained=PARAMETERS, frozen=300_000_000),
        language=LLAMA_7B,
        tower=Layers(count=24, width=1024, mlp=4096, quick_gelu=True),
        step=step,
        sharing=Sharing(processes=processes, way=way, **sharing),
        optim=optim,
    )


def test_what_shards_needs_less_the_more_processes_share_it():
    for way in WAYS[1:]:
        totals = [peak(way, processes).total for processes in (2, 4, 8, 16)]
        assert totals == sorted(totals, reverse=True)
        assert peak(way).total < peak("none").total
    assert peak("zero3").total < peak("zero2").total
    assert peak("none", 2).total == peak("none", 64).total


def test_what_saves_memory_saves_it():
    assert peak("zero3", offload_optimizer=True).total < peak("zero3").total
    assert peak("fsdp", offload_optimizer=True, offload_weights=True).total < peak("fsdp").total
    assert peak(checkpointing=True).activations < peak().activations / 5
    assert peak(eager=True).activations > peak().activations
    assert peak(tower_layers_learn=24).vision > 20 * peak().vision
    assert peak(optim="adamw_8bit").optimizer < peak().optimizer


@given(st.sampled_from(WAYS), st.integers(1, 64), st.booleans(), st.booleans())
def test_estimates_add_up(way, processes, checkpointing, eager):
    found = peak(way, processes, checkpointing=checkpointing, eager=eager)
    uses = [getattr(found, field.name) for field in dataclasses.fields(Memory)]
    assert sum(uses) == found.total
    assert all(isinstance(use, int) and use >= 0 for use in uses)
    told = found.in_gb()
    assert told.pop("total") == pytest.approx(sum(told.values()), abs=0.5)


@pytest.mark.parametrize(
    ("optim", "size"),
    [("adamw_torch_fused", 8), ("adamw_8bit", 2), ("paged_adamw_8bit", 0), ("adafactor", 0.1), ("sgd", 0), ("new", 8)],
)
def test_optimizer_states(optim, size):
    assert state_bytes(optim) == size


def test_tiled_images_count_by_their_largest_grid():
    tiled = SimpleNamespace(image_processor=SimpleNamespace(image_grid_pinpoints=[[336, 672], [672, 672], [336, 1008]]))
    assert _tiles_each(tiled, 336) == 5
    assert _tiles_each(SimpleNamespace(image_processor=SimpleNamespace()), 336) == 1


# --- the plan of a run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "red.png").write_bytes(encode_png(Image.new("RGB", (40, 30), "red")))
    records = [
        {
            "id": str(index),
            "image": "red.png",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is it?"},
                {"from": "gpt", "value": "A red square. " * (1 + index % 5)},
            ],
        }
        for index in range(22)
    ]
    (folder / "data.json").write_text(json.dumps(records))
    return folder / "data.json"


def arguments(checkpoint, data, out, *more):
    paths = {"--model_name_or_path": checkpoint, "--data_path": data, "--output_dir": out}
    rest = ("--per_device_train_batch_size", "4", "--save_strategy", "no", "--disable_tqdm", "True", *more)
    return [*(str(word) for pair in paths.items() for word in pair), *rest]


def test_dry_run_prints_the_plan_and_touches_nothing(checkpoint, pictures, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    train(
        arguments(
            checkpoint,
            pictures,
            tmp_path / "out",
            *(
                "--dry_run",
                "True",
                "--version",
                "v1",
                "--mm_tunable_parts",
                "mm_mlp_adapter",
                "--learning_rate",
                "2e-5",
            ),
        )
    )
    said = capsys.readouterr().out
    for line in (
        r"^model   test-nano, template vicuna_v1, 16 tokens an image",
        r"^learns  vision tower frozen .*; connector all of .* at 2e-05; language model frozen",
        r"^data    22 of 22 samples \(22 with image\)",
        r"^run     stage projector, 18 steps \(3 epochs\) of 4 samples",
        r"^on      cpu, float32, one process, attention sdpa",
        r"^memory  about [\d.]+ GB each at the peak: weights",
        r"^note    --version v1 is --chat_template vicuna_v1",
        r"^warning a learning rate of 2e-05 hardly moves a connector",
    ):
        assert re.search(line, said, re.MULTILINE), line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_plan_says_what_the_run_does(checkpoint, pictures, tmp_path, packing):
    more = ("--packing", "True", "--packing_length", "400") if packing else ("--group_by_modality_length", "True")
    batch = ("--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2", "--num_train_epochs", "2")
    train(
        arguments(
            checkpoint, pictures, tmp_path, *batch, *more, "--warmup_ratio", "0.3", "--lr_scheduler_type", "cosine"
        )
    )
    plan = json.loads((tmp_path / "plan.json").read_text())
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    run, batches = plan["run"], plan["batches"]
    assert run["steps"] == state["global_step"] == state["max_steps"]
    assert run["epochs"] == 2
    assert run["warmup_steps"] == -(-3 * run["steps"] // 10)
    told = json.loads((tmp_path / "throughput.json").read_text())
    assert batches["tokens"] * 2 == told["counts"]["tokens"]
    assert batches["images"] * 2 == told["counts"]["images"] == 44
    assert batches["padding"] == pytest.approx(1 - told["counts"]["tokens"] / told["counts"]["slots"], abs=0.05)
    assert batches["way"] == ("packed in rows of 400" if packing else "grouped by length")
    assert plan["model"]["rates"] == dict.fromkeys(plan["model"]["parameters"], 2e-5)
    assert plan["memory"]["total"] > 0
    assert json.loads(json.dumps(plan)) == plan


def test_plan_on_a_terminal_says_the_same(checkpoint, pictures, tmp_path):
    train(arguments(checkpoint, pictures, tmp_path, "--max_steps", "1"))
    plan = json.loads((tmp_path / "plan.json").read_text())
    page = "".join(plan_page(plan, terminal=True).split())
    for label, text in plan_rows(plan):
        assert "".join(f"{label}{text}".split()) in page
    assert plan_page(plan, terminal=False).count("\n") + 1 == len(plan_rows(plan))


# --- doubts -----------------------------------------------------------------------------------------------------------


def plan_of(**changes):
    plan = {
        "model": {
            "parameters": {
                "vision tower": {"all": 400_000_000, "trained": 0},
                "connector": {"all": 20_000_000, "trained": 20_000_000},
                "language model": {"all": 7_000_000_000, "trained": 7_000_000_000},
            },
            "rates": {"connector": 2e-5, "language model": 2e-5},
            "lora": None,
        },
        "data": {"kept": 1000, "with_image": 900, "answers_cut": 0},
        "batches": {"padding": 0.1, "images": 900},
        "run": {
            "steps": 5000,
            "batch_size": 128,
            "batch_of": "samples",
            "precision": "bfloat16",
            "device": "cpu",
            "warmup_steps": 150,
        },
        "memory": {"total": 60.0},
        "device_memory": 80.0,
        "notes": [],
        "settings": {},
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        place = plan
        for step in way:
            place = place[step]
        place[last] = value
    return plan


def command_of(**changes):
    model = {"stage": "frozen-tower", "vision_tower": None, "pretrain_mm_mlp_adapter": None}
    data = {"eval_split": None, "eval_data_path": None, "text_only": False}
    training = {
        "learning_rate": 2e-5,
        "global_batch_size": None,
        "group_by_modality_length": True,
        "dataloader_num_workers": 4,
        "save_strategy": "steps",
        "save_steps": 500,
        "logging_strategy": "steps",
        "logging_steps": 10,
        "eval_strategy": "no",
    }
    for part in (model, data, training):
        part.update({name: value for name, value in changes.items() if name in part})
    return SimpleNamespace(
        model=SimpleNamespace(**model), data=SimpleNamespace(**data), training=SimpleNamespace(**training)
    )


def test_a_usual_run_raises_no_doubt():
    assert doubts(command_of(), plan_of()) == []


@pytest.mark.parametrize(
    ("command", "plan", "says"),
    [
        ({}, {"device_memory": 40.0}, "60 GB are needed and the GPU has 40"),
        ({"stage": "projector"}, {"model__rates": {"connector": 2e-5}}, "hardly moves a connector"),
        ({"learning_rate": 1e-3}, {"model__rates": {"language model": 1e-3}}, "makes a trained language model forget"),
        ({}, {"model__lora": {"rank": 8}}, "hardly moves LoRA"),
        ({}, {"model__rates": {"vision tower": 2e-5}}, "--mm_vision_tower_lr 2e-6"),
        ({"vision_tower": "t"}, {}, "the connector is new"),
        ({"global_batch_size": 256}, {}, "not of 256"),
        ({}, {"batches__padding": 0.4}, "40% of all slots are padding"),
        ({"save_steps": 50000}, {}, "no checkpoint before the end"),
        ({"logging_steps": 6000}, {}, "no loss is logged"),
        ({}, {"run__warmup_steps": 4000}, "the rate rises for 4000 of 5000"),
        ({"eval_split": "validation"}, {}, "never looked at"),
        ({}, {"data__answers_cut": 100}, "answers are cut"),
        ({}, {"data__with_image": 0}, "--image_folder"),
    ],
)
def test_what_looks_like_a_mistake_is_named(command, plan, says):
    found = doubts(command_of(**command), plan_of(**plan))
    assert len(found) == 1
    assert says in found[0]


def test_a_tower_that_is_named_for_a_finished_model_is_no_new_connector():
    note = "--vision_tower t is left out: the checkpoint has its own"
    assert doubts(command_of(vision_tower="t"), plan_of(notes=[note])) == []


# --- the help page ----------------------------------------------------------------------------------------------------

OWN = {field.name for kind in (ModelArguments, DataArguments, TrainArguments) for field in dataclasses.fields(kind)} - {
    field.name for field in dataclasses.fields(TrainingArguments)
}


def listed(page):
    return set(re.findall(r"^  --(\w+)", page, re.MULTILINE))


def test_help_lists_every_flag_of_ours_and_the_most_used_of_transformers(capsys):
    main(["--help"])
    page = capsys.readouterr().out
    assert listed(page) == OWN | {*OFTEN, "config"}
    assert set(OUR_WORDS) <= {*OFTEN}
    assert "quilt_llava/finetune" in page
    assert max(map(len, page.splitlines())) <= 120


def test_help_all_lists_all_of_them(capsys):
    theirs = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}
    for words in (["--help", "all"], ["--help_all"]):
        main(words)
        assert listed(capsys.readouterr().out) == OWN | theirs | {"config"}
    assert manual(["-h"]) == manual(["--help"])


def test_documents_speak_of_flags_that_are_there():
    known = OWN | {field.name for field in dataclasses.fields(TrainingArguments)} | {"config", "help", "help_all"}
    known |= {*RENAMED, *STAGE_FLAGS, *WITHOUT_EFFECT, *ENVIRONMENT, "version"}
    docs = Path(__file__).parent.parent / "docs"
    page = (docs / "training.md").read_text()
    lines = [line for line in page.splitlines() if "llava-graph " not in line and "nproc" not in line]
    spoken = re.findall(r"--([a-z][a-z_0-9]+)", "\n".join(lines))
    assert set(spoken) - known == set()
    pages = "\n".join(path.read_text() for path in docs.glob("training*.md"))
    assert set(re.findall(r"--([a-z][a-z_0-9]+)", pages)) >= OWN
