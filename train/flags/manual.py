"""The trainer's help page. In: the dataclasses of the flags. Out: text, ours in full, transformers' most used ones."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from transformers import TrainingArguments

from train.flags.arguments import DataArguments, ModelArguments, TrainArguments
from train.flags.command import recipe_names

INTRODUCTION = """\
Train a LLaVA model on figures: projector, full, LoRA or QLoRA; on one process, on many, on many machines.

  torchrun --nproc_per_node 1 train/train_mem.py \\
      --model_name_or_path CHECKPOINT --data_path DATASET --output_dir OUT

  llava-graph-train --config modern/pretrain --data_path captions.json --output_dir runs/connector
  llava-graph-train --config quilt_llava/finetune_lora --deepspeed none --per_device_train_batch_size 4 ...
  llava-graph-train ... --dry_run True        what would happen, and how much memory it takes
  llava-graph-train ... --audit True          how long the samples are, and which are refused

--data_path is a folder that scicap_builder wrote, or a LLaVA conversation JSON (with --image_folder). The command
lines of LLaVA, its forks and TinyLLaVA work as they stand; each translation is noted in the plan. Defaults stand in
brackets."""

CONFIG = "Flags from a YAML file, or from a shipped recipe by its name; the command line wins:"

OFTEN = (
    "output_dir", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "bf16", "tf32",
    "gradient_checkpointing", "deepspeed", "fsdp", "dataloader_num_workers", "logging_steps", "report_to", "save_strategy",
    "save_steps", "save_total_limit", "eval_strategy", "eval_steps", "resume_from_checkpoint", "seed", "push_to_hub",
)  # fmt: skip
"""transformers' flags that a run usually sets."""

OUR_WORDS = {
    "output_dir": "Folder of the run: checkpoints, plan.json, the trained model.",
    "num_train_epochs": "How often every sample is shown.",
    "max_steps": "Stop after so many steps, whatever the epochs.",
    "per_device_train_batch_size": "Samples (packed: rows) of a process at a time.",
    "gradient_accumulation_steps": "Batches of a process that make a step.",
    "lr_scheduler_type": "How the learning rate falls: cosine, linear, constant, cosine_with_min_lr …",
    "warmup_steps": "Steps in which the rate rises; below 1: a share of all steps.",
    "weight_decay": "Decay of the weights, not of biases and norms.",
    "max_grad_norm": "Longer gradients are shortened to this length.",
    "optim": "Optimizer: adamw_torch_fused, adafactor, adamw_8bit, paged_adamw_8bit …",
    "bf16": "Compute in bfloat16; weights that learn stay float32.",
    "tf32": "TF32 in what is computed in float32 (Ampere and newer).",
    "gradient_checkpointing": "Compute activations again in the backward pass: less memory, a quarter slower.",
    "deepspeed": "zero2, zero2_offload, zero3, zero3_offload, or a settings file.",
    "fsdp": "fsdp2, fsdp2_offload: shard the model without DeepSpeed.",
    "dataloader_num_workers": "Processes that prepare batches.",
    "report_to": "tensorboard, wandb, trackio …; none.",
    "save_strategy": "When to save: steps, epoch, no, best.",
    "save_steps": "Steps between checkpoints; below 1: a share of all steps.",
    "save_total_limit": "Checkpoints that are kept.",
    "eval_strategy": "When to evaluate: no, steps, epoch.",
    "eval_steps": "Steps between evaluations.",
    "resume_from_checkpoint": "Checkpoint to go on from; False: start anew. Default: the last one in the output folder.",
    "seed": "Of order, dropout and new weights.",
    "push_to_hub": "Upload checkpoints (--hub_model_id).",
}
"""transformers' flags in a line; its own help is paragraphs long."""


HELP = frozenset({"-h", "--help", "--help_all", "--help-all"})


def manual(argv: Sequence[str]) -> str:
    """The page for a command line that asks for help; `--help all` (or --help_all): with all of transformers' flags."""
    everything = bool({"all", "--help_all", "--help-all"} & {*argv})
    width = min(110, shutil.get_terminal_size().columns)
    theirs = {field.name for field in dataclasses.fields(TrainingArguments)}
    training = dataclasses.fields(TrainArguments)
    ours = [field for field in training if field.name not in theirs]
    often = [field for name in OFTEN for field in training if field.name == name]
    sections = [
        INTRODUCTION,
        section("Recipes", [entry("config", CONFIG, "", width), *_recipes(width)]),
        section("Model", entries(dataclasses.fields(ModelArguments), width)),
        section("Data", entries(dataclasses.fields(DataArguments), width)),
        section("Training, ours", entries(ours, width)),
        section("Training, the most used of transformers'", entries(often, width)),
    ]
    if everything:
        shown = {*OFTEN, *(field.name for field in ours)}
        rest = [field for field in training if field.name not in shown]
        sections.append(section("Training, the rest of transformers'", entries(rest, width)))
    else:
        sections.append(
            "All other arguments of transformers' TrainingArguments are flags too: --help all lists them.\n"
            "More: docs/training.md"
        )
    return "\n\n".join(sections)


def _recipes(width: int) -> list[str]:
    """The names of the shipped recipes, a line a folder."""
    folders: dict[str, list[str]] = {}
    for name in recipe_names():
        folders.setdefault(name.partition("/")[0] if "/" in name else "", []).append(name)
    return [
        textwrap.fill(" ".join(names), width, initial_indent=" " * 4, subsequent_indent=" " * 4, break_on_hyphens=False)
        for names in folders.values()
    ]


def section(title: str, lines: list[str]) -> str:
    """A part of the page."""
    return "\n".join([f"{title}:", *lines])


def entries(fields: Iterable[dataclasses.Field[Any]], width: int) -> list[str]:
    """Flags with their help and default, in lines of at most `width` letters."""
    return [
        entry(field.name, OUR_WORDS.get(field.name) or field.metadata.get("help", ""), _default(field), width)
        for field in fields
        if field.init
    ]


def entry(name: str, text: str, default: str, width: int) -> str:
    """One flag."""
    words = " ".join(str(text).split())
    told = f"{words} [{default}]" if default else words
    lines = textwrap.wrap(told, max(30, width - 32)) or [""]
    head = f"  --{name}"
    first = [f"{head:<31} {lines[0]}"] if len(head) < 31 else [head, f"{'':<31} {lines[0]}"]
    return "\n".join([*first, *(f"{'':<31} {line}" for line in lines[1:])])


def _default(field: dataclasses.Field[Any]) -> str:
    """How a flag stands when it is left out; empty where there is nothing to say."""
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        return " ".join(map(str, value)) if isinstance(value, list) else ""
    if field.default is dataclasses.MISSING:
        return "needed"
    value = getattr(field.default, "value", field.default)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None or value == "" else str(value)
