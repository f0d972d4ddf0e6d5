"""What in a plan is allowed but looks like a mistake. In: a command and its plan. Out: one sentence each, with what is usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from train.learning.parts import LANGUAGE, TOWER

if TYPE_CHECKING:
    from train.flags.arguments import Command

PROJECTOR_RATE = 1e-4
"""Below, a connector hardly moves (LLaVA: 1e-3, 2e-3)."""
FULL_RATE = 1e-4
"""Above, a trained language model forgets (LLaVA: 2e-5)."""
LORA_RATE = 5e-5
"""Below, LoRA hardly moves (LLaVA: 2e-4)."""
TOWER_RATE = 1e-5
"""Above, a trained vision tower forgets (LLaVA-NeXT: 2e-6)."""
SMALL_MODEL = 10**8
"""Parameters; smaller language models are trained from scratch, at higher rates."""
MUCH_PADDING = 0.3
MANY_CUT = 0.05
"""Shares of all."""


def doubts(command: Command, plan: Mapping[str, Any]) -> list[str]:
    """Likely mistakes, the dearest first."""
    return [
        *_memory(plan),
        *_rates(command, plan),
        *_batches(command, plan),
        *_saving(command, plan),
        *_data(command, plan),
    ]


def _memory(plan: Mapping[str, Any]) -> list[str]:
    memory, there = plan["memory"], plan["device_memory"]
    if not memory or not there or memory["total"] <= there:
        return []
    return [
        f"about {memory['total']:g} GB are needed and the GPU has {there:g}: a smaller --per_device_train_batch_size, "
        "--gradient_checkpointing True, --deepspeed zero3 or --lora_enable True need less"
    ]


def _rates(command: Command, plan: Mapping[str, Any]) -> list[str]:
    asked, model = command.model, plan["model"]
    rate, rates = command.training.learning_rate, model["rates"]
    large = model["parameters"].get(LANGUAGE, {"all": 0})["all"] >= SMALL_MODEL
    found = []
    if asked.stage == "projector" and max(rates.values(), default=rate) < PROJECTOR_RATE:
        found.append(f"a learning rate of {rate:g} hardly moves a connector: 1e-3 is usual")
    if model["lora"] and rate < LORA_RATE:
        found.append(f"a learning rate of {rate:g} hardly moves LoRA: 2e-4 is usual")
    if not model["lora"] and large and rates.get(LANGUAGE, 0) > FULL_RATE:
        found.append(f"a learning rate of {rate:g} makes a trained language model forget: 2e-5 is usual")
    if large and rates.get(TOWER, 0) > TOWER_RATE:
        found.append(f"the vision tower learns at {rates[TOWER]:g}: --mm_vision_tower_lr 2e-6 is usual")
    if asked.stage != "projector" and asked.vision_tower and not asked.pretrain_mm_mlp_adapter and not _finished(plan):
        found.append(
            "the connector is new, and the language model learns from it at once: --stage projector first, or "
            "--pretrain_mm_mlp_adapter"
        )
    return found


def _finished(plan: Mapping[str, Any]) -> bool:
    """Whether the tower that was named belongs to a finished model (see `train.learning.loading`)."""
    return any("--vision_tower" in note and "left out" in note for note in plan["notes"]) or bool(
        plan["settings"].get("lora_weight_path")
    )


def _batches(command: Command, plan: Mapping[str, Any]) -> list[str]:
    training, run, batches = command.training, plan["run"], plan["batches"]
    found = []
    if training.global_batch_size and run["batch_size"] != training.global_batch_size:
        found.append(
            f"a step is of {run['batch_size']} {run['batch_of']}, not of {training.global_batch_size} as --global_batch_size "
            "says: leave --gradient_accumulation_steps out"
        )
    if batches["padding"] > MUCH_PADDING:
        other = "" if training.group_by_modality_length else ", or --group_by_modality_length True,"
        found.append(f"{batches['padding']:.0%} of all slots are padding: --packing True{other} computes less of it")
    if run["precision"] == "float32" and _has_bfloat16(run["device"]):
        found.append("this GPU computes several times as fast with --bf16 True")
    if run["device"].startswith("cuda") and not training.dataloader_num_workers and batches["images"]:
        found.append("images are opened between steps: --dataloader_num_workers 4 opens them meanwhile")
    return found


def _has_bfloat16(device: str) -> bool:
    if not device.startswith("cuda"):
        return False
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


def _saving(command: Command, plan: Mapping[str, Any]) -> list[str]:
    training, steps = command.training, plan["run"]["steps"]
    found = []
    if training.save_strategy == "steps" and training.save_steps > steps:
        found.append(f"no checkpoint before the end: --save_steps {training.save_steps:g} of {steps} steps")
    if training.logging_strategy == "steps" and training.logging_steps > steps:
        found.append(f"no loss is logged: --logging_steps {training.logging_steps:g} of {steps} steps")
    if plan["run"]["warmup_steps"] * 2 > steps:
        found.append(f"the rate rises for {plan['run']['warmup_steps']} of {steps} steps")
    if (command.data.eval_split or command.data.eval_data_path) and training.eval_strategy == "no":
        found.append("evaluation data are given but --eval_strategy is no: they are never looked at")
    return found


def _data(command: Command, plan: Mapping[str, Any]) -> list[str]:
    data = plan["data"]
    found = []
    if data["answers_cut"] > MANY_CUT * max(1, data["kept"]):
        found.append(f"{data['answers_cut']} of {data['kept']} answers are cut: a larger --model_max_length keeps them")
    if plan["run"]["steps"] and data["kept"] and not data["with_image"] and not command.data.text_only:
        found.append("no sample has an image: is --image_folder right?")
    return found
