"""The shipped recipes say what the systems published, and what they do not know they do not invent."""

import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from parsing import clean_process

from train.flags.arguments import DataArguments, ModelArguments, TrainArguments
from train.flags.command import RECIPES, accumulation, find_recipe, parse_command, recipe_names

CLIP, QUILT, SIGLIP = "openai/clip-vit-large-patch14", "wisdomik/QuiltNet-B-32", "bczhou/TinyLLaVA-1.5B-SigLIP"
PLIP, SIGLIP2 = "openai/clip-vit-base-patch16", "google/siglip2-so400m-patch14-384"
SO400M, CLIP_336 = "google/siglip-so400m-patch14-384", "openai/clip-vit-large-patch14-336"

# recipe -> batch a step, samples a GPU, GPUs, rate, epochs, template, stage, tower, connector
PUBLISHED = {
    "llava_graph/pretrain_13b": (128, 16, 8, 2e-3, 1, "v0", "projector", CLIP, "linear"),
    "llava_graph/pretrain_7b": (128, 16, 1, 2e-3, 1, "v0", "projector", CLIP, "linear"),
    "llava_graph/finetune_13b": (32, 4, 8, 2e-5, 3, "v0", "frozen-tower", CLIP, "linear"),
    "llava_graph/finetune_7b": (32, 4, 8, 2e-5, 3, "vicuna_v1", "frozen-tower", CLIP, "linear"),
    "llava_graph/lightning_pretrain_7b": (128, 16, 8, 2e-3, 1, "vicuna_v1", "projector", CLIP, "linear"),
    "llava_graph/lightning_finetune_7b": (128, 16, 8, 2e-5, 1, "vicuna_v1", "frozen-tower", CLIP, "linear"),
    "quilt_llava/pretrain": (256, 32, 4, 1e-3, 1, "plain", "projector", QUILT, "mlp2x_gelu"),
    "quilt_llava/finetune": (128, 16, 4, 2e-5, 1, "vicuna_v1", "frozen-tower", QUILT, "mlp2x_gelu"),
    "quilt_llava/finetune_lora": (128, 16, 4, 2e-4, 1, "vicuna_v1", "frozen-tower", QUILT, "mlp2x_gelu"),
    "quilt_llava/finetune_qlora": (128, 16, 4, 2e-5, 1, "vicuna_v1", "frozen-tower", QUILT, "mlp2x_gelu"),
    "quilt_llava/finetune_task": (128, 16, 4, 2e-5, 1, "vicuna_v1", "frozen-tower", CLIP_336, "mlp2x_gelu"),
    "quilt_llava/finetune_task_lora": (128, 16, 4, 2e-4, 1, "vicuna_v1", "frozen-tower", CLIP_336, "mlp2x_gelu"),
    "tinyllava_med_f/share_base": (256, 32, 4, 1e-3, 1, "plain", "projector", SO400M, "mlp2x_gelu"),
    "tinyllava_med_f/share_pretrain": (256, 8, 4, 2e-5, 1, "plain", "frozen-tower", None, "mlp2x_gelu"),
    "tinyllava_med_f/share_finetune": (128, 8, 4, 2e-5, 1, "vicuna_v1", "frozen-tower", None, "mlp2x_gelu"),
    "tinyllava_med_f/alignment": (64, 32, 1, 2e-5, 1, "vicuna_v1", "frozen-tower", SIGLIP, "mlp2x_gelu"),
    "tinyllava_med_f/instruct": (64, 32, 1, 2e-5, 10, "vicuna_v1", "frozen-tower", None, "mlp2x_gelu"),
    "tinyllava_med_f/downstream": (64, 32, 1, 2e-5, 18, "vicuna_v1", "frozen-tower", None, "mlp2x_gelu"),
    "xray_report/llava_med_alignment": (128, 2, 8, 2e-3, 1, "v0", "projector", None, "mlp2x_gelu"),
    "xray_report/llava_med_instruct": (128, 1, 8, 2e-5, 3, "v0", "frozen-tower", None, "mlp2x_gelu"),
    "xray_report/llava_med_vqa": (64, 1, 8, 2e-5, 3, "v0", "frozen-tower", None, "mlp2x_gelu"),
    "xray_report/sft": (128, 2, 8, 2e-3, 1, "v0", "projector", None, "mlp2x_gelu"),
    "xray_report/sft_mimic": (128, 2, 8, 2e-5, 3, "v0", "projector", None, "mlp2x_gelu"),
    "xray_report/sft_baseline": (2, 1, 2, 2e-5, 1, "v0", "projector", None, "mlp2x_gelu"),
    "pa_llava/alignment": (576, 6, 16, 1e-4, 9, "llama_3", "frozen-tower", PLIP, "scale_invariant"),
    "pa_llava/instruct": (384, 6, 16, 2e-4, 12, "llama_3", "frozen-tower", PLIP, "scale_invariant"),
    "modern/pretrain": (32, 1, 8, 1e-3, 1, "plain", "projector", SIGLIP2, "mlp2x_gelu"),
    "modern/finetune": (16, 1, 8, 1e-5, 1, "chatml", "full", None, "mlp2x_gelu"),
}
OURS = ("packaged", "packaged_look", "packaged_text")
GIVEN = ["--model_name_or_path", "m", "--data_path", "d", "--output_dir", "o"]


