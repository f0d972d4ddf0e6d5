"""Where a run is looked at: TensorBoard, W&B, trackio … In: --report_to. Out: trackers that are there, and know the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from llava_graph.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from transformers import Trainer

    from train.flags.arguments import TrainArguments

PACKAGES = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "mlflow": "mlflow",
    "comet_ml": "comet_ml",
    "swanlab": "swanlab",
    "clearml": "clearml",
    "neptune": "neptune",
    "dvclive": "dvclive",
    "codecarbon": "codecarbon",
}
"""--report_to -> the package that it needs"""


def check_trackers(training: TrainArguments) -> None:
    """Before anything is loaded: every tracker asked for is known and installed. Raises InputError."""
    for name in training.report_to:
        if name == "kubeflow":  # which transformers adds by itself, inside such a cluster
            continue
        if name not in PACKAGES:
            raise InputError(f"unknown --report_to {name!r}", next_step=did_you_mean(name, [*PACKAGES, "none"]))
        if find_spec(PACKAGES[name]) is None:
            raise InputError(
                f"--report_to {name} needs the package {PACKAGES[name]!r}",
                next_step=f"pip install {PACKAGES[name]}, or --report_to none",
            )


class PlanTold(TrainerCallback):
    """Tells the plan to the trackers of `trainer`, once they have begun."""

    def __init__(self, trainer: Trainer, plan: Mapping[str, Any]) -> None:
        self._trainer, self._plan = trainer, plan

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if not state.is_world_process_zero:
            return
        plain = json.loads(json.dumps(self._plan, default=str))
        for callback in self._trainer.callback_handler.callbacks:
            if writer := getattr(callback, "tb_writer", None):
                writer.add_text("plan", f"```json\n{json.dumps(plain, indent=2)}\n```")
            for name in ("_wandb", "_trackio"):
                if config := getattr(getattr(callback, name, None), "config", None):
                    config.update({"plan": plain}, allow_val_change=True)
