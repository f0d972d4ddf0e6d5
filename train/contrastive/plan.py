"""What a contrastive run will do, before its first step. In: command, model, pairs. Out: the plan as values, and as lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from train.contrastive.arguments import settings
from train.contrastive.encoders import ContrastiveModel
from train.planning.plan import versions

if TYPE_CHECKING:
    from train.batching.checking import Checked
    from train.batching.order import Order
    from train.contrastive.arguments import ContrastiveCommand
    from train.contrastive.folder import Contrastive


def resolve_plan(
    command: ContrastiveCommand, loaded: Contrastive, checked: Checked, order: Order, resume: str | None
) -> dict[str, Any]:
    """Everything that decides the run, as plain values."""
    training, asked, model = command.training, command.contrastive, loaded.model
    steps_an_epoch = math.ceil(len(order) / training.gradient_accumulation_steps)
    steps = training.max_steps if training.max_steps > 0 else math.ceil(training.num_train_epochs * steps_an_epoch)
    compared = order.batch * order.processes
    return {
        "model": {**loaded.origin, "learns": _parameters(model)},
        "data": {
            "seen": checked.seen,
            "kept": len(checked.kept),
            "dropped": checked.reasons,
            "repaired": checked.repaired,
            "captions_cut": checked.answers_cut,
        },
        "run": {
            "objective": asked.objective,
            "steps": steps,
            "epochs": steps / max(1, steps_an_epoch),
            "pairs_a_step": compared * training.gradient_accumulation_steps,
            "pairs_left_out_an_epoch": len(order.rows(0)) - sum(map(len, order.batches(0))),
            "compared_with": compared + (asked.queue_size if asked.fused else 0),
            "learning_rate": training.learning_rate,
            "vision_tower_rate": training.mm_vision_tower_lr,
            "schedule": training.lr_scheduler_type.value,
            "warmup": training.warmup_steps,
            "precision": "bfloat16" if training.bf16 else "float16" if training.fp16 else "float32",
            "device": training.device.type,
            "processes": training.world_size,
            "resume_from": resume,
        },
        "settings": settings(command),
        "notes": list(command.notes),
        "warnings": doubts(command, checked),
        "versions": versions(),
    }


def _parameters(model: ContrastiveModel) -> dict[str, int]:
    parts = {
        "vision_tower": model.encoders.vision_tower,
        "text_encoder": model.encoders.text_encoder,
        "projections": model.encoders.vision_projection,
    }
    counts = {name: sum(one.numel() for one in part.parameters()) for name, part in parts.items()}
    counts["projections"] += sum(one.numel() for one in model.encoders.text_projection.parameters())
    return counts


def doubts(command: ContrastiveCommand, checked: Checked) -> list[str]:
    """What looks like a mistake, and is none by itself."""
    asked, training, pairs = command.contrastive, command.training, len(checked.kept)
    found = []
    if asked.fused and asked.queue_size >= pairs:
        found.append(
            f"--queue_size {asked.queue_size} is more than the {pairs} pairs: each meets itself in the queue as a negative"
        )
    if not asked.fused and training.gradient_accumulation_steps > 1:
        found.append(
            "--gradient_accumulation_steps: a batch is compared with itself alone, not with the others of its step"
        )
    if checked.answers_cut > len(checked.kept) / 2:
        found.append(f"{checked.answers_cut} of {pairs} captions are longer than --max_caption_tokens and are cut")
    return found


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan for a person."""
    model, data, run = plan["model"], plan["data"], plan["run"]
    learns = ", ".join(f"{name.replace('_', ' ')} {count / 1e6:.2f} M" for name, count in model["learns"].items())
    made = " + ".join(value for name, value in model.items() if name != "learns")
    dropped = ", ".join(f"{count} {reason}" for reason, count in data["dropped"].items()) or "none"
    rate = f"{run['learning_rate']:g}" + (f" (tower {run['vision_tower_rate']:g})" if run["vision_tower_rate"] else "")
    lines = [
        f"model   {made}",
        f"learns  {learns}",
        f"data    {data['kept']} of {data['seen']} pairs; dropped: {dropped}; captions cut: {data['captions_cut']}",
        f"run     {run['objective']}, {run['steps']} steps ({run['epochs']:.3g} epochs) of {run['pairs_a_step']} pairs, each "
        f"compared with up to {run['compared_with']}; {run['pairs_left_out_an_epoch']} pairs left over in an epoch",
        f"rate    {rate}, {run['schedule']}, warm-up {run['warmup']:g}",
        f"on      {run['device']}, {run['precision']}, {run['processes']} process{'es' * (run['processes'] > 1)}",
        "with    " + ", ".join(f"{name} {found}" for name, found in plan["versions"].items()),
    ]
    if run["resume_from"]:
        lines.append(f"resumes {run['resume_from']}")
    lines += [f"note    {note}" for note in plan["notes"]]
    return lines + [f"warning {one}" for one in plan["warnings"]]