def parse(name, *more):
    with clean_process():
        return parse_command(["--config", name, *GIVEN, *more])


def settings(name):
    return yaml.safe_load(find_recipe(name).read_text())


def test_all_recipes_are_known_here():
    assert recipe_names() == sorted([*PUBLISHED, *OURS])


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_says_what_was_published(name):
    command = parse(name)
    model, training = command.model, command.training
    batch, each, gpus, rate, epochs, template, stage, tower, connector = PUBLISHED[name]
    assert (
        training.train_batch_size,
        training.train_batch_size * training.gradient_accumulation_steps,
        training.learning_rate,
        training.num_train_epochs,
        model.chat_template,
        model.stage,
        model.vision_tower,
        model.mm_projector_type,
    ) == (each, batch, rate, epochs, template, stage, tower, connector)
    assert accumulation(batch, each, gpus) * gpus * each == batch
    # All of the systems, and ours.
    assert (training.warmup_steps, training.weight_decay, training.bf16) == (0.03, 0, True)
    assert training.lr_scheduler_type in ("cosine", "cosine_with_min_lr")
    assert model.mm_vision_select_layer == -2
    longer = {"modern/finetune": 4096, **{name: 3072 for name in PUBLISHED if "/share_" in name}}
    assert command.data.model_max_length == longer.get(name, 2048)


def test_lora_of_the_recipes():
    lora = {}
    for name in PUBLISHED:
        asked = parse(name).model
        if asked.lora_enable:
            lora[name] = (asked.lora_r, asked.lora_alpha, asked.lora_dropout, asked.bits)
    assert lora == {
        "quilt_llava/finetune_lora": (128, 256, 0.05, 16),
        "quilt_llava/finetune_qlora": (64, 16, 0.05, 4),
        "quilt_llava/finetune_task_lora": (128, 256, 0.05, 16),
        "pa_llava/alignment": (128, 256, 0.05, 16),
        "pa_llava/instruct": (128, 256, 0.05, 16),
    }


def test_rates_of_parts():
    rates = {name: parse(name).training for name in PUBLISHED}
    assert {name: one.mm_projector_lr for name, one in rates.items() if one.mm_projector_lr} == {
        "quilt_llava/finetune_lora": 2e-5,
        "quilt_llava/finetune_task_lora": 2e-5,
        "pa_llava/instruct": 1e-4,
    }
    assert {name: one.mm_vision_tower_lr for name, one in rates.items() if one.mm_vision_tower_lr} == {
        "modern/finetune": 2e-6
    }
    assert rates["pa_llava/instruct"].lr_scheduler_kwargs == {"min_lr": 1e-6}


