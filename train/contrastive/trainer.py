"""transformers' Trainer for contrastive pretraining. In: pairs in whole batches. Out: checkpoints with momentum and queue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from llava_graph.durable import write_text
from train.contrastive.card import contrastive_card
from train.contrastive.folder import restore, save_contrastive
from train.contrastive.losses import ramped
from train.contrastive.momentum import Momentum
from train.learning.parts import TOWER
from train.learning.stages import parameter_groups
from train.running.guard import GuardedTrainer
from train.running.measured import MeasuredTrainer
from train.running.ordered import OrderedTrainer

if TYPE_CHECKING:
    from train.contrastive.arguments import ContrastiveCommand
    from train.contrastive.folder import Contrastive
    from train.contrastive.retrieval import Evaluation

INPUTS = ("pixel_values", "input_ids", "attention_mask", "image_keys")
LOSSES = ("ita", "itm")


class ContrastiveTrainer(OrderedTrainer, MeasuredTrainer, GuardedTrainer):
    """A Trainer over pairs; `args` are a `ContrastiveTraining`."""

    keeper = None
    """`save_model` writes everything."""

    def __init__(
        self,
        *,
        command: ContrastiveCommand,
        loaded: Contrastive,
        plan: Mapping[str, Any],
        evaluation: Evaluation | None,
        **kwargs: Any,
    ) -> None:
        if command.training.ddp_find_unused_parameters is None:
            command.training.ddp_find_unused_parameters = False  # all that learns takes part in every step
        # transformers wants a data set where there are evaluations; ours reads its own.
        looked_at = evaluation and (evaluation.pairs or evaluation.labelled)
        super().__init__(args=command.training, model=loaded.model, eval_dataset=looked_at, **kwargs)
        self._command, self._loaded, self._plan, self._evaluation = command, loaded, plan, evaluation
        asked = command.contrastive
        self.momentum = (
            Momentum(loaded.model.encoders, share=asked.momentum, queue_size=asked.queue_size) if asked.fused else None
        )
        if self.momentum is not None:
            self.add_callback(_Follow(self.momentum, loaded.model))
        self._sums: dict[str, torch.Tensor] = {}
        self._batches_summed = 0

    # ---- learning ----

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> torch.Tensor:
        """The objective's loss of a batch; afterwards the batch is in the queue."""
        batch = {name: inputs[name] for name in INPUTS}
        keys = None
        if self.momentum is not None:
            with self.accelerator.autocast():
                keys = self.momentum.look(*(batch[name] for name in INPUTS[:3]))
        losses = model(**batch, keys=keys, alpha=self.alpha)
        if self.momentum is not None and keys is not None:
            self.momentum.remember(keys)
        for name in LOSSES:
            if name in losses:
                self._sums[name] = self._sums.get(name, 0) + losses[name].detach()
        self._batches_summed += 1
        return losses["loss"]

    @property
    def alpha(self) -> float:
        """Share of the soft targets in the step that comes."""
        asked = self._command.contrastive
        together = self.args.gradient_accumulation_steps
        steps = -(-len(self._batches.order) // together) * asked.alpha_ramp_epochs
        return ramped(asked.alpha, self.state.global_step, steps)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW (or what --optim says); the vision tower may have its own rate, and the temperature does not decay."""
        if self.optimizer is None:  # type: ignore[has-type]
            trained = self.model if model is None else model
            groups = parameter_groups(
                trained,
                decayed={*self.get_decay_parameter_names(trained)} - {"temperature"},
                weight_decay=self.args.weight_decay,
                rates={TOWER: self.args.mm_vision_tower_lr},
            )
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A line of losses gets the objective's parts and the temperature; rates are of pairs."""
        if "loss" in logs and self._batches_summed:
            for name, total in self._sums.items():
                mean = total / self._batches_summed
                logs[f"loss_{name}"] = float(self.accelerator.reduce(mean, "mean"))
            logs["temperature"] = float(self.accelerator.unwrap_model(self.model).temperature.detach())
            self._sums, self._batches_summed = {}, 0
        super().log(logs, start_time)

    def _rates(self, window: torch.Tensor) -> dict[str, float]:
        """Of what transformers' loop and the data give, without a language model's tokens."""
        told = super()._rates(window)
        kept = {name: told[name] for name in ("step_seconds", "data_wait_share")}
        return {"pairs_per_second": told["samples_per_second"], **kept}

    # ---- evaluating ----

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Retrieval on held-out pairs, and zero-shot classification."""
        if self._evaluation is None:
            return {}
        metrics = self._evaluation.run(self, self.accelerator.unwrap_model(self.model))
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # ---- writing and reading ----

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """A folder that is a vision tower, with the text side beside it; in a checkpoint also momentum encoders and queue."""
        if not self.args.should_save:
            return
        out = Path(output_dir or str(self.args.output_dir))
        loaded, model = self._loaded, self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        save_contrastive(model, loaded.tokenizer, loaded.images, out)
        write_text(out / "README.md", contrastive_card(self._command, loaded, self._plan, self.state))
        if _internal_call and self.momentum is not None:
            self.momentum.save(out)
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Ours is written with the weights."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        restore(self.accelerator.unwrap_model(self.model if model is None else model), folder)
        if self.momentum is not None:
            self.momentum.load(folder)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is not None and self.stop.stopped_by is None:
            restore(self.accelerator.unwrap_model(self.model), Path(best))


class _Follow(TrainerCallback):
    """Momentum encoders come nearer before each step, as ALBEF's do: in the first one they are the encoders themselves."""

    def __init__(self, momentum: Momentum, model: Any) -> None:
        self._momentum, self._model = momentum, model

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._momentum.follow(self._model.encoders)
