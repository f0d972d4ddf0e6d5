"""transformers' Trainer with our batches, our loss and a learning rate for each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.training_args import ParallelMode

from train.batching.order import Order
from train.learning.attention import prove_packing
from train.learning.loss import install_answer_loss
from train.learning.muon import MuonAdamW, matrices_of
from train.learning.stages import parameter_groups
from train.running.flops import COUNTABLE
from train.running.guard import GuardedTrainer
from train.running.in_step import image_inputs, install_blank_image
from train.running.measured import MeasuredTrainer
from train.running.ordered import OrderedTrainer
from train.running.watch import WatchedTrainer

if TYPE_CHECKING:
    import torch

    from train.batching.batches import TrainingSet
    from train.running.finish import Keeper


class PartsTrainer(WatchedTrainer, MeasuredTrainer, GuardedTrainer):
    """A Trainer whose subclass knows the batches; `args` are our `TrainArguments`.

    `packed`: whether they are packed rows. `an_image` gives the model's inputs of some image of theirs, {} when none has one.
    """

    def __init__(
        self,
        *,
        packed: bool,
        an_image: Callable[[], Mapping[str, torch.Tensor]],
        keeper: Keeper | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keeper = keeper
        whole = self.accelerator.unwrap_model(self.model)
        if packed and not (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            with self.compute_loss_context_manager():
                prove_packing(whole)
        install_answer_loss(whole, self.args.label_smoothing_factor)
        self.label_smoother = None  # transformers' own takes the labels away from our loss, and does not shift them
        if self.args.parallel_mode == ParallelMode.DISTRIBUTED and (vision := an_image()):
            install_blank_image(whole, vision)
            if self.args.ddp_find_unused_parameters is None and whole.config.model_type in COUNTABLE:
                # All that learns now takes part in every step; to search for what does not would cost every step.
                self.args.ddp_find_unused_parameters = False
        self.args.prediction_loss_only = True  # the loss comes without logits

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """A folder that stands on its own: weights, processor, template and model card."""
        if self.keeper is None:
            super().save_model(output_dir, _internal_call)
            return
        self.keeper.save(self, Path(output_dir or self.args.output_dir))
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Ours is written with the weights."""

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW (or what --optim says, or Muon beside it) over groups by part and decay."""
        if self.optimizer is None:  # type: ignore[has-type]
            trained = self.model if model is None else model
            groups = parameter_groups(
                trained,
                decayed=self.get_decay_parameter_names(trained),
                weight_decay=self.args.weight_decay,
                rates={"connector": self.args.mm_projector_lr, "vision tower": self.args.mm_vision_tower_lr},
                matrices=matrices_of(trained) if self.args.muon else (),
            )
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            if self.args.muon:
                self.optimizer = MuonAdamW(groups, **{name: options[name] for name in ("lr", "betas", "eps")})
            else:
                self.optimizer = kind(groups, **options)
        return self.optimizer


class FigureTrainer(OrderedTrainer, PartsTrainer):
    """A Trainer over a `TrainingSet` in the batches of an `Order`."""

    def __init__(self, *, order: Order, train_dataset: TrainingSet, **kwargs: Any) -> None:
        super().__init__(
            order=order,
            packed=order.packing_length is not None,
            an_image=partial(image_inputs, train_dataset),
            train_dataset=train_dataset,
            **kwargs,
        )