def test_images_and_marks():
    marks = {name for name in PUBLISHED if parse(name).model.mm_use_im_start_end}
    assert marks == {name for name in PUBLISHED if name.startswith(("llava_graph/", "xray_report/"))}
    aspects = {name: parse(name).model.image_aspect_ratio for name in PUBLISHED}
    assert {name for name, aspect in aspects.items() if aspect == "pad"} == {
        "quilt_llava/finetune",
        "quilt_llava/finetune_lora",
        "quilt_llava/finetune_qlora",
        "quilt_llava/finetune_task",
        "quilt_llava/finetune_task_lora",
        "tinyllava_med_f/alignment",
        "tinyllava_med_f/instruct",
        "tinyllava_med_f/downstream",
        "modern/pretrain",
    }


def test_sharding_of_the_recipes_and_a_way_without():
    shards = {name: settings(name).get("deepspeed") or settings(name).get("fsdp") for name in PUBLISHED}
    assert {name: way for name, way in shards.items() if way} == {
        "llava_graph/finetune_13b": "fsdp2",
        "llava_graph/finetune_7b": "zero3",
        "llava_graph/lightning_finetune_7b": "fsdp2",
        "quilt_llava/pretrain": "zero2",
        "quilt_llava/finetune": "zero3",
        "quilt_llava/finetune_lora": "zero3",
        "quilt_llava/finetune_qlora": "zero2",
        "quilt_llava/finetune_task": "zero3",
        "quilt_llava/finetune_task_lora": "zero3",
        "tinyllava_med_f/share_base": "zero3",
        "tinyllava_med_f/share_pretrain": "zero3",
        "tinyllava_med_f/share_finetune": "zero3",
        "xray_report/llava_med_instruct": "fsdp2",
        "xray_report/llava_med_vqa": "fsdp2",
        "tinyllava_med_f/alignment": "zero3",
        "tinyllava_med_f/instruct": "zero3",
        "tinyllava_med_f/downstream": "zero3",
        "pa_llava/alignment": "zero2",
        "pa_llava/instruct": "zero2",
    }
    for name in PUBLISHED:
        training = parse(name, "--deepspeed", "none", "--fsdp", "none").training
        assert not training.deepspeed
        assert not training.fsdp


def test_only_modern_recipes_pack():
    assert {name for name in PUBLISHED if parse(name).training.packing} == {"modern/pretrain", "modern/finetune"}
    assert parse("modern/finetune").training.packing_length == 8192


@pytest.mark.parametrize("name", [*PUBLISHED, *OURS])
def test_recipes_hold_our_flags_alone_and_the_command_line_wins(name):
    ours = {field.name for kind in (ModelArguments, DataArguments, TrainArguments) for field in fields(kind)}
    assert settings(name).keys() <= ours
    assert parse(name, "--num_train_epochs", "7").training.num_train_epochs == 7
    assert not [note for note in parse(name).notes if "no effect" in note and "tf32" not in note]


