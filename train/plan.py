"""The resolved plan of a run, printed before step one and saved beside the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.dataset import write_json
from train.arguments import Command, settings
from train.checking import Checked
from train.loading import loading_notes
from train.stages import count_parameters, stage_notes

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel

SHOWN_DROPS = 1000
"""Dropped samples listed one by one in dropped.json; the counts are always complete."""


def resolve_plan(command: Command, loaded: LoadedModel, checked: Checked, resume: str | None) -> dict[str, Any]:
    """Everything that decides the run, as plain values."""
    training = command.training
    batch = training.train_batch_size * training.gradient_accumulation_steps * training.world_size
    per_epoch = max(1, -(-len(checked.kept) // batch))
    steps = training.max_steps if training.max_steps > 0 else int(np.ceil(per_epoch * training.num_train_epochs))
    return {
        "model": {
            "name": loaded.name,
            "path": command.model.model_name_or_path,
            "image_tokens": loaded.image_tokens,
            "context_length": loaded.context_length,
            "parameters": count_parameters(loaded.model),
        },
        "data": {
            "path": command.data.data_path,
            "seen": len(checked.kept) + len(checked.dropped),
            "kept": len(checked.kept),
            "dropped": checked.reasons,
            "repaired": checked.repaired,
            "with_image": int(checked.with_image.sum()),
            "answers_cut": checked.answers_cut,
            "tokens_median": int(np.median(checked.lengths)) if len(checked.lengths) else 0,
            "tokens_longest": int(checked.lengths.max(initial=0)),
        },
        "run": {
            "stage": command.model.stage,
            "batch_size": batch,
            "steps": steps,
            "learning_rate": training.learning_rate,
            "device": str(training.device),
            "processes": training.world_size,
            "precision": "bfloat16" if training.bf16 else "float16" if training.fp16 else "float32",
            "resume_from": resume,
        },
        "notes": [*command.notes, *loading_notes(command), *stage_notes(loaded.model, command)],
        "settings": settings(command),
        "versions": {name: version(name) for name in ("llava-graph", "torch", "transformers", "datasets")},
    }


def save_plan(plan: Mapping[str, Any], checked: Checked, out: Path) -> None:
    """plan.json and dropped.json in the output folder."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "plan.json", dict(plan))
    listed = [asdict(item) for item in checked.dropped[:SHOWN_DROPS]]
    write_json(out / "dropped.json", {"counts": checked.reasons, "samples": listed})


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan for a person: a line each for model, data, run and notes."""
    model, data, run = plan["model"], plan["data"], plan["run"]
    parts = ", ".join(
        f"{part} {count['trained'] / 1e6:.2f} of {count['all'] / 1e6:.2f} M"
        for part, count in model["parameters"].items()
    )
    left_out = ", ".join(f"{count} {reason}" for reason, count in data["dropped"].items()) or "none"
    mended = ", ".join(f"{count} {kind}" for kind, count in data["repaired"].items()) or "none"
    lines = [
        f"model   {model['name']}: trains {parts}; {model['image_tokens']} tokens an image",
        f"data    {data['kept']} of {data['seen']} samples ({data['with_image']} with image), "
        f"{data['tokens_median']} tokens each, at most {data['tokens_longest']}",
        f"        dropped: {left_out}; repaired: {mended}; answers cut: {data['answers_cut']}",
        f"run     stage {run['stage']}, {run['steps']} steps of {run['batch_size']} samples, learning rate "
        f"{run['learning_rate']:g}, {run['precision']} on {run['processes']} x {run['device']}",
    ]
    if run["resume_from"]:
        lines.append(f"        goes on from {run['resume_from']}")
    return lines + [f"note    {note}" for note in plan["notes"]]
