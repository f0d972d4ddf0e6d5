"""The resolved plan of a run: what learns from what, how fast, in how much memory. Saved beside the checkpoints.

`train.planning.plan_text` says it to a person before step one, `train.planning.doubts` what in it looks like a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.dataset import write_json
from train.batching.checking import Checked
from train.flags.arguments import Command, settings
from train.learning.loading import loading_notes
from train.learning.parts import CONNECTOR, TOWER
from train.learning.stages import count_parameters, stage_notes
from train.planning.doubts import doubts
from train.planning.memory import GB
from train.planning.sizing import estimate_memory, how_shared

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.batching.order import Order
    from train.flags.arguments import TrainArguments
    from train.learning.attention import Attention

SHOWN_DROPS = 1000
"""Dropped samples listed one by one in dropped.json; the counts are always complete."""
PACKAGES = ("llava-graph", "torch", "transformers", "datasets", "peft", "bitsandbytes", "deepspeed")


def resolve_plan(
    command: Command,
    loaded: LoadedModel,
    checked: Checked,
    resume: str | None,
    *,
    order: Order,
    attention: Attention,
    streamed: int | None = None,
) -> dict[str, Any]:
    """Everything that decides the run, as plain values.

    `streamed`: samples in the files of a stream, of which `checked` and `order` know the first; an epoch is estimated by them.
    """
    times = 1.0 if streamed is None else streamed / max(1, checked.seen)
    memory = estimate_memory(command, loaded, checked, order, attention=attention.name)
    plan = {
        "model": _model(command, loaded),
        "data": _data(command, checked, streamed),
        "batches": _batches(command.training, order, times),
        "run": _run(command, order, attention, resume, times),
        "memory": memory.in_gb() if memory else None,
        "device_memory": device_memory(command.training),
        "notes": [*command.notes, *loading_notes(command), *stage_notes(loaded.model, command)],
        "settings": settings(command),
        "versions": versions(),
    }
    return {**plan, "warnings": doubts(command, plan)}


def _model(command: Command, loaded: LoadedModel) -> dict[str, Any]:
    asked, training = command.model, command.training
    rates = {CONNECTOR: training.mm_projector_lr, TOWER: training.mm_vision_tower_lr}
    parameters = count_parameters(loaded.model)
    lora = asked.lora_enable or bool(asked.lora_weight_path)
    return {
        "name": loaded.name,
        "path": asked.model_name_or_path,
        "vision_tower": asked.vision_tower,
        "template": asked.chat_template or "the checkpoint's own",
        "image_tokens": loaded.image_tokens,
        "context_length": loaded.context_length,
        "parameters": parameters,
        "rates": {
            part: rates.get(part) or training.learning_rate for part, count in parameters.items() if count["trained"]
        },
        "lora": {"rank": asked.lora_r, "alpha": asked.lora_alpha, "dropout": asked.lora_dropout} if lora else None,
        "bits": asked.bits,
    }


def _data(command: Command, checked: Checked, streamed: int | None) -> dict[str, Any]:
    lengths = checked.lengths
    looked = {"seen": checked.seen} if streamed is None else {"streamed": streamed, "of_the_first": checked.seen}
    return {
        "path": command.data.data_path,
        **looked,
        "kept": len(checked.kept),
        "dropped": checked.reasons,
        "repaired": checked.repaired,
        "with_image": int(checked.with_image.sum()),
        "answers_cut": checked.answers_cut,
        "turns_cut": checked.turns_cut,
        "tokens_median": int(np.median(lengths)) if len(lengths) else 0,
        "tokens_longest": int(lengths.max(initial=0)),
        "tokens_learnt": round(float(checked.answers.sum() / max(1, lengths.sum())), 3),
    }


def _batches(training: TrainArguments, order: Order, times: float) -> dict[str, Any]:
    """The first epoch; exact where it is the run's own order, and `times` as much as the first samples of a stream."""
    found = order.summary()
    if training.packing:
        way = f"packed in rows of {order.packing_length}"
    else:
        way = "grouped by length" if training.group_by_modality_length else "padded to the longest of a batch"
    return {
        "way": way,
        "batches": round(found["batches"] * times),
        "tokens": round(found["tokens"] * times),
        "images": round(found["images"] * times),
        "padding": round(1 - found["tokens"] / max(1, found["slots"]), 4),
    }


def _run(command: Command, order: Order, attention: Attention, resume: str | None, times: float) -> dict[str, Any]:
    training = command.training
    accumulated = training.gradient_accumulation_steps
    per_epoch = max(1, math.ceil(len(order) / accumulated))
    steps = training.max_steps if training.max_steps > 0 else math.ceil(per_epoch * training.num_train_epochs)
    found = order.summary()
    return {
        "stage": command.model.stage,
        "steps": steps,
        "epochs": round(steps / (len(order) * times / accumulated if times > 1 else per_epoch), 2),
        "batch_size": training.train_batch_size * accumulated * training.world_size,
        "batch_of": "rows" if training.packing else "samples",
        "tokens_a_step": round(found["tokens"] / per_epoch),
        "learning_rate": training.learning_rate,
        "schedule": str(getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)),
        "warmup_steps": training.get_warmup_steps(steps),
        "optimizer": ("muon and " if training.muon else "") + str(getattr(training.optim, "value", training.optim)),
        "weight_decay": training.weight_decay,
        "device": str(training.device),
        "processes": training.world_size,
        "sharding": how_shared(training).told,
        "precision": "bfloat16" if training.bf16 else "float16" if training.fp16 else "float32",
        "attention": attention.name,
        "attention_because": attention.reason,
        "checkpointing": bool(training.gradient_checkpointing),
        "resume_from": resume,
    }


def device_memory(training: TrainArguments) -> float | None:
    """GB of this process's GPU; None on a CPU."""
    if training.device.type != "cuda":
        return None
    import torch

    return round(torch.cuda.get_device_properties(training.device).total_memory / GB, 1)


def save_plan(plan: Mapping[str, Any], checked: Checked, out: Path) -> None:
    """plan.json and dropped.json in the output folder."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "plan.json", dict(plan))
    listed = [asdict(item) for item in checked.dropped[:SHOWN_DROPS]]
    write_json(out / "dropped.json", {"counts": checked.reasons, "samples": listed})


def versions() -> dict[str, str]:
    """Package -> version, of those installed that matter."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