COMMANDS = {
    line.partition(": ")[0]: shlex.split(line.partition(": ")[2])
    for line in (Path(__file__).parent / "published_commands.txt").read_text().splitlines()
    if not line.startswith("#")
}
SAME = {
    "quilt_llava/pretrain": ("quilt_llava/pretrain", set()),
    "quilt_llava/finetune": ("quilt_llava/finetune", {"model_name_or_path"}),
    "quilt_llava/finetune_lora": ("quilt_llava/finetune-lora", {"model_name_or_path"}),
    "quilt_llava/finetune_qlora": (
        "quilt_llava/finetune-qlora",
        {"model_name_or_path", "vision_tower", "mm_projector_type", "image_aspect_ratio", "save_steps"},
    ),
    "quilt_llava/finetune_task": ("quilt_llava/finetune-task", set()),
    "quilt_llava/finetune_task_lora": ("quilt_llava/finetune-task-lora", set()),
    "tinyllava_med_f/alignment": ("tinyllava_med_f/alignment", {"save_total_limit"}),
    "tinyllava_med_f/instruct": ("tinyllava_med_f/instruct", {"save_total_limit"}),
    "tinyllava_med_f/downstream": ("tinyllava_med_f/downstream", {"save_total_limit"}),
    "tinyllava_med_f/share_base": ("tinyllava_factory/pretrain", {"model_name_or_path", "bf16"}),
    "tinyllava_med_f/share_pretrain": ("tinyllava_factory/share-pretrain", {"bf16"}),
    "tinyllava_med_f/share_finetune": ("tinyllava_factory/share-finetune", {"bf16"}),
    "xray_report/llava_med_alignment": ("llava_med/alignment", {"dataloader_num_workers"}),
    "xray_report/llava_med_instruct": ("llava_med/instruct", {"dataloader_num_workers"}),
    "xray_report/llava_med_vqa": ("llava_med/vqa", {"dataloader_num_workers"}),
    "xray_report/sft": ("xray_report/sft", {"dataloader_num_workers"}),
    "xray_report/sft_mimic": ("xray_report/mimic-sft", {"dataloader_num_workers"}),
    "xray_report/sft_baseline": ("xray_report/reports-sft", {"dataloader_num_workers"}),
}
"""Recipe -> the published command that it is from, and the flags that it changes on purpose."""


@pytest.mark.parametrize("name", SAME)
def test_recipe_is_its_published_command_but_for_what_it_says(name):
    told, changed = SAME[name]
    model = [] if "model_name_or_path" in settings(name) else ["--model_name_or_path", "m"]
    with clean_process():
        theirs = parse_command(COMMANDS[told])
    with clean_process():
        ours = parse_command(["--config", name, "--data_path", "d", "--output_dir", "o", *model])
    found = set()
    for flag in settings(name).keys() - {"global_batch_size", "tf32"}:
        for one, other in ((ours.model, theirs.model), (ours.data, theirs.data), (ours.training, theirs.training)):
            if hasattr(one, flag) and getattr(one, flag) != getattr(other, flag):
                found.add(flag)
    assert found == changed
    lines = {line.partition(":")[0]: line for line in find_recipe(name).read_text().splitlines()}
    assert all("#" in lines[flag] for flag in changed - {"vision_tower", "mm_projector_type", "image_aspect_ratio"})


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipes_name_their_source_and_what_they_leave_open(name):
    text = find_recipe(name).read_text()
    head = text[: text.index("\n\n")]
    assert re.search(r"^# Source: |^# Ours\.", head, re.MULTILINE)
    given = {word for word in ("model_name_or_path", "data_path", "output_dir") if word not in settings(name)}
    assert given <= set(re.findall(r"--(\w+)", head))
    assert max(map(len, text.splitlines())) <= 130
    batch = PUBLISHED[name][0]
    if "global_batch_size" in settings(name):
        assert f"global_batch_size: {batch} " in text
    else:
        assert "not published" in text


def test_recipes_are_found_by_name_and_by_path(tmp_path):
    assert find_recipe("quilt_llava/finetune") == find_recipe("quilt_llava/finetune.yaml")
    assert find_recipe(str(RECIPES / "packaged.yaml")) == find_recipe("packaged")
    (tmp_path / "mine.yaml").write_text("stage: projector\n")
    assert find_recipe(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"


def test_recipes_travel_in_the_wheel():
    """hatchling packs every file of these folders that git does not ignore."""
    root = Path(__file__).parent.parent
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert RECIPES.parent.name in build["packages"]
    assert "exclude" not in build
    ignored = (root / ".gitignore").read_text().split()
    assert not {"*.yaml", "recipes", "recipes/", "train/recipes", "train/"} & set(ignored)
